//! The check run `kubeops` beside a commit: the same evidence as in the pull request's body, once per commit.
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
        if check.asked_before && self.stands_there(check).await? {
            return Ok(());
        }
        let wanted = json!({
            "name": NAME,
            "head_sha": check.commit,
            "external_id": check.key,
            "details_url": check.details,
            "status": "completed",
            "conclusion": if check.warnings { "neutral" } else { "success" },
            "output": { "title": cut(&check.title, TITLE_LIMIT), "summary": cut(&check.summary, SUMMARY_LIMIT) },
        });
        let _made: WireCheckRun = self.client.write(Method::POST, Kind::Write, &|at: &Place| format!("/repos/{at}/check-runs"), &wanted).await?;
        Ok(())
    }

    async fn stands_there(&self, check: &CheckSpec) -> Result<bool, ForgeError> {
        let route = |at: &Place| format!("/repos/{at}/commits/{}/check-runs?check_name={NAME}&per_page=100", check.commit);
        let found: WireCheckRuns = self.client.get(&route).await?;
        Ok(found.check_runs.iter().any(|run| run.external_id.as_deref() == Some(&check.key) && run.head_sha == check.commit))
    }
}
