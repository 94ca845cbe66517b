//! Issues, their workflow and what is remembered of each change.

use super::{ACCOUNT, NAME, State};
use serde_json::{Map, Value, json};

/// A transition of the workflow.
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) from: Vec<String>,
    pub(super) to: String,
    /// The fields of its screen, as Jira describes them.
    pub(super) fields: Map<String, Value>,
}

impl Step {
    pub fn new(id: &str, name: &str, from: &[&str], to: &str, fields: Value) -> Self {
        let fields = fields.as_object().expect("fields by id").clone();
        Self { id: id.to_owned(), name: name.to_owned(), from: from.iter().map(|&from| from.to_owned()).collect(), to: to.to_owned(), fields }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct FakeComment {
    pub id: u64,
    /// A document in the cloud, wiki text in a Data Center.
    pub body: Value,
    pub properties: Map<String, Value>,
    pub by_us: bool,
    pub created: i64,
}

impl FakeComment {
    /// Whether customers of a service desk see it.
    pub fn is_public(&self) -> bool {
        self.properties.get("sd.public.comment").is_none_or(|property| property["internal"] != true)
    }

    /// One that a person writes.
    pub fn of_a_person(id: u64, text: &str) -> Self {
        Self { id, body: text.into(), properties: Map::new(), by_us: false, created: 0 }
    }
}

#[derive(Debug, Clone)]
pub struct FakeIssue {
    pub id: u64,
    pub key: String,
    pub status: String,
    pub resolution: Option<String>,
    pub labels: Vec<String>,
    /// Account id or name.
    pub assignee: Option<String>,
    /// All other fields.
    pub fields: Map<String, Value>,
    pub comments: Vec<FakeComment>,
    /// Remote links as they were sent, by their global ids.
    pub links: Vec<(String, Value)>,
    /// Every change of its status, oldest first.
    pub history: Vec<Moved>,
    pub updated: i64,
}

/// A change of an issue's status.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// Its id in the history: webhooks have the same.
    pub id: u64,
    pub at: i64,
    /// Account id or name.
    pub by: String,
    pub from: String,
    pub to: String,
}

impl Moved {
    /// As a history shows it.
    fn view(&self, cloud: bool) -> Value {
        json!({ "id": self.id.to_string(), "author": user(cloud, &self.by, "Somebody"), "created": date(self.at), "items": [self.item(cloud)] })
    }

    fn item(&self, cloud: bool) -> Value {
        let mut item = json!({ "field": "status", "fieldtype": "jira", "from": "1", "fromString": self.from, "to": "2", "toString": self.to });
        if cloud {
            item["fieldId"] = json!("status");
        }
        item
    }
}

/// One effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub issue: String,
    pub at: i64,
    /// `status`, `labels`, `comment`, `link`, ...
    pub field: String,
    pub from: Value,
    pub to: Value,
}

impl FakeIssue {
    pub(super) fn new(id: u64, key: &str, status: &str, at: i64) -> Self {
        Self {
            id,
            key: key.to_owned(),
            status: status.to_owned(),
            resolution: None,
            labels: Vec::new(),
            assignee: None,
            fields: Map::from_iter([("summary".to_owned(), json!(format!("Summary of {key}")))]),
            comments: Vec::new(),
            links: Vec::new(),
            history: Vec::new(),
            updated: at,
        }
    }

    /// As the API shows it; `wanted` has the names of fields, or `*all`.
    pub(super) fn view(&self, cloud: bool, wanted: &[&str]) -> Value {
        let named = |name: &Option<String>| name.as_ref().map_or(Value::Null, |name| json!({ "name": name }));
        let mut fields = self.fields.clone();
        fields.insert("status".to_owned(), json!({ "name": self.status, "id": "1" }));
        fields.insert("resolution".to_owned(), named(&self.resolution));
        fields.insert("labels".to_owned(), json!(self.labels));
        fields.insert("assignee".to_owned(), self.assignee.as_ref().map_or(Value::Null, |id| user(cloud, id, "Somebody")));
        fields.insert("updated".to_owned(), date(self.updated).into());
        fields.insert("project".to_owned(), json!({ "key": self.project() }));
        if !wanted.contains(&"*all") {
            fields.retain(|name, _| wanted.contains(&name.as_str()));
        }
        json!({ "id": self.id.to_string(), "key": self.key, "fields": fields })
    }

