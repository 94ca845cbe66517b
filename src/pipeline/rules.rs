//! The resources in force: swapped as one when they change, so that a step sees one set from its beginning to its end.

use super::standings::Standings;
use crate::plan::{Builder, Sealer};
use crate::render::Renderer;
use crate::resources::{Diagnostic, ResourceSet};
use crate::types::{SecretName, Timestamp};
use crate::validate::ReadSchemas;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;

/// A set and the renderer of its catalogue.
pub struct InForce {
    /// The set.
    pub set: ResourceSet,
    /// The secrets its sources check deliveries with, as they were when the set came into force.
    pub secrets: HashMap<SecretName, SecretString>,
    /// Renders the set's templates.
    pub renderer: Arc<dyn Renderer>,
    /// Builds kustomizations, where that is wished for.
    pub builder: Option<Arc<dyn Builder>>,
    /// What was read of the schemas that repositories keep.
    pub read_schemas: Arc<ReadSchemas>,
    /// Seals what the set's automations have sealed.
    pub sealer: Arc<dyn Sealer>,
    /// Since when.
    pub since: Timestamp,
}

/// The set in force, and why the newest was refused when it was.
pub struct Rules {
    current: RwLock<Arc<InForce>>,
    refused: RwLock<Vec<Diagnostic>>,
    replaced: Notify,
    /// How the calendars in force stand.
    pub(super) standings: Standings,
}

impl Rules {
    /// Starts with `set`.
    pub fn new(set: InForce) -> Self {
        Self { current: RwLock::new(Arc::new(set)), refused: RwLock::default(), replaced: Notify::new(), standings: Standings::default() }
    }

    /// The set in force. Hold it for one step, not longer.
    pub fn current(&self) -> Arc<InForce> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new set in force.
    pub fn replace(&self, set: InForce) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        self.refused.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.standings.forget();
        self.replaced.notify_one();
    }

    /// Waits until a new set is in force; one that came before anybody waited is told at once. For one who waits.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// Remembers why the newest files were refused; the set in force stays.
    pub fn refuse(&self, diagnostics: Vec<Diagnostic>) {
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = diagnostics;
    }

    /// Why the newest files were refused; empty when they are in force.
    pub fn refused(&self) -> Vec<Diagnostic> {
        self.refused.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
