//! What a request would come to, without a store, a branch or a pull request: what `kubeops render` and `replay` show.

use super::commit::{CommitFacts, commit_meta};
use super::planning::{self, Made, Stop, Wanted};
use super::{InForce, Rules, StepError, plans};
use crate::clock::{Clock, SystemClock};
use crate::event::Event;
use crate::git::{CommitMeta, Mirror, Mirrors, PerRepository, RemoteSpec, commit_message};
use crate::inventory::Target;
use crate::plan::{BaseTree, EmptyTree, FileChange, Inputs};
use crate::request::Changes;
use crate::types::{AutomationName, CommitSha, EventId, RequestId};
use crate::validate::{Finding, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

/// The longest diff shown, in bytes.
const MAX_DIFF: usize = 4 * 1024 * 1024;

/// What a change would come to, as people are shown it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Shown {
    /// `repository:path`, when it is known.
    pub target: Option<String>,
    /// The pull request's title.
    pub title: Option<String>,
    /// What changes, a line for each object.
    pub summary: Vec<String>,
    /// How long it is wanted; none for good.
    pub ttl: Option<String>,
    /// A unified diff against the base; none when there was no base to compare with.
    pub diff: Option<String>,
    /// What was found, gravest first.
    pub findings: Vec<Finding>,
    /// That a language model drafts the change, and that nothing more can be told of it here.
    pub drafted: Option<String>,
    /// Why nothing would be proposed.
    pub refused: Option<String>,
    /// What else there is to say.
    pub note: Option<String>,
}

/// What an automation would do about an event.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// The automation.
    pub automation: AutomationName,
    /// The event.
    pub event: Event,
    /// The parameters, when they are valid.
    pub parameters: Option<Map<String, Value>>,
    /// The commit's message, but for the request's id.
    pub message: Option<String>,
    /// The files, path and text.
    pub files: BTreeMap<String, String>,
    /// The files that go.
    pub removed: Vec<String>,
    /// What it comes to.
    #[serde(flatten)]
    pub shown: Shown,
    /// What it changes, as data; none where nothing would be proposed.
    #[serde(skip)]
    pub changes: Option<Changes>,
}

impl Preview {
    /// The findings that stop the change.
    pub fn findings_stop(&self) -> Vec<&Finding> {
        self.shown.findings.iter().filter(|finding| finding.severity == Severity::Error).collect()
    }
}

/// What `automation` would do about `event`; `fetch` compares with the repository's base branch where it can be reached
/// without credentials.
///
/// # Errors
/// When a template or the temporary mirror fails.
pub fn preview(
    rules: &Rules,
    automation: &AutomationName,
    event: &Event,
    given: Option<&Map<String, Value>>,
    fetch: bool,
) -> Result<Preview, StepError> {
    made(
        &rules.current(),
        Wanted { automation, event, given, set: None, reverts: None, draft: None },
        if fetch { Base::Repository } else { Base::Nothing },
    )
}

/// The same on a tree that is given.
///
/// # Errors
/// As [`preview`].
pub fn preview_on(
    rules: &Rules,
    automation: &AutomationName,
    event: &Event,
    given: Option<&Map<String, Value>>,
    base: &dyn BaseTree,
) -> Result<Preview, StepError> {
    made(&rules.current(), Wanted { automation, event, given, set: None, reverts: None, draft: None }, Base::Tree(base))
}

/// The same on the tip of a base branch that a mirror holds. Called where one may block.
pub(super) fn preview_at(rules: &InForce, wanted: Wanted<'_>, base: &plans::Base) -> Result<Preview, StepError> {
    made(rules, wanted, Base::Tip(base))
}

