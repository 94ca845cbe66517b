//! Automation, parameters and base tree to a change: a pure function, so that it can be made again on a newer base.
//! It reads the base through [`BaseTree`], renders through [`Renderer`](crate::render::Renderer) and seals through [`Sealer`]; it
//! writes nothing and knows no git.

mod builds;
mod changed;
mod co_authors;
mod commit_text;
mod drafted;
mod empty;
mod group;
mod inverse;
mod overlaid;
mod recipe;
mod sealer;
mod staged;
mod walk;
mod words;
#[cfg(test)]
mod tests;

pub use builds::{Build, BuildError, Builder, Built, builds, builds_from};
pub use changed::Changed;
pub use commit_text::{CommitText, Said};
pub use drafted::{Answer, AnswerError, Guard, Operation, Violation, holds_placeholder, value_holds_placeholder};
pub(crate) use drafted::{FieldPattern, KindName, PatternStep, idle_globs};
pub use empty::EmptyTree;
pub use group::GroupText;
pub use inverse::{Inverse, Undone};
pub use overlaid::{LeftOut, Overlaid, OverlaidError, Overlays, overlaid};
pub use recipe::{Inputs, LONGEST_LIFETIME, Lifetime, PullText, Recipe};
pub use sealer::{Placeholders, SealOrder, Sealer};
pub(crate) use walk::manifests_below;
pub use words::{About, Words};

use crate::manifest::Mentions;
use crate::render::RenderError;
use crate::seal::SealError;
use crate::types::{CommitSha, ErrorClass, ManifestPath};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tree a change is made on: one commit of the base branch, read only.
pub trait BaseTree {
    /// The commit.
    fn commit(&self) -> &CommitSha;
    /// What stands at `path`, a file or a directory, in the spelling given; none when nothing does.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError>;
    /// The bytes of the file at `path`, of whatever kind; none when there is no regular file.
    ///
    /// # Errors
    /// When the tree cannot be read, or the file is larger than [`MAX_FILE_BYTES`].
    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError>;
    /// The bytes of a file that holds manifests.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    fn read(&self, path: &ManifestPath) -> Result<Option<Vec<u8>>, TreeError> {
        self.bytes(path.as_str())
    }
    /// Told before these files are read one by one, for a tree that has to fetch their contents: all of them at once.
    ///
    /// # Errors
    /// When they cannot be had.
    fn prefetch(&self, _paths: &[&ManifestPath]) -> Result<(), TreeError> {
        Ok(())
    }
    /// The files of manifests below a directory (the root for an empty path) and what each may hold; looks no further once there are
    /// more than `most`. None where the tree cannot tell without reading each of them.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn survey(&self, _directory: &str, _most: usize) -> Result<Option<Vec<Surveyed>>, TreeError> {
        Ok(None)
    }
    /// The names in the directory that holds `path` which equal its last component when case is ignored, in their own spelling.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn spellings(&self, path: &str) -> Result<Vec<String>, TreeError>;
    /// The names in a directory, in the tree's order, those of directories with a `/` behind; the root's for an empty path.
    /// None where there is no directory.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError>;
}

/// A file of manifests that was not read.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// The file.
    pub path: ManifestPath,
    /// The objects it may hold.
    pub mentions: Arc<Mentions>,
}

/// The largest file that is read or written, in bytes.
pub const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;

/// What an entry of a git tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file (mode 100644).
    File,
    /// A file with the executable bit (mode 100755).
    Executable,
    /// A symbolic link (mode 120000).
    Symlink,
    /// A submodule (mode 160000).
    Submodule,
    /// A directory (mode 040000).
    Directory,
}

/// The base could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the base tree cannot be read: {message}")]
pub struct TreeError {
    /// What went wrong, without secrets.
    pub message: String,
    /// Whether reading again may help.
    pub class: ErrorClass,
}

/// What is to happen to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// The file has these bytes afterwards.
    Write(Vec<u8>),
    /// The file is gone afterwards.
    Remove,
}

/// Files to write and remove, not yet validated. Only `validate` turns it into something git accepts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeSet {
    /// What happens to each file.
    pub files: BTreeMap<ManifestPath, FileChange>,
    /// Which templates made it and the digest of each (SHA-256 over the folder, hex): the evidence in the commit's trailers.
    pub templates: BTreeMap<String, String>,
    /// What a reviewer should know that the files do not show.
    pub notes: Vec<Note>,
}

/// Something a reviewer should know of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is about, as the rule of a finding.
    pub rule: &'static str,
    /// The file it is about.
    pub path: ManifestPath,
    /// The sentence.
    pub message: String,
}

/// Why no change can be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// The target names nothing there is.
    #[error("the target cannot be found: {0}")]
    Target(String),
    /// A path is none.
    #[error("{0}")]
    Path(String),
    /// There is a file already, and the automation says `ifExists: refuse`.
    #[error("{0} exists already, and the automation does not replace it")]
    Exists(ManifestPath),
    /// A file, or a field in it, cannot be edited.
    #[error("{path} cannot be edited: {message}")]
    Edit {
        /// The file.
        path: ManifestPath,
        /// Why, with the candidates there are.
        message: String,
    },
    /// An object is not there, or there twice, or cannot be changed where it stands.
    #[error("{0}")]
    Object(String),
    /// A text or expression of the automation has no value.
    #[error("{place}: {message}")]
    Text {
        /// Where in the automation.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A value cannot be sealed for where the change goes.
    #[error("{0}")]
    Unsealable(String),
    /// A value could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A template did not render.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The base could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl PlanError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Target(_) | Self::Path(_) | Self::Exists(_) | Self::Edit { .. } | Self::Object(_) | Self::Text { .. } | Self::Unsealable(_) => {
                ErrorClass::User
            }
            Self::Seal(error) => error.class(),
            Self::Render(error) => error.class(),
            Self::Tree(error) => error.class,
        }
    }
}
