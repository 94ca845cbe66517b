//! The gate in front of git: paths, YAML, Kubernetes schemas and the rules no change may break.
//! [`validate`] alone makes a [`ValidatedChange`], and `git` accepts nothing else.
//! Pure: what it needs of the base comes through `BaseTree`. It never mends what it is given.

mod documents;
mod finding;
mod kustomize;
mod paths;
pub mod policy;
mod review;
mod schema;
mod secrets;
#[cfg(test)]
mod tests;
mod values;

pub use finding::{Finding, Severity};
pub(crate) use schema::{NoField, kinds_of, no_field};
pub use schema::{ReadSchemas, SchemaProblem, SchemaSet};

pub use crate::types::{KubernetesVersion, UnknownKinds};

use crate::inventory::ChangeLimits;
use crate::manifest::{Document, Limits, ObjectChange, diff, parse};
use crate::plan::{BaseTree, Build, Builder, Built, ChangeSet, FileChange, Note, TreeError};
pub(crate) use crate::types::nearest;
use crate::types::{DirectoryPath, ErrorClass, ManifestPath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What a change is held against.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The Kubernetes minor whose schemas apply, such as `1.33`.
    pub kubernetes: KubernetesVersion,
    /// The directory every file must lie under.
    pub within: DirectoryPath,
    /// What to do with a kind that has no schema.
    pub unknown_kinds: UnknownKinds,
    /// Schemas of kinds that are not Kubernetes' own.
    pub schemas: Arc<SchemaSet>,
    /// Directories of the base in which there are more of them.
    pub schema_directories: Vec<DirectoryPath>,
    /// What was read there before.
    pub read_schemas: Arc<ReadSchemas>,
    /// The policies in force for the target.
    pub policies: policy::Policies,
    /// The most the change may do.
    pub limits: ChangeLimits,
    /// Builds the overlays the change touches, where that is wished for.
    pub builder: Option<Arc<dyn Builder>>,
}

impl Rules {
    /// Rules without schemas of kinds that are not Kubernetes' own.
    pub fn new(kubernetes: KubernetesVersion, within: DirectoryPath, unknown_kinds: UnknownKinds) -> Self {
        Self {
            kubernetes,
            within,
            unknown_kinds,
            schemas: Arc::default(),
            schema_directories: Vec::new(),
            read_schemas: Arc::default(),
            policies: policy::Policies::default(),
            limits: ChangeLimits::default(),
            builder: None,
        }
    }
}

/// A change that passed the gate. Its fields are private: nothing else can make one, so what git commits was looked at.
#[derive(Debug, Clone)]
pub struct ValidatedChange {
    files: BTreeMap<ManifestPath, FileChange>,
    templates: BTreeMap<String, String>,
    warnings: Vec<Finding>,
    summary: Vec<ObjectChange>,
    evidence: Evidence,
}

/// What a change was held against.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The Kubernetes minor whose schemas applied, such as `1.33`.
    pub kubernetes: String,
    /// The types whose schemas its objects fit, as `apps/v1 Deployment`.
    pub schemas: BTreeSet<String>,
    /// The types that have no schema, so that their fields were not checked.
    pub unchecked: BTreeSet<String>,
    /// The templates that made it, and the digest of each.
    pub templates: BTreeMap<String, String>,
    /// What Kustomize builds of it, where that is looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<Build>,
    /// The policies that were evaluated.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub policies: BTreeSet<String>,
    /// What policies noted: their audit annotations, and what they found where their action is Audit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit: Vec<String>,
}

impl Evidence {
    /// The types that were checked: those of Kubernetes' own, and those that definitions of others brought.
    pub fn schemas_by_origin(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        self.schemas.iter().cloned().partition(|name| {
            let api_version = name.split(' ').next().unwrap_or_default();
            schema::kinds_of(api_version.split_once('/').map_or("", |(group, _)| group)).is_some()
        })
    }
}

impl ValidatedChange {
    /// The same with these things a reviewer is warned of besides.
    pub fn with_notes(mut self, notes: impl IntoIterator<Item = Note>) -> Self {
        self.warnings.extend(notes.into_iter().map(|note| noted(&note)));
        in_order(&mut self.warnings);
        self
    }

    /// What it was held against.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The files that differ from the base, and what happens to each.
    pub fn files(&self) -> &BTreeMap<ManifestPath, FileChange> {
        &self.files
    }

