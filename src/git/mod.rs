//! Git: one bare mirror per repository, trees edited in the object store, fetch and push behind a trait.
//! Synchronous: callers run it on blocking threads. It accepts nothing but a `ValidatedChange`, never has a checkout, and
//! never runs a hook or a filter and obeys no configuration of the machine; secrets are in no address, error or debug text. See `docs/git.md`.

mod commit;
mod diff;
mod error;
mod hold;
mod known_hosts;
mod merged;
mod message;
mod mirror;
mod on_demand;
mod open;
mod proposal;
mod remote;
mod signing;
mod scraps;
mod snapshot;
mod stack;
mod survey;
mod standing;
mod tip;
pub mod transport;
mod upkeep;

pub use diff::tree_diff;
pub use error::GitError;
pub use message::{CommitMeta, commit_message};
pub use mirror::{Mirror, Mirrors};
pub use open::open_isolated;
pub use proposal::Worth;
pub use remote::{Credentials, RemoteSpec, SshAccess};

pub use crate::types::{Identity, RemoteUrl};
pub use signing::{KeyProblem, Signing};
pub use snapshot::Snapshot;
pub use stack::Stack;
pub use standing::{Owner, Standing};
pub use transport::{
    Expected, GitCommand, GitCommandOptions, Libgit2, Limits, PerRepository, Place, PushReport, Pushed, RefUpdate, Transport, askpass_main,
    is_askpass,
};
pub use upkeep::Upkeep;
