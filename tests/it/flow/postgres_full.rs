//! The disk of PostgreSQL has no room left: for its tables, which it says to each statement, and for its log, of which it dies. The process
//! that works with it bears both, and goes on by itself.

use super::disk_full::lives_through;
use crate::support::postgres::{OwnServer, give};
use crate::support::server::TestServer;
use crate::support::skipped;
use crate::support::small_disk::SmallDisk;
use std::path::{Path, PathBuf};

/// A small disk of PostgreSQL's own, with an empty directory on it.
struct Disk {
    disk: SmallDisk,
    _place: tempfile::TempDir,
}

impl Disk {
    fn mount(size: u32) -> Option<Self> {
        let place = tempfile::Builder::new().prefix("kubeops-small").tempdir_in("/tmp").expect("a directory");
        let disk = SmallDisk::mount(place.path().join("disk"), size);
        if disk.is_none() {
            skipped("mounting a small tmpfs needs root");
        }
        let disk = Self { disk: disk?, _place: place };
        std::fs::create_dir(disk.files()).expect("a directory");
        [disk._place.path(), disk.disk.path(), &disk.files()].into_iter().for_each(give);
        Some(disk)
    }

    fn files(&self) -> PathBuf {
        self.disk.path().join("files")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn tables_of_postgresql_that_cannot_grow_are_answered_503_and_nothing_acknowledged_is_lost() {
    let Some(small) = Disk::mount(32) else { return };
    let database = OwnServer::start();
    database.psql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", text(&small.files())));
    database.psql("postgres", "CREATE DATABASE kubeops TABLESPACE small");
    let mut server = TestServer::prepare();
    server.set("STORE_URL", &format!("postgres://kubeops@{}/kubeops", database.address())).run();
    lives_through(&mut server, &small.disk, || {});
    assert_eq!(database.psql("kubeops", "SELECT count(*) FROM pg_class WHERE relname = 'room'"), "0");
    server.terminate();
}

#[test]
fn a_postgresql_that_dies_because_its_log_cannot_grow_is_answered_503_and_nothing_acknowledged_is_lost() {
    // Below what its log may come to before it begins again at the front: a segment is a mebibyte, and it keeps 64.
    let Some(small) = Disk::mount(48) else { return };
    let mut database = OwnServer::prepare(&[format!("--waldir={}", text(&small.files())), "--wal-segsize=1".to_owned()]);
    database.run();
    let mut server = TestServer::prepare();
    server.set("STORE_URL", &format!("postgres://kubeops@{}/postgres", database.address())).run();
    lives_through(&mut server, &small.disk, || database.recovers());
    server.terminate();
}
