//! What of a set is about sealed values: certificates, the secrets that are sealed, and where they go.

use super::document::Document;
use super::set::ResourceSet;
use super::{Diagnostic, Level};
use crate::automation::{AutomationSpec, escape_pointer};
use crate::inventory::SealingSpec;
use crate::seal::Certificate;
use crate::types::{DirectoryPath, SecretName, SpecError, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is known of sealing in a set.
#[derive(Debug, Default)]
pub(super) struct Sealings {
    /// The server's own secrets: those that anything but `seal` names.
    own: BTreeSet<SecretName>,
    /// When each certificate ends, and where it stands.
    ends: Vec<(u64, Diagnostic)>,
}

/// Whether the document's certificate, where it has one, can be read; what is wrong with it goes to `found`.
pub(super) fn is_readable(document: &Document<'_>, found: &mut Vec<Diagnostic>) -> bool {
    let Some(text) = document.spec.pointer("/sealing/certificate").and_then(Value::as_str) else { return true };
    let unreadable = Certificate::from_pem(text).err();
    found.extend(unreadable.iter().map(|error| document.diagnostic(Level::Error, "/spec/sealing/certificate", error.to_string(), None, None)));
    unreadable.is_none()
}

impl ResourceSet {
    /// Notes the secret a controller's values are sealed with, and when its certificate ends.
    pub(super) fn add_sealing(&mut self, document: &Document<'_>, sealing: Option<&SealingSpec>) {
        let Some(sealing) = sealing else { return };
        self.add_secret_at(document, "/spec/sealing/key", &sealing.key);
        let place = document.diagnostic(Level::Warning, "/spec/sealing/certificate", String::new(), None, None);
        self.sealings.ends.push((sealing.certificate.not_after(), place));
    }

    /// To be called when every document is added that names secrets of the server's own.
    pub(super) fn close_own_secrets(&mut self) {
        self.sealings.own = self.secret_names().cloned().collect();
    }

    /// Notes the secrets an automation has sealed.
    pub(super) fn add_sealed(&mut self, document: &Document<'_>, spec: &AutomationSpec) {
        for (pointer, secret) in sealed(spec) {
            self.add_secret_at(document, &format!("/spec{pointer}"), secret);
        }
    }

    /// What is wrong with what an automation has sealed, beyond its template.
    pub(super) fn check_sealed(&self, spec: &AutomationSpec) -> Vec<SpecError> {
        let own = sealed(spec).filter(|(_, secret)| self.sealings.own.contains(*secret)).map(|(pointer, secret)| {
            let message =
                format!("the secret {secret} is the server's own: a Source, a Repository, a Cluster, a Channel or an McpServer names it, and it is not given away");
            SpecError::new(pointer, message).hint("where it is wanted in the cluster all the same, keep it once more under another name")
        });
        own.chain(self.check_sealing_target(spec)).collect()
    }

    /// The target, where it is named outright, has to say how values are sealed.
    fn check_sealing_target<'s>(&self, spec: &'s AutomationSpec) -> impl Iterator<Item = SpecError> + use<'s> {
        let target = match (&spec.target.cluster, &spec.target.repository) {
            (Some(cluster), _) => self.inventory.by_cluster(cluster).ok(),
            (None, Some(repository)) => self.inventory.by_repository(repository, DirectoryPath::root()).ok(),
            (None, None) => None,
        };
        let lacking = target.filter(|target| target.sealing.is_none()).map(|target| target.to_string());
        let steps = spec.render.iter().enumerate().filter(|(_, step)| step.seal.is_some());
        steps.filter_map(move |(at, _)| {
            let message = format!("values cannot be sealed for {}, which has no `sealing`", lacking.as_ref()?);
            let hint = "give it `sealing: { certificate: ..., key: ... }`: the certificate is what `kubeseal --fetch-cert` prints";
            Some(SpecError::new(format!("/render/{at}/seal"), message).hint(hint))
        })
    }

    /// A warning for each certificate that has ended by `now`.
    pub fn ended_certificates(&self, now: Timestamp) -> Vec<Diagnostic> {
        let ended = self.sealings.ends.iter().filter(|(end, _)| i64::try_from(*end).is_ok_and(|end| end < now.unix_seconds()));
        ended
            .map(|(_, place)| Diagnostic {
                message: "the certificate of the sealed-secrets controller has ended".to_owned(),
                hint: Some("put in its place what `kubeseal --fetch-cert` prints now".to_owned()),
                ..place.clone()
            })
            .collect()
    }

    /// Every secret that a controller's values are sealed with, and every secret that is sealed.
    pub fn sealing_secrets(&self) -> (BTreeSet<&SecretName>, BTreeSet<&SecretName>) {
        let keys = self.inventory.sealing().map(|sealing| &sealing.key).collect();
        (keys, self.automations.iter().flat_map(|automation| sealed(&automation.spec)).map(|(_, secret)| secret).collect())
    }
}

/// The secrets that are sealed, each with the pointer to its name.
fn sealed(spec: &AutomationSpec) -> impl Iterator<Item = (String, &SecretName)> {
    let steps = spec.render.iter().enumerate().filter_map(|(at, step)| Some((at, step.seal.as_ref()?)));
    steps.flat_map(|(at, seal)| seal.data.iter().map(move |(key, secret)| (format!("/render/{at}/seal/data/{}", escape_pointer(key)), secret)))
}
