//! What the senders say of each key, in which order, and what people do in between: scripts by chance, of which it is known how they end.

use super::ledger::{Sent, Word};
use crate::support::chance::Chance;
use crate::support::server::{change_id, ticket};
use serde_json::{Value, json};
use sha2::Digest as _;

/// A piece of a script. The next begins when this one is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// These words are said, one after the other or all at once; it is over when each was acknowledged.
    Say { words: Vec<Word>, at_once: bool },
    /// A person sees an open pull request.
    SeesOpen,
    /// A person sees that none is open any more.
    SeesNone,
    /// A person merges the one that is open, and GitHub tells of it once.
    Merges,
    /// A person reads at the ticket that it was merged, so many times by now.
    ReadsOfMerges(usize),
    /// What was said first is sent once more, as somebody replays it.
    RepeatsFirst,
    /// A person asks in a comment for another value, and another who may not write meddles; it is over when both have a sign.
    Comments,
    /// A person sees what was asked for last in what is open.
    SeesNewest,
    /// A person reads at the pull request that it may not be wanted, or sees it closed.
    ReadsWord,
    /// A person sees a pull request that takes back what was merged, and merges it.
    MergesRevert,
}

/// What a key is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A ticket, whose merged change stays.
    Ticket,
    /// A ticket, whose merged change is taken back when it is cancelled.
    Loan,
    /// A ticket, for which a language model drafts the change.
    Drafted,
    /// An alert, whose pull request is closed when it resolves.
    Alert,
    /// An alert, whose pull request stays open with a word, once the program has noted that it is open.
    Lasting,
}

/// A key and its script.
#[derive(Debug, Clone)]
pub struct Story {
    pub key: String,
    pub kind: Kind,
    /// Which of its kind it is.
    pub number: usize,
    /// Where its manifest is.
    pub file: String,
    pub beats: Vec<Beat>,
}

/// The issue that is only talked about.
const TALKED_ABOUT: &str = "TALK-1";

/// The n-th thing that somebody says who asks for nothing: no automation is about it, so it is a row and no work. It is short, because there are
/// many.
pub fn talk(number: u32) -> Sent {
    let item = json!({ "field": "summary", "fieldtype": "jira", "fieldId": "summary", "fromString": "a", "toString": "b" });
    let said = json!({
        "timestamp": 1_795_176_000_000_i64 + i64::from(number), "webhookEvent": "jira:issue_updated",
        "issue": { "key": TALKED_ABOUT }, "changelog": { "id": number.to_string(), "items": [item] },
    });
    let (key, body) = (TALKED_ABOUT.to_owned(), said.to_string());
    Sent { key, order: number, word: Talk, source: "service-desk", body, insists: true, tries: Vec::new() }
}

use Beat::{Comments, Merges, MergesRevert, ReadsOfMerges, ReadsWord, RepeatsFirst, SeesNewest, SeesNone, SeesOpen};
use Word::{Ask, Cancel, Talk};

fn say(words: &[Word]) -> Beat {
    Beat::Say { words: words.to_vec(), at_once: false }
}

fn say_at_once(words: &[Word]) -> Beat {
    Beat::Say { words: words.to_vec(), at_once: true }
}

impl Story {
    /// The n-th story of a run.
    pub fn of(number: usize, chance: &mut Chance) -> Self {
        let kinds = [
            Kind::Ticket,
            Kind::Ticket,
            Kind::Ticket,
            Kind::Ticket,
            Kind::Loan,
            Kind::Alert,
            Kind::Alert,
            Kind::Lasting,
            Kind::Drafted,
            Kind::Drafted,
        ];
        let kind = *chance.pick(&kinds);
        let (key, file, beats) = match kind {
            Kind::Ticket => (format!("TOR-{number}"), format!("namespaces/team-{number}.yaml"), of_ticket(chance)),
            Kind::Loan => (format!("LOAN-{number}"), format!("namespaces/team-{number}.yaml"), of_loan(chance)),
            Kind::Drafted => (format!("DRAFT-{number}"), format!("drafts/team-{number}.yaml"), of_drafted(chance)),
            Kind::Alert => (format!("prod-eu/web/hpa-{number}"), format!("apps/web/hpa-{number}-hpa.yaml"), of_alert(chance)),
            Kind::Lasting => (format!("prod-eu/api/hpa-{number}"), format!("apps/api/hpa-{number}-hpa.yaml"), of_lasting(chance)),
        };
        Self { key, kind, number, file: format!("clusters/prod-eu/{file}"), beats }
    }

