//! What Kustomize makes of a change: the overlays below the target that build from a changed file, before and after it.
//! Pure: the program that builds comes through [`Builder`], and is given files, never a directory of this machine.

use super::staged::{Overlay, Staged};
use super::{BaseTree, FileChange, TreeError};
use crate::manifest::{Document, Limits, ObjectChange, diff, parse};
use crate::types::{DirectoryPath, ErrorClass, ManifestPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Overlays that are built for one change, at most.
const MAX_BUILDS: usize = 8;
/// Lines that are kept of one, at most.
const MAX_LINES: usize = 40;

/// Builds kustomizations.
pub trait Builder: std::fmt::Debug + Send + Sync {
    /// What `kustomize build` of the directory gives, with these files and no others.
    ///
    /// # Errors
    /// What the program says is wrong, or why it could not be asked.
    fn build(&self, files: &BTreeMap<String, Vec<u8>>, directory: &str) -> Result<String, BuildError>;
}

/// Why there is no build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Kustomize refuses the files.
    #[error("{0}")]
    Refused(String),
    /// It was not asked, or took too long.
    #[error("{0}")]
    Failed(String),
}

impl BuildError {
    /// A refusal is for the author to mend.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Refused(_) => ErrorClass::User,
            Self::Failed(_) => ErrorClass::Transient,
        }
    }
}

/// What an overlay builds differently after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its directory.
    pub directory: String,
    /// What changes in what it builds, a line for each object.
    pub changes: Vec<String>,
    /// Why nothing can be said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it could be built before the change and cannot be after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
}

/// An overlay that was looked at, with what it builds.
#[derive(Debug)]
pub struct Built {
    /// What is told of it.
    pub build: Build,
    /// Its documents before the change and after it; none when it was not built after it.
    pub documents: Option<(Vec<Document>, Vec<Document>)>,
}

/// Whether a kustomization at or below `within` builds from one of the files.
///
/// # Errors
/// When the base cannot be read.
pub fn builds_from(base: &dyn BaseTree, files: &[ManifestPath], within: &DirectoryPath) -> Result<bool, TreeError> {
    let overlays = Staged::new(base, within).overlays()?;
    Ok(files.iter().any(|file| overlays.values().any(|overlay| overlay.files.contains_key(file.as_str()))))
}

/// Builds every overlay below `within` that builds from one of the files, before and after they change.
///
/// # Errors
/// When the base cannot be read.
pub fn builds(
    base: &dyn BaseTree,
    files: &BTreeMap<ManifestPath, FileChange>,
    within: &DirectoryPath,
    builder: &dyn Builder,
) -> Result<Vec<Built>, TreeError> {
    let touched = |overlay: &Overlay| files.keys().any(|path| overlay.files.contains_key(path.as_str()));
    let mut before = Staged::new(base, within).overlays()?;
    let mut after = Staged::changed(base, within, files).overlays()?;
    // One that names a file only before, or only after, is built both times.
    after.retain(|directory, overlay| touched(overlay) || before.get(directory).is_some_and(touched));
    before.retain(|directory, _| after.contains_key(directory));
    let mut built: Vec<Built> =
        after.iter().take(MAX_BUILDS).map(|(directory, after)| compared(directory, before.get(directory), after, builder)).collect();
    if after.len() > MAX_BUILDS {
        let note = format!("{} more overlays build from these files, and were not built", after.len() - MAX_BUILDS);
        let build = Build { directory: within.to_string(), changes: Vec::new(), note: Some(note), broken: false };
        built.push(Built { build, documents: None });
    }
    Ok(built)
}

fn compared(directory: &str, before: Option<&Overlay>, after: &Overlay, builder: &dyn Builder) -> Built {
    let build = |changes, note, broken| Built { build: Build { directory: directory.to_owned(), changes, note, broken }, documents: None };
    if let Some(elsewhere) = after.elsewhere.first() {
        return build(Vec::new(), Some(format!("it builds from {elsewhere:?}, which is not in the repository: nothing is fetched for it")), false);
    }
    if let Some(missing) = after.missing.first() {
        let was_whole = before.is_none_or(|before| before.missing.is_empty());
        return build(Vec::new(), Some(format!("it names {missing:?}, which is not there")), was_whole);
    }
    let documents = |overlay: &Overlay| -> Result<Vec<Document>, BuildError> {
        let text = builder.build(&overlay.files, directory)?;
        parse(&text, Limits::default()).map_err(|error| BuildError::Failed(format!("what it builds cannot be read: {error}")))
    };
    let was = before.filter(|before| before.elsewhere.is_empty() && before.missing.is_empty()).map(documents);
    match (was, documents(after)) {
        (Some(Err(before)), Err(_)) => build(Vec::new(), Some(format!("it could not be built before this change either: {before}")), false),
        (_, Err(error @ BuildError::Failed(_))) => build(Vec::new(), Some(error.to_string()), false),
        (_, Err(error)) => build(Vec::new(), Some(error.to_string()), true),
        (was, Ok(after)) => {
            let was = was.and_then(Result::ok).unwrap_or_default();
            let changes = diff(&was, &after);
            let mut lines: Vec<String> = changes.iter().take(MAX_LINES).map(ObjectChange::to_string).collect();
            if changes.len() > MAX_LINES {
                lines.push(format!("and {} more objects", changes.len() - MAX_LINES));
            }
            Built { documents: Some((was, after)), ..build(lines, None, false) }
        }
    }
}
