//! The kinds of `allow[].kinds`, and which of them `*` does not stand for.

use super::objects::Identity;
use crate::manifest::CLUSTER_SCOPED;

/// Kinds that give rights, hold secrets or steer a delivery tool, whatever their group: compared without regard to case.
const KINDS: [&str; 18] = [
    "AppProject",
    "Application",
    "ApplicationSet",
    "AuthorizationPolicy",
    "Bucket",
    "Component",
    "GitRepository",
    "HelmChart",
    "HelmChartConfig",
    "HelmRelease",
    "HelmRepository",
    "ImageUpdateAutomation",
    "Kustomization",
    "OCIRepository",
    "PodSecurityPolicy",
    "Receiver",
    "RequestAuthentication",
    "TokenRequest",
];
/// What kinds of that sort have in their names, in lower case: Role, ClusterRoleBinding, ServiceAccount, ExternalSecret, VaultStaticSecret,
/// SecretProviderClass, ValidatingWebhookConfiguration.
const PARTS: [&str; 4] = ["secret", "rolebinding", "serviceaccount", "webhookconfiguration"];
/// How the names of others end: Role, ClusterRole; lists, of which is not told what they hold.
const ENDS: [&str; 2] = ["role", "list"];
/// Groups whose every kind is of that sort, with the groups that end with `.` and one of them.
const GROUPS: [&str; 23] = [
    "admissionregistration.k8s.io",
    "apiextensions.crossplane.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "bitnami.com",
    "certificates.k8s.io",
    "cluster.x-k8s.io",
    "external-secrets.io",
    "fleet.cattle.io",
    "gatekeeper.sh",
    "helm.cattle.io",
    "kro.run",
    "kustomize.config.k8s.io",
    "kyverno.io",
    "open-cluster-management.io",
    "operators.coreos.com",
    "pkg.crossplane.io",
    "rbac.authorization.k8s.io",
    "secrets-store.csi.x-k8s.io",
    "secrets.hashicorp.com",
    "toolkit.fluxcd.io",
];

/// One entry of `kinds`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KindName {
    /// `*`: every kind that has to be named by nobody.
    Common,
    /// `none`: documents that are no objects.
    None,
    /// A kind, of one group or of any.
    One { kind: String, group: Option<String> },
}

impl KindName {
    /// Reads an entry.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Common),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let (kind, group) = text.split_once('.').map_or((text, None), |(kind, group)| (kind, Some(group)));
        let of_group = |group: &str| {
            !group.is_empty() && group.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b)) && !group.starts_with('.')
        };
        if !is_word(kind) || group.is_some_and(|group| !of_group(group)) {
            return Err(format!("`{text}` names no kind: `Deployment`, or `Ingress.networking.k8s.io` of one group alone, `*`, or `none`"));
        }
        let group = group.map(|group| if group == "core" { String::new() } else { group.to_owned() });
        Ok(Self::One { kind: kind.to_owned(), group })
    }

    /// Whether it stands for the object.
    pub(super) fn names(&self, identity: &Identity) -> bool {
        match (self, identity) {
            (Self::None, Identity::Plain(_)) => true,
            (Self::Common, Identity::Object { group, kind, .. }) => is_word(kind) && !is_grave(group, kind),
            (Self::One { kind: wanted, group: of }, Identity::Object { group, kind, .. }) => {
                wanted == kind && of.as_ref().is_none_or(|of| of == group)
            }
            _ => false,
        }
    }
}

fn is_word(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_alphabetic()) && kind.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether a kind gives rights, holds secrets, steers a delivery tool, or lives in no namespace.
fn is_grave(group: &str, kind: &str) -> bool {
    let (kind, group) = (kind.to_ascii_lowercase(), group.to_ascii_lowercase());
    let in_group = |known: &str| group == known || group.strip_suffix(known).is_some_and(|before| before.ends_with('.'));
    KINDS.iter().any(|known| known.eq_ignore_ascii_case(&kind))
        || PARTS.iter().any(|part| kind.contains(part))
        || ENDS.iter().any(|end| kind.ends_with(end))
        || GROUPS.iter().any(|known| in_group(known))
        || group.split('.').any(|part| part == "iam")
        || CLUSTER_SCOPED.iter().any(|known| known.eq_ignore_ascii_case(&kind))
}
