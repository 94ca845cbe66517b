//! What a commit changes, as text for a person and as a list of paths.
//! The text is made here and not by libgit2, whose diff would obey attribute files of the machine; its size is bounded.

use crate::plan::MAX_FILE_BYTES;
use git2::{Delta, Oid, Repository};

/// The difference between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Unified diff with three lines of context, as `git diff` writes it; cut at the limit asked for.
    pub text: String,
    /// Whether `text` was cut.
    pub truncated: bool,
    /// Every changed path, in order; never cut.
    pub paths: Vec<ChangedPath>,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPath {
    /// The path in the repository. It need not be a manifest: a person's commit may change anything.
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
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

/// The text of the difference between two commits of a repository, of at most `limit` bytes; whole lines.
///
/// # Errors
/// What libgit2 says when one of the commits or its objects cannot be read.
pub fn unified_diff(repository: &Repository, from: Oid, to: Oid, limit: usize) -> Result<String, git2::Error> {
    between(repository, from, to, limit).map(|diff| diff.text)
}

pub(super) fn between(repository: &Repository, from: Oid, to: Oid, limit: usize) -> Result<Diff, git2::Error> {
    let old = repository.find_commit(from)?.tree()?;
    let new = repository.find_commit(to)?.tree()?;
    let diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    let mut out = Diff { text: String::new(), truncated: false, paths: Vec::new() };
    for delta in diff.deltas() {
        let kind = match delta.status() {
            Delta::Added => ChangeKind::Added,
            Delta::Deleted => ChangeKind::Removed,
            _ => ChangeKind::Modified,
        };
        let file = if kind == ChangeKind::Removed { delta.old_file() } else { delta.new_file() };
        let path = String::from_utf8_lossy(file.path_bytes().unwrap_or_default()).into_owned();
        if !out.truncated {
            let before = content(repository, delta.old_file().id())?;
            let after = content(repository, delta.new_file().id())?;
            let modes = (i32::from(delta.old_file().mode()), i32::from(delta.new_file().mode()));
            append(&mut out.text, &path, kind, modes, before.as_deref(), after.as_deref());
            cut(&mut out, limit);
        }
        out.paths.push(ChangedPath { path, kind });
    }
    Ok(out)
}

/// The blob's text; none when it is binary, too large or no blob of this repository (a submodule).
fn content(repository: &Repository, id: Oid) -> Result<Option<String>, git2::Error> {
    if id.is_zero() {
        return Ok(Some(String::new()));
    }
    let odb = repository.odb()?;
    if !odb.exists(id) || odb.read_header(id)?.0 > MAX_FILE_BYTES {
        return Ok(None);
    }
    let object = odb.read(id)?;
    Ok(std::str::from_utf8(object.data()).ok().filter(|text| !text.contains('\0')).map(str::to_owned))
}

fn append(text: &mut String, path: &str, kind: ChangeKind, modes: (i32, i32), before: Option<&str>, after: Option<&str>) {
    use std::fmt::Write as _;
    let path = quoted(path);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "diff --git a/{path} b/{path}");
    match kind {
        ChangeKind::Added => drop(writeln!(text, "new file mode {:06o}", modes.1)),
        ChangeKind::Removed => drop(writeln!(text, "deleted file mode {:06o}", modes.0)),
        ChangeKind::Modified if modes.0 != modes.1 => drop(writeln!(text, "old mode {:06o}\nnew mode {:06o}", modes.0, modes.1)),
        ChangeKind::Modified => {}
    }
    let (Some(before), Some(after)) = (before, after) else {
        let _ = writeln!(text, "Binary files a/{path} and b/{path} differ");
        return;
    };
    let old = if kind == ChangeKind::Added { "/dev/null".to_owned() } else { format!("a/{path}") };
    let new = if kind == ChangeKind::Removed { "/dev/null".to_owned() } else { format!("b/{path}") };
    let lines = similar::TextDiff::from_lines(before, after);
    let _ = write!(text, "{}", lines.unified_diff().context_radius(3).header(&old, &new));
}

/// A path on one line: git's own quoting, for paths that hold quotes or control characters.
fn quoted(path: &str) -> String {
    if path.chars().any(|c| c.is_control() || c == '"' || c == '\\') { path.escape_default().to_string() } else { path.to_owned() }
}

fn cut(diff: &mut Diff, limit: usize) {
    if diff.text.len() > limit {
        let mut end = limit;
        while !diff.text.is_char_boundary(end) {
            end -= 1;
        }
        // Whole lines only.
        end = diff.text[..end].rfind('\n').map_or(0, |at| at + 1);
        diff.text.truncate(end);
        diff.truncated = true;
    }
}
