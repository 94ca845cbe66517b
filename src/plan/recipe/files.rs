//! The files an automation writes from templates.

use super::sealed::{self, Sealed};
use super::texts::{check_path, compile_text, compile_value};
use crate::automation::{IfExists, RenderSpec};
use crate::event::Event;
use crate::expression::{Expression, Scope, Variable};
use crate::inventory::Target;
use crate::plan::PlanError;
use crate::render::{Catalogue, RenderJob, TextKind, TextTemplate};
use crate::types::{SpecError, TemplateName, nearest};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One file, from one template.
pub(super) struct Step {
    pub(super) template: TemplateName,
    pub(super) digest: String,
    pub(super) path: TextTemplate,
    with: BTreeMap<String, Expression>,
    inherited: Vec<String>,
    pub(super) sealed: Option<Sealed>,
    pub(super) if_exists: IfExists,
    reads_event: bool,
    reads_target: bool,
}

impl Step {
    /// What is rendered.
    pub(super) fn job(&self, event: &Event, values: Map<String, Value>, target: &Target) -> RenderJob {
        RenderJob { template: self.template.clone(), context: self.context(event, values, target) }
    }

    pub(super) fn parameters(&self, given: &Map<String, Value>, scope: &Scope<'_>) -> Result<Map<String, Value>, PlanError> {
        let mut values: Map<String, Value> =
            self.inherited.iter().filter_map(|name| given.get(name).map(|value| (name.clone(), value.clone()))).collect();
        for (name, expression) in &self.with {
            let value = expression.evaluate(scope).map_err(|error| PlanError::Text {
                place: format!("render.with.{name}"),
                message: format!("`{}` has no value: {error}", expression.source()),
            })?;
            if value.is_null() {
                values.remove(name);
            } else {
                values.insert(name.clone(), value);
            }
        }
        Ok(values)
    }

    /// What the template is given: its parameters, and of the rest what it reads.
    fn context(&self, event: &Event, parameters: Map<String, Value>, target: &Target) -> Value {
        let mut context = json!({});
        context["parameters"] = Value::Object(parameters);
        if self.reads_event {
            context["event"] = Variable::Event(event).to_value();
        }
        if self.reads_target {
            context["target"] = json!({ "cluster": target.cluster, "path": target.path, "labels": target.labels });
        }
        context
    }
}

pub(super) fn compile(step: &RenderSpec, at: usize, names: &[&str], catalogue: &Catalogue, errors: &mut Vec<SpecError>) -> Option<Step> {
    let at = format!("/render/{at}");
    let path = compile_text(&step.path, TextKind::Path, &format!("{at}/path"), names, errors);
    check_path(&step.path, &format!("{at}/path"), errors);
    let Some(template) = catalogue.get(&step.template) else {
        let known: Vec<&str> = catalogue.templates().map(|template| template.name().as_str()).collect();
        let near = nearest(step.template.as_str(), known.iter().copied());
        let hint = near.map_or_else(|| format!("known are: {}", known.join(", ")), |near| format!("did you mean {near}?"));
        errors.push(SpecError::new(format!("{at}/template"), format!("there is no template {:?}", step.template.as_str())).hint(hint));
        return None;
    };
    let properties: Vec<&str> = template.property_names().collect();
    let mut with = BTreeMap::new();
    for (name, source) in &step.with {
        let place = format!("{at}/with/{}", crate::automation::escape_pointer(name));
        if !properties.contains(&name.as_str()) {
            errors.push(
                SpecError::new(&place, format!("template {} has no parameter {name:?}", step.template))
                    .hint(format!("it has: {}", properties.join(", "))),
            );
        }
        if let Some(expression) = compile_value(source, &place, names, errors) {
            with.insert(name.clone(), expression);
        }
    }
    let sealed = sealed::compile(step, template, &at, errors);
    let given = |name: &str| sealed.as_ref().is_some_and(|sealed| sealed.gives(name)) || with.contains_key(name);
    let inherited: Vec<String> = names.iter().filter(|name| properties.contains(name) && !given(name)).map(|name| (*name).to_owned()).collect();
    for required in template.required_names() {
        if !given(required) && !inherited.iter().any(|name| name == required) {
            errors.push(
                SpecError::new(&at, format!("template {} needs {required:?}, and the automation has no parameter of that name", step.template))
                    .hint(format!("add a parameter `{required}`, or `with: {{ {required}: parameters.other }}`")),
            );
        }
    }
    Some(Step {
        template: step.template.clone(),
        digest: template.digest().to_owned(),
        path: path?,
        with,
        inherited,
        sealed,
        if_exists: step.if_exists,
        reads_event: template.reads("event"),
        reads_target: template.reads("target"),
    })
}
