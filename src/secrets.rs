//! Where secrets come from: environment variables, or the files of a directory (as Kubernetes mounts them).
//! A secret leaves this module only as a `SecretString`; its text is never part of an error or a log line.

use crate::types::{ErrorClass, SecretName};
use secrecy::SecretString;
use std::path::PathBuf;

/// Why a secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none of this name.
    #[error("the secret {name} is not there: {place}")]
    Missing {
        /// The secret.
        name: SecretName,
        /// Where it was looked for, and so where to put it.
        place: String,
    },
    /// It is there and cannot be read, or is empty.
    #[error("the secret {name} cannot be used: {reason}")]
    Unusable {
        /// The secret.
        name: SecretName,
        /// Why.
        reason: String,
    },
}

impl SecretError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Permanent
    }
}

/// Gives secrets by name, freshly at each call, so that a rotated one is found.
pub trait SecretProvider: Send + Sync + 'static {
    /// The secret of this name.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    fn secret(&self, name: &SecretName) -> Result<SecretString, SecretError>;
}

/// Secrets in environment variables of the same name.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnvironmentSecrets;

impl SecretProvider for EnvironmentSecrets {
    fn secret(&self, name: &SecretName) -> Result<SecretString, SecretError> {
        let missing = || SecretError::Missing { name: name.clone(), place: format!("set the environment variable {name}") };
        let value = std::env::var(name.as_str()).map_err(|_| missing())?;
        if value.is_empty() { Err(missing()) } else { Ok(value.into()) }
    }
}

/// Secrets in files named as they are, in one directory; a newline at the end is not part of the secret.
#[derive(Debug, Clone)]
pub struct FileSecrets {
    directory: PathBuf,
}

impl FileSecrets {
    /// Longest secret read, in bytes.
    const MAX_BYTES: u64 = 64 * 1024;

    /// Secrets in the files of `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

impl SecretProvider for FileSecrets {
    fn secret(&self, name: &SecretName) -> Result<SecretString, SecretError> {
        // A `SecretName` holds no slash and no `..`: it cannot leave the directory.
        let path = self.directory.join(name.as_str());
        let unusable = |reason: String| SecretError::Unusable { name: name.clone(), reason };
        let place = || SecretError::Missing { name: name.clone(), place: format!("put it into the file {}", path.display()) };
        let size = std::fs::metadata(&path).map_err(|_| place())?.len();
        if size > Self::MAX_BYTES {
            return Err(unusable(format!("{} has {size} bytes; {} are allowed", path.display(), Self::MAX_BYTES)));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unusable(format!("{} cannot be read: {error}", path.display())))?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() { Err(unusable(format!("{} is empty", path.display()))) } else { Ok(text.to_owned().into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_file_is_a_secret_without_its_last_newline() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("TOKEN"), "s3cret \n").expect("written");
        std::fs::write(directory.path().join("EMPTY"), "\n").expect("written");
        let secrets = FileSecrets::new(directory.path());
        let get = |name: &str| secrets.secret(&name.parse().expect("a name"));
        assert_eq!(get("TOKEN").expect("there").expose_secret(), "s3cret ");
        assert!(matches!(get("EMPTY"), Err(SecretError::Unusable { .. })));
        let error = get("OTHER").expect_err("missing").to_string();
        assert!(error.contains("OTHER") && error.contains("put it into the file"), "{error}");
    }
}
