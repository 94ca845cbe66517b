//! What is no longer wanted: the alert resolved, the ticket was cancelled. It asks the store what the newest event of each key said
//! at the moment it acts, so events may come in any order and as often as they like.

use super::body::markdown::code;
use super::operations::OperationError;
use super::pull::priority;
use super::{Pipeline, StepError, outcome};
use crate::automation::{MergedWhenWithdrawn, OpenWhenWithdrawn};
use crate::failpoint;
use crate::request::{Request, RequestKey, RevertCause, State};
use crate::store::{PageQuery, RequestFilter, Settlement, StoreError, TakenBack};

/// Earlier requests of a key among which one that is merged is looked for.
const EARLIER: u32 = 20;

/// What becomes of a request once what asked for it went away.
enum Fate {
    /// Its change is in the base: that may be taken back.
    TakenBackMerged,
    /// It has ended otherwise.
    Over,
    /// Nothing.
    Stays,
    /// Nothing, and its pull request says why it may not be wanted.
    StaysWithWord,
    /// It stands for a group, of which those are taken out that went away.
    LosesMembers,
    /// It is withdrawn.
    Withdrawn,
}

/// What becomes of a request, as it stands, where its automation says this of open ones.
fn fate(request: &Request, open: OpenWhenWithdrawn) -> Fate {
    // Also while its change is made again on a base that moved.
    let is_open = request.pull.is_some();
    match open {
        _ if request.state.is_merged() => Fate::TakenBackMerged,
        _ if request.state.is_ended() => Fate::Over,
        OpenWhenWithdrawn::Keep => Fate::Stays,
        OpenWhenWithdrawn::Comment if is_open => Fate::StaysWithWord,
        _ if request.members > 0 => Fate::LosesMembers,
        OpenWhenWithdrawn::Comment | OpenWhenWithdrawn::Close => Fate::Withdrawn,
    }
}

impl Pipeline {
    /// Acts on what was taken back of a request.
    pub(super) async fn retract(&self, request: &Request) -> Result<Settlement, StepError> {
        if let Some(reverts) = request.steering.reverts.as_ref().filter(|_| request.state.is_merged()) {
            let (undone, taken_back) = (self.store.request(&reverts.request).await?, self.store.taken_back(&reverts.request).await?);
            self.take_back_earlier(&undone, &taken_back).await?;
            return Ok(outcome::nothing());
        }
        let taken_back = self.store.taken_back(&request.id).await?;
        let rules = self.rules.current();
        let automation = rules.set.automations.get(&request.key.automation);
        let (Some(first), Some(withdraw)) = (taken_back.first(), automation.and_then(|automation| automation.withdraw())) else {
            // Wanted again meanwhile, or nobody's matter any more.
            return Ok(outcome::nothing());
        };
        match fate(request, withdraw.spec.open) {
            Fate::TakenBackMerged => {
                let kept = |why: &str| outcome::noted(request, format!("{}; the change is merged and stays{why}", first.reason), self.clock.as_ref());
                if withdraw.spec.merged == MergedWhenWithdrawn::Keep {
                    return Ok(kept(""));
                }
                self.take_back_merged(request, &taken_back).await.map(|refused| refused.map_or_else(outcome::nothing, |why| kept(&why)))
            }
            // Asked for again when its change was in the base already: then that is the one to take back.
            Fate::Over => {
                self.take_back_earlier(request, &taken_back).await?;
                Ok(outcome::nothing())
            }
            Fate::Stays => Ok(outcome::nothing()),
            Fate::StaysWithWord => self.say(request, first).await,
            Fate::LosesMembers => self.take_out(request, &taken_back).await,
            Fate::Withdrawn => {
                self.take_back_earlier(request, &taken_back).await?;
                Ok(outcome::taken_back(request.clone(), first, self.clock.as_ref()))
            }
        }
    }

    /// Whether what asked for a request went away, and [`Self::retract`] withdraws it therefore.
    pub(super) async fn is_taken_back(&self, request: &Request) -> Result<bool, StoreError> {
        let rules = self.rules.current();
        let withdraw = rules.set.automations.get(&request.key.automation).and_then(|automation| automation.withdraw());
        let withdrawn = withdraw.is_some_and(|withdraw| matches!(fate(request, withdraw.spec.open), Fate::Withdrawn));
        Ok(withdrawn && !self.store.taken_back(&request.id).await?.is_empty())
    }

