//! An author's mistake in a resource file: the set before it stays in force, and everybody who looks is told.

use crate::support::server::{TestServer, eventually, ticket};

const FILE: &str = "namespace-request.yaml";
/// Where the mistake stands: its line and column.
const PLACE: &str = "namespace-request.yaml:12:32:";

/// Breaks the automation's condition: CEL has no `===`.
fn broken(text: String) -> String {
    let broken = text.replace(r#"event.data.transition.to == "Approved""#, r#"event.data.transition.to === "Approved""#);
    assert_ne!(broken, text, "the file has the condition this test breaks");
    broken
}

fn valid(server: &TestServer) -> f64 {
    server.at().metric("kubeops_resources_valid", &[])
}

/// What holds while the files on disk are broken.
fn the_old_set_is_in_force(server: &TestServer, key: &str) {
    let status = server.at().get("/status");
    let problems = status["resources"]["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 1, "{status:#}");
    let problem = problems[0].as_str().expect("a text");
    assert!(problem.contains(PLACE) && problem.contains("Automation/namespace-request"), "{problem}");

    let ready = server.at().plain("/ready");
    assert_eq!(ready.status, 200, "an author's mistake does not stop deliveries: {}", ready.text());
    assert!(ready.json()["checks"]["resources"].as_str().is_some_and(|text| text.contains("refused with 1 problem")), "{}", ready.text());
    assert!(server.log().contains(PLACE), "the log says where");

    assert_eq!(server.at().ticket(&ticket(key, &key.to_ascii_lowercase())).word(), "202 accepted");
    server.at().settled(key, "proposed");
}

fn all_is_well(server: &TestServer) {
    assert_eq!(server.at().get("/status")["resources"]["problems"].as_array().map(Vec::len), Some(0));
    assert_eq!(server.at().plain("/ready").json()["checks"]["resources"], "ok");
}

#[test]
fn a_broken_file_is_refused_as_it_changes_and_taken_when_it_is_mended() {
    let mut server = TestServer::prepare();
    server.set("RESOURCES_RELOAD_SECONDS", "1").run();
    assert_eq!(valid(&server), 1.0);
    all_is_well(&server);

    let mut whole = String::new();
    server.edit_resource(FILE, |text| {
        whole.clone_from(&text);
        broken(text)
    });
    eventually("the change is refused", || (valid(&server) == 0.0).then_some(()));
    the_old_set_is_in_force(&server, "OPS-1");

    // Mended, and changed: what is in force is the new text.
    server.edit_resource(FILE, |_| whole.replace("Namespace {{ parameters.team }} ({{ event.subject }})", "A place for {{ parameters.team }}"));
    eventually("the mended file is in force", || (valid(&server) == 1.0).then_some(()));
    all_is_well(&server);
    server.at().ticket(&ticket("OPS-2", "second"));
    let proposed = server.at().settled("OPS-2", "proposed");
    let number = &proposed["pull"]["number"];
    assert_eq!(server.at().get(&format!("/pulls/gitops/{number}"))["title"], "A place for second");
}

#[test]
fn a_signal_reloads_and_nothing_else_does_when_so_configured() {
    let mut server = TestServer::prepare();
    server.set("RESOURCES_RELOAD_SECONDS", "0").run();
    let mut whole = String::new();
    server.edit_resource(FILE, |text| {
        whole.clone_from(&text);
        broken(text)
    });
    // A whole story passes on the old set before anybody says a word about the change.
    server.at().ticket(&ticket("OPS-1", "first"));
    server.at().settled("OPS-1", "proposed");
    assert_eq!(valid(&server), 1.0);

    server.signal("HUP");
    eventually("the change is refused", || (valid(&server) == 0.0).then_some(()));
    the_old_set_is_in_force(&server, "OPS-2");

    server.edit_resource(FILE, |_| whole);
    server.signal("HUP");
    eventually("the mended file is in force", || (valid(&server) == 1.0).then_some(()));
    all_is_well(&server);
}

#[test]
fn a_server_does_not_start_on_a_broken_set_and_says_where_it_is_broken() {
    let server = TestServer::prepare();
    server.edit_resource(FILE, broken);
    server.edit_resource("more.yaml", |_| {
        "apiVersion: kubeops.dev/v1alpha1\nkind: Cluster\nmetadata: { name: moon }\nspec: { repository: nowhere }\n".to_owned()
    });
    let refused = server.run_refused();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(PLACE), "{said}");
    assert!(said.contains("more.yaml:4:9:") && said.contains("nowhere"), "both mistakes are told: {said}");
}
