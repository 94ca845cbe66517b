//! Links, labels, fields and the assignee: what is set is set again without harm. What is so already is read first and left alone, so that
//! nobody is notified of nothing.

use super::Jira;
use super::call::Call;
use crate::feedback::markdown::{cut, web_address};
use crate::feedback::{Act, Done, FeedbackError};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// The longest id and title of a link, in characters.
const MAX_TEXT: usize = 255;

impl Jira {
    /// A link with its id is made or brought up to date by the same call.
    pub(super) async fn link(&self, issue: &str, act: &Act) -> Result<Done, FeedbackError> {
        let Act::Link { global_id, url, title, summary, relationship, icon, resolved } = act else { return Ok(Done::Already) };
        if global_id.is_empty() || global_id.chars().count() > MAX_TEXT {
            return Err(self.http.invalid(format!("the id of a link has 1 to {MAX_TEXT} characters")));
        }
        let Some(url) = web_address(url) else {
            return Err(self.http.invalid("a link leads to http:// or https://"));
        };
        let word = icon.as_str();
        let mut object = json!({
            "url": url,
            "title": cut(title, MAX_TEXT),
            "icon": { "title": format!("Pull request, {word}") },
            "status": { "resolved": resolved, "icon": { "title": word, "link": url } },
        });
        if let Some(pictures) = &self.pictures {
            let picture = format!("{pictures}/{}", icon.file());
            object["icon"]["url16x16"] = picture.as_str().into();
            object["status"]["icon"]["url16x16"] = picture.into();
        }
        if let Some(summary) = summary {
            object["summary"] = cut(summary, MAX_TEXT).into();
        }
        let mut body = json!({ "globalId": global_id, "application": { "type": "dev.kubeops", "name": "KubeOps" }, "object": object });
        if let Some(relationship) = relationship {
            body["relationship"] = cut(relationship, MAX_TEXT).into();
        }
        let path = self.of_issue(issue, "/remotelink")?;
        self.call(Call::new(Method::POST, path, format!("issue {issue}")).body(&body)).await?;
        Ok(Done::Did)
    }

    pub(super) async fn labels(&self, issue: &str, add: &[String], remove: &[String]) -> Result<Done, FeedbackError> {
        let present = self.read_issue(issue).await?.labels;
        let added = add.iter().filter(|label| !present.contains(label)).map(|label| json!({ "add": label }));
        let removed = remove.iter().filter(|label| present.contains(label) && !add.contains(label)).map(|label| json!({ "remove": label }));
        let changes: Vec<Value> = added.chain(removed).collect();
        if changes.is_empty() {
            return Ok(Done::Already);
        }
        self.edit(issue, &json!({ "update": { "labels": changes } })).await
    }

    pub(super) async fn fields(&self, issue: &str, fields: &Map<String, Value>) -> Result<Done, FeedbackError> {
        let ids = fields.keys().map(String::as_str).collect::<Vec<_>>().join(",");
        if ids.is_empty() {
            return Ok(Done::Already);
        }
        let call = Call::new(Method::GET, self.of_issue(issue, "")?, format!("issue {issue}"));
        let present = self.call(call.query(&[("fields", &ids)])).await?;
        if fields.iter().all(|(id, wanted)| covers(&present["fields"][id], wanted)) {
            return Ok(Done::Already);
        }
        self.edit(issue, &json!({ "fields": fields })).await
    }

    pub(super) async fn assign(&self, issue: &str, account: Option<&str>) -> Result<Done, FeedbackError> {
        if self.read_issue(issue).await?.assignee.as_deref() == account {
            return Ok(Done::Already);
        }
        let body = json!({ self.account_field(): account });
        let path = self.of_issue(issue, "/assignee")?;
        self.call(Call::new(Method::PUT, path, format!("issue {issue}")).body(&body)).await?;
        Ok(Done::Did)
    }

    async fn edit(&self, issue: &str, body: &Value) -> Result<Done, FeedbackError> {
        let path = self.of_issue(issue, "")?;
        self.call(Call::new(Method::PUT, path, format!("issue {issue}")).body(body)).await?;
        Ok(Done::Did)
    }
}

/// Whether what is there holds everything that is wanted: Jira shows more of a value than it is set with.
fn covers(present: &Value, wanted: &Value) -> bool {
    match (present, wanted) {
        (Value::Object(present), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| present.get(name).is_some_and(|found| covers(found, value)))
        }
        (Value::Array(present), Value::Array(wanted)) => {
            present.len() == wanted.len() && present.iter().zip(wanted).all(|(present, wanted)| covers(present, wanted))
        }
        _ => present == wanted,
    }
}
