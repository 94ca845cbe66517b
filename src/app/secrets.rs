//! Which secret provider the settings name. It reads no secret itself.

use crate::config::SecretProvider as SecretSetting;
use crate::secrets::{EnvironmentSecrets, FileSecrets, SecretProvider};
use std::path::PathBuf;
use std::sync::Arc;

/// The directory whose changes mean rotated secrets.
pub(super) fn secret_directory(setting: &SecretSetting) -> Option<PathBuf> {
    match setting {
        SecretSetting::Environment => None,
        SecretSetting::Directory(directory) => Some(directory.clone()),
    }
}

/// Where secrets are looked up.
pub fn secret_provider(setting: &SecretSetting) -> Arc<dyn SecretProvider> {
    match setting {
        SecretSetting::Environment => Arc::new(EnvironmentSecrets),
        SecretSetting::Directory(directory) => Arc::new(FileSecrets::new(directory.clone())),
    }
}
