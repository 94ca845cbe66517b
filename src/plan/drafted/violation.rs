//! What a drafted change does that it may not.

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
