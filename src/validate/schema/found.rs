//! The schemas a change is held against besides Kubernetes' own: what it brings itself, what its repository keeps, what the server was given.

use super::set::Layers;
use super::{Lookup, SchemaSet};
use crate::plan::{BaseTree, FileChange, TreeError, manifests_below};
use crate::types::{DirectoryPath, ManifestPath};
use crate::validate::Finding;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Files of a repository's schema directories that are read, at most.
const MAX_FILES: usize = 2_000;
/// Files whose schemas are kept, by digest; a repository's definitions change a few times a year.
const MAX_KEPT: usize = 512;

/// What one file of a repository gave.
#[derive(Clone)]
struct Read {
    set: SchemaSet,
    problem: Option<String>,
}

static KEPT: OnceLock<Mutex<HashMap<[u8; 32], Read>>> = OnceLock::new();

/// The schemas of one validation.
pub(in crate::validate) struct Schemas<'a> {
    base: &'a dyn BaseTree,
    directories: &'a [DirectoryPath],
    change: SchemaSet,
    /// Read when the first object comes whose kind nobody else knows.
    repository: Option<SchemaSet>,
    server: &'a SchemaSet,
}

impl<'a> Schemas<'a> {
    /// The schemas for a change; its own definitions are read, and may be broken, which the gate says when it comes to their files.
    pub(in crate::validate) fn of(
        files: &BTreeMap<ManifestPath, FileChange>,
        base: &'a dyn BaseTree,
        directories: &'a [DirectoryPath],
        server: &'a SchemaSet,
    ) -> Self {
        let written = files.iter().filter_map(|(path, file)| match file {
            FileChange::Write(bytes) if is_mentioned(bytes) => Some((path.as_str(), bytes.as_slice())),
            _ => None,
        });
        let (change, _) = SchemaSet::read(written);
        Self { base, directories, change, repository: None, server }
    }

    /// What is known of a type.
    pub(in crate::validate) fn find(&self, api_version: &str, kind: &str) -> Lookup {
        let none = SchemaSet::default();
        Layers(&[&self.change, self.repository.as_ref().unwrap_or(&none), self.server]).find(api_version, kind)
    }

    /// Reads the repository's directories, once; tells whether that gave anything new, and what is wrong with them.
    pub(in crate::validate) fn look_into_repository(&mut self) -> Result<(bool, Vec<Finding>), TreeError> {
        if self.repository.is_some() || self.directories.is_empty() {
            return Ok((false, Vec::new()));
        }
        let mut findings = Vec::new();
        let mut set = SchemaSet::default();
        for root in self.directories.iter().filter(|root| root.as_str() != ".") {
            if self.base.entry(root.as_str())?.is_none() {
                let message = "there is no such directory, and the resources name it under `schemas`";
                let hint = "put the definitions there, or mend the `schemas` of the Repository or the Cluster";
                findings.push(Finding::of_directory("schema.unreadable", root, message).hint(hint));
            }
        }
        let paths = self.listed()?;
        self.base.prefetch(&paths.iter().take(MAX_FILES).collect::<Vec<_>>())?;
        for path in paths.iter().take(MAX_FILES) {
            let Some(bytes) = self.base.read(path)? else { continue };
            let read = kept(path, &bytes);
            findings.extend(read.problem.map(|problem| Finding::warning("schema.unreadable", path, problem)));
            set.extend(read.set);
        }
        if let Some(path) = paths.get(MAX_FILES) {
            let message = format!("the schema directories hold {} files, and only {MAX_FILES} are read", paths.len());
            findings.push(Finding::warning("schema.unreadable", path, message).hint("name directories that hold nothing but definitions"));
        }
        let new = !set.is_empty();
        self.repository = Some(set);
        Ok((new, findings))
    }

    fn listed(&self) -> Result<Vec<ManifestPath>, TreeError> {
        let mut files = Vec::new();
        for root in self.directories {
            files.extend(manifests_below(self.base, root, usize::MAX)?);
        }
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// The schemas of one file, from memory where its bytes were read before.
fn kept(path: &ManifestPath, bytes: &[u8]) -> Read {
    let mut hasher = Sha256::new();
    // The path says of which type a JSON Schema is.
    hasher.update(path.as_str());
    hasher.update([0]);
    hasher.update(bytes);
    let digest: [u8; 32] = hasher.finalize().into();
    let lock = || KEPT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(read) = lock().get(&digest) {
        return read.clone();
    }
    let (set, problems) = SchemaSet::read([(path.as_str(), bytes)]);
    let problem = problems.into_iter().next().map(|problem| {
        let hint = problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        if problem.line > 0 { format!("line {}: {}{hint}", problem.line, problem.message) } else { problem.message + &hint }
    });
    let read = Read { set, problem };
    let mut kept = lock();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(digest, read.clone());
    read
}

fn is_mentioned(bytes: &[u8]) -> bool {
    const KIND: &[u8] = b"CustomResourceDefinition";
    bytes.windows(KIND.len()).any(|window| window == KIND)
}
