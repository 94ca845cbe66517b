//! What a commit changes, for a person to read: made by git, shown by forges and the API.

/// The difference between two commits, file by file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeDiff {
    /// Every changed path, in order; never cut.
    pub files: Vec<FilePatch>,
    /// Whether patches were cut or left out because the whole is too long.
    pub truncated: bool,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// The path in the repository. It need not be a manifest: a person's commit may change anything.
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// Its unified diff with three lines of context, as `git diff` writes it, from its `diff --git` line on; whole lines.
    pub patch: String,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its bytes or its mode differ.
    Modified,
    /// It is gone.
    Removed,
}

impl TreeDiff {
    /// All patches as one text, as `git apply` takes it.
    pub fn text(&self) -> String {
        self.files.iter().map(|file| file.patch.as_str()).collect()
    }
}
