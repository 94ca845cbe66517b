//! Making a mirror, and making it anew: when there is none, and when what is there is damaged, half-written or mirrors something else.
//! Nothing in a mirror is precious, so nothing is mended piece by piece.

use super::{BROKEN, MARKER, Mirror, lock};
use crate::git::GitError;
use crate::git::open::{MIRROR_CONFIG, open_mirror};
use crate::git::proposal::unique;
use crate::git::transport::base_ref;
use git2::Repository;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering;

impl Mirror {
    /// Makes the mirror when there is none, and anew when it is damaged, half-written, or of another address or cut. Tells whether it did.
    pub(super) fn prepare(&self) -> Result<bool, GitError> {
        let sound = self.is_sound();
        if !sound {
            self.rebuild()?;
        }
        Ok(!sound)
    }

    /// Whether the mirror is whole as far as a look tells: what it mirrors, its head, and where the base was.
    fn is_sound(&self) -> bool {
        let marked = || fs::read_to_string(self.path.join(MARKER)).is_ok_and(|mark| mark == self.remote.mark());
        // libgit2 bears a head that git does not.
        let headed = || fs::read(self.path.join("HEAD")).is_ok_and(|head| head.starts_with(b"ref: refs/heads/"));
        let named = || {
            let base = open_mirror(&self.path).and_then(|repository| repository.refname_to_id(&base_ref(&self.remote.base)));
            base.map_or_else(|error| error.class() == git2::ErrorClass::Reference && error.code() == git2::ErrorCode::NotFound, |_| true)
        };
        !self.damaged.load(Ordering::Relaxed) && marked() && headed() && named()
    }

    /// Puts an empty mirror in place of what is there. Proposals are dropped with it: they are made again from their requests.
    pub(super) fn rebuild(&self) -> Result<(), GitError> {
        let storage = |error: std::io::Error| self.storage(&error);
        let mut slot = lock(&self.handle);
        *slot = None;
        // A repository's name has no dot, so this is no other's mirror.
        let aside = self.path.with_extension(format!("{}{}-{}", &BROKEN[1..], std::process::id(), unique()));
        match fs::rename(&self.path, &aside) {
            Ok(()) => {
                tracing::warn!(repository = %self.remote.name, "the mirror is missing parts or mirrors another address; it is built anew");
                let _ = fs::remove_dir_all(&aside);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(storage(error)),
        }
        initialise(&self.path).map_err(|error| self.local(&error))?;
        fs::write(self.path.join("config"), MIRROR_CONFIG).map_err(storage)?;
        self.proposals().prepare()?;
        fs::write(self.path.join(MARKER), self.remote.mark()).map_err(storage)?;
        self.damaged.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn initialise(path: &Path) -> Result<(), git2::Error> {
    let mut options = git2::RepositoryInitOptions::new();
    // No template directory of the machine: it could bring hooks.
    options.bare(true).external_template(false).mkpath(true).initial_head("kubeops-none");
    Repository::init_opts(path, &options).map(drop)
}