    pub fn is_ticket(&self) -> bool {
        matches!(self.kind, Kind::Ticket | Kind::Loan | Kind::Drafted)
    }

    /// The delivery that says a word.
    pub fn sent(&self, order: u32, word: Word) -> Sent {
        let body = if self.is_ticket() { self.ticket(order, word) } else { self.alert(order, word) };
        let source = if self.is_ticket() { "service-desk" } else { "alertmanager" };
        Sent { key: self.key.clone(), order, word, source, body: body.to_string(), insists: true, tries: Vec::new() }
    }

    fn ticket(&self, order: u32, word: Word) -> Value {
        let mut said = ticket(&self.key, &format!("team-{}", self.number));
        said["timestamp"] = json!(said["timestamp"].as_i64().expect("a time") + i64::from(order) * 1_000);
        said["changelog"]["id"] = json!(change_id(&[&self.key, &order.to_string()]));
        said["issue"]["fields"]["customfield_10051"] = json!(order.to_string());
        match self.kind {
            Kind::Loan => said["issue"]["fields"]["issuetype"]["name"] = json!("Namespace loan"),
            Kind::Drafted => said["issue"]["fields"]["issuetype"]["name"] = json!("Draft"),
            _ => {}
        }
        let to = if word == Cancel { "Cancelled" } else { "Approved" };
        let items = said["changelog"]["items"].as_array_mut().expect("items");
        match word {
            Talk => *items = vec![json!({ "field": "summary", "fieldtype": "jira", "fieldId": "summary", "fromString": "a", "toString": "b" })],
            _ => items.iter_mut().filter(|item| item["field"] == "status").for_each(|item| item["toString"] = json!(to)),
        }
        said["issue"]["fields"]["status"]["name"] = json!(to);
        said
    }

    /// An alert fires anew with each word that asks, and resolves with the one that takes it back.
    fn alert(&self, order: u32, word: Word) -> Value {
        let name = format!("hpa-{}", self.number);
        let moment = |order: u32| kubeops::types::Timestamp::from_unix_millis(1_795_176_000_000 + i64::from(order) * 1_000).to_string();
        let started = if word == Cancel { order - 1 } else { order };
        let (alertname, namespace) = match (word, self.kind) {
            (Talk, _) => ("SomethingElse", "web"),
            (_, Kind::Lasting) => ("KubeHpaNearlyThere", "api"),
            _ => ("KubeHpaMaxedOut", "web"),
        };
        let alert = json!({
            "status": if word == Cancel { "resolved" } else { "firing" },
            "labels": {
                "alertname": alertname, "severity": "warning", "cluster": "prod-eu", "namespace": namespace, "horizontalpodautoscaler": name,
            },
            "annotations": { "summary": "It has run at its maximum.", "max_replicas": (order * 2).to_string() },
            "startsAt": moment(started),
            "endsAt": if word == Cancel { moment(order) } else { "0001-01-01T00:00:00Z".to_owned() },
            "fingerprint": hex::encode(&sha2::Sha256::digest(format!("{name}/{alertname}"))[..8]),
        });
        json!({ "version": "4", "status": alert["status"], "receiver": "kubeops", "groupKey": "{}", "alerts": [alert] })
    }

