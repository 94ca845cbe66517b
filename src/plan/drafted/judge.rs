//! A whole change held against the limits, whatever made it: every file before and after, and what overlays build of them.

use super::guard::Guard;
use super::hidden::{self, Faults};
use super::limits::Place;
use super::texts::Text;
use super::violation::Violation;
use super::{built, comments, elided, objects, steering, twice};
use crate::inventory::Target;
use crate::manifest::is_kustomization;
use crate::plan::{BaseTree, EntryKind, FileChange, TreeError};
use crate::types::{ManifestPath, listed};
use std::collections::BTreeMap;

/// Everything a change does that it may not.
///
/// # Errors
/// When the base cannot be read.
pub(super) fn judge(
    guard: &Guard,
    files: &BTreeMap<ManifestPath, FileChange>,
    target: &Target,
    base: &dyn BaseTree,
) -> Result<Vec<Violation>, TreeError> {
    let mut violations = Vec::new();
    for (path, change) in files {
        match beyond(guard, path, target, base)? {
            Some(violation) => violations.push(violation),
            None => file(guard, path, change, base, &mut violations)?,
        }
    }
    if violations.is_empty() {
        twice::judge(files, target, base, &mut violations)?;
        built::judge(guard.limits(), files, target, base, &mut violations)?;
    }
    Ok(violations)
}

/// Why a file may not be touched at all.
///
/// # Errors
/// When the base cannot be read.
pub(super) fn beyond(guard: &Guard, path: &ManifestPath, target: &Target, base: &dyn BaseTree) -> Result<Option<Violation>, TreeError> {
    let refuse = |message: &str| Ok(Some(Violation::grave("draft.path", Some(path.as_str()), message)));
    if !guard.may_write(target, path) && is_kustomization(path) {
        return refuse(
            "the kustomization is none of the files that may be written here, and has to name what is added below it, and no longer what is removed: `draft.write` reaches it where that is to be possible",
        );
    }
    if !guard.may_write(target, path) {
        return refuse("the file is none of those that may be written here");
    }
    if let Some(steers) = steering::beyond(path, base)? {
        return refuse(steers);
    }
    for directory in path.ancestors() {
        match base.entry(directory)? {
            Some(EntryKind::Directory) => {}
            None if base.spellings(directory)?.is_empty() => {}
            None => return refuse("a directory of this name is there in another spelling"),
            Some(_) => return refuse("what leads to the file is no directory of the repository"),
        }
    }
    match base.entry(path.as_str())? {
        Some(EntryKind::File | EntryKind::Executable) => Ok(None),
        None if base.spellings(path.as_str())?.is_empty() => Ok(None),
        None => refuse("a file of this name is there in another spelling"),
        Some(_) => refuse("it is no regular file"),
    }
}

/// The violations for what is wrong with new texts.
pub(super) fn faulty(faults: Faults, path: Option<&str>) -> impl Iterator<Item = Violation> {
    let hidden = faults.hidden.then(|| Violation::grave("draft.hidden", path, "a text that is new holds characters nobody sees"));
    let placeholder = "a text that is new holds a placeholder for what was withheld from the model";
    hidden.into_iter().chain(faults.placeholder.then(|| Violation::grave("draft.placeholder", path, placeholder)))
}

fn file(guard: &Guard, path: &ManifestPath, change: &FileChange, base: &dyn BaseTree, into: &mut Vec<Violation>) -> Result<(), TreeError> {
    let before = base.read(path)?;
    let Some(before) = read(path, before.as_deref(), "as it stands", into) else { return Ok(()) };
    let after = match change {
        FileChange::Write(bytes) => Some(bytes.as_slice()),
        FileChange::Remove => None,
    };
    if let Some(Ok(after)) = after.map(std::str::from_utf8) {
        lines(path, &before.text, after, into);
    }
    let Some(after) = read(path, after, "as it would be", into) else { return Ok(()) };
    let kustomization = is_kustomization(path);
    let there = (base.entry(path.as_str())?.is_some(), matches!(change, FileChange::Write(_)));
    let (old, new) = (objects::of_file(&before.documents, there.0, kustomization), objects::of_file(&after.documents, there.1, kustomization));
    guard.limits().judge(&old, &new, Place { path: path.as_str(), overlay: None }, into);
    steering::judge(path, &before, &after, into);
    if kustomization {
        for (number, document) in after.documents.iter().enumerate() {
            built::unknown_fields(path, before.documents.get(number).map(|document| &document.value), &document.value, into);
        }
    }
    if there.1
        && let Some(what) = before.touched(&after)
    {
        let message = format!("what is not changed stays as it is, byte for byte: {what}");
        into.push(Violation::of("draft.untouched", Some(path.as_str()), message));
    }
    let shorthands = before.new_shorthands(&after);
    if !shorthands.is_empty() {
        let message =
            format!("anchors, aliases, merge keys and tags hide what is meant; new are {}: write out what they stand for", listed(&shorthands, 5));
        into.push(Violation::of("draft.yaml", Some(path.as_str()), message));
    }
    let faults = hidden::faults(before.documents.iter().map(|document| &document.value), after.documents.iter().map(|document| &document.value));
    into.extend(faulty(faults, Some(path.as_str())));
    Ok(())
}

/// Notes what is wrong with the lines that are new, comments too.
fn lines(path: &ManifestPath, before: &str, after: &str, into: &mut Vec<Violation>) {
    if let Some(line) = hidden::hidden_line(before, after) {
        into.push(Violation::grave("draft.hidden", Some(path.as_str()), format!("line {line} holds characters nobody sees, or nobody looks for")));
    }
    if let Some(line) = comments::acting(before, after) {
        let message = format!("line {line} holds a comment that a tool acts on");
        into.push(Violation::grave("draft.comment", Some(path.as_str()), message));
    }
    let known: std::collections::HashSet<&str> = before.lines().collect();
    if let Some(line) = after.lines().position(|line| !known.contains(line) && hidden::holds_placeholder(line)) {
        let message = format!("line {} holds a placeholder for what was withheld from the model", line + 1);
        into.push(Violation::grave("draft.placeholder", Some(path.as_str()), message));
    }
    if let Some(line) = elided::line(before, after) {
        let message = format!("line {line} stands for something left out: what a file is to hold is written in full");
        into.push(Violation::of("draft.elided", Some(path.as_str()), message));
    }
}

/// A file's text, an empty one where there is none; none where it cannot be read, which is noted.
fn read(path: &ManifestPath, bytes: Option<&[u8]>, state: &str, into: &mut Vec<Violation>) -> Option<Text> {
    let Some(bytes) = bytes else { return Some(Text::nothing()) };
    let mut refuse =
        |message: String| into.push(Violation::of("draft.syntax", Some(path.as_str()), format!("the file {state} cannot be read: {message}")));
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            refuse("it is not UTF-8".to_owned());
            return None;
        }
    };
    Text::read(path, text).map_err(|error| refuse(error.to_string())).ok()
}
