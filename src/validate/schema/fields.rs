//! Whether a kind of Kubernetes' own has a field, whatever the version. It looks at schemas, never at objects.

use super::{Catalogue, REFERENCE, catalogue};
use crate::plan::PatternStep;
use crate::types::{KubernetesVersion, nearest};
use serde_json::Value;

/// A field that there is not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoField {
    /// How many steps lead to where it is missing.
    pub(crate) known: usize,
    /// What was probably meant in the place of that step.
    pub(crate) near: Option<String>,
    /// Whether what stands there is a list.
    pub(crate) list: bool,
}

/// Where no version of a kind has the field, in no supported minor of Kubernetes; none where one has it, or may have it: below a mapping
/// whose fields have any names everything may be. Of a kind there is not nothing is told.
pub(crate) fn no_field(group: Option<&str>, kind: &str, steps: &[PatternStep]) -> Option<NoField> {
    let catalogue = catalogue();
    let mut missing: Option<NoField> = None;
    for version in KubernetesVersion::supported() {
        for (key, name) in &catalogue.head.kinds {
            let Some((group_version, _)) = key.rsplit_once('/').filter(|(_, of)| *of == kind) else { continue };
            if group.is_some_and(|group| group_version.split('/').next() != Some(group)) {
                continue;
            }
            let Some(schema) = definition(catalogue, version, *name) else { continue };
            let walk = Walk { catalogue, version };
            let found = walk.missing(&schema, steps, 0)?;
            // The one that goes furthest; of those the newest's.
            if missing.as_ref().is_none_or(|best| found.known >= best.known) {
                missing = Some(found);
            }
        }
    }
    missing
}

fn definition(catalogue: &Catalogue, version: KubernetesVersion, name: usize) -> Option<Value> {
    serde_json::from_str(catalogue.body(version, name)?).ok()
}

struct Walk<'c> {
    catalogue: &'c Catalogue,
    version: KubernetesVersion,
}

impl Walk<'_> {
    /// What is missing on the way along `steps`; none where all is there.
    fn missing(&self, schema: &Value, steps: &[PatternStep], known: usize) -> Option<NoField> {
        let (step, rest) = steps.split_first()?;
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.strip_prefix(REFERENCE)?.parse().ok()?;
            return self.missing(&definition(self.catalogue, self.version, name)?, steps, known);
        }
        let fields = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let items = schema.get("items");
        let here = NoField { known, near: None, list: items.is_some() };
        match step {
            PatternStep::Key(key) => match (fields.and_then(|fields| fields.get(key)), others) {
                (Some(field), _) => self.missing(field, rest, known + 1),
                (None, Some(field @ Value::Object(_))) => self.missing(field, rest, known + 1),
                (None, Some(Value::Bool(false))) => {
                    let names = fields.into_iter().flat_map(|fields| fields.keys().map(String::as_str));
                    Some(NoField { near: nearest(key, names).map(str::to_owned), ..here })
                }
                (None, _) => (items.is_some() || is_plain(schema)).then_some(here),
            },
            PatternStep::AnyKey => {
                let below: Vec<&Value> = fields.into_iter().flat_map(|fields| fields.values()).chain(others.filter(|it| it.is_object())).collect();
                if below.is_empty() {
                    return (items.is_some() || is_plain(schema)).then_some(here);
                }
                let mut missing = None;
                for field in below {
                    missing = Some(self.missing(field, rest, known + 1)?);
                }
                missing
            }
            PatternStep::AnyElement | PatternStep::Element { .. } => match items {
                Some(items) => self.missing(items, rest, known + 1),
                None => (fields.is_some() || others.is_some() || is_plain(schema)).then_some(here),
            },
        }
    }
}

/// Whether a schema is of texts, numbers or truths alone, below which nothing stands.
fn is_plain(schema: &Value) -> bool {
    let plain = |word: &Value| matches!(word.as_str(), Some("string" | "integer" | "number" | "boolean" | "null"));
    match schema.get("type") {
        Some(Value::Array(words)) => words.iter().all(plain),
        Some(word) => plain(word),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FieldPattern;

    fn missing(group: Option<&str>, kind: &str, field: &str) -> Option<NoField> {
        no_field(group, kind, FieldPattern::compile(field).expect("a field").steps())
    }

    #[test]
    fn a_field_that_no_version_of_a_kind_has_is_missing() {
        let slip = missing(None, "Deployment", "spec.replcas").expect("missing");
        assert_eq!((slip.known, slip.near.as_deref(), slip.list), (1, Some("replicas"), false));
        let list = missing(Some("apps"), "Deployment", "spec.template.spec.containers.image").expect("missing");
        assert_eq!((list.known, list.list), (4, true));
        for gone in ["spec.replicas.x", "spec[*]", "metadata.labels[*]", "spec.*.nonsense", "spec.template.spec.containers[name=api].imag", "data.*"]
        {
            assert!(missing(None, "Deployment", gone).is_some(), "{gone}");
        }
    }

    #[test]
    fn a_field_that_one_version_has_and_what_lies_below_free_mappings_is_there() {
        for (kind, field) in [
            ("Deployment", "spec.replicas"),
            ("Deployment", "spec"),
            ("Deployment", "metadata.labels.*"),
            ("Deployment", "metadata.annotations.anything"),
            ("Deployment", "spec.template.spec.containers[*].resources.limits.cpu"),
            ("Deployment", "spec.template.spec.containers[name=api].env[name=X].value"),
            ("Deployment", "spec.*.matchLabels.app"),
            ("ConfigMap", "data.*"),
            ("ConfigMap", "data.anything"),
            // Of `autoscaling/v1`, and of `v2`.
            ("HorizontalPodAutoscaler", "spec.targetCPUUtilizationPercentage"),
            ("HorizontalPodAutoscaler", "spec.metrics"),
            ("CustomResourceDefinition", "spec.versions[*].schema.openAPIV3Schema.properties.anything"),
            ("NoSuchKind", "spec.x"),
        ] {
            assert_eq!(missing(None, kind, field), None, "{kind} {field}");
        }
        assert_eq!(missing(Some("example.com"), "Deployment", "spec.x"), None);
    }
}
