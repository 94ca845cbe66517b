//! The body of a pull request, written in one place: what changes and why, who asked, what it was held against, what stands
//! against it, how to revise or revert it, and a trailer for machines. A function of the request alone: the same request has the
//! same body, and nothing from a ticket is ever markup in it.

mod drafted;
pub(super) mod markdown;
mod members;
#[cfg(test)]
mod tests;
mod trailer;
mod why;

pub(super) use members::members;
pub use trailer::Trailer;

use crate::automation::TtlBegin;
use crate::manifest::Action;
use crate::plan::{Build, Lifetime};
use crate::request::{CONFLICT, Changes, Request};
use crate::validate::{Finding, Severity};
use markdown::{Bounded, code, link};
use std::fmt::Write as _;

/// The longest body, in bytes: GitHub takes 65,536 characters, of which none has less than one.
const MAX_BYTES: usize = 65_536;
/// Bytes of each list. Together with the rest they stay so far below [`MAX_BYTES`] that only the author's own text can be too long.
const CHANGES_BYTES: usize = 16 * 1024;
const FINDINGS_BYTES: usize = 8 * 1024;
const TYPES_BYTES: usize = 2 * 1024;
/// Fields that are told of one object, at most.
const MAX_FIELDS: usize = 20;

/// Said when a person went on from our commit.
const TAKEN_OVER: &str = "Somebody has pushed to this branch, so KubeOps leaves it alone: it is not planned again when its base moves. \
     What follows is the change as KubeOps computed it last.";

/// The body in Markdown. Below the address `people_at` people look at requests; `commands` says whether comments in the pull request
/// steer its request.
pub(super) fn body(request: &Request, people_at: &str, commands: bool) -> String {
    let own = request.text.as_ref().and_then(|text| text.body.clone()).map(|own| format!("{own}\n"));
    let mut end = String::from("---\n");
    let at = link(request.id.as_str(), &format!("{people_at}/requests/{}", request.id));
    let _ = writeln!(end, "Request {at}, asked for by event {}.\n\n{}", code(request.event.id.as_str()), Trailer::of(request));
    let mut sections: Vec<String> = own.into_iter().collect();
    sections.extend(request.taken_over.then(|| format!("> [!NOTE]\n> {TAKEN_OVER}\n")));
    sections.extend(held(request, commands));
    sections.extend(told(request));
    sections.push(revise(request, commands));
    joined(sections, &end, MAX_BYTES)
}

/// What there is to know before it is merged, in Markdown: the body without the author's text, the instructions and the trailer.
pub fn evidence(request: &Request) -> String {
    joined(told(request).collect(), "", MAX_BYTES - 1)
}

/// Why it is held, until when, and how it is let through.
fn held(request: &Request, commands: bool) -> Option<String> {
    let held = request.steering.held_up()?;
    let release = code(&format!("kubeops requests release {}", request.id));
    let until = match (&held.by, &held.shown) {
        (Some(_), _) => "It is not to be merged until somebody releases it",
        (None, Some(_)) => "It is not to be merged before",
        (None, None) => "It is not to be merged",
    };
    let release = format!("{release}{}", by_comment("release", commands));
    Some(format!("> [!IMPORTANT]\n> Held {}. {until}: {release} lets it through.\n", code(&held.words())))
}

/// What is told of every request.
fn told(request: &Request) -> impl Iterator<Item = String> {
    let sections =
        [Some(what(request)), conflicts(request), worth_a_look(request), drafted::drafted(request), Some(why::why(request)), held_against(request)];
    sections.into_iter().flatten()
}

/// The sections and the end. When they are too long the longest section is left out, until they are not: half a section could leave
/// something open that closes the wrong thing.
fn joined(mut sections: Vec<String>, end: &str, limit: usize) -> String {
    const LEFT_OUT: &str = "*A part of this text is too long and was left out here; the request has all of it.*\n";
    while sections.iter().map(|section| section.len() + 1).sum::<usize>() + end.len() > limit {
        match sections.iter_mut().max_by_key(|section| section.len()).filter(|section| section.len() > LEFT_OUT.len()) {
            Some(longest) => *longest = LEFT_OUT.to_owned(),
            None => break,
        }
    }
    sections.iter().fold(String::new(), |text, section| text + section + "\n") + end
}

fn what(request: &Request) -> String {
    let mut list = Bounded::new("### What changes\n\n", CHANGES_BYTES);
    match &request.changes {
        Some(changes) => objects(changes, &mut list),
        None => request.summary.iter().for_each(|line| list.item(&format!("- {}", code(line)))),
    }
    list.end("objects or fields")
}

/// Every object, and below it its fields.
fn objects(changes: &Changes, list: &mut Bounded) {
    for object in &changes.objects {
        let file = object.file.as_ref().map(|file| format!(" in {}", code(file.as_str()))).unwrap_or_default();
        list.item(&format!("- {}{file}: {}", code(&object.what()), word(object.action)));
        for field in object.fields.iter().take(MAX_FIELDS) {
            let path = if field.path.is_empty() { "the document" } else { &field.path };
            list.item(&format!("  - {}: {}", code(path), code(&field.told())));
        }
        if object.fields.len() > MAX_FIELDS {
            list.item(&format!("  - and {} more fields", object.fields.len() - MAX_FIELDS));
        }
    }
    if changes.cut {
        list.item("- and more, which only the diff shows");
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Added => "added",
        Action::Removed => "removed",
        Action::Changed => "changed",
    }
}

