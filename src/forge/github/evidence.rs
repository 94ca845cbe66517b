//! The check run `kubeops` beside a commit: the same evidence as in the pull request's body, one run per commit.
//! GitHub lets Apps alone write check runs; with a token nobody is called.
//! <https://docs.github.com/en/rest/checks/runs?apiVersion=2022-11-28>

use super::GitHub;
use super::budget::Kind;
use super::client::Place;
use super::wire::{WireCheckRun, WireCheckRuns};
use crate::forge::{CheckSpec, ForgeError, cut};
use http::Method;
use serde_json::json;

/// What it is called.
const NAME: &str = "kubeops";
/// GitHub takes summaries of at most 65,535 characters.
const SUMMARY_LIMIT: usize = 65_535;
/// A title is one line of the page.
const TITLE_LIMIT: usize = 120;

impl GitHub {
    pub(super) async fn evidence(&self, check: &CheckSpec) -> Result<bool, ForgeError> {
        if !self.client.repository.account.is_app() {
            return Ok(false);
        }
        match self.put_there(check).await {
            Ok(()) => Ok(true),
            // An App that was not given the right to write checks does all the rest.
            Err(ForgeError::Forbidden { message, .. }) => {
                tracing::debug!(message, "the GitHub App may not write check runs");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_there(&self, check: &CheckSpec) -> Result<(), ForgeError> {
        let (title, summary) = (cut(&check.title, TITLE_LIMIT), cut(&check.summary, SUMMARY_LIMIT));
        let conclusion = if check.warnings { "neutral" } else { "success" };
        let found = if check.asked_before { self.run_of(check).await? } else { None };
        if let Some(run) = found {
            let says = (run.conclusion.as_deref(), run.output.title.as_deref(), run.output.summary.as_deref());
            if says == (Some(conclusion), Some(&title), Some(&summary)) {
                return Ok(());
            }
            let wanted = json!({ "status": "completed", "conclusion": conclusion, "output": { "title": title, "summary": summary } });
            let route = |at: &Place| format!("/repos/{at}/check-runs/{}", run.id);
            let _changed: WireCheckRun = self.client.write(Method::PATCH, Kind::Write, &route, &wanted).await?;
            return Ok(());
        }
        let wanted = json!({
            "name": NAME,
            "head_sha": check.commit,
            "external_id": check.key,
            "details_url": check.details,
            "status": "completed",
            "conclusion": conclusion,
            "output": { "title": title, "summary": summary },
        });
        let _made: WireCheckRun = self.client.write(Method::POST, Kind::Write, &|at: &Place| format!("/repos/{at}/check-runs"), &wanted).await?;
        Ok(())
    }

    /// The run that stands beside the commit for this key.
    async fn run_of(&self, check: &CheckSpec) -> Result<Option<WireCheckRun>, ForgeError> {
        let route = |at: &Place| format!("/repos/{at}/commits/{}/check-runs?check_name={NAME}&per_page=100", check.commit);
        let found: WireCheckRuns = self.client.get(&route).await?;
        Ok(found.check_runs.into_iter().find(|run| run.external_id.as_deref() == Some(&check.key) && run.head_sha == check.commit))
    }
}
