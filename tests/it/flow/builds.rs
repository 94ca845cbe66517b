//! What Kustomize builds of a change, with the real program.

use super::edits::{DEPLOYMENT, PATH, body, replicas};
use crate::support::server::TestServer;
use kubeops::plan::{BuildError, Builder};
use kubeops::sandbox::KustomizeProgram;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const OVERLAY: &str = "clusters/prod-eu/kustomization.yaml";

#[test]
fn a_pull_request_says_what_the_overlay_builds_differently() {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.upstream.write("main", OVERLAY, "namePrefix: eu-\nresources:\n- apps/shop/web.yaml\n");
    server.set("KUSTOMIZE_PROGRAM", "kubectl").run();
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let proposed = server.at().settled("OPS-1", "proposed");
    let builds = &proposed["changes"]["evidence"]["builds"];
    assert_eq!(builds, &json!([{ "directory": "clusters/prod-eu", "changes": ["Deployment shop/eu-web: spec.replicas 2 -> 6"] }]));
    let body = body(&server, &proposed);
    assert!(body.contains("- Built by Kustomize, `clusters/prod-eu`:\n  - `Deployment shop/eu-web: spec.replicas 2 -> 6`"), "{body}");
}

#[test]
fn a_change_that_breaks_the_build_is_rejected() {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.upstream.write("main", OVERLAY, "resources:\n- apps/shop/web.yaml\n- apps/shop/again.yaml\n");
    server.upstream.write("main", "clusters/prod-eu/apps/shop/again.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x, namespace: shop}\n");
    server.edit_resource("replicas-request.yaml", |text| {
        let (before, edits) = text.split_once("  edit:").expect("edits");
        let (_, behind) = edits.split_once("  pullRequest:").expect("what follows");
        format!(
            "{before}  edit:\n    - file: kustomization.yaml\n      append: {{ resources: \"'./apps/shop/again.yaml'\" }}\n  pullRequest:{behind}"
        )
    });
    server.set("KUSTOMIZE_PROGRAM", "kubectl").run();
    // The same object twice: Kustomize refuses what no single file shows.
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let rejected = server.at().settled("OPS-1", "rejected");
    let finding = &rejected["findings"][0];
    assert_eq!((&finding["rule"], &finding["path"]), (&json!("kustomize.build"), &json!("clusters/prod-eu")), "{rejected:#}");
    let message = finding["message"].as_str().expect("a message");
    assert!(message.contains("can be built before this change and not after it") && !message.contains("/build-"), "{message}");
}

fn program(text: &str) -> (tempfile::TempDir, KustomizeProgram) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("kustomize");
    std::fs::write(&program, text).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let executable = env!("CARGO_BIN_EXE_kubeops").into();
    let program = KustomizeProgram { executable, program, scratch: directory.path().join("scratch"), time: Duration::from_millis(500) };
    (directory, program)
}

#[test]
fn a_build_that_takes_too_long_or_too_much_is_ended_and_leaves_nothing() {
    let files = BTreeMap::from([("a/kustomization.yaml".to_owned(), b"resources: []\n".to_vec())]);
    let (directory, slow) = program("#!/bin/sh\nsleep 60 &\nwait\n");
    let begun = Instant::now();
    let error = slow.build(&files, "a").expect_err("ended");
    assert!(matches!(&error, BuildError::Failed(message) if message.contains("took more than 0.5 s")), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(std::fs::read_dir(directory.path().join("scratch")).expect("scratch").count(), 0);

    let (_directory, says) = program("#!/bin/sh\nls \"$2\"; env | grep -c SECRET_OF_THE_TEST >&2; exit 1\n");
    let error = says.build(&files, "a").expect_err("refused");
    assert!(matches!(&error, BuildError::Refused(message) if message == "0"), "no variable of ours is seen: {error}");

    let (_directory, gives) = program("#!/bin/sh\ncat \"$2/kustomization.yaml\"\n");
    assert_eq!(gives.build(&files, "a").as_deref(), Ok("resources: []\n"));
}
