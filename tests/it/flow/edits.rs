//! Tickets that change a field of a file there is: one line differs.

use super::branches;
use crate::support::server::{TestServer, ticket};
use kubeops::pipeline::Trailer;
use kubeops::types::ManifestPath;
use serde_json::{Value, json};

pub(super) const PATH: &str = "clusters/prod-eu/apps/shop/web.yaml";

/// A deployment as people write it: comments, blank lines, two kinds of quotes, an indentation of its own.
pub(super) const DEPLOYMENT: &str = "# Owned by the shop team.
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

fn server() -> TestServer {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.run();
    server
}

#[test]
fn a_change_is_held_against_the_kubernetes_that_its_cluster_says_it_is() {
    // `resource.k8s.io/v1` came with 1.34.
    let file = format!("{DEPLOYMENT}---\napiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {{name: gpu}}\nspec: {{}}\n");
    for (version, usual, ends) in [("1.33", "1.37", "rejected"), ("1.34", "1.33", "proposed")] {
        let mut server = TestServer::prepare();
        server.upstream.write("main", PATH, &file);
        server.edit_resource("inventory.yaml", |text| text.replacen("kubernetes: \"1.33\"", &format!("kubernetes: \"{version}\""), 1));
        server.set("KUBERNETES_VERSION", usual).run();
        server.at().ticket(&replicas("OPS-1", "web", 6.0));
        let settled = server.at().settled("OPS-1", ends);
        let rules: Vec<&str> = settled["findings"].as_array().into_iter().flatten().filter_map(|finding| finding["rule"].as_str()).collect();
        assert_eq!(rules.contains(&"schema.kind"), ends == "rejected", "{version}: {settled:#}");
        if ends == "proposed" {
            assert_eq!(settled["changes"]["evidence"]["kubernetes"], json!(version), "{settled:#}");
        }
    }
}

/// A ticket asking for this many replicas of a deployment.
pub(super) fn replicas(key: &str, name: &str, replicas: f64) -> Value {
    let mut asked = ticket(key, "shop");
    asked["issue"]["fields"]["issuetype"]["name"] = json!("Replicas request");
    asked["issue"]["fields"]["customfield_10054"] = json!(name);
    asked["issue"]["fields"]["customfield_10055"] = json!(replicas);
    asked
}

pub(super) fn body(server: &TestServer, request: &Value) -> String {
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
fn a_change_with_a_time_to_live_keeps_what_takes_it_back() {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.edit_resource("replicas-request.yaml", |text| {
        let text = text.replace("  parameters:\n", "  ttl: \"parameters.replicas > 5 ? '4h' : null\"\n  parameters:\n");
        text.replace(
            "    - file: \"apps/{{ parameters.namespace }}/{{ parameters.name }}.yaml\"\n      object: \"Deployment/{{ parameters.namespace }}/{{ parameters.name }}\" # kind/namespace/name\n",
            "    - object: \"Deployment/{{ parameters.namespace }}/{{ parameters.name }}\"\n",
        )
    });
    server.run();
    server.at().ticket(&replicas("OPS-42", "web", 6.0));
    let proposed = server.at().settled("OPS-42", "proposed");
    assert_eq!(proposed["changes"]["ttl"], "4h");
    assert!(
        body(&server, &proposed).contains("- Time to live: wanted for 4h after the merge. Then KubeOps opens the pull request that takes it back")
    );
    let branch = proposed["branch"].as_str().expect("a branch");
    assert_eq!(server.upstream.show(PATH, branch), DEPLOYMENT.replace("replicas: 2", "replicas: 6"), "found without its file's name");

    // What takes it back is in the store, and gives the bytes there were.
    let inverse: kubeops::plan::Inverse = serde_json::from_str(&kept_inverse(&server, "OPS-42")).expect("an inverse");
    assert_eq!(inverse.files().map(ManifestPath::as_str).collect::<Vec<_>>(), [PATH]);

    server.at().ticket(&replicas("OPS-43", "web", 3.0));
    assert_eq!(server.at().settled("OPS-43", "proposed")["changes"]["ttl"], Value::Null);
}

/// What takes the change of a request back, as the store holds it.
fn kept_inverse(server: &TestServer, correlation: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use sqlx::{Connection as _, Row as _};
        let address = format!("sqlite://{}?mode=ro", server.data().join("kubeops.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&address).await.expect("the store");
        let row = sqlx::query("SELECT json_extract(changes, '$.expiry.inverse') AS inverse FROM requests WHERE correlation = ?")
            .bind(correlation)
            .fetch_one(&mut connection)
            .await
            .expect("the request");
        row.get("inverse")
    })
}
