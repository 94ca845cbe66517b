//! Comments. Each carries an entity property by which it is found again when nobody knows whether it was made; a second call to set
//! one would be a second thing that can get lost. Internal is a property too, in the same call.

use super::Jira;
use super::call::Call;
use crate::feedback::{Done, FeedbackError, adf, wiki};
use reqwest::Method;
use serde_json::{Value, json};

/// The property a comment is found again by.
const PROPERTY: &str = "kubeops";
/// Comments in one page of a listing.
const PAGE: usize = 100;
/// Pages looked through for a comment.
const MOST_PAGES: usize = 10;
/// Comments whose property is asked for one by one, where a listing does not show properties.
const MOST_ASKED: usize = 50;

impl Jira {
    pub(super) async fn comment(&self, issue: &str, marker: &str, text: &str, public: bool, asked_before: bool) -> Result<Done, FeedbackError> {
        if asked_before && self.has_comment(issue, marker).await? {
            return Ok(Done::Already);
        }
        let body = if self.is_cloud() { adf::of(text) } else { Value::String(wiki::of(text)) };
        let properties = json!([
            { "key": PROPERTY, "value": { "marker": marker } },
            { "key": "sd.public.comment", "value": { "internal": !public } },
        ]);
        let body = json!({ "body": body, "properties": properties });
        let path = self.of_issue(issue, "/comment")?;
        self.call(Call::new(Method::POST, path, format!("issue {issue}")).body(&body)).await?;
        Ok(Done::Did)
    }

    /// Whether the issue has the comment: the newest are looked at first.
    async fn has_comment(&self, issue: &str, marker: &str) -> Result<bool, FeedbackError> {
        let (mut asked, mut start) = (0, 0);
        for _ in 0..MOST_PAGES {
            let (from, size) = (start.to_string(), PAGE.to_string());
            let query = [("orderBy", "-created"), ("expand", "properties"), ("startAt", from.as_str()), ("maxResults", size.as_str())];
            let path = self.of_issue(issue, "/comment")?;
            let found = self.call(Call::new(Method::GET, path, format!("issue {issue}")).query(&query)).await?;
            let comments = found["comments"].as_array().ok_or_else(|| self.nonsense("comments"))?;
            for comment in comments {
                let is_it = match comment["properties"].as_array() {
                    Some(properties) => properties.iter().any(|property| property["key"] == PROPERTY && property["value"]["marker"] == marker),
                    None if asked < MOST_ASKED && self.is_ours(comment).await? => {
                        asked += 1;
                        self.has_property(comment, marker).await?
                    }
                    None => false,
                };
                if is_it {
                    return Ok(true);
                }
            }
            // It may give fewer at a time than it was asked for.
            start += comments.len() as u64;
            if comments.is_empty() || start >= found["total"].as_u64().unwrap_or_default() {
                break;
            }
        }
        Ok(false)
    }

    async fn is_ours(&self, comment: &Value) -> Result<bool, FeedbackError> {
        let account = self.myself.get_or_try_init(|| self.read_myself()).await?;
        Ok(comment["author"][self.account_field()] == account.id.as_str())
    }

    /// Asks for the property of one comment.
    async fn has_property(&self, comment: &Value, marker: &str) -> Result<bool, FeedbackError> {
        let id = comment["id"]
            .as_str()
            .filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| self.nonsense("a comment's id"))?;
        match self.call(Call::new(Method::GET, format!("/comment/{id}/properties/{PROPERTY}"), "such property")).await {
            Ok(property) => Ok(property["value"]["marker"] == marker),
            Err(FeedbackError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
