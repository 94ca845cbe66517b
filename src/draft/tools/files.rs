//! The files of the base that are within reach, as they may leave.

use super::Refused;
use crate::draft::{Redactor, TextKind};
use crate::plan::{BaseTree, TreeError};
use crate::types::{ErrorClass, ManifestPath, below};
use globset::{GlobBuilder, GlobMatcher};
use std::collections::HashMap;
use std::rc::Rc;

/// Names that one call looks at, at most.
const MAX_NAMES: usize = 20_000;
/// Files that one call reads, at most, and their bytes together.
const MAX_READ: usize = 2_000;
const MAX_BYTES: usize = 16 << 20;

/// The files, with what was read of them.
pub(super) struct Files<'t> {
    pub(super) base: &'t dyn BaseTree,
    may_read: &'t dyn Fn(&str) -> bool,
    redactor: &'t mut Redactor,
    redacted: HashMap<String, Rc<str>>,
}

/// What may still be read for a call.
pub(super) struct Effort {
    files: usize,
    bytes: usize,
}

impl Effort {
    pub(super) fn new() -> Self {
        Self { files: MAX_READ, bytes: MAX_BYTES }
    }

    /// Whether one more file may be read.
    pub(super) fn is_left(&self) -> bool {
        self.files > 0 && self.bytes > 0
    }

    fn spend(&mut self, bytes: usize) {
        self.files = self.files.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Paths within reach, in order, and whether there are more that were not looked at.
pub(super) struct Listed {
    pub(super) paths: Vec<String>,
    pub(super) cut: bool,
}

impl<'t> Files<'t> {
    pub(super) fn new(base: &'t dyn BaseTree, may_read: &'t dyn Fn(&str) -> bool, redactor: &'t mut Redactor) -> Self {
        Self { base, may_read, redactor, redacted: HashMap::new() }
    }

    /// The files within reach below a directory (the root for an empty path) that the glob matches.
    pub(super) fn list(&self, directory: &str, glob: Option<&GlobMatcher>) -> Result<Listed, TreeError> {
        let (mut paths, mut names) = (Vec::new(), 0);
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            for name in self.base.names(&directory)? {
                names += 1;
                let path = below(&directory, &name);
                match path.strip_suffix('/') {
                    Some(inner) => directories.push(inner.to_owned()),
                    None if self.is_there(&path) && glob.is_none_or(|glob| glob.is_match(&path)) => paths.push(path),
                    None => {}
                }
            }
            if names > MAX_NAMES {
                paths.sort_unstable();
                return Ok(Listed { paths, cut: true });
            }
        }
        paths.sort_unstable();
        Ok(Listed { paths, cut: false })
    }

    /// Whether a path is within reach; of what is not, nothing is told.
    pub(super) fn is_there(&self, path: &str) -> bool {
        (self.may_read)(path)
    }

    /// Told before these files are read one by one: a tree that has to fetch their contents does so at once.
    pub(super) fn prefetch(&self, paths: &[String]) -> Result<(), TreeError> {
        let paths: Vec<ManifestPath> = paths.iter().take(MAX_READ).filter_map(|path| path.parse().ok()).collect();
        self.base.prefetch(&paths.iter().collect::<Vec<_>>())
    }

    /// A file as it stands, which must not leave; none where there is none within reach, or it is no text.
    pub(super) fn raw(&self, path: &str, effort: &mut Effort) -> Result<Option<String>, TreeError> {
        if !self.is_there(path) {
            return Ok(None);
        }
        match self.base.bytes(path) {
            Ok(bytes) => {
                effort.spend(bytes.as_ref().map_or(0, Vec::len));
                Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
            }
            // Too large: it cannot be read later either.
            Err(error) if error.class != ErrorClass::Transient => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file's text as it may leave.
    pub(super) fn redacted(&mut self, path: &str, raw: &str) -> Rc<str> {
        if let Some(known) = self.redacted.get(path) {
            return Rc::clone(known);
        }
        let redacted: Rc<str> = self.redactor.redact(raw, kind(path)).into();
        self.redacted.insert(path.to_owned(), Rc::clone(&redacted));
        redacted
    }

    /// Any other text as it may leave.
    pub(super) fn cleared(&mut self, text: &str) -> String {
        self.redactor.redact(text, TextKind::Other)
    }
}

/// What a file is, by its name.
fn kind(path: &str) -> TextKind {
    let name = path.to_ascii_lowercase();
    if [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) { TextKind::Manifest } else { TextKind::Other }
}

/// A path as a model writes it: `./apps/`, `/apps`.
pub(super) fn path(given: &str) -> String {
    let plain: Vec<&str> = given.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    plain.join("/")
}

/// A glob as a model writes it: `*` stays within a directory, `**` does not; without a `/` it is one of the file's name.
pub(super) fn glob(given: Option<&str>) -> Result<Option<GlobMatcher>, Refused> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
    let plain = path(given);
    let pattern = if plain.contains('/') { plain } else { format!("**/{plain}") };
    match GlobBuilder::new(&pattern).literal_separator(true).build() {
        Ok(glob) => Ok(Some(glob.compile_matcher())),
        Err(error) => Err(Refused::Told(format!("`glob` is none: {}", error.kind()))),
    }
}
