//! Lines that stand for text a model left out: written into a file, they would take away what they stand for.

use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

/// What such a comment says once its dots, brackets and dashes are taken off.
static SAYS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?ix)^(?:",
        r"(?:the\ )?(?:rest|remainder|remaining|other|others|existing|previous|original|everything\ else)(?:\ (?:of|the|this|all|file|manifest|document|spec|fields?|keys|values|entries|lines|containers|contents?|config|configuration|settings|sections?|properties|code|yaml)){0,4}",
        r"\ (?:is\ |are\ |remains?\ |stays?\ |kept\ )?(?:unchanged|omitted|elided|truncated|snipped|as\ before|as\ is|the\ same)(?:\ for\ brevity|\ here)?",
        r"|(?:unchanged|omitted|elided|truncated|snip|snipped)(?:\ (?:for\ brevity|here|below|above|content|fields|lines|code))?",
        r"|existing\ (?:code|contents?|config|configuration|yaml|manifests?|resources|fields|entries|documents?|lines|spec)(?:\ (?:here|continues|goes\ here|remains?|stays?|unchanged))?",
        r"|(?:the\ )?(?:rest|remainder)\ of\ (?:the\ |this\ )?(?:file|manifest|document|yaml|code|spec|contents?|configuration)(?:\ (?:here|continues|goes\ here|follows))?",
        r"|(?:the\ )?rest(?:\ (?:unchanged|here|continues|follows))?",
        r"|(?:keep|leave)\ (?:the\ )?(?:rest|others?|everything\ else|existing)(?:\ \w+){0,3}",
        r"|same\ as\ before|no\ changes?(?:\ (?:here|below|above))?",
        r")$"
    ))
    .ok()
});
/// With which words a comment goes on behind three dots that stand for something.
const AFTER_DOTS: [&str; 12] =
    ["rest", "the rest", "existing", "unchanged", "remaining", "other", "previous", "original", "omitted", "snip", "keep", "same as"];

/// The first new line that stands for something left out, from 1.
pub(super) fn line(before: &str, after: &str) -> Option<usize> {
    let known: HashSet<&str> = before.lines().map(str::trim).collect();
    // At the first column dots end a document; of a file that is new nothing can be left out.
    let ends = |line: &str| before.trim().is_empty() && line.starts_with("...");
    after.lines().position(|line| !known.contains(line.trim()) && !ends(line) && is_one(line)).map(|at| at + 1)
}

fn is_one(line: &str) -> bool {
    let trimmed = line.trim();
    if matches!(trimmed, "..." | "…" | "[...]" | "- ...") {
        return true;
    }
    let comment = trimmed.strip_prefix('#').or_else(|| trimmed.strip_prefix("//")).or_else(|| trimmed.strip_prefix("<!--"));
    let Some(comment) = comment else { return false };
    let edge = |c: char| c.is_whitespace() || "#.…()[]<>{}-–—*!/".contains(c);
    let says = comment.trim_matches(edge).to_lowercase();
    let dots = comment.trim_start_matches(|c: char| c.is_whitespace() || "#([<{".contains(c));
    let dotted = dots.starts_with("...") || dots.starts_with('…');
    if dotted && (says.is_empty() || AFTER_DOTS.iter().any(|word| says.starts_with(word))) {
        return true;
    }
    says.contains("omitted for brevity") || SAYS.as_ref().is_none_or(|pattern| pattern.is_match(&says))
}
