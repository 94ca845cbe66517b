//! Git: one bare mirror per repository, trees edited in the object store, fetch and push behind a trait.
//! Synchronous: callers run it on blocking threads. It accepts nothing but a `ValidatedChange`, never has a checkout, and
//! never runs a hook or a filter and obeys no configuration of the machine; secrets are in no address, error or debug text. See `docs/git.md`.

mod commit;
mod diff;
mod error;
mod known_hosts;
mod message;
mod mirror;
mod on_demand;
mod open;
mod proposal;
mod remote;
mod scraps;
mod snapshot;
mod standing;
pub mod transport;

pub use diff::tree_diff;
pub use error::GitError;
pub use message::{CommitMeta, Identity, commit_message};
pub use mirror::{Mirror, Mirrors};
pub use open::open_isolated;
pub use remote::{Credentials, RemoteSpec, SshAccess};

pub use crate::types::RemoteUrl;
pub use snapshot::Snapshot;
pub use standing::{Owner, Standing};
pub use transport::{
    Expected, GitCommand, GitCommandOptions, Libgit2, Limits, PerRepository, Place, Pushed, RefUpdate, Transport, askpass_main, is_askpass,
};
