//! The secrets that are sealed into a rendered file: which parameters of the template they become, and for which Secret they are sealed.

use crate::automation::{RenderSpec, SealScope, escape_pointer};
use crate::inventory::Target;
use crate::plan::{PlanError, SealOrder, Sealer};
use crate::render::Template;
use crate::seal::Scope;
use crate::types::{SecretName, SpecError};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The parameter that takes sealed values.
const VALUES: &str = "encryptedData";
/// The parameter that says for which Secret they are sealed.
const SCOPE: &str = "scope";
const NAMESPACE: &str = "namespace";
const NAME: &str = "name";

/// Secrets to seal into one file.
pub(super) struct Sealed {
    scope: SealScope,
    data: BTreeMap<String, SecretName>,
    says_scope: bool,
}

impl Sealed {
    /// Whether the template's parameter gets its value here, and nowhere else.
    pub(super) fn gives(&self, parameter: &str) -> bool {
        parameter == VALUES || self.says_scope && parameter == SCOPE
    }

    /// Seals for the Secret that the template's other parameters name, and puts the result among them.
    ///
    /// # Errors
    /// When the target has no controller, the Secret has no name, or a value cannot be sealed.
    pub(super) fn fill(&self, values: &mut Map<String, Value>, target: &Target, sealer: &dyn Sealer) -> Result<(), PlanError> {
        let sealing = target.sealing.as_deref().ok_or_else(|| {
            PlanError::Unsealable(format!("the change holds sealed values, and {target} does not say how they are sealed: it has no `sealing`"))
        })?;
        let scope = self.scope_of(values)?;
        let seal = |(key, secret): (&String, &SecretName)| {
            let sealed = sealer.seal(SealOrder { sealing, scope, key, secret })?;
            Ok::<_, PlanError>((key.clone(), Value::String(sealed)))
        };
        let sealed = self.data.iter().map(seal).collect::<Result<Map<String, Value>, PlanError>>()?;
        values.insert(VALUES.to_owned(), Value::Object(sealed));
        if self.says_scope {
            values.insert(SCOPE.to_owned(), self.scope.as_str().into());
        }
        Ok(())
    }

    fn scope_of<'v>(&self, values: &'v Map<String, Value>) -> Result<Scope<'v>, PlanError> {
        let named = |parameter: &str, most: usize, dots: bool| {
            let found = values.get(parameter).and_then(Value::as_str).unwrap_or_default();
            // Not more than this: the template's schema says the rest. What is sealed for "a/b" must not be for another Secret.
            let may_stand = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || dots && c == '.';
            if !found.is_empty() && found.len() <= most && found.chars().all(may_stand) {
                return Ok(found);
            }
            Err(PlanError::Unsealable(format!("the Secret that values are to be sealed for has no valid {parameter}")))
        };
        Ok(match self.scope {
            SealScope::Strict => Scope::Strict { namespace: named(NAMESPACE, 63, false)?, name: named(NAME, 253, true)? },
            SealScope::NamespaceWide => Scope::NamespaceWide { namespace: named(NAMESPACE, 63, false)? },
            SealScope::ClusterWide => Scope::ClusterWide,
        })
    }
}

/// The `seal` of an entry of `render`, held against its template.
pub(super) fn compile(step: &RenderSpec, template: &Template, at: &str, errors: &mut Vec<SpecError>) -> Option<Sealed> {
    let spec = step.seal.as_ref()?;
    let at = format!("{at}/seal");
    let has = |parameter: &str| template.property_names().any(|name| name == parameter);
    let sealed = Sealed { scope: spec.scope, data: spec.data.clone(), says_scope: has(SCOPE) };
    if !has(VALUES) {
        let message = format!("template {} takes no sealed values: it has no parameter `{VALUES}`", step.template);
        errors.push(SpecError::new(&at, message).hint("the shipped template for them is sealed-secret"));
        return Some(sealed);
    }
    let needed: &[&str] = match spec.scope {
        SealScope::Strict => &[NAMESPACE, NAME],
        SealScope::NamespaceWide => &[NAMESPACE, SCOPE],
        SealScope::ClusterWide => &[SCOPE],
    };
    for parameter in needed.iter().filter(|parameter| !has(parameter)) {
        let message = format!("the scope {} needs a template with the parameter `{parameter}`, which {} has not", spec.scope.as_str(), step.template);
        errors.push(SpecError::new(&at, message));
    }
    for name in step.with.keys().filter(|name| sealed.gives(name)) {
        let message = format!("`seal` gives the template its {name:?} already");
        errors.push(SpecError::new(format!("{}/with/{}", at.trim_end_matches("/seal"), escape_pointer(name)), message).hint("take it out of `with`"));
    }
    for key in spec.data.keys().filter(|key| !is_key(key)) {
        let message = format!("{key:?} cannot be a key of a Secret");
        errors.push(SpecError::new(format!("{at}/data/{}", escape_pointer(key)), message).hint("letters, digits, `-`, `_` and `.`, at most 253"));
    }
    Some(sealed)
}

/// What Kubernetes takes as a key of a Secret.
fn is_key(key: &str) -> bool {
    (1..=253).contains(&key.len()) && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && key != "." && !key.starts_with("..")
}