    /// Which templates made it, and the digest of each.
    pub fn templates(&self) -> &BTreeMap<String, String> {
        &self.templates
    }

    /// What the reviewer is told.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Whether nothing differs from the base: the request ends as `unchanged`.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What happens to which object, file by file. The values of Secrets are masked.
    pub fn summary(&self) -> &[ObjectChange] {
        &self.summary
    }
}

/// Why a change is refused: everything that was found, errors and warnings, by file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.findings))]
pub struct Rejection {
    /// At least one of them is an error.
    pub findings: Vec<Finding>,
}

fn told(findings: &[Finding]) -> String {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    match errors.as_slice() {
        [] => "the change is refused".to_owned(),
        [one] => one.to_string(),
        [first, more @ ..] => format!("{first}; and {} more", more.len()),
    }
}

/// Why there is no validated change.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ValidateError {
    /// The change breaks rules.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The base could not be read, so nothing can be said about the change.
    #[error(transparent)]
    Base(#[from] TreeError),
}

impl ValidateError {
    /// A rejection is for the author to mend; the base says itself whether reading it again may help.
    pub fn class(&self) -> ErrorClass {
        match self {
            ValidateError::Rejected(_) => ErrorClass::User,
            ValidateError::Base(error) => error.class,
        }
    }
}

/// Holds `change` against `rules` and the tree it is made on. Files that equal the base byte for byte, and removals of what
/// is not there, are left out of the result. What is checked, rule by rule: `docs/validation.md`.
///
/// # Errors
/// Everything that is wrong with the change, all at once; or the base's own error when it cannot be read.
pub fn validate(change: ChangeSet, base: &dyn BaseTree, rules: &Rules) -> Result<ValidatedChange, ValidateError> {
    base.prefetch(&change.files.keys().collect::<Vec<_>>())?;
    let evidence = Evidence { kubernetes: rules.kubernetes.to_string(), templates: change.templates.clone(), ..Evidence::default() };
    let schemas = schema::Schemas::of(&change.files, base, rules);
    let mut gate = Gate {
        base,
        rules,
        schemas,
        all: &change.files,
        differing: Vec::new(),
        findings: Vec::new(),
        summary: Vec::new(),
        objects: HashMap::new(),
        evidence,
    };
    let mut changed = Vec::new();
    let mut paths = paths::Paths::new(base, rules, &change.files);
    for (path, file) in &change.files {
        match paths.check(path)? {
            Some(finding) => gate.findings.push(finding),
            None => changed.extend(gate.file(path, file)?),
        }
    }
    gate.findings.extend(review::blast(&change.files, &gate.differing, &gate.summary, rules.limits));
    let built = gate.build()?;
    gate.review(&changed, &built)?;
    gate.evidence.builds = built.into_iter().map(|built| built.build).collect();
    let Gate { differing, mut findings, summary, evidence, .. } = gate;
    findings.extend(change.notes.iter().map(noted));
    in_order(&mut findings);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Rejection { findings }.into());
    }
    let mut files = change.files;
    files.retain(|path, _| differing.contains(path));
    Ok(ValidatedChange { files, templates: change.templates, warnings: findings, summary, evidence })
}

fn noted(note: &Note) -> Finding {
    Finding::warning(note.rule, &note.path, note.message.clone())
}

fn in_order(findings: &mut [Finding]) {
    findings.sort_by(|a, b| (&a.path, a.line, &a.pointer).cmp(&(&b.path, b.line, &b.pointer)));
}

/// Group, kind, namespace and name.
type ObjectKey = (String, String, Option<String>, String);

/// The state of one validation.
struct Gate<'a> {
    base: &'a dyn BaseTree,
    rules: &'a Rules,
    schemas: schema::Schemas<'a>,
    all: &'a BTreeMap<ManifestPath, FileChange>,
    differing: Vec<ManifestPath>,
    findings: Vec<Finding>,
    summary: Vec<ObjectChange>,
    /// Every object the change writes, by group, kind, namespace and name, and where it stood first.
    objects: HashMap<ObjectKey, (ManifestPath, u32)>,
    evidence: Evidence,
}

