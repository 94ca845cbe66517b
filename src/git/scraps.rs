//! What a git that was killed leaves in a mirror: locks, which would stop every git after it, and packs it had not finished.
//! Removed while no conversation of the mirror is under way, so they are nobody's.

use std::fs;
use std::path::Path;

/// How files begin that become packs or objects when they are whole: git's and libgit2's.
const UNFINISHED: &[&str] = &["tmp_", ".tmp-", "pack_git2_"];

/// Removes them. What cannot be removed is told by whoever it stops.
pub(super) fn remove(mirror: &Path) {
    for lock in ["HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock"] {
        let _ = fs::remove_file(mirror.join(lock));
    }
    remove_files(&mirror.join("refs/kubeops"), &|name| name.ends_with(".lock"));
    remove_files(&mirror.join("objects/pack"), &|name| UNFINISHED.iter().any(|start| name.starts_with(start)));
    for entry in fs::read_dir(mirror.join("objects")).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp_objdir-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn remove_files(directory: &Path, unfinished: &dyn Fn(&str) -> bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_files(&entry.path(), unfinished);
        } else if unfinished(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
