//! KubeOps: a ticket or an alert comes in, a reviewed pull request that changes Kubernetes manifests goes out.
//! The modules stand in flow order; `tests/it/arch.rs` holds who may import whom. See `docs/ARCHITECTURE.md`.

pub mod clock;
pub mod event;
pub mod expression;
pub mod manifest;
pub mod plan;
pub mod types;
pub mod validate;
