//! What an automation changes in files there are.

mod literal;

pub(in crate::plan) use literal::{Beyond, LiteralEdit, Literals};

use super::amounts::{self, Growth, How};
use super::texts::{check_path, compile_text, compile_value, filled, text};
use super::{identity, kept_text};
use crate::automation::{AmountSpec, EditSpec, ElementSpec, escape_pointer};
use crate::expression::{Expression, Scope, Variables};
use crate::inventory::Target;
use crate::manifest::{FieldPath, ObjectAddress, Step};
use crate::plan::PlanError;
use crate::plan::staged::{Aim, Found, Staged, Wanted, failed, hold};
use crate::render::{TextKind, TextTemplate};
use crate::types::{ManifestPath, SpecError};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most entries of `edit`, and the most fields of one: each reads its file once more.
const MAX_EDITS: usize = 50;
/// Whole numbers that a double holds exactly (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What is done to one object, or to the only document of a file.
pub(super) struct Edit {
    place: Address,
    operations: Vec<Operation>,
}

/// Which file or object is meant.
pub(super) struct Address {
    file: Option<TextTemplate>,
    object: Option<TextTemplate>,
}

/// One thing done to one field.
struct Operation {
    field: FieldTemplate,
    action: Action,
}

enum Action {
    /// It gets the value; `null` leaves it as it is.
    Set(Given),
    Grow(Box<Growth>),
    Merge(Given),
    Append(Given),
    /// The element, and the field by which elements are told apart.
    Ensure(Given, Option<String>),
    Remove,
}

/// A value as an author writes it, or as it is.
enum Given {
    Computed(Expression),
    Literal(Value),
}

impl Action {
    /// The field of the automation it is written under.
    fn verb(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::Grow(growth) => growth.verb(),
            Self::Merge(_) => "merge",
            Self::Append(_) => "append",
            Self::Ensure(..) => "ensure",
            Self::Remove => "remove",
        }
    }
}

/// A path in whose keys and values texts may stand: `containers[name="{{ parameters.container }}"].image`. What they become is the key or
/// the value of one step and never another step.
struct FieldTemplate {
    path: FieldPath,
    gaps: Vec<(usize, TextTemplate)>,
}

/// Compiles `edit`; `rendered` are the paths of `render` as they are written.
pub(super) fn compile(specs: &[EditSpec], rendered: &[&str], names: &[&str], errors: &mut Vec<SpecError>) -> Vec<Edit> {
    if specs.len() > MAX_EDITS {
        let message = format!("an automation has at most {MAX_EDITS} edits, and this one has {}; make several automations of it", specs.len());
        errors.push(SpecError::new("/edit", message));
    }
    let edits = specs.iter().take(MAX_EDITS).enumerate();
    edits.filter_map(|(number, spec)| compile_one(spec, &format!("/edit/{number}"), rendered, names, errors)).collect()
}

fn compile_one(spec: &EditSpec, at: &str, rendered: &[&str], names: &[&str], errors: &mut Vec<SpecError>) -> Option<Edit> {
    let place = Address::compile(spec.file.as_deref(), spec.object.as_deref(), at, names, errors);
    if spec.file.as_deref().is_some_and(|file| rendered.contains(&file)) {
        errors.push(
            SpecError::new(format!("{at}/file"), "the automation writes this file from a template, and edits it as well")
                .hint("give the template the value, or edit another file"),
        );
    }
    let mut compiler = Compiler { at, names, errors, operations: Vec::new(), written: 0 };
    compiler.operations(spec);
    let (written, operations) = (compiler.written, compiler.operations);
    if written == 0 {
        errors.push(
            SpecError::new(at, "an edit changes at least one field: set, increase, multiply, merge, append, ensure or remove")
                .hint("set: { spec.replicas: parameters.replicas }"),
        );
    }
    if written > MAX_EDITS {
        errors.push(SpecError::new(at, format!("an edit changes at most {MAX_EDITS} fields, and this one has {written}")));
    }
    Some(Edit { place: place?, operations })
}

struct Compiler<'c> {
    at: &'c str,
    names: &'c [&'c str],
    errors: &'c mut Vec<SpecError>,
    operations: Vec<Operation>,
    written: usize,
}

