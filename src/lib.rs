//! KubeOps: a ticket or an alert comes in, a reviewed pull request that changes Kubernetes manifests goes out.
//! The modules stand in flow order; `tests/it/arch.rs` holds who may import whom. See `docs/ARCHITECTURE.md`.

pub mod api;
pub mod clock;
pub mod config;
pub mod event;
pub mod expression;
pub mod plan;
pub mod request;
pub mod store;
pub mod telemetry;
pub mod types;
pub mod validate;
