//! Whether the machine's git program is one that can do the work.

use super::super::Limits;
use super::process::{self, Failed};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The oldest git that is used: older ones run commands that a hostile repository on this machine names (CVE-2024-32004), or
/// do not know how to be kept from fetching by themselves.
const OLDEST: (u32, u32) = (2, 39);

/// Asks the program for its version.
///
/// # Errors
/// What is wrong and what to do, when it is missing or too old.
pub(super) fn check(git: &Path) -> Result<(), String> {
    let needed = format!("git {}.{} or later", OLDEST.0, OLDEST.1);
    let mut command = Command::new(git);
    command.arg("version").env_clear().env("LC_ALL", "C");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let limits = Limits { idle: Duration::from_secs(20), total: Duration::from_secs(20) };
    let said = match process::run(command, None, limits, &AtomicBool::new(false)) {
        Ok(finished) if finished.status.success() => String::from_utf8_lossy(&finished.stdout).into_owned(),
        Ok(finished) => return Err(format!("{} is no git that works ({}); install {needed}", git.display(), finished.status)),
        Err(Failed::Start(error)) => return Err(format!("the program {} cannot be run ({error}); install {needed}", git.display())),
        Err(Failed::Stopped) => return Err(format!("{} was not asked to its end for its version", git.display())),
        Err(Failed::Timeout(message)) => return Err(format!("{} does not tell its version ({message}); install {needed}", git.display())),
        Err(Failed::Watch(error)) => return Err(format!("{} could not be asked for its version ({error})", git.display())),
    };
    judge(git, &said)
}

fn judge(git: &Path, said: &str) -> Result<(), String> {
    let needed = format!("git {}.{} or later", OLDEST.0, OLDEST.1);
    match read(said) {
        Some(version) if version >= OLDEST => Ok(()),
        Some((major, minor)) => Err(format!("{} is git {major}.{minor}, which is too old; install {needed}", git.display())),
        None => Err(format!("{} does not say that it is git; install {needed}", git.display())),
    }
}

/// `git version 2.47.3 (Apple Git-1)`
fn read(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix("git version ")?.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_too_old_is_told_with_the_version_that_is_needed() {
        let told = |said: &str| judge(Path::new("git"), said);
        for good in ["git version 2.50.1 (Apple Git-155)", "git version 2.39.5\n", "git version 3.0.0"] {
            assert_eq!(told(good), Ok(()));
        }
        let missing = check(Path::new("/nowhere/git"));
        let other = check(Path::new("/bin/echo"));
        let broken = check(Path::new("/bin/false"));
        for error in [told("git version 2.30.2"), told("git version x"), missing, other, broken] {
            let error = error.expect_err("refused");
            assert!(error.contains("install git 2.39 or later"), "{error}");
        }
        assert_eq!(check(Path::new("git")), Ok(()));
    }
}
