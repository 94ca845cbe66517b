//! What is reachable in a mirror: every commit, tree and blob, and what came before each at its place.
//! It reads commits and trees, never a blob. A submodule's commit is another repository's and is not followed.

use git2::{ObjectType, Oid, Repository, Sort};
use std::collections::{HashMap, HashSet};

/// The objects that some commits reach.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Each with its number in the order of their first appearance, the oldest commit first.
    pub(super) order: HashMap<Oid, u32>,
    /// What stood at the same path in the commit before, of those asked for; that came earlier in the order.
    pub(super) before: HashMap<Oid, Oid>,
}

impl Reach {
    /// Everything that `roots` (commits, or tags of commits) reach. What came before is told of all but the objects in `known`.
    pub(super) fn of<'r>(repository: &Repository, roots: impl IntoIterator<Item = &'r Oid>, known: &HashSet<Oid>) -> Result<Self, git2::Error> {
        let mut reach = Self::default();
        let mut walk = repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        for root in roots {
            let mut object = repository.find_object(*root, None)?;
            while let Some(tag) = object.as_tag() {
                reach.add(tag.id());
                object = tag.target()?;
            }
            walk.push(object.peel_to_commit()?.id())?;
        }
        for commit in walk {
            let commit = repository.find_commit(commit?)?;
            reach.add(commit.id());
            let parent = commit.parent(0).ok().map(|parent| parent.tree_id());
            reach.below(repository, commit.tree_id(), parent, known)?;
        }
        Ok(reach)
    }

    /// Without recursion: how deep directories lie is for others to say.
    fn below(&mut self, repository: &Repository, root: Oid, former: Option<Oid>, known: &HashSet<Oid>) -> Result<(), git2::Error> {
        let mut left = Vec::new();
        if self.add_after(root, former, known) {
            left.push((root, former));
        }
        while let Some((id, former)) = left.pop() {
            let tree = repository.find_tree(id)?;
            let former = former.map(|former| repository.find_tree(former)).transpose()?;
            for entry in &tree {
                let Some(kind @ (ObjectType::Tree | ObjectType::Blob)) = entry.kind() else { continue };
                let before =
                    || former.as_ref()?.get_name_bytes(entry.name_bytes()).filter(|other| other.kind() == Some(kind)).map(|other| other.id());
                if self.order.contains_key(&entry.id()) {
                    continue;
                }
                let before = before();
                self.add_after(entry.id(), before, known);
                if kind == ObjectType::Tree {
                    left.push((entry.id(), before));
                }
            }
        }
        Ok(())
    }

    /// Adds an object, with what it follows; false when it was there.
    fn add_after(&mut self, id: Oid, before: Option<Oid>, known: &HashSet<Oid>) -> bool {
        let new = self.add(id);
        if let Some(before) = before
            && new
            && !known.contains(&id)
        {
            self.before.insert(id, before);
        }
        new
    }

    fn add(&mut self, id: Oid) -> bool {
        let next = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        *self.order.entry(id).or_insert(next) == next
    }
}
