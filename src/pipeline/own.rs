//! What KubeOps itself did: it comes back as events, and must not set anything off.
//! Whose an act is follows from the account that did it, never from what it says. Of what people do with KubeOps' own account at a
//! Jira, a move to a status that no feedback leads to is theirs for certain and counts.

use super::{Channels, Forges, InForce, signals};
use crate::automation::TransitionSpec;
use crate::event::Event;
use crate::feedback::Account;
use crate::ingress::Asks;
use crate::inventory::ChannelSpec;
use crate::request::is_request_branch;
use serde_json::Value;
use url::Url;

/// Where an event of a Jira says who made the change: an update, then a comment.
const PLACES: [&str; 3] = ["/user", "/comment/updateAuthor", "/comment/author"];

/// Why nothing comes of an event that is an act of our own, in a sentence; none where it is somebody else's.
pub(super) fn explained(rules: &InForce, event: &Event, channels: &dyn Channels, forges: &dyn Forges) -> Option<String> {
    at_a_jira(rules, event, &channels.ourselves()).or_else(|| at_github(rules, event, forges))
}

fn at_a_jira(rules: &InForce, event: &Event, ourselves: &[Account]) -> Option<String> {
    let author = PLACES.iter().find_map(|place| event.data.pointer(place).filter(|author| author.is_object()))?;
    let base = jira_of(rules, event, ourselves);
    let mut of_it = ourselves.iter().filter(|account| base.as_ref().is_none_or(|base| account.base == *base));
    let account = of_it.find(|account| author.get(account.field).and_then(Value::as_str) == Some(account.id.as_str()))?;
    let to = event.data.pointer("/transition/to").and_then(Value::as_str);
    if to.is_some_and(|to| !leads_to(rules, to)) {
        return None;
    }
    Some(format!("KubeOps itself made this change, as {}", account.name))
}

/// The address of the Jira an event comes from, where it can be told: the one its source asks, or one at the host the issue names.
fn jira_of(rules: &InForce, event: &Event, ourselves: &[Account]) -> Option<String> {
    let asked = event.source.as_ref().and_then(|name| rules.set.sources.get(name)).and_then(|source| source.reconcile());
    if let Some(Asks::Jira { channel, .. }) = asked.map(|reconcile| &reconcile.asks)
        && let Some(ChannelSpec::Jira(spec)) = rules.set.inventory.channels.get(channel).map(|channel| &channel.spec)
    {
        return Some(spec.base().to_owned());
    }
    let host = |address: &str| Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned));
    let named = host(event.data.pointer("/issue/self")?.as_str()?)?;
    ourselves.iter().find(|account| host(&account.base).as_ref() == Some(&named)).map(|account| account.base.clone())
}

/// At GitHub: what our own account did, and how branches and pull requests of requests came to be, whoever it is said to be. Until
/// GitHub was asked who we are there, nothing about such a branch counts: it may be ours.
fn at_github(rules: &InForce, event: &Event, forges: &dyn Forges) -> Option<String> {
    let sender = event.data.get("sender").filter(|sender| sender.is_object())?;
    signals::named(rules, event).find_map(|repository| {
        let myself = forges.myself(repository);
        if let Some(myself) = myself.as_ref().filter(|myself| myself.is(sender)) {
            return Some(format!("KubeOps itself did this, as {}", myself.login));
        }
        let branch = branch(event).filter(|name| is_request_branch(name, repository.spec.branch_prefix.as_str()))?;
        match (begins(event), myself) {
            (true, _) => Some(format!("this is how the request with the branch {branch} was proposed")),
            (false, None) => {
                Some(format!("it is about {branch}, a branch of KubeOps, and who KubeOps is at the forge of {} is not known yet", repository.name))
            }
            (false, Some(_)) => None,
        }
    })
}

/// The branch of the repository itself that the event is about.
fn branch(event: &Event) -> Option<&str> {
    let text = |pointer: &str| event.data.pointer(pointer).and_then(Value::as_str);
    if let Some(head) = text("/pull_request/head/ref") {
        let of = text("/pull_request/head/repo/full_name");
        return Some(head).filter(|_| of.is_none() || of == text("/repository/full_name"));
    }
    text("/ref")?.strip_prefix("refs/heads/")
}

/// Whether with this event a branch or its pull request came to be.
fn begins(event: &Event) -> bool {
    event.kind.as_str() == "pull_request.opened" || event.kind.as_str() == "push" && event.data.get("created") == Some(&Value::Bool(true))
}

/// Whether some automation's feedback moves tickets to this status.
fn leads_to(rules: &InForce, status: &str) -> bool {
    let automations = rules.set.automations.iter();
    let told = automations.flat_map(|automation| &automation.spec.feedback).flat_map(|feedback| feedback.on.values());
    told.filter_map(|on| on.transition.as_ref()).any(|transition| {
        let to = match transition {
            TransitionSpec::Status(to) => to,
            TransitionSpec::With(with) => &with.to,
        };
        to.trim().to_lowercase() == status.trim().to_lowercase()
    })
}