impl Gate<'_> {
    /// What Kustomize builds of the change, where that is looked at and nothing speaks against the change yet.
    fn build(&mut self) -> Result<Vec<Built>, TreeError> {
        let Some(builder) = &self.rules.builder else { return Ok(Vec::new()) };
        if self.differing.is_empty() || self.findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Ok(Vec::new());
        }
        let built = crate::plan::builds(self.base, &self.differing_files(), &self.rules.within, builder.as_ref())?;
        let broken = built.iter().filter(|built| built.build.broken).map(|built| Finding {
            severity: Severity::Error,
            rule: "kustomize.build".to_owned(),
            path: built.build.directory.clone(),
            document: None,
            pointer: None,
            line: None,
            message: format!("it can be built before this change and not after it: {}", built.build.note.as_deref().unwrap_or_default()),
            hint: None,
        });
        self.findings.extend(broken);
        Ok(built)
    }

    /// The files that differ from the base.
    fn differing_files(&self) -> BTreeMap<ManifestPath, FileChange> {
        self.differing.iter().filter_map(|path| Some((path.clone(), self.all.get(path)?.clone()))).collect()
    }

    fn file(&mut self, path: &ManifestPath, file: &FileChange) -> Result<Option<review::ChangedFile>, TreeError> {
        let before = self.base.read(path)?;
        match (file, &before) {
            (FileChange::Remove, None) => return Ok(None),
            (FileChange::Write(bytes), Some(before)) if bytes == before => return Ok(None),
            _ => {}
        }
        let after = match file {
            FileChange::Remove => Vec::new(),
            FileChange::Write(bytes) => self.written(path, bytes)?,
        };
        let before = before.map_or_else(Vec::new, |bytes| documents(&bytes));
        self.summary.extend(diff(&before, &after).into_iter().map(|change| ObjectChange { file: Some(path.clone()), ..change }));
        self.differing.push(path.clone());
        // What cannot be read is told already, and removes nothing.
        let before = if after.is_empty() && matches!(file, FileChange::Write(_)) { Vec::new() } else { before };
        Ok(Some(review::ChangedFile { path: path.clone(), before, after }))
    }

    fn written(&mut self, path: &ManifestPath, bytes: &[u8]) -> Result<Vec<Document>, TreeError> {
        let mut contents = documents::inspect(path, bytes, self.rules, &self.schemas);
        if !contents.unchecked.is_empty() {
            let (new, findings) = self.schemas.look_into_repository()?;
            self.findings.extend(findings);
            if new {
                contents = documents::inspect(path, bytes, self.rules, &self.schemas);
            }
        }
        self.evidence.schemas.append(&mut contents.schemas);
        self.evidence.unchecked.append(&mut contents.unchecked);
        for (document, line, object) in std::mem::take(&mut contents.objects) {
            let (group, kind, namespace, name) = object.key();
            let key = (group.to_owned(), kind.to_owned(), namespace.map(str::to_owned), name.to_owned());
            let Some((first, first_line)) = self.objects.insert(key, (path.clone(), line)) else { continue };
            if first != *path && kustomize::is_patch(&first, self.all, self.base)? {
                continue;
            }
            let message = format!("{object} stands twice in this change, first at {first}:{first_line}");
            let finding = Finding::error("object.twice", path, message).hint("keep one of them").line(line);
            contents.findings.push(Finding { document: Some(document), pointer: Some(String::new()), ..finding });
        }
        // A patch is a part of an object. Who names it is looked up only when it matters.
        if contents.findings.iter().any(excused_in_patch) && kustomize::is_patch(path, self.all, self.base)? {
            contents.findings.retain(|finding| !excused_in_patch(finding));
        }
        self.findings.extend(contents.findings);
        Ok(contents.documents)
    }
}

/// Whether a finding says no more than that a part is not the whole: what Kustomize's patches are allowed.
fn excused_in_patch(finding: &Finding) -> bool {
    let directive = || finding.pointer.as_deref().is_some_and(|pointer| pointer.rsplit('/').next().is_some_and(|last| last.starts_with('$')));
    match finding.rule.as_str() {
        "schema.required" | "object.twice" => true,
        "schema.unknown_field" => directive(),
        // A JSON patch is a list of operations.
        "object.identity" => finding.pointer.as_deref() == Some(""),
        _ => false,
    }
}

/// The documents of the base's file, as far as it can be read: it was not made by this change.
fn documents(bytes: &[u8]) -> Vec<Document> {
    std::str::from_utf8(bytes).ok().and_then(|text| parse(text, Limits::default()).ok()).unwrap_or_default()
}