impl Compiler<'_> {
    /// In the order in which they are done.
    fn operations(&mut self, spec: &EditSpec) {
        self.each("set", &spec.set, |this, place, value| this.value(value, place).map(Action::Set));
        let grow = |how| {
            move |this: &mut Self, place: &str, spec: &AmountSpec| {
                amounts::compile(spec, how, place, this.names, this.errors).map(Box::new).map(Action::Grow)
            }
        };
        self.each("increase", &spec.increase, grow(How::Increase));
        self.each("multiply", &spec.multiply, grow(How::Multiply));
        self.each("merge", &spec.merge, |this, place, value| this.value(value, place).map(Action::Merge));
        self.each("append", &spec.append, |this, place, value| this.value(value, place).map(Action::Append));
        self.each("ensure", &spec.ensure, |this, place, spec| match spec {
            ElementSpec::Value(value) => this.value(value, place).map(|value| Action::Ensure(value, None)),
            ElementSpec::Keyed(spec) => this.value(&spec.value, &format!("{place}/value")).map(|value| Action::Ensure(value, Some(spec.key.clone()))),
        });
        for (number, field) in spec.remove.iter().enumerate() {
            let place = format!("{}/remove/{number}", self.at);
            self.add(field, &place, |_, _| Some(Action::Remove));
        }
    }

    fn each<S>(&mut self, verb: &str, entries: &BTreeMap<String, S>, action: impl Fn(&mut Self, &str, &S) -> Option<Action>) {
        for (field, spec) in entries {
            let place = format!("{}/{verb}/{}", self.at, escape_pointer(field));
            self.add(field, &place, |this, place| action(this, place, spec));
        }
    }

    fn value(&mut self, source: &str, place: &str) -> Option<Given> {
        compile_value(source, place, self.names, self.errors).map(Given::Computed)
    }

    fn add(&mut self, field: &str, place: &str, action: impl FnOnce(&mut Self, &str) -> Option<Action>) {
        self.written += 1;
        if self.written > MAX_EDITS {
            return;
        }
        let action = action(self, place);
        let field = match FieldTemplate::compile(field, place, self.names, self.errors) {
            Ok(field) => field,
            Err(message) => return self.errors.push(SpecError::new(place, format!("not the path of a field: {message}"))),
        };
        if let Some(other) = self.operations.iter().find(|operation| operation.field.path.overlaps(&field.path)) {
            let message = format!("`{}` and `{}` are the same field, or one is a part of the other", other.field.path, field.path);
            self.errors.push(SpecError::new(place, message).hint("put one of them into another entry of `edit`: they are done in order"));
        }
        if let Some(action) = action {
            self.operations.push(Operation { field, action });
        }
    }
}

impl FieldTemplate {
    fn compile(source: &str, place: &str, names: &[&str], errors: &mut Vec<SpecError>) -> Result<Self, String> {
        let path: FieldPath = source.parse().map_err(|error: crate::manifest::FieldPathError| error.to_string())?;
        let mut gaps = Vec::new();
        for (number, step) in path.steps().iter().enumerate() {
            let text = match step {
                Step::Key(text) | Step::Element { value: text, .. } => text,
                Step::Place(_) => continue,
            };
            if text.contains("{{") || text.contains("{%") {
                gaps.extend(compile_text(text, TextKind::Path, place, names, errors).map(|text| (number, text)));
            }
        }
        Ok(Self { path, gaps })
    }

    fn fill(&self, context: &Variables<'_>) -> Result<FieldPath, PlanError> {
        if self.gaps.is_empty() {
            return Ok(self.path.clone());
        }
        let mut steps = self.path.steps().to_vec();
        for (number, template) in &self.gaps {
            let filled = text(template, context, &format!("edit {}", self.path))?;
            if let Some(Step::Key(text) | Step::Element { value: text, .. }) = steps.get_mut(*number) {
                *text = filled;
            }
        }
        Ok(FieldPath::from(steps))
    }
}

impl Address {
    /// Compiles `file` and `object`, of which at least one is there.
    pub(super) fn compile(file: Option<&str>, object: Option<&str>, at: &str, names: &[&str], errors: &mut Vec<SpecError>) -> Option<Self> {
        if file.is_none() && object.is_none() {
            errors.push(SpecError::new(at, "what is meant is named by its `file`, its `object`, or both").hint("object: Deployment/web/api"));
            return None;
        }
        let file = file.map(|file| {
            let place = format!("{at}/file");
            check_path(file, &place, errors);
            compile_text(file, TextKind::Path, &place, names, errors)
        });
        let object = object.map(|object| {
            let place = format!("{at}/object");
            if let Some(Err(error)) = filled(object).map(|tried| tried.parse::<ObjectAddress>()) {
                errors.push(SpecError::new(&place, error.to_string()));
            }
            compile_text(object, TextKind::Path, &place, names, errors)
        });
        Some(Self { file: file.map_or(Some(None), |file| file.map(Some))?, object: object.map_or(Some(None), |object| object.map(Some))? })
    }

    /// File and object for these values.
    pub(super) fn fill(
        &self,
        context: &Variables<'_>,
        target: &Target,
        what: &str,
    ) -> Result<(Option<ManifestPath>, Option<ObjectAddress>), PlanError> {
        let file = self.file.as_ref().map(|file| {
            let relative = text(file, context, &format!("{what}.file"))?;
            target.path.join(&relative).map_err(|error| PlanError::Path(error.to_string()))
        });
        let object = self.object.as_ref().map(|object| -> Result<ObjectAddress, PlanError> {
            let object = text(object, context, &format!("{what}.object"))?;
            object.parse().map_err(|error: crate::manifest::AddressError| PlanError::Object(error.to_string()))
        });
        Ok((file.transpose()?, object.transpose()?))
    }
}

