//! Requests that want something of the same file: other fields are nobody's business, and who else wants a field is named.

use super::base_moves::{field, now, on_base};
use super::edits::{DEPLOYMENT, PATH, body, replicas};
use super::github::World;
use super::many::Gate;
use crate::support::fake_github::FakeGithub;
use crate::support::server::{TestServer, eventually, ticket};
use kubeops::types::CommitSha;
use serde_json::{Value, json};

/// An automation beside the shipped ones that sets another field of the same file.
const IMAGES: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: image-request }
spec:
  on: { source: service-desk, types: [jira.issue.transitioned] }
  when: event.data.issue.fields.issuetype.name == "Image request"
  parameters:
    image: { from: event.data.issue.fields.customfield_10054, schema: { type: string } }
  target: { cluster: prod-eu }
  edit:
    - file: apps/shop/web.yaml
      object: Deployment/shop/web
      set:
        spec.template.spec.containers[name=web].image: parameters.image
  pullRequest: { title: "Image {{ parameters.image }}" }
"#;

fn server() -> TestServer {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.edit_resource("images.yaml", |_| IMAGES.to_owned());
    server.set("OBSERVE_SECONDS", "1").run();
    server
}

/// A ticket asking for another image of the deployment.
fn image(key: &str) -> Value {
    let mut image = ticket(key, "shop");
    image["issue"]["fields"]["issuetype"]["name"] = json!("Image request");
    image["issue"]["fields"]["customfield_10054"] = json!("registry.example.com/shop/web:1.5.0");
    image
}

fn tip(server: &TestServer) -> CommitSha {
    server.upstream.git(&["rev-parse", "main"]).trim().parse().expect("a commit")
}

fn merge(server: &TestServer, key: &str) {
    let pull = format!("gitops#{}", server.at().settled(key, "proposed")["pull"]["number"]);
    // One whose branch moves at this moment is refused: nobody has seen what it holds now.
    eventually("it is merged", || server.cli(&["pulls", "merge", &pull]).status.success().then_some(()));
    server.at().settled(key, "merged");
}

fn conflicts(request: &Value) -> Vec<String> {
    let findings = request["findings"].as_array().expect("findings").iter().filter(|finding| finding["rule"] == "conflict");
    findings.filter_map(|finding| finding["message"].as_str().map(str::to_owned)).collect()
}

#[test]
fn who_else_wants_the_same_field_is_named_and_another_field_is_nobodys_business() {
    let server = server();
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let first = server.at().settled("OPS-1", "proposed");
    server.at().ticket(&image("OPS-2"));
    let other = server.at().settled("OPS-2", "proposed");
    assert_eq!((conflicts(&first), conflicts(&other)), (Vec::new(), Vec::new()));

    // The same field: the second is told of the first.
    server.at().ticket(&replicas("OPS-3", "web", 4.0));
    let second = server.at().settled("OPS-3", "proposed");
    let id = first["id"].as_str().expect("an id");
    let told = format!("spec.replicas of Deployment shop/web is also changed by request {id} (pull request #1, open): 2 -> 6");
    assert_eq!(conflicts(&second), [told.as_str()]);
    assert!(second["timeline"].as_array().expect("a timeline").iter().any(|entry| entry["message"] == told), "{second:#}");
    assert!(body(&server, &second).contains(&format!("### Conflicts\n\n- `{told}`\n")));

    // The other one is merged, and the base moves on: planned again, the second says what changed under it.
    merge(&server, "OPS-1");
    merge(&server, "OPS-2");
    let base = tip(&server);
    let again = on_base(&server, &second, &base);
    assert_eq!(again["pull"], second["pull"]);
    assert_eq!(again["changes"]["objects"][0]["fields"], json!([{"path": "spec.replicas", "old": 6, "new": 4}]));
    let merged = format!("spec.replicas of Deployment shop/web is also changed by request {id} (pull request #1, merged): 2 -> 6");
    assert_eq!(conflicts(&again), [merged.as_str()]);
    assert!(body(&server, &again).contains(&merged));
    // What the other field became stays: a change is applied again, never merged.
    let branch = again["branch"].as_str().expect("a branch");
    let expected = DEPLOYMENT.replace("replicas: 2", "replicas: 4").replace("web:1.4.2", "web:1.5.0");
    assert_eq!(server.upstream.show(PATH, branch), expected);
    server.upstream.fsck();
}

