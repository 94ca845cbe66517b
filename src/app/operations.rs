//! Glue: what people ask for through the API, done by the pipeline and the local forge.

use crate::api::{
    self, Ask, AskCopilot, AskJob, Asked, Diff, FileChangeKind, FileDiff, ForgeBudgetView, ForgeCallsView, ForgeRepositoryView, ForgeView, PullAction,
};
use crate::forge::local::Person;
use crate::forge::{AccountReport, Calls, ForgeError, Review, WindowReport};
use crate::inventory::ForgeSpec;
use crate::pipeline::{
    AskError, Copilot, CopilotError, Copiloted, MAX_DIFF_BYTES, OperationError, Pipeline, ReplayedDraft, StepError, Suggested, Wish, events_of,
    what_counts,
};
use crate::request::{Job, Request};
use crate::store::{EventRecord, PageQuery, PullRecord, RequestFilter};
use crate::types::{AutomationName, ChangeKind, DeliveryId, ErrorClass, RepositoryName, RequestId, SpecDuration, SuggestionId, TreeDiff};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What a caller is asked to wait when something is busy.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Does what people ask for.
pub struct PeoplesOperations {
    pipeline: Arc<Pipeline>,
    copilot: Copilot,
    wake: Arc<Notify>,
}

impl PeoplesOperations {
    /// Operations over `pipeline`; `wake` tells the worker that there is something to do.
    pub fn new(pipeline: Arc<Pipeline>, wake: Arc<Notify>) -> Self {
        Self { copilot: Copilot::new(Arc::clone(&pipeline)), pipeline, wake }
    }

    /// The request that was asked for before with this key.
    async fn asked_before(&self, automation: &AutomationName, key: &str) -> Result<Option<Asked>, api::OperationError> {
        let filter = RequestFilter { automation: Some(automation.clone()), correlation: Some(key.to_owned()), ..RequestFilter::default() };
        let page = PageQuery { limit: 1, after: None };
        let known = self.pipeline.store.requests(&filter, &page).await.map_err(OperationError::from)?;
        Ok(known.items.into_iter().next().map(|first| Asked { request: first.id, opened: false }))
    }

    async fn wished(&self, wish: Wish) -> Result<Asked, api::OperationError> {
        let asked = self.pipeline.ask(wish).await.map_err(not_asked)?;
        self.wake.notify_one();
        Ok(Asked { request: asked.request, opened: asked.opened })
    }

    fn review(&self, repository: &RepositoryName) -> Result<Arc<dyn Review>, api::OperationError> {
        let rules = self.pipeline.rules.current();
        let known = rules.set.inventory.repositories.get(repository);
        let known = known.ok_or_else(|| api::OperationError::NotFound(format!("repository {repository}")))?;
        let elsewhere = || api::OperationError::Unsupported(format!("pull requests of {repository} are reviewed at its forge, not here"));
        self.pipeline.forges.review(known).ok_or_else(elsewhere)
    }
}

/// Why an automation could not be asked for, as the API tells it.
fn not_asked(error: AskError) -> api::OperationError {
    match error {
        AskError::NoAutomation(name, None) => api::OperationError::NotFound(format!("automation {name}")),
        AskError::NoAutomation(name, Some(near)) => api::OperationError::NotFound(format!("automation {name}; did you mean {near}?")),
        AskError::NoJobs(message) => api::OperationError::Invalid { message, problems: Vec::new() },
        AskError::Parameters(errors) => api::OperationError::Invalid {
            message: "the parameters are not valid".to_owned(),
            problems: errors
                .into_iter()
                .map(|error| api::Problem { field: format!("/parameters/{}", error.parameter), message: error.message })
                .collect(),
        },
        AskError::Store(error) => failed(&error.to_string(), error.class()),
    }
}

/// Why nothing came of a sentence, as the API tells it.
fn no_suggestion(error: CopilotError) -> api::OperationError {
    let message = error.to_string();
    match error {
        CopilotError::NotOffered(_) => api::OperationError::Invalid { message, problems: Vec::new() },
        CopilotError::Ask(error) => not_asked(error),
        CopilotError::Exhausted { retry_after, .. } => api::OperationError::Busy { message, retry_after },
        CopilotError::Busy | CopilotError::TooLong => api::OperationError::Busy { message, retry_after: RETRY_AFTER },
        CopilotError::Expired(_) | CopilotError::OfferedNoMore(_) => api::OperationError::Conflict(message),
        CopilotError::Step(StepError::Store(error)) => OperationError::from(error).into(),
        CopilotError::Step(error) => failed(&message, error.class()),
    }
}

#[async_trait]
impl api::Operations for PeoplesOperations {
    async fn ask(&self, ask: Ask) -> Result<Asked, api::OperationError> {
        // A repeated ask with one key gets the first one's request, also after that has ended; one with a correlation of its
        // own joins that request while it lives.
        if let (Some(key), None) = (&ask.idempotency_key, &ask.correlation)
            && let Some(first) = self.asked_before(&ask.automation, key).await?
        {
            return Ok(first);
        }
        let correlation = ask.correlation.or(ask.idempotency_key);
        self.wished(Wish { automation: ask.automation, parameters: ask.parameters, correlation, job: None, copilot: None, actor: ask.actor }).await
    }

