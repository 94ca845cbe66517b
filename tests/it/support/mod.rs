//! Shared by the integration tests: upstream repositories, fakes, and a plain loopback server under them.

pub mod adf;
pub mod chance;
pub mod collector;
pub mod controller;
pub mod drafts_oracle;
pub mod fake_github;
pub mod fake_jira;
pub mod fake_llm;
pub mod fake_mcp;
pub mod github_graphql;
pub mod github_openapi;
pub mod loopback;
pub mod postgres;
pub mod power;
pub mod proxy;
pub mod server;
pub mod small_disk;
pub mod sshd;
pub mod upstream;
pub mod warp;

use std::path::{Path, PathBuf};

/// Every Rust file below a directory.
pub fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let below = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
