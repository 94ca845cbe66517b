//! Git: one bare mirror per repository, trees edited in the object store, fetch and push behind a trait.
//! Synchronous: callers run it on blocking threads. It accepts nothing but a `ValidatedChange`, never has a checkout, and
//! never runs a hook or a filter and obeys no configuration of the machine; secrets are in no address, error or debug text. See `docs/git.md`.

mod commit;
mod diff;
mod error;
mod message;
mod mirror;
mod open;
mod proposal;
mod remote;
mod snapshot;
mod stack;
mod standing;
mod tip;
pub mod transport;

pub use diff::tree_diff;
pub use error::GitError;
pub use message::{CommitMeta, Identity, commit_message};
pub use mirror::{Mirror, Mirrors};
pub use open::open_isolated;
pub use remote::{Credentials, RemoteSpec};

pub use crate::types::RemoteUrl;
pub use snapshot::Snapshot;
pub use stack::Stack;
pub use standing::{Owner, Standing};
pub use transport::{Expected, Libgit2, Limits, Place, PushReport, Pushed, RefUpdate, Transport};
