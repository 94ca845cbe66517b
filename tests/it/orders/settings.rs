//! How the automation of a story is set up: who asks, what becomes of a merged change, how long it is wanted, whether it waits for a calendar.

use super::hand::BEGIN;
use kubeops::types::Timestamp;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a change is wanted, where it is not wanted for good.
pub const WANTED_FOR: Duration = Duration::from_secs(8 * 3600);
const DAY: i64 = 86_400_000;
/// Days on which nothing takes effect where a calendar is named: the one every world begins on, and the one after the next.
const CLOSED: [i64; 2] = [BEGIN / DAY, BEGIN / DAY + 2];

/// One of the ways; an automation has the name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A ticket that is moved asks, and not an alert.
    pub tickets: bool,
    /// A merged change is taken back when nobody wants it any more.
    pub reverts: bool,
    /// A merged change is wanted for [`WANTED_FOR`].
    pub ends: bool,
    /// It is merged by the forge itself, and waits for the calendar.
    pub waits: bool,
}

impl Settings {
    pub fn draw(random: &mut StdRng) -> Self {
        let mut draw = || random.random_bool(0.5);
        Self { tickets: draw(), reverts: draw(), ends: draw(), waits: draw() }
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits| Self { tickets: bits & 1 != 0, reverts: bits & 2 != 0, ends: bits & 4 != 0, waits: bits & 8 != 0 })
    }

    /// The name of the automation.
    pub fn name(self) -> String {
        let who = if self.tickets { "ticket" } else { "alert" };
        let parts = [(self.reverts, "-reverts"), (self.ends, "-ends"), (self.waits, "-waits")];
        parts.into_iter().filter(|(is, _)| *is).fold(who.to_owned(), |name, (_, part)| name + part)
    }

    /// The source whose events ask.
    pub fn source(self) -> &'static str {
        if self.tickets { "tickets" } else { "alerts" }
    }

    fn automation(self) -> String {
        let name = self.name();
        let merged = if self.reverts { "revert" } else { "keep" };
        let hours = WANTED_FOR.as_secs() / 3600;
        let (asks, withdraws, data) = if self.tickets {
            let of = format!("event.data.issue.fields.plan == '{name}'");
            let asks =
                format!("  on: {{ source: tickets, types: [jira.issue.transitioned] }}\n  when: {of} && event.data.transition.to == 'Approved'\n");
            (asks, format!("when: \"{of} && event.data.transition.to != 'Approved'\""), "event.data.issue.fields")
        } else {
            let of = format!("event.data.labels.plan == '{name}'");
            let asks = format!("  on: {{ source: alerts, types: [alert.firing] }}\n  when: {of}\n");
            (asks, format!("types: [alert.resolved], when: \"{of}\""), "event.data.labels")
        };
        let mut text = format!(
            "---\napiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: {{ name: {name} }}\nspec:\n{asks}  correlate: {data}.service\n  \
             withdraw: {{ {withdraws}, merged: {merged} }}\n"
        );
        // What goes back and forth here is the story.
        text.push_str("  limits: { loop: { changes: 0 } }\n");
        if self.ends {
            let by_itself = if self.waits { ", autoMerge: squash" } else { "" };
            text.push_str(&format!("  ttl: {{ after: {hours}h{by_itself} }}\n"));
        }
        if self.waits {
            text.push_str("  calendar: office\n");
        }
        text.push_str(&format!(
            "  parameters:\n    name: {{ from: {data}.service, schema: {{ type: string }} }}\n    \
             maxReplicas: {{ from: int({data}.wanted), schema: {{ type: integer }} }}\n  \
             target: {{ repository: gitops }}\n  render:\n    - template: horizontal-pod-autoscaler\n      \
             with: {{ namespace: \"'web'\", target: '{{\"name\": parameters.name}}' }}\n      path: \"{{{{ parameters.name }}}}.yaml\"\n  \
             pullRequest:\n    title: \"{{{{ parameters.name }}}}: {{{{ parameters.maxReplicas }}}}\"\n"
        ));
        if self.waits {
            text.push_str("    autoMerge: squash\n");
        }
        text
    }

    /// What is sent of the event with this number about a service: it is asked for in even ones, and no longer in odd ones.
    pub fn body(self, service: &str, number: u32, wanted: u32) -> Value {
        let asks = number.is_multiple_of(2);
        if self.tickets {
            let statuses = ["Approved", if number % 4 == 1 { "Cancelled" } else { "Open" }];
            let (from, to) = if asks { (statuses[1], statuses[0]) } else { (statuses[0], statuses[1]) };
            let key = service.to_ascii_uppercase();
            return json!({
                "timestamp": moment(i64::from(number)).unix_millis(), "webhookEvent": "jira:issue_updated",
                "issue": { "id": "1", "key": key, "fields": {
                    "plan": self.name(), "service": service, "wanted": wanted, "status": { "id": "3", "name": to } } },
                "changelog": { "id": number.to_string(), "items": [
                    { "field": "status", "fieldId": "status", "fieldtype": "jira", "from": "1", "fromString": from, "to": "3", "toString": to }] },
            });
        }
        let ends = if asks { "0001-01-01T00:00:00Z".to_owned() } else { moment(i64::from(number)).to_string() };
        let status = if asks { "firing" } else { "resolved" };
        let labels = json!({ "alertname": "HpaMaxedOut", "service": service, "plan": self.name(), "wanted": wanted.to_string() });
        let alert = json!({
            "status": status, "labels": labels, "annotations": {}, "startsAt": moment(i64::from(number - number % 2)).to_string(), "endsAt": ends,
            "fingerprint": format!("{:016x}", fingerprint(service)),
        });
        json!({ "version": "4", "status": status, "receiver": "kubeops", "groupKey": "{}", "alerts": [alert] })
    }
}

/// The resources that every story finds: one automation for each of the ways.
pub fn resources(upstream: &str) -> String {
    let common = include_str!("resources.yaml").replace("UPSTREAM", upstream);
    let days = CLOSED.map(|day| Timestamp::from_unix_millis(day * DAY).to_string()[..10].to_owned());
    let blackouts = days.map(|day| format!("{{ from: {day}, to: {day} }}")).join(", ");
    let automations: String = Settings::all().map(Settings::automation).collect();
    common.replace("BLACKOUTS", &blackouts) + &automations
}

/// Whether the calendar is closed.
pub fn is_closed(at: Timestamp) -> bool {
    CLOSED.contains(&day(at))
}

/// The day of a moment.
pub fn day(at: Timestamp) -> i64 {
    at.unix_millis() / DAY
}

/// A moment by the clock of senders, days before anything is heard.
pub fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(BEGIN - 10 * DAY + seconds * 1000)
}

fn fingerprint(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
