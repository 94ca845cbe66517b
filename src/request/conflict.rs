//! Whether two requests want something else of the same field. Pure: it compares what was planned for each, as it is stored.
//! Requests that change different fields of one file are none: each is applied again on the base the other left.

use super::{Changes, PullRef, State};
use crate::manifest::{Action, FieldChange, ObjectChange};
use crate::types::{ManifestPath, RequestId};
use crate::validate::{Finding, Severity};

/// The rule of the findings made of conflicts.
pub const CONFLICT: &str = "conflict";
/// Conflicts that are told, at most.
const MAX_CONFLICTS: usize = 20;

/// Another request that touches some of the same files.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// Its id.
    pub request: RequestId,
    /// Where it stands.
    pub state: State,
    /// Its pull request.
    pub pull: Option<PullRef>,
    /// What it changes.
    pub changes: Changes,
    /// Whether its change has come into the base branch.
    pub merged: bool,
}

/// One field, or a whole object, that another request leaves otherwise than this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict<'a> {
    /// What this request does to the object.
    pub mine: &'a ObjectChange,
    /// What the other does to it.
    pub theirs: &'a ObjectChange,
    /// The field of this request and that of the other, one of which may be a part of the other; none when it is about the whole object.
    pub fields: Option<(FieldChange, FieldChange)>,
    /// The other request.
    pub rival: &'a Rival,
}

/// Where `changes` meet those of `rivals` with another outcome: of those that are open, and of those that were merged, where
/// the merge changed what this request was first planned against.
pub fn conflicts<'a>(changes: &'a Changes, rivals: &'a [Rival]) -> Vec<Conflict<'a>> {
    let mut found = Vec::new();
    for rival in rivals {
        for mine in &changes.objects {
            for theirs in rival.changes.objects.iter().filter(|theirs| theirs.is_about_the_same(mine)) {
                found.extend(between(changes, mine, theirs, rival));
            }
        }
    }
    found
}

fn between<'a>(changes: &'a Changes, mine: &'a ObjectChange, theirs: &'a ObjectChange, rival: &'a Rival) -> Vec<Conflict<'a>> {
    let first = changes.at_first().iter().find(|first| first.is_about_the_same(mine));
    // What an open one wants may stand in the base already: it was merged, and nobody has told us yet.
    let in_base = rival.merged || (theirs.action == Action::Added && mine.action != Action::Added);
    let whole = Conflict { mine, theirs, fields: None, rival };
    match (mine.action, theirs.action) {
        (Action::Changed, Action::Changed) => {}
        (Action::Removed, Action::Removed) => return Vec::new(),
        (Action::Added, Action::Added) if mine.content.is_some() && mine.content == theirs.content => return Vec::new(),
        // The object was there, or was not, when this request was first planned, as it is now.
        _ if in_base && first.is_some_and(|first| first.action == mine.action) => return Vec::new(),
        _ => return vec![whole],
    }
    let leaves = |object: &ObjectChange| object.fields.iter().flat_map(FieldChange::leaves).collect::<Vec<_>>();
    let (theirs_fields, first_fields) = (leaves(theirs), first.map(leaves).unwrap_or_default());
    let mut found = Vec::new();
    for field in leaves(mine) {
        for other in theirs_fields.iter().filter(|other| other.overlaps(&field) && !other.comes_to_the_same(&field)) {
            let in_base = in_base || (other.path == field.path && other.new == field.old);
            if in_base && !moved(&field, &first_fields) {
                continue;
            }
            found.push(Conflict { fields: Some((field.clone(), other.clone())), ..whole.clone() });
        }
    }
    found
}

/// Whether the value that the request changes was another one when it was first planned.
fn moved(field: &FieldChange, first_fields: &[FieldChange]) -> bool {
    // A field that was not changed then was as wanted. Of what is masked nobody can tell.
    first_fields.iter().find(|first| first.path == field.path).is_none_or(|first| first.old != field.old || field.is_masked())
}

/// The conflicts as words to the reviewer, each once.
pub fn findings(conflicts: &[Conflict<'_>]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut more = 0;
    for conflict in conflicts {
        let finding = conflict.finding();
        if findings.contains(&finding) {
            continue;
        }
        if findings.len() < MAX_CONFLICTS { findings.push(finding) } else { more += 1 }
    }
    if let Some(last) = findings.last().filter(|_| more > 0) {
        let message = format!("{more} more fields or objects are also changed by other requests");
        findings.push(Finding { message, ..last.clone() });
    }
    findings
}

impl Conflict<'_> {
    fn finding(&self) -> Finding {
        let pull = match &self.rival.pull {
            Some(pull) => format!(" (pull request #{}, {})", pull.number, if self.rival.merged { "merged" } else { "open" }),
            None => format!(" ({})", self.rival.state),
        };
        let object = match (&self.mine.object, &self.mine.file) {
            (Some(object), _) => object.to_string(),
            (None, Some(file)) => format!("{file}, {}", self.mine.what()),
            (None, None) => self.mine.what(),
        };
        let request = &self.rival.request;
        let message = match (&self.fields, self.theirs.action) {
            (Some((mine, theirs)), _) => {
                let path = if mine.path.is_empty() { "the document" } else { &mine.path };
                let theirs_path = if mine.path == theirs.path { String::new() } else { format!("{} ", theirs.path) };
                format!("{path} of {object} is also changed by request {request}{pull}: {theirs_path}{}", theirs.told())
            }
            (None, Action::Added) => format!("{object} is also added by request {request}{pull}"),
            (None, Action::Removed) => format!("{object} is removed by request {request}{pull}"),
            (None, Action::Changed) => format!("{object} is also changed by request {request}{pull}"),
        };
        let hint = if self.rival.merged {
            "this request was asked for before that one was merged; see whether it is still wanted"
        } else {
            "whichever is merged last decides; merge one and close the other"
        };
        Finding {
            severity: Severity::Warning,
            rule: CONFLICT.to_owned(),
            path: self.mine.file.as_ref().map(ManifestPath::to_string).unwrap_or_default(),
            document: Some(self.mine.document),
            pointer: None,
            line: None,
            message,
            hint: Some(hint.to_owned()),
        }
    }
}
