//! `kubeops/window` beside a commit: whether it may be merged now. An App writes a check run; with a token, and where an App may not
//! write those, it is a commit status. Either can be required by the base branch.
//! <https://docs.github.com/en/rest/commits/statuses?apiVersion=2022-11-28>

use super::GitHub;
use super::budget::Kind;
use super::client::Place;
use super::evidence::Run;
use crate::forge::{ForgeError, WINDOW_CONTEXT, WindowSpec, cut};
use http::Method;
use serde_json::{Value, json};

/// GitHub takes descriptions of at most 140 characters.
const DESCRIPTION_LIMIT: usize = 140;

impl GitHub {
    pub(super) async fn window(&self, window: &WindowSpec) -> Result<bool, ForgeError> {
        if self.client.repository.account.is_app() {
            match self.put_there(&run(window)).await {
                Err(ForgeError::Forbidden { message, .. }) => tracing::debug!(message, "the GitHub App may not write check runs"),
                done => return done.map(|()| true),
            }
        }
        // The newest one counts, so one more that says the same harms nothing.
        let wanted = json!({
            "state": if window.held.is_some() { "pending" } else { "success" },
            "context": WINDOW_CONTEXT,
            "description": cut(&window.line(), DESCRIPTION_LIMIT),
            "target_url": window.details,
        });
        let route = |at: &Place| format!("/repos/{at}/statuses/{}", window.commit);
        match self.client.write::<Value>(Method::POST, Kind::Write, &route, &wanted).await {
            Ok(_) => Ok(true),
            Err(ForgeError::Forbidden { message, .. } | ForgeError::NotFound { message, .. }) => {
                tracing::warn!(message, "{WINDOW_CONTEXT} cannot be shown beside a commit: grant the right to write commit statuses");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn run(window: &WindowSpec) -> Run<'_> {
    let line = window.line();
    Run {
        name: WINDOW_CONTEXT,
        commit: &window.commit,
        key: &window.key,
        details: &window.details,
        conclusion: if window.held.is_some() { "action_required" } else { "success" },
        summary: format!("This change is {line}."),
        title: line,
        asked_before: window.asked_before,
    }
}
