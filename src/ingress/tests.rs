//! What a sender writes, and what comes of it. Each file is one subject; this one holds what they share.

mod alertmanager;
mod argocd;
mod delivery;
mod flux;
mod github;
mod github_forms;
mod jira;
mod json;
mod mapped;
mod nats;
mod proof;
mod spec;

use super::*;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Secrets by name.
#[derive(Default)]
struct Secrets(HashMap<SecretName, SecretString>);

impl Secrets {
    fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (name.parse().expect("a secret name"), (*value).into())).collect())
    }
}

impl SecretLookup for Secrets {
    fn get(&self, name: &SecretName) -> Option<&SecretString> {
        self.0.get(name)
    }
}

fn spec(spec: Value) -> SourceSpec {
    serde_json::from_value(spec).expect("a spec")
}

fn source(value: Value) -> Source {
    Source::compile("service-desk".parse().expect("a name"), spec(value)).expect("a source")
}

fn findings(value: Value) -> Vec<SpecError> {
    Source::compile("service-desk".parse().expect("a name"), spec(value)).expect_err("findings")
}

/// Noon, the moment of the fixtures.
fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a moment")
}

fn receive(source: &Source, secrets: &Secrets, headers: &[(&str, &str)], body: &[u8]) -> Result<Received, IngressError> {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let peer = "192.0.2.7".parse().expect("an address");
    source.receive(&Incoming { headers: &headers.as_slice(), body, peer, received_at: noon() }, secrets)
}

/// Reads without a proof.
fn read(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Result<Received, IngressError> {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    source.read(&headers.as_slice(), body, noon())
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/ingress/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fixture after `change`.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(&fixture(name)).expect("JSON");
    change(&mut value);
    value.to_string().into_bytes()
}
