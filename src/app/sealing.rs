//! Glue: the secrets of the set in force, as a plan has them sealed. Their values do not leave this module but sealed.

use crate::plan::{SealOrder, Sealer};
use crate::resources::{Diagnostic, ResourceSet};
use crate::seal::{SealError, SealingKey, seal};
use crate::types::SecretName;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;

/// The largest secret that is sealed, in bytes: as large as a file of the secret provider may be.
const MAX_BYTES: usize = 64 * 1024;

/// Seals the secrets of one set, as they were when it came into force.
pub(super) struct SecretsInForce(HashMap<SecretName, SecretString>);

impl SecretsInForce {
    /// Takes of `secrets` those that are sealed, and those they are sealed with.
    ///
    /// # Errors
    /// Each that would not serve, at every place that names it. A missing one was told before.
    pub(super) fn of(set: &ResourceSet, secrets: &HashMap<SecretName, SecretString>) -> Result<Self, Vec<Diagnostic>> {
        let (keys, sealed) = set.sealing_secrets();
        let bytes = |name: &SecretName| secrets.get(name).map_or(&[][..], |secret| secret.expose_secret().as_bytes());
        let mut problems = Vec::new();
        for name in &keys {
            let error = SealingKey::new(bytes(name)).err();
            let told = |error: SealError| set.secret_problem(name, &format!("{error}: `openssl rand -hex 32` makes one"));
            problems.extend(error.into_iter().flat_map(told).filter(|problem| stands_at(problem, "/spec/sealing/key")));
        }
        for name in sealed.iter().filter(|name| bytes(name).len() > MAX_BYTES) {
            let message = format!("the secret {name} has more than {MAX_BYTES} bytes, which is the most that is sealed");
            problems.extend(set.secret_problem(name, &message).into_iter().filter(|problem| stands_at(problem, "/spec/render/")));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let wanted = keys.into_iter().chain(sealed);
        Ok(Self(wanted.filter_map(|name| Some((name.clone(), secrets.get(name)?.clone()))).collect()))
    }

    fn secret(&self, name: &SecretName) -> Result<&[u8], SealError> {
        self.0.get(name).map(|secret| secret.expose_secret().as_bytes()).ok_or_else(|| SealError::Missing(name.clone()))
    }
}

fn stands_at(problem: &Diagnostic, below: &str) -> bool {
    problem.pointer.as_ref().is_some_and(|pointer| pointer.starts_with(below))
}

impl Sealer for SecretsInForce {
    fn seal(&self, order: SealOrder<'_>) -> Result<String, SealError> {
        let key = SealingKey::new(self.secret(&order.sealing.key)?)?;
        seal(&order.sealing.certificate, &key, order.scope, order.key, self.secret(order.secret)?)
    }
}
