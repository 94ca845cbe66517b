//! The body of a pull request, written in one place: what, why, who asked, what changes, what a reviewer should know.

use crate::request::Request;
use crate::validate::Severity;
use std::fmt::Write as _;

/// Changed objects listed one by one, at most.
const MAX_LINES: usize = 50;

/// Said when a person went on from our commit.
const TAKEN_OVER: &str = "Somebody has pushed to this branch, so KubeOps leaves it alone: it is not planned again when its base moves. \
     What follows is the change as KubeOps computed it last.";

/// The body in Markdown. Everything that may come from a ticket stands in code spans or was escaped before.
pub(super) fn body(request: &Request, people_at: &str) -> String {
    let mut body = String::new();
    if let Some(own) = request.text.as_ref().and_then(|text| text.body.as_deref()) {
        let _ = writeln!(body, "{own}\n");
    }
    if request.taken_over {
        let _ = writeln!(body, "> [!NOTE]\n> {TAKEN_OVER}\n");
    }
    let _ = writeln!(body, "### What changes\n");
    for line in request.summary.iter().take(MAX_LINES) {
        let _ = writeln!(body, "- {}", code(line));
    }
    if request.summary.len() > MAX_LINES {
        let _ = writeln!(body, "- and {} more", request.summary.len() - MAX_LINES);
    }
    let _ = writeln!(body, "\n### Why\n");
    let event = &request.event;
    let from = event.source.as_ref().map_or_else(|| "the API".to_owned(), |source| format!("source {}", code(source.as_str())));
    let _ = writeln!(
        body,
        "{} about {} at {}, from {from}, taken by automation {}.",
        code(event.kind.as_str()),
        code(&event.subject),
        event.time,
        code(request.key.automation.as_str())
    );
    let warnings: Vec<_> = request.findings.iter().filter(|finding| finding.severity == Severity::Warning).collect();
    if !warnings.is_empty() {
        let _ = writeln!(body, "\n### Worth a look\n");
        for finding in warnings.iter().take(MAX_LINES) {
            let _ = writeln!(body, "- {}: {}", code(&finding.path), code(&finding.message));
        }
    }
    let _ = writeln!(body, "\n---\nRequest [`{id}`]({people_at}/requests/{id}), asked for by event `{event}`.", id = request.id, event = event.id);
    body
}

/// Text in a code span that it cannot end, on one line (CommonMark 6.1).
pub(super) fn code(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest > 0 || line.is_empty() { format!("{fence} {line} {fence}") } else { format!("{fence}{line}{fence}") }
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn a_code_span_cannot_be_left() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b``c"), "``` a`b``c ```");
        assert_eq!(code("a\n# b"), "`a # b`");
    }
}
