//! A disk that can be full.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is missing where there is none.
pub const NEEDED: &str = "mounting a small tmpfs needs root";

/// A file system of a few megabytes in memory, unmounted whatever happens.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// With so many mebibytes; none where mounting is not allowed.
    pub fn mount(at: PathBuf, size: u32) -> Option<Self> {
        std::fs::create_dir(&at).expect("a mount point");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}m"), "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            _ => None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room there is.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).expect("a file");
        // Ever smaller pieces, to the last byte.
        for size in [64 * 1024, 4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("removed");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be unmounted", self.0.display());
        }
    }
}
