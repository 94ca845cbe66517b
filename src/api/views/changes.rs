//! What a request changes, as the API shows it.

use crate::automation::TtlBegin;
use crate::manifest::{Action, FieldChange, ObjectChange};
use crate::plan::Build;
use crate::request::Changes;
use crate::types::SpecDuration;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// What a request changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangesView {
    /// Every file that differs from the base.
    #[schema(example = json!(["apps/web/deployment.yaml"]))]
    pub files: Vec<String>,
    /// What happens to which object, file by file.
    pub objects: Vec<ObjectChangeView>,
    /// Whether objects or fields were left out, or values shortened, because there are too many: the diff has them all.
    pub cut: bool,
    /// What it was held against.
    pub evidence: EvidenceView,
    /// How long it is wanted, such as `4h`; null when that is for good. What takes it back is kept with the request.
    #[schema(value_type = Option<String>, example = "4h")]
    pub ttl: Option<SpecDuration>,
    /// What that time begins with: `merged`, `applied` or `finished`; null when it is wanted for good.
    #[schema(value_type = Option<String>, example = "merged")]
    pub ttl_from: Option<TtlBegin>,
}

/// What happens to one object, or to one document that is no object.
#[derive(Debug, Serialize, ToSchema)]
pub struct ObjectChangeView {
    /// The file.
    pub file: String,
    /// The document within the file, from 0.
    pub document: usize,
    /// Group and version of the object, such as `apps/v1`; null for a document that is no object.
    #[serde(rename = "apiVersion")]
    pub api_version: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its namespace, where it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// added, removed or changed.
    #[schema(value_type = String, example = "changed")]
    pub action: Action,
    /// The fields that differ, of a changed one.
    pub fields: Vec<FieldChangeView>,
}

/// One field that differs.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldChangeView {
    /// The field, as `edit` names it.
    #[schema(example = "spec.template.spec.containers[name=api].image")]
    pub path: String,
    /// What it was; null when it is new. `***` for what is secret.
    pub old: Option<Value>,
    /// What it becomes; null when it goes. `***` for what is secret.
    pub new: Option<Value>,
}

/// What a change was held against.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvidenceView {
    /// The Kubernetes minor whose schemas applied.
    #[schema(example = "1.34")]
    pub kubernetes: String,
    /// The types whose schemas its objects fit.
    #[schema(example = json!(["apps/v1 Deployment"]))]
    pub schemas: BTreeSet<String>,
    /// The types that have no schema, so that their fields were not checked.
    pub unchecked: BTreeSet<String>,
    /// The templates that made it, and the SHA-256 of each.
    #[schema(value_type = Object)]
    pub templates: BTreeMap<String, String>,
    /// The policies that were evaluated.
    #[schema(example = json!(["baseline-pods"]))]
    pub policies: BTreeSet<String>,
    /// What policies noted: annotations, and what their bindings only audit.
    pub audit: Vec<String>,
    /// What Kustomize builds of it, where that is looked at: `directory`, `changes`, a line for each object, and `note` where nothing can be said.
    #[schema(value_type = Vec<Object>)]
    pub builds: Vec<Build>,
}

impl From<Changes> for ChangesView {
    fn from(changes: Changes) -> Self {
        let evidence = changes.evidence;
        Self {
            files: changes.files.iter().map(ToString::to_string).collect(),
            objects: changes.objects.into_iter().map(Into::into).collect(),
            cut: changes.cut,
            evidence: EvidenceView {
                kubernetes: evidence.kubernetes,
                schemas: evidence.schemas,
                unchecked: evidence.unchecked,
                templates: evidence.templates,
                policies: evidence.policies,
                audit: evidence.audit,
                builds: evidence.builds,
            },
            ttl: changes.expiry.as_ref().map(|expiry| expiry.lifetime.after),
            ttl_from: changes.expiry.map(|expiry| expiry.lifetime.from),
        }
    }
}

impl From<ObjectChange> for ObjectChangeView {
    fn from(change: ObjectChange) -> Self {
        let (api_version, kind, namespace, name) = match change.object {
            Some(object) => (Some(object.api_version), Some(object.kind), object.namespace, Some(object.name)),
            None => (None, None, None, None),
        };
        Self {
            file: change.file.map(|file| file.to_string()).unwrap_or_default(),
            document: change.document,
            api_version,
            kind,
            namespace,
            name,
            action: change.action,
            fields: change.fields.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<FieldChange> for FieldChangeView {
    fn from(change: FieldChange) -> Self {
        let FieldChange { path, old, new } = change;
        Self { path, old, new }
    }
}
