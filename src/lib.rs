//! KubeOps: a ticket or an alert comes in, a reviewed pull request that changes Kubernetes manifests goes out.
//! The modules stand in flow order; `tests/it/arch.rs` holds who may import whom. See `docs/ARCHITECTURE.md`.

// Pure: values and decisions.
pub mod types;
pub mod event;
pub mod expression;
pub mod ingress;
pub mod automation;
pub mod manifest;
pub mod seal;
pub mod inventory;
pub mod render;
pub mod plan;
pub mod validate;
pub mod request;
pub mod resources;

// Adapters: the world outside.
pub mod clock;
pub mod lease;
pub mod secrets;
pub mod sandbox;
pub mod git;
pub mod draft;
pub mod forge;
pub mod feedback;
pub mod store;
pub mod stream;
pub mod failpoint;
pub mod spans;
pub mod telemetry;

// The flow, and who drives it.
pub mod pipeline;
pub mod worker;
pub mod api;
pub mod config;
pub mod app;
pub mod tls;
pub mod cli;
