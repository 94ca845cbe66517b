//! Tickets that change a field of a file there is: one line differs, and who else wants that field is named.

use super::branches;
use crate::support::server::{TestServer, ticket};
use kubeops::pipeline::Trailer;
use kubeops::request::{Request, State};
use kubeops::store::sqlite::{SqliteOptions, SqliteStore};
use kubeops::store::{NewTask, RequestUpdate, Store, TaskKind};
use kubeops::types::{TaskId, Timestamp};
use serde_json::{Value, json};

const PATH: &str = "clusters/prod-eu/apps/shop/web.yaml";

/// A deployment as people write it: comments, blank lines, two kinds of quotes, an indentation of its own.
const DEPLOYMENT: &str = "# Owned by the shop team.
apiVersion: apps/v1
kind: Deployment
metadata:
    name: web
    namespace: 'shop'   # where it runs

spec:
    # Two were enough in spring.
    replicas: 2  # see OPS-1
    selector: { matchLabels: {app: web} }

    template:
        metadata: { labels: {app: web} }
        spec:
            containers:
            -   name: web
                image: \"registry.example.com/shop/web:1.4.2\"
                # keep these
                args: [ --fast,   '--quiet' ]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  ports: [{port: 80}]
  selector: {app: web}
";

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
    server.run();
    server
}

/// A ticket asking for this many replicas of a deployment.
fn replicas(key: &str, name: &str, replicas: f64) -> Value {
    let mut asked = ticket(key, "shop");
    asked["issue"]["fields"]["issuetype"]["name"] = json!("Replicas request");
    asked["issue"]["fields"]["customfield_10054"] = json!(name);
    asked["issue"]["fields"]["customfield_10055"] = json!(replicas);
    asked
}

fn conflicts(request: &Value) -> Vec<String> {
    let findings = request["findings"].as_array().expect("findings").iter().filter(|finding| finding["rule"] == "conflict");
    findings.filter_map(|finding| finding["message"].as_str().map(str::to_owned)).collect()
}

fn body(server: &TestServer, request: &Value) -> String {
    server.at().get(&format!("/pulls/gitops/{}", request["pull"]["number"]))["body"].as_str().expect("a body").to_owned()
}

#[test]
fn a_ticket_changes_one_line_of_a_file_and_everybody_is_told_which() {
    let server = server();
    assert_eq!(server.at().ticket(&replicas("OPS-42", "web", 6.0)).word(), "202 accepted");
    let proposed = server.at().settled("OPS-42", "proposed");
    let branch = proposed["branch"].as_str().expect("a branch");
    let diff = server.upstream.git(&["diff", "--unified=0", "main", branch]);
    let lines: Vec<&str> = diff.lines().filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---")).collect();
    assert_eq!(lines, ["-    replicas: 2  # see OPS-1", "+    replicas: 6  # see OPS-1"]);
    assert_eq!(server.upstream.show(PATH, branch), DEPLOYMENT.replace("replicas: 2", "replicas: 6"));

    // The API tells the field, the command line too, and so does the pull request.
    let changes = &proposed["changes"];
    assert_eq!(changes["files"], json!([PATH]));
    let told = &changes["objects"][0];
    assert_eq!(
        (&told["kind"], &told["namespace"], &told["name"], &told["action"]),
        (&json!("Deployment"), &json!("shop"), &json!("web"), &json!("changed"))
    );
    assert_eq!(told["fields"], json!([{"path": "spec.replicas", "old": 2, "new": 6}]));
    assert_eq!(changes["evidence"]["schemas"], json!(["apps/v1 Deployment", "v1 Service"]));
    let shown = server.cli(&["requests", "show", proposed["id"].as_str().expect("an id")]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("Deployment shop/web changed in clusters/prod-eu/apps/shop/web.yaml") && shown.contains("spec.replicas 2 -> 6"),
        "{shown}"
    );
    let body = body(&server, &proposed);
    for part in [
        "- `Deployment shop/web` in `clusters/prod-eu/apps/shop/web.yaml`: changed\n  - `spec.replicas`: `2 -> 6`",
        "[`OPS-42`](<https://acme.atlassian.net/browse/OPS-42>)",
        "`Ada Stone`",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let trailer = Trailer::read(&body).expect("a trailer");
    assert_eq!((trailer.request.as_str(), trailer.automation.as_str()), (proposed["id"].as_str().expect("an id"), "replicas-request"));
    assert_eq!(conflicts(&proposed), Vec::<String>::new());

    // Asked once more for what is there already, nothing differs.
    assert!(server.cli(&["pulls", "merge", "gitops#1"]).status.success());
    server.at().settled("OPS-42", "merged");
    server.at().ticket(&replicas("OPS-43", "web", 6.0));
    let unchanged = server.at().settled("OPS-43", "unchanged");
    assert_eq!(unchanged["changes"], Value::Null);
    server.upstream.fsck();
}

#[test]
fn a_ticket_about_nothing_there_is_ends_with_the_candidates() {
    let server = server();
    server.at().ticket(&replicas("OPS-1", "wep", 6.0));
    let rejected = server.at().settled("OPS-1", "rejected");
    let message = rejected["message"].as_str().expect("a message");
    assert!(message.contains("clusters/prod-eu/apps/shop/wep.yaml cannot be edited: there is no such file; did you mean web.yaml?"), "{message}");
    server.upstream.write("main", "clusters/prod-eu/apps/shop/api.yaml", DEPLOYMENT);
    server.at().ticket(&replicas("OPS-2", "api", 6.0));
    let rejected = server.at().settled("OPS-2", "rejected");
    let message = rejected["message"].as_str().expect("a message");
    assert!(message.ends_with("there is no Deployment/shop/api in the file; there are: Deployment/shop/web, Service/shop/web"), "{message}");
    assert_eq!(branches(&server.upstream), []);
}

#[test]
fn who_else_wants_the_same_field_is_named_and_another_field_is_nobodys_business() {
    let server = server();
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let first = server.at().settled("OPS-1", "proposed");
    let mut image = ticket("OPS-2", "shop");
    image["issue"]["fields"]["issuetype"]["name"] = json!("Image request");
    image["issue"]["fields"]["customfield_10054"] = json!("registry.example.com/shop/web:1.5.0");
    server.at().ticket(&image);
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
    assert!(server.cli(&["pulls", "merge", "gitops#1"]).status.success());
    server.at().settled("OPS-1", "merged");
    assert!(server.cli(&["pulls", "merge", "gitops#2"]).status.success());
    server.at().settled("OPS-2", "merged");
    plan_again(&server, &second);
    let again = server.at().settled("OPS-3", "proposed");
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

/// Has a request planned again on the tip of the base branch, through the store.
fn plan_again(server: &TestServer, request: &Value) {
    let id = request["id"].as_str().expect("an id").parse().expect("an id");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let path = server.data().join("kubeops.db");
        let options = SqliteOptions { create: false, ..SqliteOptions::default() };
        let store = SqliteStore::open(path.to_str().expect("UTF-8"), options).await.expect("the store");
        let request = store.request(&id).await.expect("the request");
        let now = Timestamp::from_unix_millis(request.updated_at.unix_millis() + 1);
        let task = NewTask { id: TaskId::from_parts(now, 7), kind: TaskKind::Plan, request: id, lane: "gitops".to_owned(), run_at: now };
        let request = Request { state: State::Accepted, ..request };
        store.update_request(&request, &RequestUpdate { tasks: vec![task], ..RequestUpdate::default() }, now).await.expect("written");
        store.close().await;
    });
}