/// What a preview is made on.
#[derive(Clone, Copy)]
enum Base<'b> {
    /// The repository's base branch, fetched for it.
    Repository,
    /// The same, of a mirror.
    Tip(&'b plans::Base),
    Nothing,
    Tree(&'b dyn BaseTree),
}

fn made(rules: &InForce, wanted: Wanted<'_>, base: Base<'_>) -> Result<Preview, StepError> {
    let Wanted { automation, event, .. } = wanted;
    let mut preview = Preview {
        automation: automation.clone(),
        event: event.clone(),
        parameters: None,
        message: None,
        files: BTreeMap::new(),
        removed: Vec::new(),
        shown: Shown::default(),
        changes: None,
    };
    match fill(&mut preview, rules, wanted, base) {
        Ok(()) => Ok(preview),
        Err(Stop::Refused { findings, message }) => {
            preview.shown.findings = findings;
            preview.shown.refused = Some(message);
            Ok(preview)
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The same for an automation asked for directly.
///
/// # Errors
/// As [`preview`].
pub fn preview_asked(
    rules: &Rules,
    automation: &AutomationName,
    given: Map<String, Value>,
    fetch: bool,
    clock: &dyn Clock,
) -> Result<Preview, StepError> {
    preview(rules, automation, &asked(automation, &given, clock), Some(&given), fetch)
}

/// The event of an automation that a person asks for directly.
pub fn asked(automation: &AutomationName, given: &Map<String, Value>, clock: &dyn Clock) -> Event {
    asked_by(automation, given, "kubeops render", clock)
}

/// The same of whom it is.
pub(super) fn asked_by(automation: &AutomationName, given: &Map<String, Value>, actor: &str, clock: &dyn Clock) -> Event {
    let id = EventId::from_parts(clock.now(), clock.random());
    super::operations::asked_event(id, automation, given, actor, clock.now())
}

fn fill(preview: &mut Preview, rules: &InForce, wanted: Wanted<'_>, base: Base<'_>) -> Result<(), Stop> {
    let (parameters, target) = planning::resolve(rules, wanted)?;
    preview.parameters = Some(parameters.clone());
    preview.shown.target = Some(format!("{}:{}", target.repository.name, target.path));
    let rule = rules.set.rules.get(wanted.automation).filter(|rule| rule.recipe.guard().is_some());
    if let Some(rule) = rule.filter(|_| wanted.draft.is_none() && wanted.reverts.is_none()) {
        preview.shown.title = Some(rule.recipe.pull_text(Inputs { event: wanted.event, parameters: &parameters })?.title);
        preview.shown.drafted = Some("by a language model: what it comes to is known when the model has answered".to_owned());
        return Ok(());
    }
    let scratch = match base {
        Base::Repository => Scratch::fetch(&target).map(Some),
        Base::Nothing => Err("not compared with the repository".to_owned()),
        Base::Tree(_) | Base::Tip(_) => Ok(None),
    };
    let made = match (&scratch, base) {
        (Ok(_), Base::Tree(tree)) => planning::make(rules, wanted, &parameters, &target, tree)?,
        (Ok(_), Base::Tip(tip)) => planning::make(rules, wanted, &parameters, &target, &tip.snapshot)?,
        (Ok(Some(scratch)), _) => planning::make(rules, wanted, &parameters, &target, &scratch.mirror.snapshot(&scratch.base)?)?,
        (Err(reason), _) if rules.set.rules.get(wanted.automation).is_some_and(|rule| rule.recipe.needs_base()) => {
            let message = format!("edits change files of the repository, and without them nothing can be shown: {reason}");
            return Err(StepError::Permanent(message).into());
        }
        _ => planning::make(rules, wanted, &parameters, &target, &EmptyTree::default())?,
    };
    preview.shown.title = Some(made.text.title.clone());
    for (path, change) in made.change.files() {
        let text = match change {
            FileChange::Write(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            FileChange::Remove => {
                preview.removed.push(path.to_string());
                continue;
            }
        };
        preview.files.insert(path.to_string(), text);
    }
    // The request has no id yet: this one stands for it.
    let request = RequestId::from_parts(wanted.event.time, 0);
    let facts = CommitFacts { request: &request, parameters: &parameters, text: &made.text, summary: &made.summary, drafted: made.drafted.as_ref() };
    let (meta, said) = commit_meta(rules, wanted, &target, &facts)?;
    preview.message = Some(commit_message(&meta, made.change.templates()));
    preview.shown.findings = made.change.warnings().iter().cloned().chain(said).collect();
    preview.shown.summary.clone_from(&made.summary);
    preview.changes = Some(Changes::of(&made.change));
    preview.shown.ttl = made.expiry.as_ref().map(|expiry| expiry.lifetime.after.to_string());
    match (scratch, base) {
        (Ok(_), Base::Tip(tip)) => preview.shown.diff = Some(diff(&tip.mirror, &tip.tip, &made, &meta)?),
        (Ok(Some(scratch)), _) => preview.shown.diff = Some(diff(&scratch.mirror, &scratch.base, &made, &meta)?),
        (Ok(None), _) => {}
        (Err(reason), _) => preview.shown.note = Some(format!("compared with an empty tree: {reason}")),
    }
    if let Some(note) = rules.sealer.note().filter(|_| rules.set.rules.get(wanted.automation).is_some_and(|rule| rule.recipe.seals())) {
        preview.shown.note = Some(preview.shown.note.take().map_or_else(|| note.to_owned(), |before| format!("{before}; {note}")));
    }
    Ok(())
}

/// A mirror that lives as long as the preview.
struct Scratch {
    mirror: Arc<Mirror>,
    base: CommitSha,
    _directory: ScratchDirectory,
}

/// A directory that is removed with its content.
struct ScratchDirectory(std::path::PathBuf);

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    fn fetch(target: &Target) -> Result<Self, String> {
        let name = format!("kubeops-preview-{:032x}", SystemClock.random());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let directory = ScratchDirectory(path);
        let transport = PerRepository::of_this_machine(directory.0.join("run"));
        let mirrors = Mirrors::new(directory.0.join("mirrors"), Arc::new(transport)).map_err(|error| error.to_string())?;
        let spec = &target.repository.spec;
        let remote = RemoteSpec::new(target.repository.name.clone(), spec.url.clone(), spec.branch.clone());
        let mirror = mirrors.get(&RemoteSpec { git: spec.git.clone(), ..remote });
        let base = mirror.fetch().map_err(|error| error.to_string())?;
        Ok(Self { mirror, base, _directory: directory })
    }
}

/// What differs from the base, as a unified diff.
fn diff(mirror: &Mirror, base: &CommitSha, made: &Made, meta: &CommitMeta) -> Result<String, Stop> {
    if made.change.is_empty() {
        return Ok(String::new());
    }
    let commit = mirror.commit(base, &made.change, meta)?;
    Ok(mirror.diff(base, &commit, MAX_DIFF)?.text())
}
