//! Whether a policy is about an object: types, operations, scope, names and labels. No expression is evaluated for this.

use super::model::{LabelExpression, LabelOperator, LabelSelector, MatchPolicy, MatchResources, OperationName, ResourceRule, Scope};
use super::resource::{is_cluster_scoped, namespace_of, plural};
use crate::manifest::ObjectRef;
use serde_json::{Map, Value};

/// What happens to an object, as rules see it.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) resource: String,
    pub(super) operation: OperationName,
    /// None for what lives in no namespace.
    pub(super) namespace: Option<&'a str>,
    new: Option<&'a Value>,
    old: Option<&'a Value>,
}

impl<'a> Attributes<'a> {
    /// At least one of `new` and `old` is there.
    pub(super) fn new(object: &'a ObjectRef, new: Option<&'a Value>, old: Option<&'a Value>) -> Self {
        let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
        let operation = match (new, old) {
            (Some(_), None) => OperationName::Create,
            (Some(_), Some(_)) => OperationName::Update,
            (None, _) => OperationName::Delete,
        };
        Self { object, group, version, resource: plural(&object.kind), operation, namespace: namespace_of(object), new, old }
    }

    fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.object.kind == "Namespace"
    }
}

impl MatchResources {
    /// Whether this is about the object. `namespace` gives the object's namespace, and is asked only where labels of it are wanted.
    pub(super) fn matches<'n>(&self, attributes: &Attributes<'_>, namespace: &dyn Fn() -> Option<&'n Value>) -> bool {
        let rule = |rule: &ResourceRule| rule.matches(attributes, self.match_policy);
        if !self.resource_rules.is_empty() && !self.resource_rules.iter().any(rule) || self.exclude_resource_rules.iter().any(rule) {
            return false;
        }
        let either = |selector: &LabelSelector| [attributes.new, attributes.old].into_iter().flatten().any(|object| selector.matches(labels(object)));
        if !self.object_selector.as_ref().is_none_or(either) {
            return false;
        }
        let Some(selector) = self.namespace_selector.as_ref().filter(|selector| !selector.is_empty()) else { return true };
        if attributes.is_namespace() {
            return attributes.new.or(attributes.old).is_some_and(|object| selector.matches(labels(object)));
        }
        // What is in no namespace is never left out by one.
        attributes.namespace.is_none() || selector.matches(namespace().and_then(labels))
    }
}

fn labels(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.get("labels")?.as_object()
}

impl ResourceRule {
    fn matches(&self, attributes: &Attributes<'_>, policy: MatchPolicy) -> bool {
        let named = |names: &[String], name: &str| names.iter().any(|known| known == "*" || known == name);
        // Versions of one group are the same objects.
        let version = policy == MatchPolicy::Equivalent || named(&self.api_versions, attributes.version);
        let operation = self.operations.iter().any(|operation| *operation == OperationName::Any || *operation == attributes.operation);
        let resource = self.resources.iter().any(|resource| {
            let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
            (resource == "*" || resource == attributes.resource) && matches!(below, "" | "*")
        });
        let scope = match self.scope {
            Scope::Any => true,
            Scope::Cluster => is_cluster_scoped(attributes.object),
            Scope::Namespaced => !is_cluster_scoped(attributes.object),
        };
        let name = self.resource_names.is_empty() || self.resource_names.contains(&attributes.object.name);
        operation && resource && named(&self.api_groups, attributes.group) && version && scope && name
    }
}

impl LabelSelector {
    /// Whether it wants nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether labels are as wanted; no labels are none.
    pub(super) fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let exactly = self.match_labels.iter().all(|(key, wanted)| value(key) == Some(wanted.as_str()));
        exactly
            && self.match_expressions.iter().all(|LabelExpression { key, operator, values }| {
                let listed = |found: &str| values.iter().any(|value| value == found);
                match operator {
                    LabelOperator::In => value(key).is_some_and(listed),
                    LabelOperator::NotIn => !value(key).is_some_and(listed),
                    LabelOperator::Exists => value(key).is_some(),
                    LabelOperator::DoesNotExist => value(key).is_none(),
                }
            })
    }
}

/// Whether a parameter's labels are as wanted.
pub(super) fn selects(selector: &LabelSelector, object: &Value) -> bool {
    selector.matches(labels(object))
}
