//! Whom a patch of a kustomization is for: names as patterns, labels and annotations as selectors.
//! What cannot be told is neither yes nor no.

use super::transform::Passing;
use crate::manifest::{image_pattern, whole_pattern};
use regex::Regex;
use serde_json::Value;
use std::collections::HashMap;

/// Patterns that are kept, at most: each takes some kilobytes.
const MAX_KEPT: usize = 256;

/// Patterns that were compiled.
#[derive(Default)]
pub(super) struct Patterns {
    whole: HashMap<String, Option<Regex>>,
    images: HashMap<String, Option<Regex>>,
}

impl Patterns {
    /// Whether a pattern fits all of a text; none where it is no pattern.
    fn fits(&mut self, pattern: &str, text: &str) -> Option<bool> {
        let plain = pattern.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/'));
        if plain {
            return Some(pattern == text);
        }
        if self.whole.len() >= MAX_KEPT {
            self.whole.clear();
        }
        let compiled = self.whole.entry(pattern.to_owned()).or_insert_with(|| whole_pattern(pattern));
        compiled.as_ref().map(|compiled| compiled.is_match(text))
    }

    /// The pattern of an entry of `images`.
    pub(super) fn of_image(&mut self, name: &str) -> Option<&Regex> {
        if self.images.len() >= MAX_KEPT && !self.images.contains_key(name) {
            self.images.clear();
        }
        self.images.entry(name.to_owned()).or_insert_with(|| image_pattern(name)).as_ref()
    }
}

/// Whether a patch's target is this object; none where that cannot be told here.
pub(super) fn fits_target(target: &Value, object: &Passing, patterns: &mut Patterns) -> Option<bool> {
    let wanted = |field: &str| target.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut known = true;
    // One of its identities has to fit all of it.
    let mut is_one = false;
    for identity in &object.known_as {
        let (group, version) = identity.api_version.split_once('/').unwrap_or(("", &identity.api_version));
        let namespace = identity.namespace.as_deref().unwrap_or("default");
        let mut fits = true;
        for (field, value) in [("group", group), ("version", version), ("kind", &identity.kind), ("name", &identity.name), ("namespace", namespace)] {
            if let Some(pattern) = wanted(field) {
                match patterns.fits(pattern, value) {
                    Some(fit) => fits &= fit,
                    None => known = false,
                }
            }
        }
        is_one |= fits;
    }
    if !is_one {
        return known.then_some(false);
    }
    for (field, pairs) in [("labelSelector", "/metadata/labels"), ("annotationSelector", "/metadata/annotations")] {
        if let Some(selector) = wanted(field) {
            match selected(selector, object.value.pointer(pairs)) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => known = false,
            }
        }
    }
    known.then_some(true)
}

/// Whether a target says by whole names whom it is for, or by none: not by patterns and selectors, which are for whatever they find.
pub(super) fn is_by_names(target: &Value) -> bool {
    let selects = ["labelSelector", "annotationSelector"].iter().any(|field| target.get(*field).is_some());
    let is_name = |text: &str| {
        let name = text.trim_start_matches('^').trim_end_matches('$');
        text == ".*" || name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.')) && !name.contains(".*")
    };
    !selects && ["group", "version", "kind", "name", "namespace"].iter().all(|field| target.get(*field).and_then(Value::as_str).is_none_or(is_name))
}

/// Whether labels are as a selector of equalities wants them; none for a selector of another form.
fn selected(selector: &str, labels: Option<&Value>) -> Option<bool> {
    let mut all = true;
    for term in selector.split(',').map(str::trim).filter(|term| !term.is_empty()) {
        let word = |text: &str| {
            let text = text.trim();
            text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')).then(|| text.to_owned())
        };
        let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let holds = if let Some((key, wanted)) = term.split_once("!=") {
            value(&word(key)?) != Some(&word(wanted)?)
        } else if let Some((key, wanted)) = term.split_once("==").or_else(|| term.split_once('=')) {
            value(&word(key)?) == Some(&word(wanted)?)
        } else if let Some(key) = term.strip_prefix('!') {
            value(&word(key)?).is_none()
        } else {
            value(&word(term)?).is_some()
        };
        all &= holds;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ObjectRef;
    use serde_json::json;

    #[test]
    fn a_target_is_told_by_patterns_and_selectors() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}}});
        let object = Passing::new(value.clone(), ObjectRef::of(&value).expect("an object"));
        for (target, fits) in [
            (json!({"kind": "Deployment"}), Some(true)),
            (json!({"kind": "Deploy.*", "name": "w|x"}), Some(false)),
            (json!({"kind": "Deploy.*", "name": "web|api"}), Some(true)),
            (json!({"name": "we"}), Some(false)),
            (json!({"name": "("}), None),
            (json!({"group": "apps", "version": "v1", "namespace": "default"}), Some(true)),
            (json!({"labelSelector": "app=web, !tier"}), Some(true)),
            (json!({"labelSelector": "app!=web"}), Some(false)),
            (json!({"labelSelector": "app in (web)"}), None),
            (json!({"annotationSelector": "a=b"}), Some(false)),
        ] {
            assert_eq!(fits_target(&target, &object, &mut Patterns::default()), fits, "{target}");
        }
    }

    #[test]
    fn a_target_by_names_has_no_pattern_and_no_selector() {
        for (target, by_names) in [
            (json!({"kind": "Deployment", "name": "web"}), true),
            (json!({"kind": "Deployment", "name": "^web$"}), true),
            (json!({"kind": "Deployment", "name": ".*"}), true),
            (json!({"group": "rbac.authorization.k8s.io"}), true),
            (json!({"name": "w.*"}), false),
            (json!({"kind": "Deployment|StatefulSet"}), false),
            (json!({"kind": "Deployment", "labelSelector": "app=web"}), false),
        ] {
            assert_eq!(is_by_names(&target), by_names, "{target}");
        }
    }
}
