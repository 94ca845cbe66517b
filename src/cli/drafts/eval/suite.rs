//! A suite as its author writes it: a directory for each task, and beside them what tasks share.

use super::expected::{Files, Outcome};
use crate::app::resources_dir;
use crate::automation::DraftSpec;
use crate::cli::folder::{Texts, files_of};
use crate::cli::local::{Schemas, Templates, in_force, recorded, source_of};
use crate::clock::SystemClock;
use crate::event::Event;
use crate::pipeline::{InForce, Rehearsal, Rules, asked, events_of};
use crate::render::Catalogue;
use crate::request::Job;
use crate::resources::{API_VERSION, Defaults, ResourceFile, ResourceSet};
use crate::types::{AutomationName, EventId, SourceName, Timestamp};
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a task's directory holds.
const TASK: &str = "task.yaml";
const ANSWER: &str = "answer.yaml";
/// Directories of a suite that are no tasks: resources, and what tasks share.
const NO_TASKS: [&str; 2] = ["resources", "shared"];
/// When every event of a suite happened, so that a model is told the same each time: 2026-01-05T09:00:00Z.
const AT: i64 = 1_767_603_600_000;

/// A file `task.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    /// What is to be done, in a few words.
    name: String,
    /// What makes the task a task, for people.
    #[serde(default)]
    #[expect(dead_code, reason = "written for people")]
    description: Option<String>,
    /// The directory of the repository's files, beside the task.
    #[serde(default = "repository")]
    repository: String,
    /// Files that stand over those of the directory, by path; an empty one takes a file away.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The automation: its name in the suite's resources, a file beside the task, or its `spec`.
    automation: Automation,
    /// What an operator asks for in their own words.
    goal: Option<String>,
    /// What a source sends.
    event: Option<Sent>,
    /// The automation's parameters, where an operator asks.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// What is right: an outcome, or several of which one is enough.
    #[serde(default)]
    expect: Expect,
    /// Whether it is right to propose nothing.
    #[serde(default)]
    no_change: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Automation {
    Named(String),
    Inline(Map<String, Value>),
}