    async fn ask_job(&self, ask: AskJob) -> Result<Asked, api::OperationError> {
        let AskJob { automation, goal, max_turns, timeout, parameters, idempotency_key, actor } = ask;
        let automation = self.pipeline.automation_for_jobs(automation.as_ref()).map_err(not_asked)?;
        if let Some(key) = &idempotency_key
            && let Some(first) = self.asked_before(&automation, key).await?
        {
            return Ok(first);
        }
        let job = Some(Job { goal, by: actor.clone(), max_turns, timeout });
        self.wished(Wish { automation, parameters, correlation: idempotency_key, job, copilot: None, actor }).await
    }

    async fn copilot(&self, ask: AskCopilot) -> Result<Copiloted, api::OperationError> {
        let AskCopilot { sentence, automation, actor } = ask;
        self.copilot.suggest(&sentence, automation.as_ref(), &actor).await.map_err(no_suggestion)
    }

    async fn suggestion(&self, id: &SuggestionId) -> Result<Suggested, api::OperationError> {
        self.copilot.suggestion(id).await.map_err(no_suggestion)
    }

    async fn confirm_suggestion(&self, id: &SuggestionId, actor: &str) -> Result<Asked, api::OperationError> {
        let suggested = self.copilot.suggestion(id).await.map_err(no_suggestion)?;
        if let Some(first) = self.asked_before(&suggested.automation, id.as_str()).await? {
            return Ok(first);
        }
        let wish = self.copilot.wish(suggested, actor).map_err(no_suggestion)?;
        self.wished(wish).await
    }

    async fn revise(&self, id: &RequestId, actor: &str, text: &str) -> Result<api::Revising, api::OperationError> {
        let (request, revision) = self.pipeline.revise(id, text, actor).await?;
        self.wake.notify_one();
        Ok(api::Revising { request, revision })
    }

    async fn retry(&self, id: &RequestId, actor: &str) -> Result<Request, api::OperationError> {
        let request = self.pipeline.retry(id, actor).await?;
        self.wake.notify_one();
        Ok(request)
    }

