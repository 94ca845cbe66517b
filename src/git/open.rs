//! Opening repositories so that nothing of the machine's git set-up is obeyed.
//! No configuration of the user or the system takes part: no `url.*.insteadOf`, no proxy, no hooks path, no attributes file.

use std::path::Path;

/// What a mirror's own configuration file says. Redirects to another host are refused, because the token would follow.
pub(super) const MIRROR_CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tlogAllRefUpdates = false\n\thooksPath = /dev/null\n\
     [http]\n\tfollowRedirects = false\n[gc]\n\tauto = 0\n[receive]\n\tautogc = false\n";

/// Opens a bare repository that obeys no configuration at all, not even its own.
///
/// # Errors
/// What libgit2 says when there is no bare repository at `path`.
pub fn open_isolated(path: &Path) -> Result<git2::Repository, git2::Error> {
    let flags = git2::RepositoryOpenFlags::BARE | git2::RepositoryOpenFlags::NO_SEARCH | git2::RepositoryOpenFlags::NO_DOTGIT;
    let repository = git2::Repository::open_ext(path, flags, std::iter::empty::<&Path>())?;
    repository.set_config(&git2::Config::new()?)?;
    Ok(repository)
}

/// Opens a mirror with its own configuration alone.
pub(super) fn open_mirror(path: &Path) -> Result<git2::Repository, git2::Error> {
    let repository = open_isolated(path)?;
    let mut config = git2::Config::new()?;
    config.add_file(&path.join("config"), git2::ConfigLevel::Local, false)?;
    repository.set_config(&config)?;
    Ok(repository)
}

/// Opens a mirror so that objects written to it stay in memory: they never become files of their own.
pub(super) fn open_in_memory(path: &Path) -> Result<git2::Repository, git2::Error> {
    let repository = open_mirror(path)?;
    repository.odb()?.add_new_mempack_backend(1000).map(drop)?;
    Ok(repository)
}
