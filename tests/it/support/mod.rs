//! Shared by the integration tests: upstream repositories, fakes, and a plain loopback server under them.

pub mod adf;
pub mod chance;
pub mod collector;
pub mod controller;
pub mod door;
pub mod drafts_oracle;
pub mod fake_github;
pub mod fake_jira;
pub mod fake_llm;
pub mod fake_mcp;
pub mod github_graphql;
pub mod github_openapi;
pub mod loopback;
pub mod nats;
pub mod nats_operator;
pub mod postgres;
pub mod power;
pub mod proxy;
pub mod server;
pub mod small_disk;
pub mod sshd;
pub mod upstream;
pub mod warp;

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Says that a test showed nothing on this machine, and why: past what is kept back of tests that pass, so that CI can count it.
pub fn skipped(missing: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {missing}; it showed nothing\n").as_bytes());
}

/// Every Rust file below a directory.
pub fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let below = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