fn conflicts(request: &Request) -> Option<String> {
    let mut found = request.findings.iter().filter(|finding| finding.rule == CONFLICT).peekable();
    found.peek()?;
    let mut list = Bounded::new("### Conflicts\n\n", FINDINGS_BYTES);
    found.for_each(|finding| list.item(&format!("- {}", code(&finding.message))));
    Some(
        list.end("conflicts")
            + "\nOf open ones whichever is merged last decides: if only one is wanted, close the other. What is merged already is undone by merging this.\n",
    )
}

fn worth_a_look(request: &Request) -> Option<String> {
    let warning = |finding: &&Finding| finding.severity == Severity::Warning && finding.rule != CONFLICT;
    let mut found = request.findings.iter().filter(warning).peekable();
    found.peek()?;
    let mut list = Bounded::new("### Worth a look\n\n", FINDINGS_BYTES);
    for finding in found {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        let hint = finding.hint.as_ref().map(|hint| format!(" ({})", code(hint))).unwrap_or_default();
        list.item(&format!("- {}: {}{hint}", code(&format!("{}{line}", finding.path)), code(&finding.message)));
    }
    Some(list.end("warnings"))
}

/// What the gate looked at. That there is a pull request says that it refused nothing.
fn held_against(request: &Request) -> Option<String> {
    let evidence = &request.changes.as_ref()?.evidence;
    let types = |begin: &str, types: &std::collections::BTreeSet<String>| {
        let mut list = Bounded::new(begin, TYPES_BYTES);
        types.iter().for_each(|kind| list.word(&code(kind)));
        list.end("types")
    };
    let mut text = String::from("### Checked\n\n- Every file is strict YAML, lies below the target's path, and holds no plaintext Secret.\n");
    let (own, others) = evidence.schemas_by_origin();
    if !own.is_empty() {
        text += &types(&format!("- Valid by the schemas of Kubernetes {}: ", code(&evidence.kubernetes)), &own);
    }
    if !others.is_empty() {
        text += &types("- Valid by the definitions given for these kinds: ", &others);
    }
    if !evidence.unchecked.is_empty() {
        text += &types("- There is no schema for these, so their fields were not checked: ", &evidence.unchecked);
    }
    if !evidence.policies.is_empty() {
        text += &types("- Held against these policies: ", &evidence.policies);
    }
    for build in &evidence.builds {
        text += &built(build);
    }
    Some(text)
}

/// What an overlay builds of the change.
fn built(build: &Build) -> String {
    let begin = format!("- Built by Kustomize, {}:", code(&build.directory));
    match &build.note {
        Some(note) => format!("{begin} {}\n", code(note)),
        None if build.changes.is_empty() => format!("{begin} nothing differs\n"),
        None => {
            let mut list = Bounded::new(&format!("{begin}\n"), TYPES_BYTES);
            build.changes.iter().for_each(|line| list.item(&format!("  - {}", code(line))));
            list.end("objects")
        }
    }
}

/// The comment in the pull request that does the same, where such comments are heard.
pub(super) fn by_comment(command: &str, commands: bool) -> String {
    if commands { format!(", or the comment `/kubeops {command}` in the pull request,") } else { String::new() }
}

/// What has to happen before a forge merges by itself. The local one, where no comments are heard, has no checks.
pub(super) fn allowed(commands: bool) -> &'static str {
    if commands { "reviews and checks allow it" } else { "a person has approved it" }
}

fn revise(request: &Request, commands: bool) -> String {
    let id = &request.id;
    let members = match request.members {
        0 => String::new(),
        _ => format!("- Take one out: `kubeops requests withdraw {id} NUMBER` drops that member's commit and no other.\n"),
    };
    let merged = match request.text.as_ref().is_some_and(|text| text.auto_merge.is_some()) {
        true => format!("- Merge: it is merged by itself once {}.\n", allowed(commands)),
        false => String::new(),
    };
    let ttl = request.changes.as_ref().and_then(|changes| changes.expiry.as_ref());
    let ttl = ttl.map_or_else(String::new, |expiry| {
        let Lifetime { after, from, auto_merge, .. } = expiry.lifetime;
        let merged = if auto_merge.is_some() { format!(", which is merged by itself once {}", allowed(commands)) } else { String::new() };
        let from = match from {
            TtlBegin::Merged => "after the merge",
            TtlBegin::Applied => "once it is in force",
            TtlBegin::Finished if after.get().is_zero() => {
                return format!(
                    "- Time to live: wanted until what it runs is finished. Then KubeOps opens the pull request that takes it back{merged}.\n"
                );
            }
            TtlBegin::Finished => "once what it runs is finished",
        };
        format!(
            "- Time to live: wanted for {after} {from}. Then KubeOps opens the pull request that takes it back{merged}. \
             Who needs it for longer says so before: `kubeops requests extend {id} 2h`{}.\n",
            by_comment("extend 2h", commands).trim_end_matches(',')
        )
    });
    format!(
        "### Revise or revert\n\n\
         {merged}{members}\
         - Revise: push to this branch. It is yours from then on, and KubeOps leaves it alone.\n\
         - Withdraw: `kubeops requests cancel {id}`{} closes this pull request and deletes the branch.\n\
         - Refuse: close this pull request. That is remembered; `kubeops requests retry {id}`{} asks again.\n\
         - Revert, once merged: `kubeops requests revert {id}`{} opens the pull request that takes it back on the base as it is by then.\n\
         {ttl}",
        by_comment("close", commands),
        by_comment("retry", commands),
        by_comment("revert", commands),
    )
}
