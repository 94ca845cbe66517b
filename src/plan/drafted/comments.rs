//! Comments that act: a tool that reads the file heeds them, so that what looks like a remark lets it write there, or look away.

use regex::Regex;
use std::collections::HashMap;
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