#[test]
fn two_fields_of_one_file_come_together_whichever_is_merged_first() {
    for [first, second] in [["OPS-1", "OPS-2"], ["OPS-2", "OPS-1"]] {
        let server = server();
        server.at().ticket(&replicas("OPS-1", "web", 6.0));
        server.at().ticket(&image("OPS-2"));
        server.at().settled("OPS-1", "proposed");
        let waits = server.at().settled(second, "proposed");
        merge(&server, first);
        let again = on_base(&server, &waits, &tip(&server));
        assert_eq!((again["pull"]["number"].clone(), conflicts(&again)), (waits["pull"]["number"].clone(), Vec::new()));
        let changes = server.upstream.git(&["diff", "--numstat", "main", field(&again, "branch")]);
        assert_eq!(changes.trim(), format!("1\t1\t{PATH}"), "its own line and no other");
        merge(&server, second);
        let both = DEPLOYMENT.replace("replicas: 2", "replicas: 6").replace("web:1.4.2", "web:1.5.0");
        assert_eq!(server.upstream.show(PATH, "main"), both, "{first} before {second}");
        server.upstream.fsck();
    }
}

#[test]
fn requests_planned_together_are_told_of_each_other_until_one_of_them_ends() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.upstream.write("main", PATH, DEPLOYMENT);
    world.server.run();
    let (server, gate) = (&world.server, Gate::at(&world.server));
    gate.hold(server);
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    server.at().ticket(&replicas("OPS-2", "web", 4.0));
    eventually("both wait", || (server.at().all("/requests").len() == 3).then_some(()));
    gate.open();
    let (first, second) = (server.at().settled("OPS-1", "proposed"), server.at().settled("OPS-2", "proposed"));
    assert_eq!(gate.pushes(), [1, 2], "they were planned together");
    let body = || world.github.pulls().into_iter().find(|pull| second["pull"]["number"] == pull.number).expect("the second's").body;
    let id = field(&first, "id");
    assert_eq!(conflicts(&first), Vec::<String>::new());
    let told = conflicts(&second);
    let begin = format!("spec.replicas of Deployment shop/web is also changed by request {id} (");
    assert!(told.len() == 1 && told[0].starts_with(&begin), "{told:?}");
    assert!(body().contains("### Conflicts"));

    // The first is closed by a person: nothing stands against the second any more, and its pull request does not say so.
    world.github.end(first["pull"]["number"].as_u64().expect("a number"), false);
    server.at().settled("OPS-1", "declined");
    let freed = eventually("the warning is gone", || {
        let now = now(server, &second);
        (now["state"] == "proposed" && conflicts(&now).is_empty()).then_some(now)
    });
    assert_eq!((&freed["commit"], &freed["pull"]), (&second["commit"], &second["pull"]), "the same change");
    assert!(!body().contains("### Conflicts"));
    server.upstream.fsck();
}

/// Lines that touch: git itself would find a conflict in any two of these.
#[test]
fn a_dozen_writers_of_neighbouring_lines_lose_no_update() {
    const WRITERS: usize = 12;
    const SHARED: &str = "clusters/prod-eu/shared.yaml";
    let lines = |value: &dyn Fn(usize) -> String| {
        let data: String = (0..WRITERS).map(|number| format!("  k{number}: {}\n", value(number))).collect();
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shared, namespace: shop}}\ndata:\n{data}")
    };
    let mut server = TestServer::prepare();
    server.upstream.write("main", SHARED, &lines(&|_| "old".to_owned()));
    let automation = |number: usize| {
        format!(
            "apiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: {{ name: writer-{number} }}\nspec:\n  on: {{ source: service-desk, types: [jira.issue.transitioned] }}\n  \
             when: event.data.issue.fields.issuetype.name == \"Write {number}\"\n  target: {{ cluster: prod-eu }}\n  edit:\n    - file: shared.yaml\n      object: ConfigMap/shop/shared\n      \
             set: {{ data.k{number}: \"'new-{number}'\" }}\n  pullRequest: {{ title: \"Key {number}\" }}\n"
        )
    };
    let all: Vec<String> = (0..WRITERS).map(automation).collect();
    server.edit_resource("writers.yaml", |_| all.join("---\n"));
    server.set("OBSERVE_SECONDS", "1").run();
    for number in 0..WRITERS {
        let mut asked = ticket(&format!("OPS-{number}"), "shop");
        asked["issue"]["fields"]["issuetype"]["name"] = json!(format!("Write {number}"));
        assert_eq!(server.at().ticket(&asked).word(), "202 accepted");
    }
    for number in 0..WRITERS {
        merge(&server, &format!("OPS-{number}"));
    }
    assert_eq!(server.upstream.show(SHARED, "main"), lines(&|number| format!("new-{number}")));
    server.upstream.fsck();
}
