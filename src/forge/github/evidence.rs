//! Check runs beside a commit, and the one called `kubeops`: the same evidence as in the pull request's body, one run per commit.
//! GitHub lets Apps alone write check runs; with a token nobody is called.
//! <https://docs.github.com/en/rest/checks/runs?apiVersion=2022-11-28>

use super::GitHub;
use super::budget::Kind;
use super::client::Place;
use super::wire::{WireCheckRun, WireCheckRuns};
use crate::forge::{CheckSpec, ForgeError, cut};
use crate::types::CommitSha;
use http::Method;
use serde_json::json;

/// What it is called.
const NAME: &str = "kubeops";
/// GitHub takes summaries of at most 65,535 characters.
const SUMMARY_LIMIT: usize = 65_535;
/// A title is one line of the page.
const TITLE_LIMIT: usize = 120;

/// A check run that has come to its end.
pub(super) struct Run<'r> {
    pub(super) name: &'static str,
    pub(super) commit: &'r CommitSha,
    /// What makes it the same run when it is put there again.
    pub(super) key: &'r str,
    pub(super) details: &'r str,
    pub(super) conclusion: &'static str,
    pub(super) title: String,
    pub(super) summary: String,
    /// Whether it may be there already.
    pub(super) asked_before: bool,
}

impl GitHub {
    pub(super) async fn evidence(&self, check: &CheckSpec) -> Result<bool, ForgeError> {
        if !self.client.repository.account.is_app() {
            return Ok(false);
        }
        let run = Run {
            name: NAME,
            commit: &check.commit,
            key: &check.key,
            details: &check.details,
            conclusion: if check.warnings { "neutral" } else { "success" },
            title: check.title.clone(),
            summary: check.summary.clone(),
            asked_before: check.asked_before,
        };
        match self.put_there(&run).await {
            Ok(()) => Ok(true),
            // An App that was not given the right to write checks does all the rest.
            Err(ForgeError::Forbidden { message, .. }) => {
                tracing::debug!(message, "the GitHub App may not write check runs");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn put_there(&self, check: &Run<'_>) -> Result<(), ForgeError> {
        let (title, summary, conclusion) = (cut(&check.title, TITLE_LIMIT), cut(&check.summary, SUMMARY_LIMIT), check.conclusion);
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
            "name": check.name,
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
    async fn run_of(&self, check: &Run<'_>) -> Result<Option<WireCheckRun>, ForgeError> {
        let route =
            |at: &Place| format!("/repos/{at}/commits/{}/check-runs?check_name={}&per_page=100", check.commit, check.name.replace('/', "%2F"));
        let found: WireCheckRuns = self.client.get(&route).await?;
        Ok(found.check_runs.into_iter().find(|run| run.external_id.as_deref() == Some(check.key) && run.head_sha == *check.commit))
    }
}
