//! Tickets: those a query finds in the state that automations wait for, and those of open requests, which may have moved on. Of each the
//! last change of its status is what a webhook would have told, at the time when it happened.

use super::{ReconcileError, Reconciler, headers};
use crate::feedback::{FeedbackError, Found, Outlet, Tracker};
use crate::ingress::Source;
use crate::store::{EventFilter, PageQuery};
use crate::types::{ChannelName, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Tickets a query may find; beyond them the next rounds go on, once these have left the state.
const MOST_FOUND: u32 = 1_000;
/// Tickets of open requests asked for in one query.
const AT_ONCE: usize = 100;
/// Events about a ticket that are looked at.
const MOST_EVENTS: u32 = 20;

impl Reconciler {
    /// Files the last change of status of every ticket that no delivery told of; tells how many.
    pub(super) async fn tickets(&self, source: &Source, channel: &ChannelName, jql: &str, since: Timestamp) -> Result<u64, ReconcileError> {
        let Outlet::Tracker(tracker) = self.pipeline.channels.outlet(channel)? else { return Ok(0) };
        // A change of ours among them is known by who made it.
        tracker.myself().await?;
        let found = tracker.search(jql, MOST_FOUND).await?;
        let mut seen = BTreeSet::new();
        let mut filed = 0;
        for ticket in &found {
            seen.insert(ticket.issue.key.clone());
            filed += u64::from(self.ticket(source, ticket, since).await?);
        }
        let open = self.pipeline_tickets(source, &seen).await?;
        for keys in open.chunks(AT_ONCE) {
            for ticket in moved(tracker.as_ref(), keys).await? {
                filed += u64::from(self.ticket(source, &ticket, since).await?);
            }
        }
        Ok(filed)
    }

    /// The tickets of open requests that the query did not find.
    async fn pipeline_tickets(&self, source: &Source, seen: &BTreeSet<String>) -> Result<Vec<String>, ReconcileError> {
        let (mut open, mut keys) = (self.open_events(source.name()), BTreeSet::new());
        while let Some(events) = open.page().await? {
            keys.extend(events.into_iter().map(|event| event.subject).filter(|key| !seen.contains(key)));
        }
        Ok(keys.into_iter().collect())
    }

    async fn ticket(&self, source: &Source, found: &Found, since: Timestamp) -> Result<bool, ReconcileError> {
        let Some(last) = last_word(&found.raw).filter(|last| last.at >= since) else { return Ok(false) };
        if last.moved && self.was_told(source, &found.issue.key, last.at).await? {
            return Ok(false);
        }
        self.file(source, &headers(&[]), &last.body).await
    }

    /// Whether an event told of the change without its id in the issue's history, as bodies do that are not webhooks: there is no later
    /// change, so what came since is about this one.
    async fn was_told(&self, source: &Source, key: &str, at: Timestamp) -> Result<bool, ReconcileError> {
        let kind = "jira.issue.transitioned".parse().ok();
        let filter = EventFilter { source: Some(source.name().clone()), kind, subject: Some(key.to_owned()), ..EventFilter::default() };
        let told = self.pipeline.store.events(&filter, &PageQuery { limit: MOST_EVENTS, after: None }).await?;
        Ok(told.items.iter().any(|event| event.time >= at))
    }
}

/// How these tickets stand. Jira refuses a query that names one which is gone: then each is asked for by itself.
async fn moved(tracker: &dyn Tracker, keys: &[String]) -> Result<Vec<Found>, FeedbackError> {
    let most = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    match tracker.search(&format!("key in ({})", keys.join(", ")), most).await {
        Err(FeedbackError::Invalid { .. }) => {}
        found => return found,
    }
    let mut all = Vec::new();
    for key in keys {
        match tracker.search(&format!("key in ({key})"), 1).await {
            Ok(found) => all.extend(found),
            Err(FeedbackError::Invalid { message, .. }) => tracing::debug!(%key, %message, "a ticket is not shown"),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// The last that a webhook would have told of an issue's status.
#[derive(Debug, PartialEq)]
struct LastWord {
    body: Value,
    at: Timestamp,
    /// Whether its status was changed; else it was created in it.
    moved: bool,
}

/// Reads it from an issue as a search shows it, with its history; none when the history does not go back far enough.
fn last_word(raw: &Value) -> Option<LastWord> {
    let history = raw.get("changelog")?;
    let entries = history["histories"].as_array()?;
    let moment = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    let number = |entry: &Value| entry["id"].as_str().and_then(|id| id.parse::<u64>().ok());
    let moves = |entry: &&Value| entry["items"].as_array().is_some_and(|items| items.iter().any(moves_status));
    let moved = entries.iter().filter(moves).filter_map(|entry| Some((moment(&entry["created"])?, number(entry), entry)));
    let last = moved.max_by_key(|(at, number, _)| (*at, *number));
    let mut issue = raw.clone();
    issue.as_object_mut()?.shift_remove("changelog");
    if let Some((at, _, entry)) = last {
        let body = json!({
            "timestamp": at.unix_millis(),
            "webhookEvent": "jira:issue_updated",
            "issue_event_type_name": "issue_generic",
            "user": entry["author"],
            "issue": issue,
            "changelog": { "id": entry["id"], "items": entry["items"] },
        });
        return Some(LastWord { body, at, moved: true });
    }
    let whole = history["total"].as_u64().is_none_or(|total| total <= entries.len() as u64);
    let at = moment(&raw["fields"]["created"]).filter(|_| whole)?;
    let creator = &raw["fields"]["creator"];
    let body = json!({
        "timestamp": at.unix_millis(),
        "webhookEvent": "jira:issue_created",
        "issue_event_type_name": "issue_created",
        "user": creator,
        "issue": issue,
    });
    Some(LastWord { body, at, moved: false })
}

/// Whether an entry of a history is about the issue's own status: a custom field may be called "status" as well.
fn moves_status(item: &Value) -> bool {
    match item["fieldId"].as_str() {
        Some(id) => id == "status",
        // Data Center has no `fieldId`.
        None => item["field"] == "status" && item["fieldtype"] != "custom",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(histories: Value) -> Value {
        let total = histories.as_array().map_or(0, Vec::len);
        json!({
            "id": "10147", "key": "OPS-42", "expand": "changelog",
            "fields": { "status": { "name": "Approved" }, "created": "2026-11-19T09:12:44.532+0100", "creator": { "accountId": "cora" } },
            "changelog": { "startAt": 0, "maxResults": total, "total": total, "histories": histories },
        })
    }

    fn entry(id: &str, created: &str, items: Value) -> Value {
        json!({ "id": id, "created": created, "author": { "accountId": "ada" }, "items": items })
    }

    fn status(from: &str, to: &str) -> Value {
        json!({ "field": "status", "fieldtype": "jira", "fieldId": "status", "from": "1", "fromString": from, "to": "2", "toString": to })
    }

    #[test]
    fn the_last_change_of_status_is_told_as_a_webhook_would_in_whatever_order_the_history_is() {
        let labels = json!({ "field": "labels", "fieldtype": "jira", "fieldId": "labels", "fromString": "", "toString": "x" });
        let lookalike = json!({ "field": "status", "fieldtype": "custom", "fieldId": "customfield_1", "fromString": "a", "toString": "Approved" });
        let mut histories = vec![
            entry("10342", "2026-11-20T13:00:00.111+0100", json!([labels, status("Waiting", "Approved")])),
            entry("10340", "2026-11-20T12:59:00.000+0100", json!([status("Open", "Waiting")])),
            entry("10343", "2026-11-20T13:05:00.000+0100", json!([labels])),
            entry("10344", "2026-11-20T13:06:00.000+0100", json!([lookalike])),
        ];
        for _ in 0..histories.len() {
            histories.rotate_left(1);
            let told = last_word(&issue(json!(histories))).expect("a change");
            assert_eq!((told.at.to_string().as_str(), told.moved), ("2026-11-20T12:00:00.111Z", true));
            assert_eq!(told.body["timestamp"], 1_795_176_000_111_i64);
            assert_eq!((&told.body["webhookEvent"], &told.body["user"]["accountId"]), (&json!("jira:issue_updated"), &json!("ada")));
            assert_eq!(told.body["changelog"], json!({ "id": "10342", "items": [labels, status("Waiting", "Approved")] }));
            assert_eq!((&told.body["issue"]["key"], told.body["issue"].get("changelog")), (&json!("OPS-42"), None));
        }
    }

    #[test]
    fn of_two_changes_in_one_moment_the_one_with_the_greater_id_is_the_last() {
        let at = "2026-11-20T13:00:00.000+0100";
        let histories = json!([entry("999", at, json!([status("Open", "Waiting")])), entry("1000", at, json!([status("Waiting", "Approved")]))]);
        assert_eq!(last_word(&issue(histories)).expect("a change").body["changelog"]["id"], "1000");
    }

    #[test]
    fn an_issue_that_was_created_in_its_status_is_told_as_created_unless_its_history_is_cut() {
        let told = last_word(&issue(json!([]))).expect("its creation");
        assert_eq!((told.at.to_string().as_str(), told.moved), ("2026-11-19T08:12:44.532Z", false));
        assert_eq!((&told.body["webhookEvent"], &told.body["user"]["accountId"]), (&json!("jira:issue_created"), &json!("cora")));
        let mut cut = issue(json!([]));
        cut["changelog"]["total"] = json!(3);
        assert_eq!(last_word(&cut), None);
        assert_eq!(last_word(&json!({ "key": "OPS-42", "fields": {} })), None, "a search that shows no history");
    }

    #[test]
    fn a_data_center_says_the_same_without_field_ids() {
        let item = json!({ "field": "status", "fieldtype": "jira", "from": "1", "fromString": "Open", "to": "3", "toString": "Approved" });
        let custom = json!({ "field": "status", "fieldtype": "custom", "from": "1", "fromString": "Open", "to": "3", "toString": "Approved" });
        let at = "2026-11-20T13:00:00.000+0100";
        assert!(last_word(&issue(json!([entry("7", at, json!([item]))]))).is_some_and(|told| told.moved));
        assert!(last_word(&issue(json!([entry("7", at, json!([custom]))]))).is_some_and(|told| !told.moved));
    }
}
