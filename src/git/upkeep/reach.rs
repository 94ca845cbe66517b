//! What is reachable in a mirror: every commit, tree and blob.
//! It reads commits and trees, never a blob. A submodule's commit is another repository's and is not followed.

use git2::{ObjectType, Oid, Repository};
use std::collections::HashSet;

/// The ids of all objects that `roots` (commits, or tags of commits) reach.
pub(super) fn reachable<'r>(repository: &Repository, roots: impl IntoIterator<Item = &'r Oid>) -> Result<HashSet<Oid>, git2::Error> {
    let mut seen = HashSet::new();
    let mut walk = repository.revwalk()?;
    for root in roots {
        let mut object = repository.find_object(*root, None)?;
        while let Some(tag) = object.as_tag() {
            seen.insert(tag.id());
            object = tag.target()?;
        }
        walk.push(object.peel_to_commit()?.id())?;
    }
    for commit in walk {
        let commit = commit?;
        seen.insert(commit);
        below(repository, repository.find_commit(commit)?.tree_id(), &mut seen)?;
    }
    Ok(seen)
}

/// Without recursion: how deep directories lie is for others to say.
fn below(repository: &Repository, root: Oid, seen: &mut HashSet<Oid>) -> Result<(), git2::Error> {
    let mut left = vec![root];
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        for entry in &repository.find_tree(id)? {
            match entry.kind() {
                Some(ObjectType::Tree) => left.push(entry.id()),
                Some(ObjectType::Blob) => drop(seen.insert(entry.id())),
                _ => {}
            }
        }
    }
    Ok(())
}
