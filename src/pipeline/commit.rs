//! What a request's commit says and who stands on it: a function of request, repository and rules alone, so that the same
//! request is the same commit again. Nothing here reads a clock or a base.

use super::drafting::Answered;
use super::planning::{self, Made, Stop, Wanted};
use super::plans::wanted;
use super::{InForce, Pipeline, StepError};
use crate::git::{CommitMeta, GitError, Identity, Mirror, Signing, Snapshot};
use crate::inventory::{AuthorSpec, Repository, Target};
use crate::plan::{Inputs, PullText};
use crate::request::{Drafted, Request};
use crate::types::{CommitSha, RequestId};
use crate::validate::{Finding, Severity};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Who commits for us in a repository.
pub(super) fn committer(repository: &Repository) -> Result<Identity, StepError> {
    identity(repository.spec.committer())
}

fn identity(spec: &AuthorSpec) -> Result<Identity, StepError> {
    Identity::new(&spec.name, &spec.email).map_err(|error| StepError::Permanent(error.to_string()))
}

/// The tree of a commit of a base branch, fetched where the mirror does not hold it any more.
pub(super) fn snapshot_of(mirror: &Arc<Mirror>, commit: &CommitSha) -> Result<Snapshot, GitError> {
    match mirror.snapshot(commit) {
        Err(GitError::NoCommit { .. } | GitError::Corrupt { .. }) => {
            mirror.fetch()?;
            mirror.snapshot(commit)
        }
        found => found,
    }
}

/// What is planned, as far as the commit tells it.
pub(super) struct CommitFacts<'a> {
    pub(super) request: &'a RequestId,
    pub(super) parameters: &'a Map<String, Value>,
    pub(super) text: &'a PullText,
    pub(super) summary: &'a [String],
    pub(super) drafted: Option<&'a Drafted>,
}

/// Everything the commit says beside its files, not signed, and what a reviewer should know of it.
pub(super) fn commit_meta(rules: &InForce, wanted: Wanted<'_>, target: &Target, facts: &CommitFacts<'_>) -> Result<(CommitMeta, Vec<Finding>), Stop> {
    let repository = &target.repository;
    let inputs = Inputs { event: wanted.event, parameters: facts.parameters };
    let gone = || Stop::refused(format!("the automation {} or the repository {} is not configured any more", wanted.automation, repository.name));
    let message = rules.set.messages.get(&repository.name).ok_or_else(gone)?;
    let (co_authors, left_out) = match (rules.set.rules.get(wanted.automation), wanted.reverts) {
        // Nobody worked on what takes a change back.
        (_, Some(_)) => (Vec::new(), Vec::new()),
        (Some(rule), None) => rule.recipe.co_authors(inputs),
        (None, None) => return Err(gone()),
    };
    let said = message.say(inputs, &facts.text.title, facts.summary, facts.request)?;
    let meta = CommitMeta {
        author: identity(&repository.spec.author)?,
        committer: committer(repository)?,
        time: wanted.event.time,
        subject: said.subject,
        body: said.body,
        request: facts.request.clone(),
        automation: wanted.automation.clone(),
        event: wanted.event.id.clone(),
        drafted: facts.drafted.cloned(),
        co_authors,
        signed_off_by: repository.spec.signed_off_by,
        signing: None,
    };
    Ok((meta, left_out.into_iter().map(left_out_finding).collect()))
}

fn left_out_finding(message: String) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "commit.co-author".to_owned(),
        path: "commit.coAuthors".to_owned(),
        document: None,
        pointer: None,
        line: None,
        message,
        hint: None,
    }
}

impl Pipeline {
    /// Commits what was made on the mirror's `base`, and tells the commit and what a reviewer should know of it. Once more for the
    /// same request it is the same commit.
    pub(super) fn commit_on(
        &self,
        rules: &InForce,
        wanted: Wanted<'_>,
        target: &Target,
        (mirror, base): (&Mirror, &CommitSha),
        (made, request, parameters): (&Made, &RequestId, &Map<String, Value>),
    ) -> Result<(CommitSha, Vec<Finding>), Stop> {
        let facts = CommitFacts { request, parameters, text: &made.text, summary: &made.summary, drafted: made.drafted.as_ref() };
        let (mut meta, said) = commit_meta(rules, wanted, target, &facts)?;
        meta.signing = self.signing(&target.repository);
        Ok((mirror.commit(base, &made.change, &meta)?, said))
    }

    /// Makes the commit of a request again that the mirror does not keep any more; false where something else comes of it by now.
    pub(super) fn made_again(&self, rules: &InForce, request: &Request, base: &CommitSha, commit: &CommitSha) -> Result<bool, Stop> {
        if request.members > 0 {
            // A stack is made of members, some of which may have gone on in another request.
            return Ok(false);
        }
        let answered = self.answered(rules, request)?;
        let draft = match &answered {
            Answered::Yes(draft) => Some(&draft.draft),
            Answered::NotAsked => None,
            Answered::No => return Ok(false),
        };
        let wanted = Wanted { set: None, draft, ..wanted(request) };
        let (parameters, target) = planning::resolve(rules, wanted)?;
        if request.repository.as_ref() != Some(&target.repository.name) {
            return Ok(false);
        }
        let mirror = self.mirror(&target.repository)?;
        let snapshot = snapshot_of(&mirror, base)?;
        let made = planning::make(rules, wanted, &parameters, &target, &snapshot)?;
        let (again, _) = self.commit_each_on(rules, wanted, &target, (&mirror, base), (&made, &request.id, &parameters))?;
        if again != *commit {
            mirror.forget(&again);
        }
        Ok(again == *commit)
    }

    /// What the repository's commits are signed with, with a way to the key of the moment.
    fn signing(&self, repository: &Repository) -> Option<Signing> {
        let (secrets, clock) = (Arc::clone(&self.secrets), Arc::clone(&self.clock));
        let spec = repository.spec.signing.clone()?;
        Some(Signing::new(spec, clock, move |name| secrets.secret(name).map_err(|error| error.to_string())))
    }
}
