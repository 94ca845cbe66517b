//! What a template gives, held against the schemas that a change is held against: as the gate in front of git would judge it.
//! It knows no policies and no base: those belong to an automation and its target.

use crate::cli::folder::Texts;
use crate::cli::local::Schemas;
use crate::plan::{ChangeSet, FileChange};
use crate::render::{Origin, Template};
use crate::types::{DirectoryPath, KubernetesVersion, ManifestPath, TemplateName};
use crate::validate::{Finding, Rules, SchemaSet, Severity, UnknownKinds, ValidateError, validate};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What manifests are held against.
pub struct Gate {
    kubernetes: KubernetesVersion,
    schemas: Arc<SchemaSet>,
}

impl Gate {
    /// The schemas of a version and those of one's own.
    ///
    /// # Errors
    /// Everything wrong with the files of one's own.
    pub fn new(schemas: &Schemas) -> anyhow::Result<Self> {
        Ok(Self { kubernetes: schemas.kubernetes, schemas: schemas.load()? })
    }

    /// What is found in a manifest that `template` gives.
    ///
    /// # Errors
    /// None: there is no base that could not be read.
    pub fn findings(&self, template: &TemplateName, manifest: &str) -> anyhow::Result<Vec<Finding>> {
        let says = |field: &str| manifest.lines().any(|line| line.starts_with(field));
        // What says nowhere that it is an object is some tool's input, whose name the automation's `path` gives.
        let name = if says("kind:") || says("apiVersion:") { format!("{template}.yaml") } else { "values.yaml".to_owned() };
        let path: ManifestPath = name.parse()?;
        let rules = Rules { schemas: Arc::clone(&self.schemas), ..Rules::new(self.kubernetes, DirectoryPath::root(), UnknownKinds::Warn) };
        let mut change = ChangeSet::default();
        change.files.insert(path, FileChange::Write(manifest.as_bytes().to_vec()));
        match validate(change, &Texts::new(BTreeMap::new()), &rules) {
            Ok(change) => Ok(change.warnings().to_vec()),
            Err(ValidateError::Rejected(rejection)) => Ok(rejection.findings),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a finding is for the author of this template: that a shipped one has kinds without a schema here is nobody's to mend.
pub fn concerns(template: &Template, finding: &Finding) -> bool {
    finding.severity == Severity::Error || matches!(template.origin(), Origin::Own | Origin::Replaced)
}

/// A finding on a line, and its mend on the next.
pub fn told(finding: &Finding) -> String {
    let level = if finding.severity == Severity::Error { "error" } else { "warning" };
    let line = finding.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let hint = finding.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("{level} {}: {line}{}{hint}", finding.rule, finding.message)
}
