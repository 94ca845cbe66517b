//! What people who asked for a revision are told, where they asked.

use super::super::body::markdown::fenced;
use super::super::operations::OperationError;
use super::super::pull::priority;
use super::super::{InForce, Pipeline, StepError, outcome};
use super::{Step, numbered};
use crate::request::{Drafted, Request, Revision, TimelineEntry};
use crate::store::{RequestUpdate, TaskKind, lane};
use crate::types::RequestId;
use std::sync::Arc;

/// Characters of somebody's words that are quoted in a timeline.
const MOST_QUOTED: usize = 300;

/// The model did what was asked.
pub(super) fn revised(drafted: &Drafted) -> String {
    format!("Revised: a new commit follows when it is computed. The model's own words, which nobody has checked:\n\n{}", fenced(&drafted.explanation))
}

/// The model says that it will not, or cannot.
pub(super) fn declined(reason: &str) -> String {
    format!("Nothing was changed. The model's own words, which nobody has checked:\n\n{}", fenced(reason))
}

/// It came to nothing that may be proposed.
pub(super) fn failed(message: &str) -> String {
    format!("Nothing was changed, because nothing came of it that may be proposed:\n\n{}", fenced(message))
}

/// Words as they are quoted in a timeline.
pub(super) fn shortened(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST_QUOTED).collect()
}

impl Pipeline {
    /// Has the model that drafted an open request's change revise it, and tells which wish for a revision this is, from 1.
    ///
    /// # Errors
    /// When no model drafted it, it is not open, a person has pushed to its branch, or it was revised too often.
    pub async fn revise(self: &Arc<Self>, id: &RequestId, text: &str, actor: &str) -> Result<(Request, u32), OperationError> {
        let request = self.store.request(id).await?;
        let revision = self.wish(&request, Revision { text: text.to_owned(), by: actor.to_owned(), at: None }, actor).await?;
        Ok((self.store.request(id).await?, revision))
    }

    /// The same for a wish that was said somewhere; `actor` stands in the timeline.
    pub(in crate::pipeline) async fn wish(self: &Arc<Self>, request: &Request, wish: Revision, actor: &str) -> Result<u32, OperationError> {
        let rules = self.rules.current();
        let spec = rules.set.automations.get(&request.key.automation).and_then(|automation| automation.spec.draft.as_ref());
        let (Some(spec), Some(_)) = (spec, request.changes.as_ref().and_then(|changes| changes.drafted.as_ref())) else {
            return Err(OperationError::Refused("no language model drafted it, so none can revise it".to_owned()));
        };
        self.check_ours(request).await?;
        let most = spec.max_revisions;
        if request.steering.revisions.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(OperationError::Refused(format!("it was revised {most} times, as often as `draft.maxRevisions` allows")));
        }
        let wanted = format!("to be revised by the language model: {:?}", shortened(&wish.text));
        let mut after = request.clone();
        after.steering.revisions.push(wish);
        let task = outcome::follow_up(&after, TaskKind::Draft, lane::DRAFTS, self.clock.as_ref());
        let entry = outcome::note(&after, wanted, self.clock.as_ref());
        let timeline = vec![TimelineEntry { actor: actor.to_owned(), ..entry }];
        let update = RequestUpdate { timeline, tasks: vec![task], drop_tasks: false, successor: None };
        self.store.update_request(&after, &update, self.clock.now()).await?;
        Ok(numbered(request.steering.revisions.len()))
    }

    /// Answers whoever asked for the revision that a draft is made for, once.
    pub(super) async fn answer_wish(&self, step: &Step<'_>, text: &str) -> Result<(), StepError> {
        match step.revision.and_then(|revision| step.request.steering.revisions.get(revision)) {
            Some(wish) => self.answer_to(&step.rules, step.request, wish, text).await,
            None => Ok(()),
        }
    }

    /// The same for one wish.
    pub(super) async fn answer_to(&self, rules: &InForce, request: &Request, wish: &Revision, text: &str) -> Result<(), StepError> {
        let Some(at) = &wish.at else { return Ok(()) };
        let Some(repository) = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)) else { return Ok(()) };
        let marker = format!("revision:{}:{}", at.place.as_str(), at.id);
        self.forges.forge(repository, priority(request))?.answer_once(at, text, &marker, true).await?;
        Ok(())
    }
}
