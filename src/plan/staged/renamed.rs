//! What the kustomizations above a rendered file make of its objects' names and namespaces, and what that means for sealed ones.
//! It looks upwards from the file only, so that it costs no search; it changes nothing.

use super::kustomize::directory_of;
use super::{Stage, Staged};
use crate::manifest::{Limits, ObjectAddress, ObjectRef, flatten, parse};
use crate::plan::{Note, PlanError};
use crate::types::ManifestPath;
use serde_json::Value;

impl Staged<'_> {
    /// Tells of rendered objects that a kustomization gives another name or namespace.
    ///
    /// # Errors
    /// When a SealedSecret could then never be opened: it was sealed for the name and namespace it is written with.
    pub(in crate::plan) fn look_at_names(&mut self) -> Result<(), PlanError> {
        let written = self.files.iter().filter_map(|(path, stage)| match stage {
            Stage::Written(bytes) => Some((path.clone(), String::from_utf8(bytes.clone()).ok()?)),
            _ => None,
        });
        let written: Vec<(ManifestPath, String)> = written.collect();
        for (path, text) in written {
            let chain = self.above(&path)?;
            if chain.is_empty() {
                continue;
            }
            let Ok(documents) = parse(&text, Limits::default()) else { continue };
            for (_, value) in documents.iter().flat_map(|document| flatten(&document.value)) {
                let Ok(object) = ObjectRef::of(value) else { continue };
                self.look_at_name(&path, &chain, &object, value)?;
            }
        }
        Ok(())
    }

    fn look_at_name(&mut self, path: &ManifestPath, chain: &[ManifestPath], object: &ObjectRef, value: &Value) -> Result<(), PlanError> {
        let built = self.as_built(chain, object)?;
        let (renamed, moved) = (built.name != object.name, built.namespace != object.namespace);
        if !renamed && !moved {
            return Ok(());
        }
        let owners: Vec<String> = chain.iter().map(ToString::to_string).collect();
        let (written, shown, owners) = (ObjectAddress::of(object), ObjectAddress::of(&built), owners.join(", "));
        // Without a namespace it is sealed for one nobody here knows.
        let closed = match sealed_for(object, value) {
            Sealed::Strictly => renamed || (moved && object.namespace.is_some()),
            Sealed::ForNamespace => moved && object.namespace.is_some(),
            Sealed::Not => false,
        };
        if closed {
            let message = format!(
                "{path}: {written} is sealed for that name and namespace, and {owners} makes it {shown}, which the controller cannot open; write it with the name and namespace it will have in a directory that changes neither, or seal it with a wider scope"
            );
            return Err(PlanError::Unsealable(message));
        }
        let message = format!("{written} will be {shown}: {owners} gives it that name or namespace");
        self.notes.push(Note { rule: "kustomize.renamed", path: path.clone(), message });
        Ok(())
    }

    /// The kustomizations at and above a file's directory that build it, outermost first.
    fn above(&mut self, path: &ManifestPath) -> Result<Vec<ManifestPath>, PlanError> {
        let mut chain = Vec::new();
        let (mut named, mut directory) = (path.to_string(), directory_of(path).to_owned());
        loop {
            if let Some(owner) = self.kustomization_in(&directory)?
                && self.built_by(&owner)?.iter().any(|(_, resource)| *resource == named)
            {
                named.clone_from(&directory);
                chain.push(owner);
            }
            match directory.rsplit_once('/') {
                Some((parent, _)) => directory = parent.to_owned(),
                None if !directory.is_empty() => directory.clear(),
                None => break,
            }
        }
        chain.reverse();
        Ok(chain)
    }
}

/// For what a SealedSecret was sealed (<https://github.com/bitnami-labs/sealed-secrets#scopes>).
enum Sealed {
    Not,
    Strictly,
    ForNamespace,
}

fn sealed_for(object: &ObjectRef, value: &Value) -> Sealed {
    if object.kind != "SealedSecret" {
        return Sealed::Not;
    }
    let says = |annotation: &str| {
        let places = ["/metadata/annotations", "/spec/template/metadata/annotations"];
        let annotated = places.iter().filter_map(|place| value.pointer(place)?.get(annotation));
        annotated.into_iter().any(|said| said.as_str() == Some("true"))
    };
    match (says("sealedsecrets.bitnami.com/cluster-wide"), says("sealedsecrets.bitnami.com/namespace-wide")) {
        (true, _) => Sealed::Not,
        (false, true) => Sealed::ForNamespace,
        (false, false) => Sealed::Strictly,
    }
}
