//! Alerts: those that fire and no delivery told of, and those of open requests that are gone. Built as Alertmanager's notifications are,
//! so that an alert is known by the same fingerprint, start and status however it came.

use super::{ReconcileError, Reconciler, headers};
use crate::event::Event;
use crate::feedback::{Alerts, AlertsAt, Makings, SecretSource, TIMEOUT};
use crate::ingress::{ReconcileAuthentication, Source};
use crate::types::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Alerts filed as one delivery.
const AT_ONCE: usize = 200;
/// What a notification says once for its group and an event's data repeats.
const CONTEXT: [&str; 6] = ["groupLabels", "commonLabels", "commonAnnotations", "receiver", "externalURL", "groupKey"];

/// Where the alerts are, and whose.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) url: &'a str,
    pub(super) receiver: &'a str,
    pub(super) authentication: Option<&'a ReconcileAuthentication>,
}

impl Reconciler {
    /// Files alerts that fire or are over and that no delivery told of; tells how many deliveries.
    pub(super) async fn alerts(&mut self, source: &Source, at: At<'_>, since: Timestamp, gone_for: Duration) -> Result<u64, ReconcileError> {
        let groups = self.alertmanager(source, at)?.groups().await?;
        let mut filed = 0;
        for group in groups.iter().filter(|group| group["receiver"]["name"] == at.receiver) {
            let firing: Vec<&Value> = alerts(group).filter(|alert| alert["status"]["state"] == "active" && begun(alert) >= Some(since)).collect();
            for alerts in firing.chunks(AT_ONCE) {
                filed += u64::from(self.firing(source, at, group, alerts).await?);
            }
        }
        Ok(filed + self.resolved(source, &groups, gone_for).await?)
    }

    fn alertmanager(&self, source: &Source, at: At<'_>) -> Result<Alerts, ReconcileError> {
        let secrets = Arc::clone(&self.pipeline.secrets);
        let named = at.authentication.map(|authentication| authentication.secret().clone());
        let secret: SecretSource = Arc::new(move || match &named {
            Some(name) => secrets.secret(name).map_err(|error| error.to_string()),
            None => Err("none is named".to_owned()),
        });
        let makings = Makings { secret, clock: Arc::clone(&self.pipeline.clock), timeout: TIMEOUT };
        Ok(Alerts::new(source.name(), AlertsAt { url: at.url, authentication: at.authentication }, makings)?)
    }

    /// Files those of a group's alerts that are not known.
    async fn firing(&self, source: &Source, at: At<'_>, group: &Value, alerts: &[&Value]) -> Result<bool, ReconcileError> {
        let Some(known) = self.known(source, &headers(&[]), &notification(at, group, alerts)).await? else { return Ok(false) };
        let unknown: Vec<&Value> = alerts.iter().zip(known).filter(|(_, known)| !known).map(|(alert, _)| *alert).collect();
        if unknown.is_empty() {
            return Ok(false);
        }
        self.file(source, &headers(&[]), &notification(at, group, &unknown)).await
    }

    /// Files the end of those alerts of open requests that have been gone for long enough.
    async fn resolved(&mut self, source: &Source, groups: &[Value], gone_for: Duration) -> Result<u64, ReconcileError> {
        let present: BTreeSet<&str> = groups.iter().flat_map(alerts).filter_map(|alert| alert["fingerprint"].as_str()).collect();
        let now = self.now();
        let before = self.gone.get(source.name());
        let (mut gone, mut filed) = (HashMap::new(), 0);
        let mut open = self.open_events(source.name());
        while let Some(events) = open.page().await? {
            let is_missing = |event: &Event| event.kind.as_str() == "alert.firing" && !present.contains(event.subject.as_str());
            for event in events.into_iter().filter(is_missing) {
                let since = before.and_then(|before| before.get(&event.subject)).copied().unwrap_or(now);
                gone.insert(event.subject.clone(), since);
                if now.since(since) >= gone_for {
                    filed += u64::from(self.file(source, &headers(&[]), &end_of(&event, since)).await?);
                }
            }
        }
        self.gone.insert(source.name().clone(), gone);
        Ok(filed)
    }
}

fn alerts(group: &Value) -> impl Iterator<Item = &Value> {
    group["alerts"].as_array().into_iter().flatten()
}

fn begun(alert: &Value) -> Option<Timestamp> {
    alert["startsAt"].as_str()?.parse().ok()
}

