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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Catalogue;
    use crate::resources::ResourceFile;
    use crate::seal::Scope;
    use crate::types::KubernetesVersion;
    use std::sync::Arc;

    const RESOURCES: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Source
metadata: { name: portal }
spec: { kind: jira, authentication: { hmac: { secrets: [PORTAL_SECRET] } } }
---
apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: credentials }
spec:
  on: { source: portal }
  target: { repository: gitops }
  render:
    - { template: sealed-secret, path: a.yaml, with: { name: "'a'", namespace: "'b'" }, seal: { data: { password: PASSWORD } } }
  pullRequest: { title: Credentials }
---
apiVersion: kubeops.dev/v1alpha1
kind: Repository
metadata: { name: gitops }
spec:
  url: /srv/git/gitops.git
  sealing:
    key: KEY
    certificate: |
"#;

    fn set() -> ResourceSet {
        let certificate = include_str!("../seal/fixtures/certificate.pem").lines().map(|line| format!("      {line}\n"));
        let file = ResourceFile { path: "a.yaml".to_owned(), text: RESOURCES.to_owned() + &certificate.collect::<String>() };
        let catalogue = Arc::new(Catalogue::embedded().expect("the shipped templates"));
        ResourceSet::load(&[file], catalogue, KubernetesVersion::default()).unwrap_or_else(|found| panic!("{found:#?}"))
    }

    fn with(key: &str, password: &str) -> Result<String, Vec<String>> {
        let secrets = [("KEY", key), ("PASSWORD", password), ("PORTAL_SECRET", "of the portal")];
        let secrets = secrets.map(|(name, value)| (name.parse().expect("a name"), SecretString::from(value.to_owned()))).into();
        let set = set();
        let sealer = SecretsInForce::of(&set, &secrets).map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        assert!(sealer.secret(&"PORTAL_SECRET".parse().expect("a name")).is_err(), "it has what it needs and nothing else");
        let sealing = set.inventory.sealing().next().expect("a controller");
        let secret = "PASSWORD".parse().expect("a name");
        Ok(sealer.seal(SealOrder { sealing, scope: Scope::ClusterWide, key: "password", secret: &secret }).expect("sealed"))
    }

    #[test]
    fn a_set_loaded_again_seals_alike_and_a_rotated_secret_otherwise() {
        let key = "k".repeat(32);
        let first = with(&key, "hunter2").expect("sealed");
        assert_eq!(with(&key, "hunter2").expect("sealed"), first);
        assert_ne!(with(&key, "hunter3").expect("sealed"), first);
        assert_ne!(with(&"l".repeat(32), "hunter2").expect("sealed"), first);
    }

    #[test]
    fn what_does_not_serve_is_told_where_it_is_named_and_not_what_it_is() {
        let found = with("hunter2", "x").expect_err("refused");
        assert!(found.len() == 1 && found[0].starts_with("a.yaml:22:5: error: Repository/gitops: the sealing key has 7 bytes"), "{found:#?}");
        let found = with(&"k".repeat(32), &"hunter2 ".repeat(9000)).expect_err("refused");
        assert!(found.len() == 1 && found[0].contains("a.yaml:13:") && found[0].contains("more than 65536 bytes"), "{found:#?}");
        assert!(!found[0].contains("hunter2"), "{found:#?}");
    }
}
