//! Which Kubernetes object a document is.

use super::Document;
use crate::types::ErrorClass;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Kinds of Kubernetes' own that live in no namespace.
pub(crate) const CLUSTER_SCOPED: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ComponentStatus",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "IPAddress",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ResourceSlice",
    "RuntimeClass",
    "ServiceCIDR",
    "StorageClass",
    "StorageVersionMigration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// What names an object: its type, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Group and version (`apps/v1`), or the version alone for the core group (`v1`).
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace, where the document says one.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// The object that `value` is.
    ///
    /// # Errors
    /// When `value` lacks one of `apiVersion`, `kind` and `metadata.name`, or one of them is not text.
    pub fn of(value: &Value) -> Result<Self, IdentityError> {
        let Value::Object(fields) = value else { return Err(IdentityError::NotAMapping) };
        let metadata = fields.get("metadata");
        let api_version = text(fields.get("apiVersion"), "/apiVersion")?;
        let kind = text(fields.get("kind"), "/kind")?;
        let name = metadata.and_then(|metadata| metadata.get("name"));
        if name.is_none() && metadata.is_some_and(|metadata| metadata.get("generateName").is_some()) {
            return Err(IdentityError::GenerateName);
        }
        let name = text(name, "/metadata/name")?;
        let namespace = match metadata.and_then(|metadata| metadata.get("namespace")) {
            None | Some(Value::Null) => None,
            given => Some(text(given, "/metadata/namespace")?),
        };
        Ok(Self { api_version, kind, namespace, name })
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it is of a kind that lives in no namespace; none where the kind is not Kubernetes' own, and nothing is known of it.
    pub fn is_cluster_scoped(&self) -> Option<bool> {
        let group = self.group();
        let own = !group.contains('.') || group.ends_with(".k8s.io");
        // These are installed beside Kubernetes.
        let beside = matches!(group, "gateway.networking.k8s.io" | "snapshot.storage.k8s.io");
        (own && !beside).then(|| CLUSTER_SCOPED.contains(&self.kind.as_str()))
    }

    /// Whether both name the same object of a cluster: the version of the group does not matter.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// What stays the same when an object moves to another version of its group.
    pub fn key(&self) -> (&str, &str, Option<&str>, &str) {
        (self.group(), &self.kind, self.namespace.as_deref(), &self.name)
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

fn text(value: Option<&Value>, pointer: &'static str) -> Result<String, IdentityError> {
    match value {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        None | Some(Value::Null) => Err(IdentityError::Missing(pointer)),
        Some(_) => Err(IdentityError::NotText(pointer)),
    }
}

/// Why a document is no object with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is a list or a scalar.
    #[error("a Kubernetes object is a mapping")]
    NotAMapping,
    /// A field is missing; its JSON pointer.
    #[error("`{}` is missing", dotted(.0))]
    Missing(&'static str),
    /// A field is not text, or empty; its JSON pointer.
    #[error("`{}` must be text that is not empty", dotted(.0))]
    NotText(&'static str),
    /// It has `generateName` in place of a name.
    #[error("`metadata.generateName` is no name: every synchronisation would make another object")]
    GenerateName,
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

impl IdentityError {
    /// Where it is wrong, as a JSON pointer.
    pub fn pointer(&self) -> &'static str {
        match self {
            IdentityError::NotAMapping => "",
            IdentityError::Missing(pointer) | IdentityError::NotText(pointer) => pointer,
            IdentityError::GenerateName => "/metadata/generateName",
        }
    }

    /// Always the author's to mend.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

impl Document {
    /// The object this document is.
    ///
    /// # Errors
    /// See [`ObjectRef::of`].
    pub fn object(&self) -> Result<ObjectRef, IdentityError> {
        ObjectRef::of(&self.value)
    }
}

/// The objects in `value` with their JSON pointers: the items of a `List`, lists within lists too, or `value` itself.
pub fn flatten(value: &Value) -> Vec<(String, &Value)> {
    let mut objects = Vec::new();
    collect(value, String::new(), &mut objects);
    objects
}

fn collect<'v>(value: &'v Value, pointer: String, objects: &mut Vec<(String, &'v Value)>) {
    match (value.get("kind").and_then(Value::as_str), value.get("items")) {
        (Some("List"), Some(Value::Array(items))) => {
            for (place, item) in items.iter().enumerate() {
                collect(item, format!("{pointer}/items/{place}"), objects);
            }
        }
        _ => objects.push((pointer, value)),
    }
}