/// What Alertmanager would have sent of these alerts of a group; only the group's key is not to be had.
fn notification(at: At<'_>, group: &Value, alerts: &[&Value]) -> Value {
    let told = alerts.iter().map(|alert| {
        json!({
            "status": "firing",
            "labels": alert["labels"],
            "annotations": alert["annotations"],
            "startsAt": alert["startsAt"],
            // As it writes that there is none.
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": alert["generatorURL"].as_str().unwrap_or_default(),
            "fingerprint": alert["fingerprint"],
        })
    });
    json!({
        "version": "4",
        "status": "firing",
        "receiver": at.receiver,
        "groupLabels": group["labels"],
        "commonLabels": common(alerts, "labels"),
        "commonAnnotations": common(alerts, "annotations"),
        "externalURL": at.url,
        "truncatedAlerts": 0,
        "alerts": told.collect::<Vec<_>>(),
    })
}

/// What all of the alerts say alike.
fn common(alerts: &[&Value], field: &str) -> Value {
    let Some((first, others)) = alerts.split_first() else { return json!({}) };
    let said = first[field].as_object().cloned().unwrap_or_default();
    let alike = |(name, value): &(String, Value)| others.iter().all(|other| other[field].get(name) == Some(value));
    Value::Object(said.into_iter().filter(alike).collect())
}

/// What Alertmanager would have sent of the end of an alert, from what it said when it began.
fn end_of(event: &Event, ended: Timestamp) -> Value {
    let mut alert = event.data.as_object().cloned().unwrap_or_default();
    let mut body: Map<String, Value> = CONTEXT.iter().filter_map(|name| alert.shift_remove_entry(*name)).collect();
    alert.shift_remove("truncatedAlerts");
    alert.insert("status".to_owned(), "resolved".into());
    alert.insert("endsAt".to_owned(), ended.to_string().into());
    for (name, value) in [("version", json!("4")), ("status", json!("resolved")), ("truncatedAlerts", json!(0)), ("alerts", json!([alert]))] {
        body.insert(name.to_owned(), value);
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(name: &str, team: &str) -> Value {
        json!({
            "labels": { "alertname": "Full", "pod": name, "team": team }, "annotations": { "summary": "It is full." },
            "startsAt": "2026-11-20T12:00:00.123Z", "endsAt": "2026-11-20T12:05:00.000Z", "updatedAt": "2026-11-20T12:01:00.000Z",
            "fingerprint": "0123456789abcdef", "generatorURL": "http://prometheus.example/graph",
            "receivers": [{ "name": "kubeops" }], "status": { "state": "active", "inhibitedBy": [], "silencedBy": [] },
        })
    }

    const AT: At<'static> = At { url: "http://alertmanager:9093", receiver: "kubeops", authentication: None };

    #[test]
    fn a_notification_is_what_alertmanager_would_have_sent() {
        let (one, two) = (alert("a", "web"), alert("b", "web"));
        let body = notification(AT, &json!({ "labels": { "alertname": "Full" }, "receiver": { "name": "kubeops" } }), &[&one, &two]);
        assert_eq!((&body["version"], &body["receiver"], &body["groupLabels"]), (&json!("4"), &json!("kubeops"), &json!({ "alertname": "Full" })));
        assert_eq!(body["commonLabels"], json!({ "alertname": "Full", "team": "web" }));
        assert_eq!(body["commonAnnotations"], json!({ "summary": "It is full." }));
        let told = &body["alerts"][1];
        assert_eq!((&told["status"], &told["labels"]["pod"], &told["endsAt"]), (&json!("firing"), &json!("b"), &json!("0001-01-01T00:00:00Z")));
        assert_eq!(told.get("receivers"), None, "nothing that a notification has not");
    }

    #[test]
    fn the_end_of_an_alert_says_what_its_beginning_said() {
        let mut data = alert("a", "web");
        data["status"] = json!("firing");
        data["groupKey"] = json!("{}:{alertname=\"Full\"}");
        data["groupLabels"] = json!({ "alertname": "Full" });
        let at: Timestamp = "2026-11-20T13:00:00Z".parse().expect("a time");
        let event = Event {
            id: "evt_00000000000000000000000001".parse().expect("an id"),
            delivery: None,
            source: None,
            traceparent: None,
            kind: "alert.firing".parse().expect("a type"),
            subject: "0123456789abcdef".to_owned(),
            time: at,
            data,
        };
        let body = end_of(&event, at);
        assert_eq!((&body["groupKey"], &body["status"]), (&json!("{}:{alertname=\"Full\"}"), &json!("resolved")));
        let told = &body["alerts"][0];
        assert_eq!(
            (&told["status"], &told["endsAt"], &told["startsAt"]),
            (&json!("resolved"), &json!("2026-11-20T13:00:00.000Z"), &json!("2026-11-20T12:00:00.123Z"))
        );
        assert_eq!((told.get("groupKey"), &told["labels"]["pod"]), (None, &json!("a")));
    }
}
