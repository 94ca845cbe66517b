//! The namespaces that are known: those of what is judged, and those whose file in the base stands where namespaces are kept.

use super::{Item, objects};
use crate::manifest::{Limits, parse};
use crate::plan::{BaseTree, TreeError};
use crate::types::{DirectoryPath, ManifestPath, below};
use crate::validate::policy::Namespaces;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

pub(super) struct Known<'a> {
    base: &'a dyn BaseTree,
    found: RefCell<BTreeMap<String, Option<Value>>>,
    directories: Vec<String>,
    failed: RefCell<Option<TreeError>>,
}

impl<'a> Known<'a> {
    /// Of what is judged: what the change leaves comes after what it found.
    pub(super) fn new(base: &'a dyn BaseTree, within: &DirectoryPath, before: &[Item<'_>], after: &[Item<'_>]) -> Self {
        let namespaces = before.iter().chain(after).filter(|item| item.object.group().is_empty() && item.object.kind == "Namespace");
        let found = namespaces.map(|item| (item.object.name.clone(), Some(item.value.clone()))).collect();
        let root = if *within == DirectoryPath::root() { "" } else { within.as_str() };
        let below = |directory: &&str| root.is_empty() || directory.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let above = before.iter().chain(after).flat_map(|item| item.file().ancestors()).filter(below);
        let mut directories: Vec<String> = above.chain([root]).map(str::to_owned).collect();
        // Those nearest to the objects first.
        directories.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        directories.dedup();
        Self { base, found: RefCell::new(found), directories, failed: RefCell::new(None) }
    }

    /// Why one could not be looked for.
    pub(super) fn failure(self) -> Option<TreeError> {
        self.failed.into_inner()
    }

    fn look(&self, name: &str) -> Result<Option<Value>, TreeError> {
        for directory in &self.directories {
            for file in [
                "namespace.yaml".to_owned(),
                "namespaces.yaml".to_owned(),
                format!("{name}.yaml"),
                format!("namespaces/{name}.yaml"),
                format!("{name}/namespace.yaml"),
            ] {
                let whole = below(directory, &file);
                let Ok(path) = whole.parse::<ManifestPath>() else { continue };
                let Some(bytes) = self.base.read(&path)? else { continue };
                let documents = String::from_utf8(bytes).ok().and_then(|text| parse(&text, Limits::default()).ok()).unwrap_or_default();
                let is_it =
                    |placed: &super::Placed<'_>| placed.object.group().is_empty() && placed.object.kind == "Namespace" && placed.object.name == name;
                if let Some(found) = objects(&path, &documents).into_iter().find(is_it) {
                    return Ok(Some(found.value.clone()));
                }
            }
        }
        Ok(None)
    }
}

impl Namespaces for Known<'_> {
    fn namespace(&self, name: &str) -> Option<Value> {
        if let Some(found) = self.found.borrow().get(name) {
            return found.clone();
        }
        let looked = self.look(name).unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            None
        });
        self.found.borrow_mut().insert(name.to_owned(), looked.clone());
        looked
    }
}
