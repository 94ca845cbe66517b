//! The program's file is replaced while it runs, as a package manager does it.

use super::left_exactly_one;
use crate::support::server::{TestServer, ticket};

#[test]
fn an_upgrade_on_disk_starts_no_worker_of_another_version() {
    let mut server = TestServer::prepare();
    let program = server.own_program();
    server.run();
    let other = server.place("other");
    std::fs::write(&other, "#!/bin/sh\nexit 7\n").expect("another version");
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    std::fs::rename(&other, &program).expect("in its place");
    // The first template is rendered by a process that starts only now.
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    left_exactly_one(&server, "OPS-1", "proposed");
}
