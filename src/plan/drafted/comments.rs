//! Comments that act: a tool that reads the file heeds them, so that what looks like a remark lets it write there, or look away.
//! Any other may change; people are told how many did.

use crate::manifest;
use crate::plan::{BaseTree, FileChange, Note, TreeError};
use crate::types::ManifestPath;
use regex::Regex;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// What such comments hold, whatever stands around it. First those by which tools write (Flux, kpt, Renovate, release-please), then those
/// by which scanners and linters look away, then those by which editors and language servers are steered.
static ACTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\$imagepolicy|\$openapi|kpt-(?:set|merge)|renovate\b|x-release-please|dependabot",
        r"|(?:checkov|bridgecrew)\s*:|kics-scan|nosemgrep|\bnosem\b|(?:trivy|tfsec|snyk|trufflehog|gitleaks)\s*:\s*(?:ignore|allow|skip)",
        r"|\bts:skip|kube-linter|kube-score|ggignore|nosonar|yamllint|ansible-lint|pragma:\s*(?:allowlist|whitelist)|\bpint\s+(?:disable|ignore|file|snooze)",
        r"|yaml-language-server|\b(?:vim?|ex):|-\*-",
    ))
    .ok()
});

/// The first line of `after` with a comment that acts and stood at no such line before, from 1: the line is known by what stands before
/// the comment's value, so that another value may be given to what carries one.
pub(super) fn acting(before: &str, after: &str) -> Option<usize> {
    let mut known: HashMap<(&str, &str), usize> = HashMap::new();
    for comment in before.lines().filter_map(read) {
        *known.entry(comment).or_default() += 1;
    }
    for (number, comment) in after.lines().enumerate().filter_map(|(number, line)| Some((number, read(line)?))) {
        match known.get_mut(&comment) {
            Some(left) if *left > 0 => *left -= 1,
            _ => return Some(number + 1),
        }
    }
    None
}

/// A word for each file of the base in which comments are not what they were.
pub(super) fn changed(files: &BTreeMap<ManifestPath, FileChange>, base: &dyn BaseTree) -> Result<Vec<Note>, TreeError> {
    let mut notes = Vec::new();
    for (path, change) in files {
        let FileChange::Write(after) = change else { continue };
        let Some(before) = base.read(path)? else { continue };
        let lines = match differing(&String::from_utf8_lossy(&before), &String::from_utf8_lossy(after)) {
            0 => continue,
            1 => "1 comment line".to_owned(),
            more => format!("{more} comment lines"),
        };
        let message = format!("{lines} changed: what comments say is held against nothing");
        notes.push(Note { rule: "draft.comments", path: path.clone(), message });
    }
    Ok(notes)
}

/// How many comments are otherwise than before: those that are new, or those that are gone, whichever are more.
fn differing(before: &str, after: &str) -> usize {
    let mut count: HashMap<String, (usize, usize)> = HashMap::new();
    manifest::comments(before).into_iter().for_each(|comment| count.entry(comment).or_default().0 += 1);
    manifest::comments(after).into_iter().for_each(|comment| count.entry(comment).or_default().1 += 1);
    let (gone, new) =
        count.values().fold((0, 0), |(gone, new), (before, after)| (gone + before.saturating_sub(*after), new + after.saturating_sub(*before)));
    gone.max(new)
}

/// The key a comment that acts stands behind, with its indentation, and the comment; none where no such comment stands in the line.
fn read(line: &str) -> Option<(&str, &str)> {
    let (at, _) = line.match_indices('#').find(|(at, _)| acts(&line[at + 1..]))?;
    let (value, comment) = line.split_at(at);
    Some((value.split_once(": ").map_or(value.trim_end(), |(key, _)| key), comment.trim_end()))
}

/// Whether a comment acts. Tools of the Kubernetes configuration tools read any that is a mapping of JSON, whose keys may be escaped.
fn acts(comment: &str) -> bool {
    comment.trim_start_matches(['#', ' ', '\t']).starts_with('{') || ACTS.as_ref().is_none_or(|acts| acts.is_match(comment))
}

#[cfg(test)]
mod tests {
    use super::differing;

    #[test]
    fn comments_that_come_go_or_are_written_otherwise_are_counted_once() {
        let before = "# why\na: 1 # for now\nb: 2\n";
        for (after, count) in [
            ("# why\na: 4 # for now\nb: 2\n", 0),
            ("# why not\na: 4 # for now\nb: 2\n", 1),
            ("a: 1\nb: 2\n", 2),
            ("# why\n# why\na: 1 # for now\nb: 2 # new\n", 2),
            ("b: 2 # for now\n# why\na: 1\n", 0),
        ] {
            assert_eq!(differing(before, after), count, "{after}");
        }
    }
}
