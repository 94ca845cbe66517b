//! What is in a group's pull request: a line for each member, with the way to it.

use super::markdown::{Bounded, code, link};
use crate::request::{Member, MemberState, Request};

/// Bytes of the list.
const MEMBERS_BYTES: usize = 24 * 1024;

/// The section. Below the address `people_at` people look at requests.
pub(in super::super) fn members(request: &Request, members: &[Member], people_at: &str) -> String {
    let mut list = Bounded::new("### What is in it\n\n", MEMBERS_BYTES);
    let taking_part = members.iter().filter(|member| member.state != MemberState::Withdrawn);
    taking_part.for_each(|member| list.item(&line(request, member, people_at)));
    list.end("members")
}

fn line(request: &Request, member: &Member, people_at: &str) -> String {
    let asked = link(member.event.kind.as_str(), &format!("{people_at}/requests/{}#member-{}", request.id, member.number));
    let event = &member.event;
    // An alert's subject is a fingerprint, which tells nobody anything.
    let subject = Some(&event.subject).filter(|subject| !event.kind.is_alert() && **subject != member.correlation);
    let subject = subject.map(|subject| format!(", {}", code(subject))).unwrap_or_default();
    let asked = format!("{asked} about {}{subject}", code(&member.correlation));
    let number = member.number;
    match (&member.commit, &member.title, member.state) {
        (_, _, MemberState::Refused) => format!("- {number}. {asked} is left out: {}", code(member.message.as_deref().unwrap_or("it was refused"))),
        (Some(commit), Some(title), _) => format!("- {number}. {}: {} ({asked})", commit.short(), code(title)),
        _ if member.planned => format!("- {number}. {asked} changes nothing: the base, or another member, holds it already"),
        _ => format!("- {number}. {asked} waits for the next plan"),
    }
}