/// What a source sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    /// The source; may be left out where there is only one.
    source: Option<SourceName>,
    /// The payload, or the file it stands in, beside the task.
    payload: Payload,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Payload {
    File(String),
    Inline(Map<String, Value>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Expect {
    #[default]
    Nothing,
    // Before one: a list may be read as the fields of an outcome.
    Some(Vec<Outcome>),
    One(Outcome),
}

fn repository() -> String {
    "repository".to_owned()
}

/// A directory of tasks.
pub(super) struct Suite<'a> {
    root: PathBuf,
    shared: Vec<ResourceFile>,
    catalogue: Arc<Catalogue>,
    known: &'a Schemas,
    defaults: Defaults,
}

/// A task that can be drafted.
pub(super) struct Task {
    /// Its directory's name.
    pub(super) id: String,
    pub(super) name: String,
    file: PathBuf,
    rules: Arc<InForce>,
    automation: AutomationName,
    event: Event,
    job: Option<Job>,
    parameters: Option<Map<String, Value>>,
    /// The repository before.
    pub(super) files: Files,
    /// Outcomes that are right; none where it is right to propose nothing.
    pub(super) accepted: Vec<Outcome>,
    /// The reference answer, where there is one.
    pub(super) answer: Option<Value>,
}

impl<'a> Suite<'a> {
    pub(super) fn open(root: &Path, templates: &Templates, known: &'a Schemas, defaults: Defaults) -> anyhow::Result<Self> {
        if !root.is_dir() {
            bail!("{} is no directory: a suite has a directory for each task (docs/evals.md)", root.display());
        }
        let resources = root.join("resources");
        let shared = match resources.is_dir() {
            true => resources_dir::read(&resources).with_context(|| format!("{} cannot be read", resources.display()))?,
            false => Vec::new(),
        };
        Ok(Self { root: root.to_owned(), shared, catalogue: Arc::new(templates.catalogue()?), known, defaults })
    }

    /// The tasks whose directory's name holds the text, in the order of their names.
    pub(super) fn tasks(&self, only: Option<&str>) -> anyhow::Result<Vec<Task>> {
        let mut directories = Vec::new();
        for entry in std::fs::read_dir(&self.root).with_context(|| format!("{} cannot be read", self.root.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') && !NO_TASKS.contains(&name.as_str()) {
                directories.push((name, entry.path()));
            }
        }
        directories.sort();
        directories.retain(|(name, _)| only.is_none_or(|only| name.contains(only)));
        if directories.is_empty() {
            bail!(
                "there is no task to draft in {}{}",
                self.root.display(),
                only.map(|only| format!(" with {only:?} in its name")).unwrap_or_default()
            );
        }
        let all = self.in_force(None)?;
        directories.into_iter().map(|(id, directory)| self.task(id, &directory, &all)).collect()
    }

    /// The resources of the suite, with another one where a task has its own.
    fn in_force(&self, own: Option<ResourceFile>) -> anyhow::Result<Rules> {
        let told =
            |found: Vec<crate::resources::Diagnostic>| anyhow::anyhow!("{}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        let files: Vec<ResourceFile> = self.shared.iter().cloned().chain(own).collect();
        let set = ResourceSet::load(&files, Arc::clone(&self.catalogue), self.defaults.clone()).map_err(told)?;
        Ok(in_force(set.with_schemas(self.known.load()?)))
    }

    fn task(&self, id: String, directory: &Path, all: &Rules) -> anyhow::Result<Task> {
        let file = directory.join(TASK);
        if !file.is_file() {
            bail!("{} has no {TASK}: every directory of a suite is a task, but for {}", directory.display(), NO_TASKS.join(" and "));
        }
        let at = file.display().to_string();
        let document: Document = read(&file)?;
        let repository = directory.join(&document.repository);
        let mut files = if repository.is_dir() {
            files_of(&repository)?
        } else if document.files.is_empty() {
            bail!("{at}: the repository {} is no directory", repository.display())
        } else {
            BTreeMap::new()
        };
        for (path, text) in &document.files {
            match text.is_empty() {
                true => drop(files.remove(path)),
                false => drop(files.insert(path.clone(), text.clone().into_bytes())),
            }
        }
        let (own, name) = self.automation(&document.automation, &id, directory).with_context(|| at.clone())?;
        let mine = own.map(|own| self.in_force(Some(own))).transpose()?;
        let rules = mine.as_ref().unwrap_or(all);
        let (event, job, parameters) = told(rules, &name, &document, directory).with_context(|| at.clone())?;
        let current = rules.current();
        let automation = current.set.automations.get(&name);
        let automation = automation.with_context(|| format!("{at}: there is no automation {name} in the suite's resources"))?;
        if automation.spec.draft.is_none() {
            bail!("{at}: the automation {name} has no `draft`");
        }
        let accepted = match document.expect {
            Expect::Nothing => Vec::new(),
            Expect::One(outcome) => vec![outcome],
            Expect::Some(outcomes) => outcomes,
        };
        if accepted.is_empty() != document.no_change {
            bail!("{at}: a task has either `expect` with what is right, or `noChange: true`");
        }
        for outcome in &accepted {
            outcome.check().with_context(|| at.clone())?;
        }
        let answer = directory.join(ANSWER);
        let answer = answer.is_file().then(|| read(&answer)).transpose()?;
        Ok(Task { id, name: document.name, file, rules: current, automation: name, event, job, parameters, files, accepted, answer })
    }

    /// The resource that a task brings along, and the automation it is about.
    fn automation(&self, given: &Automation, id: &str, directory: &Path) -> anyhow::Result<(Option<ResourceFile>, AutomationName)> {
        match given {
            Automation::Named(file) if file.ends_with(".yaml") => {
                let at = directory.join(file);
                let text = std::fs::read_to_string(&at).with_context(|| format!("{} cannot be read", at.display()))?;
                let document: Value = serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", at.display()))?;
                let name = document.pointer("/metadata/name").and_then(Value::as_str).context("the automation's file has no metadata.name")?;
                Ok((Some(ResourceFile { path: at.display().to_string(), text: text.clone() }), name.parse()?))
            }
            Automation::Named(name) => Ok((None, name.parse()?)),
            Automation::Inline(spec) => {
                let document = json!({ "apiVersion": API_VERSION, "kind": "Automation", "metadata": { "name": id }, "spec": spec });
                let path = format!("{} (automation)", directory.join(TASK).display());
                Ok((Some(ResourceFile { path, text: document.to_string() }), id.parse()?))
            }
        }
    }
}

/// What happened: the event, and where an operator asked, the job and its parameters.
type Told = (Event, Option<Job>, Option<Map<String, Value>>);

/// What a task is about.
fn told(rules: &Rules, automation: &AutomationName, document: &Document, directory: &Path) -> anyhow::Result<Told> {
    let at = Timestamp::from_unix_millis(AT);
    let id = EventId::from_parts(at, 0);
    match (&document.goal, &document.event) {
        (Some(goal), None) => {
            let by = "operator".to_owned();
            let mut event = Event { id, time: at, subject: "eval".to_owned(), ..asked(automation, &document.parameters, &SystemClock) };
            if let Some(data) = event.data.as_object_mut() {
                data.insert("goal".to_owned(), goal.as_str().into());
                data.insert("actor".to_owned(), by.as_str().into());
            }
            let job = Job { goal: goal.clone(), by, max_turns: None, timeout: None };
            Ok((event, Some(job), Some(document.parameters.clone())))
        }
        (None, Some(sent)) => {
            let body = match &sent.payload {
                Payload::Inline(payload) => serde_json::to_vec(payload)?,
                Payload::File(file) => {
                    let at = directory.join(file);
                    std::fs::read(&at).with_context(|| format!("{} cannot be read", at.display()))?
                }
            };
            let headers: Vec<_> = sent.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
            let source = source_of(rules, sent.source.as_ref())?;
            let events = events_of(rules, &recorded(source, body, &headers)).map_err(|error| anyhow::anyhow!("the payload: {error}"))?;
            let taken = |event: &Event| rules.current().set.automations.matching(event).0.iter().any(|taken| taken.name == *automation);
            let mut taken = events.into_iter().filter(taken);
            match (taken.next(), taken.next()) {
                (Some(event), None) => Ok((Event { id, time: at, delivery: None, ..event }, None, None)),
                (None, _) => bail!("the automation {automation} takes nothing of this payload: `kubeops explain` tells why"),
                (Some(_), Some(_)) => bail!("the payload tells several events that the automation {automation} takes: a task is about one"),
            }
        }
        _ => bail!("a task has either a `goal` or an `event`"),
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

impl Task {
    /// Where it is written.
    pub(super) fn place(&self) -> String {
        self.file.display().to_string()
    }

    /// What its automation says of drafts.
    pub(super) fn draft(&self) -> &DraftSpec {
        let automation = self.rules.set.automations.get(&self.automation);
        automation.and_then(|automation| automation.spec.draft.as_ref()).unwrap_or_else(|| unreachable!("looked at when the task was read"))
    }

    /// One run of it: the same number is told the same.
    pub(super) fn rehearsal(&self, run: u32) -> Rehearsal {
        let digest = hex::encode(Sha256::digest(format!("{}/{run}", self.id)));
        Rehearsal {
            rules: Arc::clone(&self.rules),
            automation: self.automation.clone(),
            event: self.event.clone(),
            job: self.job.clone(),
            parameters: self.parameters.clone(),
            base: Arc::new(Texts::new(self.files.clone())),
            salt: digest[..32].to_owned(),
        }
    }
}
