//! Shared by the integration tests: upstream repositories, fakes, and a plain loopback server under them.

pub mod fake_github;
pub mod github_openapi;
pub mod loopback;
pub mod server;
pub mod upstream;
