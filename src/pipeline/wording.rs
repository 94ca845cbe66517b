//! What is said outside of what became of a request: every word a ticket's reporter reads, in one place.
//! Values are code in it, so a ticket cannot write markup into its own answer.

use super::body::markdown::{code, link};
use super::body::{allowed, by_comment};
use super::outcome::{NOTHING_DRAFTED, PROPOSES_NOTHING};
use crate::automation::News;
use crate::request::{Request, TimelineEntry};
use crate::types::Timestamp;
use std::fmt::Write as _;

/// Lines of changes and of reasons that are told, at most.
const LINES: usize = 20;

/// The usual words, in Markdown; `commands` says whether the request is steered by comments in its pull request as well.
pub(super) fn usual(news: News, request: &Request, entry: &TimelineEntry, commands: bool) -> String {
    if let Some(words) = usual_of_a_revert(news, request, entry).or_else(|| usual_without_a_draft(news, request, entry)) {
        return words;
    }
    match news {
        News::Proposed => {
            let held = request.steering.held_up().map(|held| format!("\nIt is held {}.", said(&held.words()))).unwrap_or_default();
            format!("A change is proposed, and waits for review:\n\n{}{held}", listed(request.summary.iter().map(String::as_str)))
        }
        News::Approved => format!("The proposed change is approved: {}. It takes effect after its merge.", said(&entry.message)),
        News::Merged => "The change is merged. What applies the repository (Argo CD, Flux, a pipeline) takes it from here.".to_owned(),
        News::Applied => "The change is in force.".to_owned(),
        News::Degraded => format!("The change is merged, and what applies it says that it is not well: {}.", said(&entry.message)),
        News::Overdue => "The change is merged, and nobody has said in time that it is in force. Whoever looks after what applies the repository should have a look.".to_owned(),
        News::Unchanged => "There is nothing to change: everything that was asked for is there already.".to_owned(),
        News::Rejected => {
            format!("The change was rejected, and nothing was proposed:\n\n{}\nOnce that is mended, it can be asked for again.", reasons(request, entry))
        }
        News::Declined => format!("The change was declined: {}. It is not proposed again unless somebody asks for it.", said(&entry.message)),
        News::Withdrawn => format!("What was asked for is no longer wanted: {}.", said(&entry.message)),
        News::Expired => {
            let by = request.steering.reverted_by.as_ref().map_or_else(|| "Another request".to_owned(), |by| format!("Request {}", said(by.as_str())));
            format!("The time for which the change was wanted is over. {by} is there to take it back; until that is merged the change stays.")
        }
        News::Expiring => nearly_over(request, request.steering.expires_at.unwrap_or(entry.at), commands),
        News::Failed => format!(
            "The change could not be made: {}. Once that is mended, `kubeops requests retry {}` asks for it again.",
            said(&entry.message),
            request.id
        ),
    }
}

/// Said where a change was merged whose time is nearly over.
pub(super) fn nearly_over(request: &Request, end: Timestamp, commands: bool) -> String {
    let by_itself = request.changes.as_ref().and_then(|changes| changes.expiry.as_ref()).is_some_and(|expiry| expiry.lifetime.auto_merge.is_some());
    let then = if by_itself { format!("and merges it once {}", allowed(commands)) } else { "for somebody to merge".to_owned() };
    format!(
        "The time for which this change is wanted ends at {end}. KubeOps then opens the pull request that takes it back, {then}. \
         Who needs it for longer says so before: `kubeops requests extend {} 2h`{}.",
        request.id,
        by_comment("extend 2h", commands).trim_end_matches(',')
    )
}

/// What is said of a request that takes a change back: its author's words are about the change, not about its end.
fn usual_of_a_revert(news: News, request: &Request, entry: &TimelineEntry) -> Option<String> {
    let why = &request.steering.reverts.as_ref()?.why;
    let changes = || listed(request.summary.iter().map(String::as_str));
    Some(match news {
        News::Proposed => format!("It is proposed to take the change back ({}), and that waits for review:\n\n{}", said(why), changes()),
        News::Approved => format!("Taking the change back is approved: {}. It takes effect after its merge.", said(&entry.message)),
        News::Merged => "The change is taken back. What applies the repository (Argo CD, Flux, a pipeline) takes it from here.".to_owned(),
        News::Applied => "What takes the change back is in force.".to_owned(),
        News::Unchanged => format!("The change is not taken back: {}.", said(&entry.message)),
        News::Rejected => {
            format!(
                "Taking the change back was rejected, so it stays:\n\n{}\nOnce that is mended, it can be asked for again.",
                reasons(request, entry)
            )
        }
        News::Declined => format!("Taking the change back was declined, so it stays: {}.", said(&entry.message)),
        _ => return None,
    })
}

/// What is said of a request for which a language model came to nothing: its reasons are its own, and nobody has checked them.
fn usual_without_a_draft(news: News, request: &Request, entry: &TimelineEntry) -> Option<String> {
    match news {
        News::Unchanged => {
            let words = entry.message.strip_prefix(PROPOSES_NOTHING)?;
            Some(format!("The language model that was asked proposes no change, {}. Nobody has checked what it says.", said(words)))
        }
        News::Rejected => {
            let why = entry.message.strip_prefix(NOTHING_DRAFTED)?;
            let wrong = match request.findings.is_empty() {
                true => String::new(),
                false => format!(" What was wrong with its last answer:\n\n{}", reasons(request, entry)),
            };
            let again = format!("`kubeops requests retry {}` has it drafted anew.", request.id);
            Some(format!("Nothing was drafted, and nothing was proposed: {}.{wrong}\n{again}", said(why)))
        }
        _ => None,
    }
}

/// Words with where the pull request and the request are.
pub(super) fn with_places(words: &str, request: &Request, people_at: &str) -> String {
    let mut text = words.trim_end().to_owned();
    let _ = write!(text, "\n\n");
    if let Some(pull) = &request.pull {
        let _ = write!(text, "[Pull request #{}](<{}>) · ", pull.number, pull.url);
    }
    let _ = write!(text, "request {}", link(request.id.as_str(), &format!("{people_at}/requests/{}", request.id)));
    text
}

/// Why a request was rejected, a line for each reason.
fn reasons(request: &Request, entry: &TimelineEntry) -> String {
    let reasons: Vec<String> = match request.findings.is_empty() {
        true => vec![entry.message.clone()],
        false => request.findings.iter().map(ToString::to_string).collect(),
    };
    listed(reasons.iter().map(String::as_str))
}

fn said(message: &str) -> String {
    code(message)
}

fn listed<'l>(lines: impl Iterator<Item = &'l str>) -> String {
    let lines: Vec<&str> = lines.collect();
    let mut text: String = lines.iter().take(LINES).map(|line| format!("- {}\n", code(line))).collect();
    if lines.len() > LINES {
        let _ = writeln!(text, "- and {} more", lines.len() - LINES);
    }
    text
}
