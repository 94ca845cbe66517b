//! Which files a model may read, write and search: globs below the target's path, or from the repository's root.

use crate::inventory::Target;
use crate::types::{DirectoryPath, ManifestPath, SpecError};
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// The globs of an automation.
#[derive(Debug)]
pub(super) struct Reach {
    write: Globs,
    read: Globs,
    runbooks: Globs,
}

/// Globs of one list.
#[derive(Debug, Default)]
struct Globs {
    /// Against the path below the target's.
    below: GlobSet,
    /// Against the path from the root.
    rooted: GlobSet,
}

impl Reach {
    pub(super) fn compile(write: &[String], read: &[String], runbooks: &[String], errors: &mut Vec<SpecError>) -> Self {
        Self {
            write: Globs::compile(write, "/draft/write", false, errors),
            read: Globs::compile(read, "/draft/read", true, errors),
            runbooks: Globs::compile(runbooks, "/draft/runbooks", true, errors),
        }
    }

    pub(super) fn may_write(&self, target: &Target, path: &ManifestPath) -> bool {
        target.path.contains(path) && self.write.fit(&target.path, path.as_str())
    }

    pub(super) fn may_read(&self, target: &Target, path: &str) -> bool {
        self.write.fit(&target.path, path) || self.read.fit(&target.path, path)
    }

    pub(super) fn may_search(&self, target: &Target, path: &str) -> bool {
        let markdown = path.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("md") || end.eq_ignore_ascii_case("markdown"));
        markdown && self.runbooks.fit(&target.path, path)
    }
}

impl Globs {
    fn compile(patterns: &[String], place: &str, rooted: bool, errors: &mut Vec<SpecError>) -> Self {
        let (mut below, mut from_root) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for (number, pattern) in patterns.iter().enumerate() {
            let (builder, glob) = match pattern.strip_prefix('/') {
                Some(rest) if rooted => (&mut from_root, compiled(rest)),
                Some(_) => (&mut below, Err("what is written lies below the target's path: it has no leading `/`".to_owned())),
                None => (&mut below, compiled(pattern)),
            };
            match glob {
                Ok(glob) => drop(builder.add(glob)),
                Err(message) => errors.push(SpecError::new(format!("{place}/{number}"), message).hint("apps/**/*.yaml")),
            }
        }
        let mut built = |builder: GlobSetBuilder| {
            builder.build().unwrap_or_else(|error| {
                errors.push(SpecError::new(place, format!("the globs cannot be used together: {error}")));
                GlobSet::empty()
            })
        };
        Self { below: built(below), rooted: built(from_root) }
    }

    /// Whether a path from the root fits one of them.
    fn fit(&self, within: &DirectoryPath, path: &str) -> bool {
        if path.split('/').any(|part| part.is_empty() || part.starts_with('.')) || path.contains(['\\', '\0']) {
            return false;
        }
        let below = match within.as_str() {
            "." => Some(path),
            within => path.strip_prefix(within).and_then(|rest| rest.strip_prefix('/')),
        };
        self.rooted.is_match(path) || below.is_some_and(|path| self.below.is_match(path))
    }
}

fn compiled(pattern: &str) -> Result<Glob, String> {
    if pattern.trim().is_empty() {
        return Err("a glob that is empty fits no file".to_owned());
    }
    if pattern.contains(['\\', '[', ']', '!', '\0']) {
        return Err(format!("`{pattern}`: of patterns there are `*`, `**`, `?` and `{{a,b}}`"));
    }
    for part in pattern.split('/') {
        if part.is_empty() {
            return Err(format!("`{pattern}` names no file: a directory with all it holds is written `directory/**`"));
        }
        if part.starts_with('.') || part.contains("..") {
            return Err(format!("`{pattern}`: no `..`, and nothing whose name begins with a dot, which is never read or written"));
        }
        if part.contains("**") && part != "**" {
            return Err(format!("`{pattern}`: `**` stands alone between two `/`"));
        }
    }
    GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| format!("`{pattern}` is no glob: {}", error.kind()))
}
