//! What Kubernetes calls a kind in its rules: `deployments` of group `apps`, and whether it lives in a namespace.

use super::model::MatchResources;
use crate::manifest::ObjectRef;
use crate::types::{SpecError, nearest};
use crate::validate::SchemaSet;
use crate::validate::schema::kinds_of;
use std::collections::BTreeSet;

/// The namespace of what says none: what `kubectl` takes.
const DEFAULT_NAMESPACE: &str = "default";

/// The plural under which rules name a kind: English's rule, and Kubernetes' exceptions. What a CustomResourceDefinition calls its
/// kind otherwise is not known here.
pub(super) fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    let vowel_before_y = || lower.len() > 1 && lower[..lower.len() - 1].ends_with(['a', 'e', 'o', 'u']);
    match lower.as_str() {
        "endpoints" | "podmetrics" | "nodemetrics" => lower,
        _ if lower.ends_with('y') && !vowel_before_y() => format!("{}ies", &lower[..lower.len() - 1]),
        _ if ["s", "x", "z", "ch", "sh"].iter().any(|end| lower.ends_with(end)) => format!("{lower}es"),
        _ => format!("{lower}s"),
    }
}

impl MatchResources {
    /// Resources that its rules name and no kind has, so that they match nothing: pointers below `at`, and what was probably meant. Of
    /// groups that neither Kubernetes nor `schemas` know nothing is said.
    pub fn unknown_resources(&self, at: &str, schemas: &SchemaSet) -> Vec<SpecError> {
        let lists = [("resourceRules", &self.resource_rules), ("excludeResourceRules", &self.exclude_resource_rules)];
        let rules = lists.into_iter().flat_map(|(list, rules)| rules.iter().enumerate().map(move |(index, rule)| (list, index, rule)));
        let mut unknown = Vec::new();
        for (list, index, rule) in rules {
            let Some(known) = resources_of(&rule.api_groups, schemas) else { continue };
            // Under `*` kinds of anybody may be meant: there only what is nearly a known one is a mistake.
            let any_group = rule.api_groups.iter().any(|group| group == "*");
            for (place, named) in rule.resources.iter().enumerate() {
                let resource = named.split('/').next().unwrap_or_default();
                if resource == "*" || known.contains(resource) {
                    continue;
                }
                let groups: Vec<String> = rule.api_groups.iter().map(|group| format!("{group:?}")).collect();
                let message = format!("no kind of the API groups [{}] has the resource `{resource}`, so this matches nothing", groups.join(", "));
                let hint = match nearest(resource, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if any_group => continue,
                    None => "a resource is a kind in lower case and the plural, such as `deployments` of the group `apps`".to_owned(),
                };
                unknown.push(SpecError::new(format!("{at}/{list}/{index}/resources/{place}"), message).hint(hint));
            }
        }
        unknown
    }
}

/// The resources of all these groups; none when one of the groups is not known.
fn resources_of(groups: &[String], schemas: &SchemaSet) -> Option<BTreeSet<String>> {
    let mut resources = BTreeSet::new();
    for group in groups {
        let own: Vec<&str> = schemas.kinds_of(group).collect();
        let kinds = kinds_of(group).or_else(|| (!own.is_empty()).then(Vec::new))?;
        resources.extend(kinds.into_iter().chain(own).map(plural));
    }
    Some(resources)
}

/// Whether a kind lives in no namespace: by name for Kubernetes' own, by what the object says for others.
pub(super) fn is_cluster_scoped(object: &ObjectRef) -> bool {
    object.is_cluster_scoped().unwrap_or_else(|| object.namespace.is_none())
}

/// The namespace an object is in; none for what is in none.
pub(super) fn namespace_of(object: &ObjectRef) -> Option<&str> {
    (!is_cluster_scoped(object)).then(|| object.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_plurals_kubernetes_gives_them() {
        for (kind, wanted) in [
            ("Deployment", "deployments"),
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("StorageClass", "storageclasses"),
            ("Endpoints", "endpoints"),
            ("Gateway", "gateways"),
            ("ResourceQuota", "resourcequotas"),
            ("ServiceCIDR", "servicecidrs"),
            ("IPAddress", "ipaddresses"),
        ] {
            assert_eq!(plural(kind), wanted);
        }
    }

    #[test]
    fn every_resource_the_shipped_policies_name_is_one_of_a_kind() {
        for policy in super::super::shipped().expect("the shipped policies").policies {
            let unknown = policy.spec.match_constraints.unknown_resources("", &SchemaSet::default());
            assert!(unknown.is_empty(), "{}: {unknown:#?}", policy.name);
        }
    }
}
