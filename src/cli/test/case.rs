//! A test file as its author writes it.

use super::beside;
use crate::cli::folder::{Texts, files_of};
use crate::cli::local::Header;
use crate::resources::API_VERSION;
use crate::types::{AutomationName, SourceName};
use anyhow::{Context, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A document of kind `AutomationTest`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[expect(dead_code, reason = "a document may have a name; cases are what is told")]
    metadata: Value,
    spec: Spec,
}

/// The `spec:` of such a document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// The source of the payloads.
    source: Option<SourceName>,
    /// Files of the repository, for every case that has none of its own.
    #[serde(default)]
    base: Option<Files>,
    cases: Vec<Case>,
}

/// A file of cases.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) file: PathBuf,
    pub(super) source: Option<SourceName>,
    base: Option<Files>,
    pub(super) cases: Vec<Case>,
}

/// Files by path, or a directory of them, beside the test file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Files {
    Directory(String),
    Inline(BTreeMap<String, String>),
}

/// A payload, or the file it stands in, beside the test file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Payload {
    File(String),
    Inline(Map<String, Value>),
}

/// One case.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) payload: Option<Payload>,
    /// Headers the payload came with, where its source reads them.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The automation that is asked for directly, with parameters in the place of a payload.
    pub(super) automation: Option<AutomationName>,
    pub(super) parameters: Option<Map<String, Value>>,
    /// The correlation key of what is asked for directly, which is the event's subject; `test` when it is left out.
    pub(super) correlation: Option<String>,
    base: Option<Files>,
    /// What is expected of each automation that takes the payload, in the order of their names; none when nobody does.
    pub(super) expect: Vec<Expected>,
}

/// What is expected of one automation. What is left out may be anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Expected {
    pub(super) automation: Option<AutomationName>,
    pub(super) outcome: Option<Kind>,
    /// Parameters that are read, among others.
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    /// `repository:path`.
    pub(super) target: Option<String>,
    pub(super) title: Option<String>,
    /// Every file that is written.
    pub(super) files: Option<Files>,
    /// Every file that goes.
    pub(super) removed: Option<Vec<String>>,
    /// Rules that are among the findings.
    #[serde(default)]
    pub(super) findings: Vec<String>,
    /// A part of why it is rejected.
    pub(super) message: Option<String>,
}

/// What comes of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Proposed,
    Unchanged,
    Rejected,
    /// A language model would draft the change.
    Drafted,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::Drafted => "drafted",
        }
    }
}

impl Suite {
    /// The cases of a file; none when it is of another kind.
    pub(super) fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let documents = crate::manifest::parse(&text, crate::manifest::Limits::default())
            .map_err(|error| anyhow::anyhow!("{}:{}:{}: {}", file.display(), error.line, error.column, error.message))?;
        let [document] = documents.as_slice() else { bail!("{}: one document is wanted", file.display()) };
        if document.value.get("kind").and_then(Value::as_str) != Some("AutomationTest") {
            return Ok(None);
        }
        // Read again by the library that knows the line of what does not fit.
        let document: Document = serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
        if document.api_version != API_VERSION || document.kind != "AutomationTest" {
            bail!("{}: apiVersion is {API_VERSION}", file.display());
        }
        let Spec { source, base, cases } = document.spec;
        for case in &cases {
            match (&case.payload, &case.automation, &case.parameters) {
                (Some(_), _, None) | (None, Some(_), Some(_)) => {}
                _ => bail!("{}: the case {:?} has either a `payload`, or `automation` and `parameters`", file.display(), case.name),
            }
        }
        Ok(Some(Self { file: file.to_owned(), source, base, cases }))
    }

    /// Files beside this one.
    pub(super) fn files(&self, files: &Files) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        match files {
            Files::Directory(directory) => {
                let at = beside(&self.file, directory);
                if at.is_dir() {
                    files_of(&at)
                } else {
                    bail!(
                        "there is no directory {}\n  hint: `kubeops test --update` writes what is made now into an expected directory",
                        at.display()
                    )
                }
            }
            Files::Inline(files) => Ok(files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect()),
        }
    }
}

impl Case {
    /// The tree the change is made on.
    pub(super) fn base(&self, suite: &Suite) -> anyhow::Result<Texts> {
        let files = self.base.as_ref().or(suite.base.as_ref()).map(|files| suite.files(files)).transpose()?;
        Ok(Texts::new(files.unwrap_or_default()))
    }

    /// The headers that came with them, names in lower case.
    pub(super) fn headers(&self) -> Vec<Header> {
        self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
    }

    /// The bytes a sender would send.
    pub(super) fn body(&self, suite: &Suite) -> anyhow::Result<Option<Vec<u8>>> {
        match &self.payload {
            None => Ok(None),
            Some(Payload::File(file)) => {
                let at = beside(&suite.file, file);
                std::fs::read(&at).map(Some).with_context(|| format!("{} cannot be read", at.display()))
            }
            Some(Payload::Inline(payload)) => Ok(Some(serde_json::to_vec(payload)?)),
        }
    }
}

impl Expected {
    pub(super) fn name(&self) -> String {
        self.automation.as_ref().map_or_else(|| "an automation".to_owned(), ToString::to_string)
    }
}
