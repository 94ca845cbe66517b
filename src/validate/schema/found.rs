//! The schemas a change is held against besides Kubernetes' own: what it brings itself, what its repository keeps, what the server was given.

use super::set::Layers;
use super::{Lookup, SchemaSet};
use crate::plan::{BaseTree, FileChange, TreeError, manifests_below};
use crate::types::{DirectoryPath, ManifestPath};
use crate::validate::{Finding, Rules};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Files of a repository's schema directories that are read, at most.
const MAX_FILES: usize = 2_000;
/// Files whose schemas are kept, by digest, and their bytes in all, which are a tenth of what they take in memory; a repository's
/// definitions change a few times a year.
const MAX_KEPT: usize = 512;
const MAX_KEPT_BYTES: usize = 16 << 20;

/// What one file of a repository gave.
#[derive(Clone)]
struct Read {
    set: SchemaSet,
    problem: Option<String>,
}

/// What files of repositories gave when they were read: one for all validations of a server.
#[derive(Default)]
pub struct ReadSchemas(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    files: HashMap<[u8; 32], Read>,
    bytes: usize,
}

impl fmt::Debug for ReadSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadSchemas")
    }
}

/// The schemas of one validation.
pub(in crate::validate) struct Schemas<'a> {
    base: &'a dyn BaseTree,
    directories: &'a [DirectoryPath],
    change: SchemaSet,
    /// Read when the first object comes whose kind nobody else knows.
    repository: Option<SchemaSet>,
    server: &'a SchemaSet,
    read: &'a ReadSchemas,
}

impl<'a> Schemas<'a> {
    /// The schemas for a change; its own definitions are read, and may be broken, which the gate says when it comes to their files.
    pub(in crate::validate) fn of(files: &BTreeMap<ManifestPath, FileChange>, base: &'a dyn BaseTree, rules: &'a Rules) -> Self {
        let written = files.iter().filter_map(|(path, file)| match file {
            FileChange::Write(bytes) if is_mentioned(bytes) => Some((path.as_str(), bytes.as_slice())),
            _ => None,
        });
        let (change, _) = SchemaSet::read(written);
        Self { base, directories: &rules.schema_directories, change, repository: None, server: &rules.schemas, read: &rules.read_schemas }
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
            let read = self.read.file(path, &bytes);
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

impl ReadSchemas {
    /// The schemas of one file, from memory where its bytes were read before.
    fn file(&self, path: &ManifestPath, bytes: &[u8]) -> Read {
        let mut hasher = Sha256::new();
        // The path says of which type a JSON Schema is.
        hasher.update(path.as_str());
        hasher.update([0]);
        hasher.update(bytes);
        let digest: [u8; 32] = hasher.finalize().into();
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = lock().files.get(&digest) {
            return read.clone();
        }
        let (set, problems) = SchemaSet::read([(path.as_str(), bytes)]);
        let problem = problems.into_iter().next().map(|problem| {
            let hint = problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            if problem.line > 0 { format!("line {}: {}{hint}", problem.line, problem.message) } else { problem.message + &hint }
        });
        let read = Read { set, problem };
        lock().keep(digest, bytes.len(), &read);
        read
    }
}

impl Kept {
    fn keep(&mut self, digest: [u8; 32], bytes: usize, read: &Read) {
        if self.files.len() >= MAX_KEPT || self.bytes + bytes > MAX_KEPT_BYTES {
            self.files.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.files.insert(digest, read.clone());
    }
}

fn is_mentioned(bytes: &[u8]) -> bool {
    const KIND: &[u8] = b"CustomResourceDefinition";
    bytes.windows(KIND.len()).any(|window| window == KIND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_by_number_and_by_bytes() {
        let mut kept = Kept::default();
        let read = Read { set: SchemaSet::default(), problem: None };
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        (0..3 * MAX_KEPT).for_each(|number| kept.keep(digest(number), 1, &read));
        assert!(kept.files.len() <= MAX_KEPT && kept.bytes <= MAX_KEPT);
        (0..40).for_each(|number| kept.keep(digest(10_000 + number), 1 << 20, &read));
        assert!(kept.bytes <= MAX_KEPT_BYTES && kept.files.len() <= 16, "{}", kept.bytes);
        assert!(kept.files.contains_key(&digest(10_039)), "the newest is kept");
    }
}
