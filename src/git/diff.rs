//! What a commit changes, file by file, as text for a person.
//! The text is made here and not by libgit2, whose diff would obey attribute files of the machine; its size is bounded.

use crate::plan::MAX_FILE_BYTES;
use crate::types::{ChangeKind, FilePatch, TreeDiff};
use git2::{Delta, Oid, Repository};

/// The difference between two commits of a repository, with at most `limit` bytes of patches altogether.
///
/// # Errors
/// What libgit2 says when one of the commits or its objects cannot be read.
pub fn tree_diff(repository: &Repository, from: Oid, to: Oid, limit: usize) -> Result<TreeDiff, git2::Error> {
    let old = repository.find_commit(from)?.tree()?;
    let new = repository.find_commit(to)?.tree()?;
    let diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    let mut out = TreeDiff::default();
    let mut left = limit;
    for delta in diff.deltas() {
        let kind = match delta.status() {
            Delta::Added => ChangeKind::Added,
            Delta::Deleted => ChangeKind::Removed,
            _ => ChangeKind::Modified,
        };
        let file = if kind == ChangeKind::Removed { delta.old_file() } else { delta.new_file() };
        let path = String::from_utf8_lossy(file.path_bytes().unwrap_or_default()).into_owned();
        let mut patch = String::new();
        if !out.truncated {
            let before = content(repository, delta.old_file().id())?;
            let after = content(repository, delta.new_file().id())?;
            let modes = (i32::from(delta.old_file().mode()), i32::from(delta.new_file().mode()));
            append(&mut patch, &path, kind, modes, before.as_deref(), after.as_deref());
            out.truncated = cut(&mut patch, left);
            left -= patch.len();
        }
        out.files.push(FilePatch { path, kind, patch });
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

/// Cuts `patch` to whole lines of at most `limit` bytes, and tells whether it had to.
fn cut(patch: &mut String, limit: usize) -> bool {
    if patch.len() <= limit {
        return false;
    }
    let end = patch.as_bytes()[..limit].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    patch.truncate(end);
    true
}
