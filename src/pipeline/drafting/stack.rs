//! The commits of a change that was drafted and revised: one for each answer, one on the other, so that a reviewer sees what a revision
//! changed. Together they are the change that was planned, or there is one commit for all of it.

use super::super::planning::{self, Draft as Drafting, Made, Stop, Wanted};
use super::super::{InForce, Pipeline};
use crate::git::Mirror;
use crate::inventory::Target;
use crate::types::{CommitSha, RequestId};
use crate::validate::Finding;
use serde_json::{Map, Value};
use std::sync::Arc;

impl Pipeline {
    /// Commits what was made as [`Pipeline::commit_on`] does, each revision by itself.
    pub(in crate::pipeline) fn commit_each_on(
        &self,
        rules: &InForce,
        wanted: Wanted<'_>,
        target: &Target,
        (mirror, base): (&Arc<Mirror>, &CommitSha),
        (made, request, parameters): (&Made, &RequestId, &Map<String, Value>),
    ) -> Result<(CommitSha, Vec<Finding>), Stop> {
        let revised = wanted.draft.filter(|draft| draft.answers.len() > 1 && wanted.reverts.is_none());
        let Some(draft) = revised else { return self.commit_on(rules, wanted, target, (mirror, base), (made, request, parameters)) };
        let (mut tip, mut commits, mut said) = (base.clone(), Vec::new(), Vec::new());
        for (answer, drafted) in draft.answers.iter().zip(&draft.each) {
            let alone = Drafting { answers: vec![answer.clone()], each: vec![drafted.clone()] };
            let below = mirror.snapshot(&tip)?;
            let step = match planning::make(rules, Wanted { draft: Some(&alone), ..wanted }, parameters, target, &below) {
                Ok(step) if step.change.is_empty() => continue,
                Ok(step) => step,
                // What is right as a whole need not be so by itself.
                Err(Stop::Refused { .. }) => break,
                Err(failed) => return Err(failed),
            };
            let (commit, about) = self.commit_on(rules, wanted, target, (mirror, &tip), (&step, request, parameters))?;
            said = about;
            commits.push(commit.clone());
            tip = commit;
        }
        if !commits.is_empty() && mirror.carries(base, &tip, base, &made.change)? {
            return Ok((tip, said));
        }
        mirror.forget_all(&commits);
        self.commit_on(rules, wanted, target, (mirror, base), (made, request, parameters))
    }
}