    async fn cancel(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Request, api::OperationError> {
        let request = self.pipeline.cancel(id, reason.map(str::to_owned), actor).await?;
        self.wake.notify_one();
        Ok(request)
    }

    async fn revert(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Asked, api::OperationError> {
        let asked = self.pipeline.revert(id, reason.map(str::to_owned), actor).await?;
        self.wake.notify_one();
        Ok(Asked { request: asked.request, opened: asked.opened })
    }

    async fn extend(&self, id: &RequestId, actor: &str, by: SpecDuration) -> Result<Request, api::OperationError> {
        Ok(self.pipeline.extend(id, by, actor).await?)
    }

    async fn hold(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Request, api::OperationError> {
        let request = self.pipeline.hold(id, reason.map(str::to_owned), actor).await?;
        self.wake.notify_one();
        Ok(request)
    }

    async fn release(&self, id: &RequestId, actor: &str) -> Result<Request, api::OperationError> {
        let request = self.pipeline.release(id, actor).await?;
        self.wake.notify_one();
        Ok(request)
    }

    async fn withdraw_member(&self, id: &RequestId, member: &str, actor: &str, reason: Option<&str>) -> Result<Request, api::OperationError> {
        let request = self.pipeline.withdraw_member(id, member, reason.map(str::to_owned), actor).await?;
        self.wake.notify_one();
        Ok(request)
    }

    async fn replay(&self, id: &DeliveryId, actor: &str) -> Result<Vec<RequestId>, api::OperationError> {
        let requests = self.pipeline.replay(id, actor).await?;
        self.wake.notify_one();
        Ok(requests)
    }

    async fn replay_draft(&self, id: &RequestId, number: u32) -> Result<ReplayedDraft, api::OperationError> {
        Ok(self.pipeline.replay_draft(id, number).await?)
    }

    async fn what_counts(&self, event: &EventRecord) -> Vec<String> {
        let Some(delivery) = &event.delivery else { return Vec::new() };
        let Ok(delivery) = self.pipeline.store.delivery(delivery).await else { return Vec::new() };
        let events = events_of(&self.pipeline.rules, &delivery).unwrap_or_default();
        let Some(told) = events.iter().find(|told| told.id == event.id) else { return Vec::new() };
        let unknown =
            self.pipeline.unknown_revisions(told).await.unwrap_or_else(|error| vec![format!("its commit could not be looked for: {error}")]);
        what_counts(&self.pipeline.rules, told).into_iter().chain(unknown).collect()
    }

    async fn request_diff(&self, id: &RequestId) -> Result<Diff, api::OperationError> {
        let request = self.pipeline.store.request(id).await.map_err(OperationError::from)?;
        let diff = self.pipeline.diff(id).await?;
        let diff = diff.ok_or_else(|| api::OperationError::Conflict(format!("{id} is {}: nothing is planned yet", request.state)))?;
        Ok(Diff { base: request.base, head: request.commit, truncated: diff.truncated, files: files(diff) })
    }

    async fn pull_diff(&self, repository: &RepositoryName, number: u64) -> Result<Diff, api::OperationError> {
        let review = self.review(repository)?;
        let pull = review.get(number).await.map_err(forge)?;
        let diff = review.diff(number, MAX_DIFF_BYTES).await.map_err(forge)?;
        Ok(Diff { base: None, head: pull.head_commit, truncated: diff.truncated, files: files(diff) })
    }

    async fn act_on_pull(
        &self,
        repository: &RepositoryName,
        number: u64,
        action: PullAction,
        actor: &str,
    ) -> Result<PullRecord, api::OperationError> {
        let review = self.review(repository)?;
        let held = match action {
            PullAction::Approve | PullAction::Merge => self.pipeline.holds_up_merge(repository, number).await?,
            PullAction::Ready | PullAction::Close(_) => None,
        };
        let person = Person::named(actor);
        match action {
            PullAction::Approve => review.approve(number, &person, held.is_some()).await,
            PullAction::Ready => review.ready(number).await,
            PullAction::Merge => match held {
                Some(why) => return Err(api::OperationError::Conflict(format!("pull request {repository}#{number} is not merged: {why}"))),
                None => review.merge(number, &person).await,
            },
            PullAction::Close(comment) => review.decline(number, &person, comment.as_deref()).await,
        }
        .map_err(forge)?;
        let request = self.pipeline.store.request_of_pull(repository, number).await.map_err(OperationError::from)?;
        if let Some(request) = request {
            // Should this fail, the next look at open pull requests does it.
            if let Err(error) = self.pipeline.observe(&request.id, actor).await {
                tracing::warn!(request = %request.id, %error, "the request does not show yet what was done with its pull request");
            }
        }
        let record = self.pipeline.store.pull(repository, number).await.map_err(OperationError::from)?;
        record.ok_or_else(|| api::OperationError::NotFound(format!("pull request {repository}#{number}")))
    }

    fn forges(&self) -> Vec<ForgeView> {
        let mut told: Vec<ForgeView> = self.pipeline.forges.accounts().into_iter().map(|(report, names)| forge_view(report, names)).collect();
        let rules = self.pipeline.rules.current();
        let local = rules.set.inventory.repositories.values().filter(|repository| matches!(repository.spec.forge, ForgeSpec::Local));
        let local: Vec<RepositoryName> = local.map(|repository| repository.name.clone()).collect();
        if !local.is_empty() {
            told.push(ForgeView {
                kind: "local".to_owned(),
                api: None,
                ..forge_view(AccountReport { name: "local".to_owned(), ..AccountReport::default() }, local)
            });
        }
        told
    }
}

fn forge_view(report: AccountReport, repositories: Vec<RepositoryName>) -> ForgeView {
    let AccountReport { name, api, windows, limited_until, limited_because, calls } = report;
    let Calls { done, refused, failed, limited, held } = calls;
    let budget = |window: WindowReport| ForgeBudgetView {
        resource: window.resource,
        limit: window.limit,
        remaining: window.remaining,
        resets_at: window.resets_at,
    };
    ForgeView {
        name,
        kind: "github".to_owned(),
        api: Some(api),
        repositories: repositories.into_iter().map(|name| ForgeRepositoryView { name, queued_tasks: 0 }).collect(),
        budgets: windows.into_iter().map(budget).collect(),
        limited_until,
        limited_because,
        calls: ForgeCallsView { done, refused, failed, limited, held },
    }
}

fn files(diff: TreeDiff) -> Vec<FileDiff> {
    let kind = |kind: ChangeKind| match kind {
        ChangeKind::Added => FileChangeKind::Added,
        ChangeKind::Modified => FileChangeKind::Modified,
        ChangeKind::Removed => FileChangeKind::Removed,
    };
    diff.files.into_iter().map(|file| FileDiff { path: file.path, change: kind(file.kind), patch: file.patch }).collect()
}

fn forge(error: ForgeError) -> api::OperationError {
    match error {
        ForgeError::NoPull { number, .. } => api::OperationError::NotFound(format!("pull request {number}")),
        ForgeError::NotOpen { .. } | ForgeError::Changed { .. } | ForgeError::Conflict { .. } | ForgeError::Outdated { .. } => {
            api::OperationError::Conflict(error.to_string())
        }
        other => failed(&other.to_string(), other.class()),
    }
}

fn failed(message: &str, class: ErrorClass) -> api::OperationError {
    match class {
        ErrorClass::Transient => api::OperationError::Busy { message: message.to_owned(), retry_after: RETRY_AFTER },
        ErrorClass::User | ErrorClass::Permanent => api::OperationError::Conflict(message.to_owned()),
        ErrorClass::Bug => api::OperationError::Failed(message.to_owned()),
    }
}

impl From<OperationError> for api::OperationError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::NotFound(what) => Self::NotFound(what),
            OperationError::Refused(message) => Self::Conflict(message),
            OperationError::Step(StepError::Forge(error)) => forge(error),
            OperationError::Step(error) => failed(&error.to_string(), error.class()),
        }
    }
}
