//! Changes of tickets that KubeOps itself made: they come back as events, and must not set anything off.
//! Whose a change is follows from the account that made it, never from what it says. Of what people do with KubeOps' own account, a
//! move to a status that no feedback leads to is theirs for certain and counts.

use super::InForce;
use crate::automation::TransitionSpec;
use crate::event::Event;
use crate::feedback::Account;
use serde_json::Value;

/// Where an event says who made the change: an update, then a comment.
const PLACES: [&str; 3] = ["/user", "/comment/updateAuthor", "/comment/author"];

/// Why nothing comes of an event that is a change of our own, in a sentence; none where it is somebody else's.
pub(super) fn explained(rules: &InForce, event: &Event, ourselves: &[Account]) -> Option<String> {
    let author = PLACES.iter().find_map(|place| event.data.pointer(place))?;
    let id = |field: &str| author.get(field).and_then(Value::as_str);
    let account = ourselves.iter().find(|account| [id("accountId"), id("name")].contains(&Some(account.id.as_str())))?;
    let to = event.data.pointer("/transition/to").and_then(Value::as_str);
    if to.is_some_and(|to| !leads_to(rules, to)) {
        return None;
    }
    Some(format!("KubeOps itself made this change, as {}", account.name))
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
