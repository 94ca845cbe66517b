//! For which sealed-secrets controller values are sealed.

use super::Inventory;
use crate::seal::Certificate;
use crate::types::SecretName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The controller that opens what is sealed, and what it is sealed with.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealingSpec {
    /// The controller's certificate in PEM, as `kubeseal --fetch-cert` prints it. It is public.
    pub certificate: Certificate,
    /// Name of the secret that holds the server's sealing key, at least 32 random bytes: sealed values are the same every time
    /// because they are derived from it.
    pub key: SecretName,
}

impl Inventory {
    /// Everything that says how values are sealed.
    pub fn sealing(&self) -> impl Iterator<Item = &SealingSpec> {
        let repositories = self.repositories.values().filter_map(|repository| repository.spec.sealing.as_deref());
        repositories.chain(self.clusters.values().filter_map(|cluster| cluster.sealing.as_deref()))
    }
}