    /// With its history, the newest first in the cloud.
    pub(super) fn view_with_history(&self, cloud: bool, wanted: &[&str]) -> Value {
        let mut entries: Vec<Value> = self.history.iter().map(|moved| moved.view(cloud)).collect();
        if cloud {
            entries.reverse();
        }
        let mut shown = self.view(cloud, wanted);
        shown["changelog"] = json!({ "startAt": 0, "maxResults": entries.len(), "total": entries.len(), "histories": entries });
        shown
    }

    pub(super) fn project(&self) -> &str {
        self.key.split('-').next().unwrap_or_default()
    }
}

impl State {
    /// The time of one more change: later than the one before.
    pub(super) fn tick(&mut self) -> i64 {
        self.seconds += 1;
        self.seconds
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn ourselves(&self) -> &'static str {
        if self.cloud { ACCOUNT } else { NAME }
    }

    /// Remembers an effect of ours, where it is one.
    pub(super) fn changed(&mut self, key: &str, field: &str, from: Value, to: Value) {
        if from == to {
            return;
        }
        let at = self.tick();
        let ourselves = self.ourselves();
        if let Some(issue) = self.issues.get_mut(key) {
            issue.updated = at;
            if let ("status", Some(from), Some(to)) = (field, from.as_str(), to.as_str()) {
                issue.history.push(Moved { id: at.unsigned_abs(), at, by: ourselves.to_owned(), from: from.to_owned(), to: to.to_owned() });
            }
        }
        self.changes.push(Change { issue: key.to_owned(), at, field: field.to_owned(), from, to });
    }

    /// What a webhook says of the last change of an issue's status; it is sent a moment after the change.
    pub(super) fn webhook_of_move(&self, key: &str) -> Value {
        let issue = &self.issues[key];
        let moved = issue.history.last().expect("a change of status");
        json!({
            "timestamp": moved.at * 1000 + 12,
            "webhookEvent": "jira:issue_updated",
            "issue_event_type_name": "issue_generic",
            "user": user(self.cloud, &moved.by, "Somebody"),
            "issue": issue.view(self.cloud, &["*all"]),
            "changelog": { "id": moved.id.to_string(), "items": [moved.item(self.cloud)] },
        })
    }

    /// What a webhook says of a change of ours.
    pub(super) fn webhook(&self, change: &Change) -> Value {
        let issue = self.issues.get(&change.issue).map_or(Value::Null, |issue| issue.view(self.cloud, &["*all"]));
        let us = user(self.cloud, self.ourselves(), "KubeOps");
        let timestamp = change.at * 1000;
        if change.field == "comment" {
            return json!({ "timestamp": timestamp, "webhookEvent": "comment_created", "comment": { "author": us, "body": change.to }, "issue": issue });
        }
        let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let item = json!({ "field": change.field, "fieldtype": "jira", "fromString": words(&change.from), "toString": words(&change.to) });
        json!({
            "timestamp": timestamp,
            "webhookEvent": "jira:issue_updated",
            "issue_event_type_name": "issue_generic",
            "user": us,
            "issue": issue,
            "changelog": { "id": change.at.to_string(), "items": [item] },
        })
    }
}

pub(super) fn user(cloud: bool, id: &str, name: &str) -> Value {
    match cloud {
        true => json!({ "accountId": id, "accountType": "atlassian", "displayName": name, "active": true }),
        false => json!({ "name": id, "key": format!("JIRAUSER-{id}"), "displayName": name, "active": true }),
    }
}

/// As Jira writes it.
pub(super) fn date(seconds: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
    let text = moment.format(&time::format_description::well_known::Rfc3339).expect("a date");
    text.replace('Z', ".000+0000")
}
