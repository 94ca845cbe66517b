//! What Kubernetes calls a kind in its rules: `deployments` of group `apps`, and whether it lives in a namespace.

use crate::manifest::ObjectRef;

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
}
