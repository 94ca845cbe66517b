//! What becomes of the mirror while requests are under way: nothing in it is precious, and no request is lost with it.

use super::left_exactly_one;
use crate::git::damage::Damage;
use crate::support::server::{TestServer, eventually, ticket};
use std::sync::Mutex;

/// A server whose repository is reached by this git.
fn prepared(transport: &str) -> TestServer {
    let server = TestServer::prepare();
    server.edit_resource("inventory.yaml", |text| {
        let told = text.replacen("    kind: local\n", &format!("    kind: local\n  git: {{ transport: {transport} }}\n"), 1);
        assert_ne!(told, text);
        told
    });
    server
}

/// A request is planned and committed when the process dies; before the next one starts, something befalls the mirror.
fn survives(transport: &str, what: &str, befall: impl FnOnce(&std::path::Path)) {
    let mut server = prepared(transport);
    server.set("KUBEOPS_FAILPOINT", "settled").run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    assert!(!server.wait().success(), "{what}: it died, not ended");
    befall(&server.data().join("mirrors/gitops.git"));
    server.set("KUBEOPS_FAILPOINT", "").run();
    server.at().settled("OPS-1", "proposed");
    left_exactly_one(&server, "OPS-1", "proposed");
    assert_eq!(server.at().get("/status")["dead_tasks"], 0, "{what}");
    // The next one looks at the base, so that whatever is still damaged is noticed; the end of the test looks at the mirror.
    server.at().ticket(&ticket("OPS-2", "search"));
    server.at().settled("OPS-2", "proposed");
}

#[test]
fn a_request_survives_whatever_becomes_of_its_mirror() {
    let damages = [Damage::PacksCutShort, Damage::NoObjectDirectory, Damage::GarbageHead, Damage::GarbageRef, Damage::LocksAndScraps, Damage::Gone];
    let stories = damages.into_iter().flat_map(|damage| [(damage, "libgit2"), (damage, "git")]);
    let stories: Mutex<Vec<_>> = Mutex::new(stories.collect());
    // Mostly they wait for processes to start: three side by side.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((damage, transport)) = { stories.lock().expect("a list").pop() } {
                    survives(transport, &format!("{damage:?} {transport}"), |mirror| damage.befall(mirror));
                }
            });
        }
    });
}

#[test]
fn a_request_survives_the_loss_of_its_commit() {
    for transport in ["libgit2", "git"] {
        survives(transport, transport, |mirror| {
            let proposals: Vec<_> = std::fs::read_dir(mirror.join("proposals")).expect("proposals").flatten().collect();
            assert_eq!(proposals.len(), 1);
            // After a power loss a file may be there without its content.
            std::fs::write(proposals[0].path(), "").expect("written");
        });
    }
}

/// A repository that comes before the other in the order of their names.
const ARCHIVE: &str = "apiVersion: kubeops.dev/v1alpha1
kind: Repository
metadata: {name: archive}
spec: {url: 'file:///srv/git/archive.git', branch: main, forge: {kind: local}}
";

#[test]
fn a_mirror_that_cannot_be_tidied_keeps_no_other_from_it() {
    let mut server = TestServer::prepare();
    server.edit_resource("archive.yaml", |_| ARCHIVE.to_owned());
    server.run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    assert!(server.terminate().success());
    let mirrors = server.data().join("mirrors");
    std::fs::create_dir_all(mirrors.join("archive.git")).expect("a directory");
    std::fs::write(mirrors.join("archive.git/proposals"), "no directory").expect("written");
    let proposals = mirrors.join("gitops.git/proposals");
    let kept = || {
        let entries = std::fs::read_dir(&proposals).expect("proposals");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let live = kept();
    assert_eq!(live.len(), 1);
    std::fs::copy(proposals.join(&live[0]), proposals.join("a".repeat(40))).expect("a copy");
    server.run();
    eventually("what is nobody's is gone, and what is somebody's is not", || (kept() == live).then_some(()));
    eventually("it is told which was not", || server.log().contains("the mirror could not be tidied").then_some(()));
}
