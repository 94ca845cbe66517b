//! What a drafted change does that it may not.

/// Violations that are told, at most; the rest is counted.
const MOST: usize = 20;
/// Characters of a message.
const LONGEST: usize = 600;

/// One thing an answer does that it may not do, or that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule, as a stable word, `draft.path`, `draft.kind`, `draft.field`, `draft.match`, ...: docs/drafts.md lists them.
    pub rule: &'static str,
    /// The file it is about, where it is about one.
    pub path: Option<String>,
    /// The sentence, for people.
    pub message: String,
    /// Whether it crosses a line drawn for safety: people are told, the model hears only that its answer is refused.
    pub security: bool,
}

impl Violation {
    /// Something that cannot be done, or that the model may mend.
    pub(super) fn of(rule: &'static str, path: Option<&str>, message: impl Into<String>) -> Self {
        Self { rule, path: path.map(shown), message: cut(&message.into()), security: false }
    }

    /// Something across a line drawn for safety.
    pub(super) fn grave(rule: &'static str, path: Option<&str>, message: impl Into<String>) -> Self {
        Self { security: true, ..Self::of(rule, path, message) }
    }

    /// The first of them, those for safety before the others, and how many more there are.
    pub(super) fn bounded(all: Vec<Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = Vec::new();
        for violation in all {
            if !kept.contains(&violation) {
                kept.push(violation);
            }
        }
        kept.sort_by_key(|violation| !violation.security);
        if kept.len() > MOST {
            let more = kept.split_off(MOST - 1);
            let security = more.iter().any(|violation| violation.security);
            kept.push(Self { rule: "draft.more", path: None, message: format!("{} more are not listed", more.len()), security });
        }
        kept
    }
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

fn shown(path: &str) -> String {
    path.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
