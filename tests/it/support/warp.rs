//! The clock of the program under test, moved by Debian's `faketime`: forth and back, while it runs.
//! Only what the clock on the wall shows is moved; pauses last as long as they do.

use super::server::TestServer;
use std::path::PathBuf;

/// How far a server's clock is off.
pub struct Warp(PathBuf);

impl Warp {
    /// From now on the server's clock, and that of commands run beside it, is moved by this; before it runs.
    pub fn of(server: &mut TestServer) -> Self {
        let libraries = std::fs::read_dir("/usr/lib").expect("libraries").flatten().map(|entry| entry.path());
        let library = libraries.map(|path| path.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
        let library = library.expect("faketime is installed: scripts/setup.sh test");
        let warp = Self(server.place("clock"));
        warp.to(0);
        server
            .set("LD_PRELOAD", library.to_str().expect("UTF-8"))
            .set("FAKETIME_TIMESTAMP_FILE", warp.0.to_str().expect("UTF-8"))
            .set("FAKETIME_NO_CACHE", "1")
            .set("DONT_FAKE_MONOTONIC", "1");
        warp
    }

    /// The clock shows so many seconds more than it is.
    pub fn to(&self, seconds: i64) {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, format!("{seconds:+}\n")).expect("written");
        std::fs::rename(beside, &self.0).expect("put in place");
    }
}