    /// Opens what takes a merged change back, once; of a group when nobody wants any of it. Tells why not, where the change stays.
    async fn take_back_merged(&self, request: &Request, taken_back: &[TakenBack]) -> Result<Option<String>, StepError> {
        if request.members > 0 {
            let still = self.store.members(&request.id, true, 0, request.members).await?.len().saturating_sub(taken_back.len());
            if still > 0 {
                return Ok(Some(format!(": {still} others of its group are still wanted")));
            }
        }
        // Whatever became of it: a person may have decided that the change stays, or have merged what was about to be given up.
        let given_up = |revert: &Request| revert.steering.reverts.as_ref().is_some_and(|reverts| reverts.wanted_again);
        let decided = |revert: &Request| revert.state.is_merged() || !given_up(revert);
        if self.newest_revert(&request.id).await?.as_ref().is_some_and(decided) {
            return Ok(None);
        }
        let Some(first) = taken_back.first() else { return Ok(None) };
        match self.revert_because(request, &first.reason, RevertCause::NoLongerWanted, "kubeops").await {
            Ok(_) => Ok(None),
            Err(OperationError::Step(error)) => Err(error),
            Err(OperationError::Refused(why) | OperationError::NotFound(why)) => Ok(Some(format!(": {why}"))),
        }
    }

    /// Takes back what an earlier request of the same key brought into the base, where nothing of this one is there, or no longer: nobody
    /// wants that either, and what was to take it back may have been given up when this one was asked for.
    async fn take_back_earlier(&self, request: &Request, taken_back: &[TakenBack]) -> Result<(), StepError> {
        if !taken_back.is_empty()
            && self.reverts_merged(request)
            && let Some(earlier) = self.merged_before(request).await?
        {
            self.take_back_merged(&earlier, taken_back).await?;
        }
        Ok(())
    }

    /// Whether the request's automation has a merged change taken back that is no longer wanted.
    fn reverts_merged(&self, request: &Request) -> bool {
        let rules = self.rules.current();
        let withdraw = rules.set.automations.get(&request.key.automation).and_then(|automation| automation.withdraw());
        withdraw.is_some_and(|withdraw| withdraw.spec.merged == MergedWhenWithdrawn::Revert)
    }

    /// Gives up what takes back an earlier change of the same key, because what asked for that has come back and opened `request`; tells
    /// whether there was any.
    pub(super) async fn keep_what_is_wanted_again(&self, request: &Request) -> Result<bool, StepError> {
        if !self.reverts_merged(request) {
            return Ok(false);
        }
        let Some(merged) = self.merged_before(request).await? else { return Ok(false) };
        let Some(mut revert) = self.newest_revert(&merged.id).await?.filter(|revert| !revert.state.is_ended()) else { return Ok(false) };
        match &mut revert.steering.reverts {
            Some(reverts) if reverts.cause == RevertCause::NoLongerWanted => reverts.wanted_again = true,
            _ => return Ok(false),
        }
        let clean_up = self.clean_up_task(&revert, State::Withdrawn);
        let message = format!("withdrawn: what it takes back is wanted again, by request {}", request.id);
        match self.change(revert, State::Withdrawn, message, "kubeops", vec![clean_up]).await {
            Ok(_) => Ok(true),
            Err(OperationError::Step(error)) => Err(error),
            Err(OperationError::Refused(_) | OperationError::NotFound(_)) => Ok(false),
        }
    }

    /// The newest request of the same key, before this one, whose change is in the base.
    async fn merged_before(&self, request: &Request) -> Result<Option<Request>, StoreError> {
        let RequestKey { automation, correlation, generation } = &request.key;
        let filter = RequestFilter { automation: Some(automation.clone()), correlation: Some(correlation.clone()), ..RequestFilter::default() };
        let page = self.store.requests(&filter, &PageQuery { limit: EARLIER, after: None }).await?;
        Ok(page.items.into_iter().find(|earlier| earlier.key.generation < *generation && earlier.state.is_merged()))
    }

    /// The pull request stays open, and a comment says why it may not be wanted.
    async fn say(&self, request: &Request, taken_back: &TakenBack) -> Result<Settlement, StepError> {
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name));
        let (Some(repository), Some(pull)) = (repository, &request.pull) else { return Ok(outcome::nothing()) };
        let words = format!("{}; the pull request stays open.", code(&taken_back.reason));
        let marker = format!("retract:{}:{}", request.id, taken_back.at.unix_millis());
        // An attempt before may have died with the words said.
        self.forges.forge(repository, priority(request))?.comment_once(pull.number, &words, &marker, true).await?;
        failpoint::hit("retract.said");
        Ok(outcome::noted(request, format!("{}; the pull request stays open", taken_back.reason), self.clock.as_ref()))
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