/// Does all edits in order, each on what those before left.
pub(super) fn apply(edits: &[Edit], context: &Variables<'_>, scope: &Scope<'_>, target: &Target, staged: &mut Staged<'_>) -> Result<(), PlanError> {
    for edit in edits {
        let (file, object) = edit.place.fill(context, target, "edit")?;
        for operation in &edit.operations {
            let field = operation.field.fill(context)?;
            let Some((aim, found)) = aimed(file.as_ref(), object.as_ref(), &field, staged)? else { continue };
            operation.action.act(Place { aim: &aim, found: found.as_ref(), field: &field }, scope, staged)?;
        }
    }
    Ok(())
}

/// What decides a field of a file's object, or of an object that is looked for.
fn aimed(
    file: Option<&ManifestPath>,
    object: Option<&ObjectAddress>,
    field: &FieldPath,
    staged: &mut Staged<'_>,
) -> Result<Option<(Aim, Option<Found>)>, PlanError> {
    Ok(match (file, object) {
        (Some(path), object) => Some((Aim::Field { path: path.clone(), object: object.cloned(), field: field.clone() }, None)),
        (None, Some(object)) => Some(aim_of(object, field, staged)?),
        (None, None) => None,
    })
}

/// What decides a field of an object that is looked for.
fn aim_of(object: &ObjectAddress, field: &FieldPath, staged: &mut Staged<'_>) -> Result<(Aim, Option<Found>), PlanError> {
    if let Some(found) = staged.find(object)? {
        identity::keep(&found, field)?;
        return Ok((staged.aim(&found, field)?, Some(found)));
    }
    match staged.literal(object, field)? {
        Some(aim) => Ok((aim, None)),
        None => Err(staged.not_found(object)?),
    }
}

/// A field, what decides it, and the object it is of, where one was looked for.
#[derive(Clone, Copy)]
struct Place<'p> {
    aim: &'p Aim,
    found: Option<&'p Found>,
    field: &'p FieldPath,
}

impl Action {
    /// Does it, and sees that nothing becomes another object and that the overlays build what was asked for.
    fn act(&self, place: Place<'_>, scope: &Scope<'_>, staged: &mut Staged<'_>) -> Result<(), PlanError> {
        let before = identity::of(staged, place.aim);
        let wanted = self.perform(place, scope, staged)?;
        identity::compare(place.aim, place.field, &before, staged)?;
        if let (Some(found), Some(wanted)) = (place.found, &wanted) {
            staged.require_built(found, place.field, wanted)?;
        }
        Ok(())
    }

    /// Does it, and tells what the field is to be then; none where nothing was asked for.
    fn perform(&self, place: Place<'_>, scope: &Scope<'_>, staged: &mut Staged<'_>) -> Result<Option<Wanted>, PlanError> {
        let Place { aim, found, field } = place;
        let value = |given: &Given| match given {
            Given::Computed(expression) => evaluate(expression, self.verb(), field, scope),
            Given::Literal(value) => Ok(whole(value.clone())),
        };
        let wanted = match self {
            Self::Set(given) => {
                let value = value(given)?;
                if value.is_null() {
                    return Ok(None);
                }
                let value = kept_text::of(staged, aim, field, value);
                hold(aim, found, field, &value)?;
                staged.set(aim, &value)?;
                Wanted::Value(value)
            }
            Self::Grow(growth) => {
                let Some(old) = staged.get(aim)? else {
                    return Err(failed(aim.path(), format!("`{field}` is not there, so nothing can grow; `set` it first")));
                };
                let grown = growth.grown(&old, scope).map_err(|error| failed(aim.path(), format!("`{field}` cannot grow: {error}")))?;
                hold(aim, found, field, &grown)?;
                staged.set(aim, &grown)?;
                Wanted::Value(grown)
            }
            Self::Merge(given) => {
                let value = value(given)?;
                if !value.is_object() {
                    return Err(failed(aim.path(), format!("what is merged into `{field}` is no mapping")));
                }
                let value = kept_text::of(staged, aim, field, value);
                staged.modify(aim, "merge", &mut |editor, object, field| editor.merge(object, field, &value))?;
                Wanted::Value(value)
            }
            Self::Append(given) => {
                let value = value(given)?;
                staged.modify(aim, "append", &mut |editor, object, field| editor.append(object, field, &value))?;
                Wanted::Element(value)
            }
            Self::Ensure(given, key) => {
                let value = kept_text::of_element(staged, aim, field, value(given)?, key.as_deref());
                staged.modify(aim, "ensure", &mut |editor, object, field| editor.ensure(object, field, &value, key.as_deref()))?;
                Wanted::Element(value)
            }
            Self::Remove => {
                staged.take_field_out(aim, found, field)?;
                Wanted::Nothing
            }
        };
        Ok(Some(wanted))
    }
}

fn evaluate(expression: &Expression, verb: &str, field: &FieldPath, scope: &Scope<'_>) -> Result<Value, PlanError> {
    let value = expression.evaluate(scope).map_err(|error| PlanError::Text {
        place: format!("edit.{verb}.{field}"),
        message: format!("`{}` has no value: {error}", expression.source()),
    })?;
    Ok(whole(value))
}

/// The value with whole numbers as such: CEL counts in doubles too, and a manifest says 4, not 4.0.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 2^53")]
            Some(double) if double.fract() == 0.0 && double.abs() <= EXACT => Value::from(double as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        value => value,
    }
}
