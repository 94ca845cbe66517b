//! What is no longer wanted: the alert resolved, the ticket was cancelled. It asks the store what the newest event of each key said
//! at the moment it acts, so events may come in any order and as often as they like.

use super::operations::OperationError;
use super::pull::priority;
use super::{Pipeline, StepError, outcome};
use crate::automation::{MergedWhenWithdrawn, OpenWhenWithdrawn};
use crate::failpoint;
use crate::request::{Request, State};
use crate::store::{Settlement, TakenBack};

impl Pipeline {
    /// Acts on what was taken back of a request.
    pub(super) async fn retract(&self, request: &Request) -> Result<Settlement, StepError> {
        let taken_back = self.store.taken_back(&request.id).await?;
        let rules = self.rules.current();
        let automation = rules.set.automations.get(&request.key.automation);
        let (Some(first), Some(withdraw)) = (taken_back.first(), automation.and_then(|automation| automation.withdraw())) else {
            // Wanted again meanwhile, or nobody's matter any more.
            return Ok(outcome::nothing());
        };
        let proposed = matches!(request.state, State::Proposed | State::Approved);
        match (request.state, withdraw.spec.open) {
            (state, _) if state.is_merged() => {
                let kept = |why: &str| outcome::noted(request, format!("{}; the change is merged and stays{why}", first.reason), self.clock.as_ref());
                if withdraw.spec.merged == MergedWhenWithdrawn::Keep {
                    return Ok(kept(""));
                }
                self.take_back_merged(request, &taken_back).await.map(|refused| refused.map_or_else(outcome::nothing, |why| kept(&why)))
            }
            (state, _) if state.is_ended() => Ok(outcome::nothing()),
            (_, OpenWhenWithdrawn::Keep) => Ok(outcome::nothing()),
            (_, OpenWhenWithdrawn::Comment) if proposed => self.say(request, first).await,
            _ if request.members > 0 => self.take_out(request, &taken_back).await,
            _ => Ok(outcome::taken_back(request.clone(), first, self.clock.as_ref())),
        }
    }

    /// Opens what takes a merged change back, once; of a group when nobody wants any of it. Tells why not, where the change stays.
    async fn take_back_merged(&self, request: &Request, taken_back: &[TakenBack]) -> Result<Option<String>, StepError> {
        if request.members > 0 {
            let still = self.store.members(&request.id, true, request.members).await?.len().saturating_sub(taken_back.len());
            if still > 0 {
                return Ok(Some(format!(": {still} others of its group are still wanted")));
            }
        }
        // Whatever became of it: a person may have decided that the change stays.
        if self.newest_revert(&request.id).await?.is_some() {
            return Ok(None);
        }
        let Some(first) = taken_back.first() else { return Ok(None) };
        match self.revert_because(request, &first.reason, "kubeops").await {
            Ok(_) => Ok(None),
            Err(OperationError::Step(error)) => Err(error),
            Err(OperationError::Refused(why) | OperationError::NotFound(why)) => Ok(Some(format!(": {why}"))),
        }
    }

    /// The pull request stays open, and a comment says why it may not be wanted.
    async fn say(&self, request: &Request, taken_back: &TakenBack) -> Result<Settlement, StepError> {
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name));
        let (Some(repository), Some(pull)) = (repository, &request.pull) else { return Ok(outcome::nothing()) };
        let message = format!("{}; the pull request stays open", taken_back.reason);
        let marker = format!("retract:{}:{}", request.id, taken_back.at.unix_millis());
        // An attempt before may have died with the words said.
        self.forges.forge(repository, priority(request))?.comment_once(pull.number, &message, &marker, true).await?;
        failpoint::hit("retract.said");
        Ok(outcome::noted(request, message, self.clock.as_ref()))
    }

    /// Takes members out of a group, each by itself; the last one withdraws the request.
    async fn take_out(&self, request: &Request, taken_back: &[TakenBack]) -> Result<Settlement, StepError> {
        for gone in taken_back {
            match self.withdraw_member(&request.id, &gone.correlation, Some(gone.reason.clone()), "kubeops").await {
                // Somebody was first, or it has ended.
                Ok(_) | Err(OperationError::Refused(_) | OperationError::NotFound(_)) => {}
                Err(OperationError::Step(error)) => return Err(error),
            }
        }
        Ok(outcome::nothing())
    }
}
