//! Why a request is there: the ticket or alert with the way to it, and who asked. It reads what the senders of an event of this
//! type send; what is not there is not told.

use super::markdown::{code, link, safe};
use crate::event::Event;
use crate::request::Request;
use serde_json::Value;
use std::fmt::Write as _;

/// Characters of what an operator said that are quoted.
const MOST_WORDS: usize = 300;

/// The section.
pub(super) fn why(request: &Request) -> String {
    let event = &request.event;
    let mut text = String::from("### Why\n\n");
    if request.members > 0 {
        let _ = writeln!(
            text,
            "A group of events that automation {} takes together as {}; what each asks for stands above. The first of them:\n",
            code(request.key.automation.as_str()),
            code(&request.key.correlation)
        );
    }
    if let Some(cause) = cause(event) {
        let _ = writeln!(text, "{cause}\n");
    }
    let from = event.source.as_ref().map_or_else(|| "the API".to_owned(), |source| format!("source {}", code(source.as_str())));
    let _ = writeln!(
        text,
        "{} about {} at {}, from {from}, taken by automation {}.",
        code(event.kind.as_str()),
        code(&event.subject),
        event.time,
        code(request.key.automation.as_str())
    );
    let people: Vec<String> = people(event).into_iter().map(|(did, who)| format!("{did} {}", code(who))).collect();
    if !people.is_empty() {
        let _ = writeln!(text, "\nIt was {}.", people.join(" and "));
    }
    if let Some(words) = words(event) {
        let _ = writeln!(text, "\n{words}");
    }
    text
}

/// What an operator said, where a language model made parameters or a change of it.
fn words(event: &Event) -> Option<String> {
    if event.kind.as_str() != "kubeops.request.asked" {
        return None;
    }
    let quoted = |said: &str| said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST_WORDS).collect::<String>();
    if let (Some(sentence), Some(model)) = (text(event, "/copilot/sentence"), text(event, "/copilot/model")) {
        let provider = text(event, "/copilot/provider").unwrap_or("-");
        return Some(format!(
            "In the words {}, which the language model {} read as the parameters; they were shown, and confirmed, before it was filed.",
            code(&quoted(sentence)),
            code(&format!("{provider}/{model}"))
        ));
    }
    Some(format!("In the words {}.", code(&quoted(text(event, "/goal")?))))
}

fn text<'e>(event: &'e Event, pointer: &str) -> Option<&'e str> {
    event.data.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// The ticket or alert in a line.
fn cause(event: &Event) -> Option<String> {
    let kind = event.kind.as_str();
    if kind.starts_with("jira.") {
        let key = text(event, "/issue/key")?;
        let ticket = browse(event, key).map_or_else(|| code(key), |address| link(key, &address));
        let summary = text(event, "/issue/fields/summary").map(|summary| format!(": {}", code(summary))).unwrap_or_default();
        return Some(format!("Ticket {ticket}{summary}"));
    }
    if kind.starts_with("alert.") {
        let name = text(event, "/labels/alertname").unwrap_or(&event.subject);
        let alert = text(event, "/generatorURL").map_or_else(|| code(name), |address| link(name, address));
        let says = ["/annotations/summary", "/annotations/description"].into_iter().find_map(|field| text(event, field));
        let says = says.map(|says| format!(": {}", code(says))).unwrap_or_default();
        let manager = text(event, "/externalURL").filter(|address| safe(address).is_some());
        let manager = manager.map(|address| format!(" (at {})", link("Alertmanager", address))).unwrap_or_default();
        return Some(format!("Alert {alert}{manager}{says}"));
    }
    None
}

/// Where a person looks at an issue: Jira sends the address of its API alone, and the pages stand beside it.
fn browse(event: &Event, key: &str) -> Option<String> {
    let (site, _) = text(event, "/issue/self")?.split_once("/rest/")?;
    // Applications are sent the address of a gateway, which has no pages.
    let gateway = site.starts_with("https://api.atlassian.com");
    (!gateway && safe(site).is_some()).then(|| format!("{site}/browse/{key}"))
}

/// Who asked, where the event says so.
fn people(event: &Event) -> Vec<(&'static str, &str)> {
    let said: &[(&'static str, &str)] = match event.kind.as_str() {
        kind if kind.starts_with("jira.") => &[("reported by", "/issue/fields/reporter/displayName"), ("last changed by", "/user/displayName")],
        "kubeops.request.asked" => &[("asked for by", "/actor")],
        _ => &[],
    };
    said.iter().filter_map(|(did, pointer)| Some((*did, text(event, pointer)?))).collect()
}
