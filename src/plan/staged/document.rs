//! Objects that go: with their document, or with their file.

use super::{Found, Staged};
use crate::manifest::{ObjectAddress, ObjectRef, flatten};
use crate::plan::PlanError;
use crate::types::ManifestPath;

impl Staged<'_> {
    /// An object of a file; none when file or object is not there.
    pub(in crate::plan) fn find_in(&mut self, path: &ManifestPath, address: &ObjectAddress) -> Result<Option<Found>, PlanError> {
        if self.is_there(path.as_str())?.is_none() {
            return Ok(None);
        }
        let documents = self.reader(path)?.documents();
        let mut objects = documents.iter().flat_map(|document| flatten(&document.value)).filter_map(|(_, value)| ObjectRef::of(value).ok());
        Ok(objects.find(|object| address.names(object)).map(|object| Found { path: path.clone(), object, asked: address.clone(), chain: Vec::new() }))
    }

    /// Removes an object; its file too when nothing else is in it.
    pub(in crate::plan) fn remove_object(&mut self, found: &Found) -> Result<(), PlanError> {
        if !self.within.contains(&found.path) {
            let message = format!("{} stands in {}, which lies outside of {}", found.address().without_group(), found.path, self.within);
            return Err(PlanError::Object(message));
        }
        let documents = self.reader(&found.path)?.documents();
        let objects = documents.iter().flat_map(|document| flatten(&document.value)).filter(|(_, value)| ObjectRef::of(value).is_ok()).count();
        if objects == 1 && documents.len() == 1 {
            return self.remove(&found.path).map(drop);
        }
        let address = found.address();
        if self.edit(&found.path, |editor| editor.remove_object(&address))? {
            self.gone.push((found.path.clone(), found.object.clone()));
        }
        Ok(())
    }
}
