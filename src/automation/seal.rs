//! Which secrets a rendered file holds, sealed.

use crate::types::SecretName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Secrets of the server that are sealed into a file. They are named here outright: no event and no parameter chooses one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealSpec {
    /// For which Secret of the cluster the values are sealed.
    #[serde(default)]
    pub scope: SealScope,
    /// The keys of the Secret, and for each the name of the secret whose value it gets.
    #[schemars(extend("minProperties" = 1))]
    pub data: BTreeMap<String, SecretName>,
}

/// For which Secret a value is sealed: the controller opens it for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SealScope {
    /// For the one of this name in this namespace.
    #[default]
    Strict,
    /// For any of this namespace.
    NamespaceWide,
    /// For any of the cluster.
    ClusterWide,
}

impl SealScope {
    /// The word in the document, and in the controller's annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::NamespaceWide => "namespace-wide",
            Self::ClusterWide => "cluster-wide",
        }
    }
}