    /// The order that a manifest was made for.
    pub fn value_in(&self, manifest: &str) -> Option<u32> {
        let name = match self.kind {
            Kind::Ticket | Kind::Loan => "requests.cpu:",
            Kind::Drafted => "order:",
            Kind::Alert | Kind::Lasting => "maxReplicas:",
        };
        let text = manifest.lines().find_map(|line| line.trim().strip_prefix(name))?;
        let value: u32 = text.trim().trim_matches(['"', '\'']).parse().ok()?;
        // An autoscaler at its maximum of n is given n and a half.
        Some(if self.is_ticket() { value } else { value / 3 })
    }
}

fn of_ticket(chance: &mut Chance) -> Vec<Beat> {
    let once_more = |beats: &[Beat], more: &[Beat]| [beats, more].concat();
    let (asks, cancels) = ([say(&[Talk, Ask]), SeesOpen], [say(&[Cancel]), SeesNone]);
    let merges = [Merges, ReadsOfMerges(1)];
    match chance.below(11) {
        0 => asks.to_vec(),
        1 => once_more(&asks, &cancels),
        2 => once_more(&asks, &merges),
        // What was taken back is asked for again with something else, while an old word comes once more.
        3 => [&asks[..], &cancels, &[say(&[Ask]), SeesOpen, RepeatsFirst, Merges, ReadsOfMerges(1)]].concat(),
        4 => [&asks[..], &merges, &[RepeatsFirst, say(&[Ask]), SeesOpen, Merges, ReadsOfMerges(2)]].concat(),
        5 => [&asks[..], &merges, &[say(&[Ask, Talk]), SeesOpen]].concat(),
        6 => vec![say(&[Ask, Cancel, Talk, Ask, Cancel])],
        7 => vec![say_at_once(&[Ask, Cancel, Talk])],
        8 => once_more(&asks, &[Comments, SeesNewest]),
        9 => [&asks[..], &[Comments, SeesNewest], &merges, &[say(&[Ask]), SeesOpen, say(&[Cancel]), SeesNone]].concat(),
        _ => [&asks[..], &cancels, &[say_at_once(&[Ask, Cancel, Ask])]].concat(),
    }
}

fn of_alert(chance: &mut Chance) -> Vec<Beat> {
    let asks = [say(&[Ask]), SeesOpen];
    match chance.below(5) {
        0 => asks.to_vec(),
        1 => [&asks[..], &[RepeatsFirst, say(&[Cancel]), SeesNone, RepeatsFirst]].concat(),
        2 => [&asks[..], &[say(&[Cancel]), SeesNone, say(&[Ask]), SeesOpen]].concat(),
        3 => [&asks[..], &[Merges]].concat(),
        _ => vec![say_at_once(&[Ask, Cancel])],
    }
}

fn of_loan(chance: &mut Chance) -> Vec<Beat> {
    let merged = [say(&[Ask]), SeesOpen, Merges, ReadsOfMerges(1)];
    match chance.below(2) {
        0 => [&merged[..], &[say(&[Cancel]), MergesRevert]].concat(),
        _ => [&merged[..], &[say(&[Talk, Cancel]), RepeatsFirst, MergesRevert, RepeatsFirst]].concat(),
    }
}

/// What a model drafted is marked ready by a person before it may be merged, which nobody does here.
fn of_drafted(chance: &mut Chance) -> Vec<Beat> {
    let asks = [say(&[Talk, Ask]), SeesOpen];
    let cancels = [say(&[Cancel]), SeesNone];
    match chance.below(5) {
        0 | 1 => asks.to_vec(),
        2 => [&asks[..], &cancels].concat(),
        3 => [&asks[..], &cancels, &[say(&[Ask]), SeesOpen, RepeatsFirst]].concat(),
        // It is cancelled while the model is asked.
        _ => vec![say(&[Ask, Cancel])],
    }
}

fn of_lasting(chance: &mut Chance) -> Vec<Beat> {
    let all = [say(&[Ask]), SeesOpen, say(&[Cancel]), ReadsWord, RepeatsFirst];
    all[..all.len() - chance.below(2)].to_vec()
}
