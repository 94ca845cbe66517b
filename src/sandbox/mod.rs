//! Renders templates in child processes of our own binary, which can be killed: a bad template harms only its own request.
//! Std only and blocking: call it from a thread that may block. A child gets translated templates and a context, nothing else:
//! no environment, no descriptors but its socket, no file it may write.

mod kustomize;
mod pool;
mod wire;
mod worker;

pub use kustomize::{BUILD_ARGUMENT, KustomizeProgram, build_worker_main};
pub use pool::{Limits, ProcessRenderer, own_executable};
pub use worker::worker_main;

/// The hidden subcommand under which the binary is a worker.
pub const WORKER_ARGUMENT: &str = "render-worker";
