//! What is read of a Jira: an issue, those a query finds, and who we are.

use super::Jira;
use super::call::Call;
use crate::feedback::{Account, FeedbackError, Found, Issue};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Issues in one page of a search.
const PAGE: u32 = 100;
/// What a search shows of an issue: the fields that webhooks have.
const FOUND: [&str; 3] = ["*all", "-comment", "-worklog"];
/// What an [`Issue`] is made of.
const FIELDS: &str = "status,updated,labels,assignee,resolution";

impl Jira {
    pub(super) async fn read_issue(&self, key: &str) -> Result<Issue, FeedbackError> {
        let call = Call::new(Method::GET, self.of_issue(key, "")?, format!("issue {key}"));
        let found = self.call(call.query(&[("fields", FIELDS)])).await?;
        self.issue_of(&found)
    }

    pub(super) async fn read_myself(&self) -> Result<Account, FeedbackError> {
        let found = self.call(Call::new(Method::GET, "/myself".to_owned(), "account of this name")).await?;
        let id = found[self.account_field()].as_str().ok_or_else(|| self.nonsense("who we are"))?.to_owned();
        let name = found["displayName"].as_str().unwrap_or(&id).to_owned();
        Ok(Account { id, name, base: self.base.clone(), field: self.account_field() })
    }

    /// Version 2 in the cloud as well: its issues look as they do in webhooks.
    pub(super) async fn find(&self, jql: &str, limit: u32) -> Result<Vec<Found>, FeedbackError> {
        let path = if self.is_cloud() { "/search/jql" } else { "/search" };
        let (mut all, mut seen, mut next) = (Vec::new(), BTreeSet::new(), None);
        let mut start: u64 = 0;
        while (all.len() as u64) < u64::from(limit) {
            let room = limit.saturating_sub(u32::try_from(all.len()).unwrap_or(u32::MAX)).min(PAGE);
            // A text in the cloud, a list in a Data Center.
            let expand = if self.is_cloud() { json!("changelog") } else { json!(["changelog"]) };
            let mut body = json!({ "jql": jql, "maxResults": room, "fields": FOUND, "expand": expand });
            match &next {
                Some(token) => body["nextPageToken"] = Value::clone(token),
                None if !self.is_cloud() => body["startAt"] = start.into(),
                None => {}
            }
            let call = Call::new(Method::POST, path.to_owned(), "such query").version(2);
            let page = self.call(call.body(&body)).await?;
            let issues = page["issues"].as_array().ok_or_else(|| self.nonsense("issues"))?;
            for raw in issues {
                let issue = self.issue_of(raw)?;
                // Pages shift while issues change: the same may come twice.
                if seen.insert(issue.key.clone()) {
                    all.push(Found { issue, raw: raw.clone() });
                }
            }
            start += issues.len() as u64;
            next = page.get("nextPageToken").filter(|token| token.is_string()).cloned();
            let more = if self.is_cloud() { next.is_some() } else { page["total"].as_u64().is_some_and(|total| start < total) };
            if issues.is_empty() || !more {
                break;
            }
        }
        all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(all)
    }

    fn issue_of(&self, found: &Value) -> Result<Issue, FeedbackError> {
        let fields = &found["fields"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let read = || {
            Some(Issue {
                key: text(&found["key"])?,
                status: text(&fields["status"]["name"])?,
                updated: fields["updated"].as_str()?.parse().ok()?,
                labels: fields["labels"].as_array().into_iter().flatten().filter_map(text).collect(),
                assignee: text(&fields["assignee"][self.account_field()]),
                resolution: text(&fields["resolution"]["name"]),
            })
        };
        read().ok_or_else(|| self.nonsense("an issue"))
    }

    pub(super) fn nonsense(&self, wanted: &str) -> FeedbackError {
        self.http.unavailable(format!("its answer does not hold {wanted}"))
    }
}
