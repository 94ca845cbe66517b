//! Of all that delivery tools say, only what is about a request's own files in its own clusters says that it is in force, whichever
//! tool says it and however; the ticket hears it.

use super::applied::{listen, merged, notification, tell_argocd};
use crate::support::fake_jira::FakeJira;
use crate::support::server::{TestServer, call, eventually};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const TOKEN: &str = "the token of a delivery tool, which is long enough";
const HERE: &str = "https://kubernetes.default.svc";

/// A server that listens to Argo CD, with the inventory as `edit` makes it.
fn start(edit: impl FnOnce(String) -> String) -> TestServer {
    let mut server = TestServer::prepare();
    listen(&server);
    server.edit_resource("inventory.yaml", |text| edit(text.to_owned()));
    server.set("OBSERVE_SECONDS", "1").run();
    server
}

/// What Argo CD says of an application, each time at another second.
fn says(server: &TestServer, application: &str, revision: &str, health: &str, destination: Value, paths: Value) {
    let second = server.at().get("/deliveries?limit=500")["items"].as_array().map_or(0, Vec::len) + 1;
    let body = notification(application, revision, health, &destination, &paths, &second.to_string());
    let answered = tell_argocd(server, &body).expect("an answer");
    assert_eq!(answered.word(), "202 accepted", "{}", answered.text());
}

/// Nothing came of what was said.
fn still(server: &TestServer, key: &str, state: &str) {
    server.at().nothing_owed();
    server.at().settled(key, state);
}

#[test]
fn an_application_of_other_files_or_of_a_cluster_nobody_knows_says_nothing_of_a_merged_change() {
    let server = start(|text| text);
    let tip = merged(&server, "OPS-1", "payments");
    // Neither its path nor which cluster it is in is known.
    says(&server, "some-other-app", &tip, "Healthy", json!({ "server": HERE, "namespace": "billing" }), Value::Null);
    says(&server, "some-other-app", &tip, "Degraded", json!({ "server": HERE, "namespace": "billing" }), json!([null]));
    // Its files are others, wherever it is.
    for destination in [json!({ "server": HERE }), json!({ "name": "prod-eu" })] {
        says(&server, "web", &tip, "Healthy", destination, json!(["clusters/prod-eu/apps/web"]));
    }
    says(&server, "not-quite", &tip, "Healthy", json!({ "name": "prod-eu" }), json!(["clusters/prod-eu/name"]));
    says(&server, "elsewhere", &tip, "Healthy", json!({ "name": "prod-eu" }), json!(["../up and away"]));
    says(&server, "nowhere", &"1".repeat(40), "Healthy", json!({ "server": HERE }), json!(["clusters/prod-eu/namespaces"]));
    still(&server, "OPS-1", "merged");
    for (application, wanted) in [
        ("not-quite", "tells merged requests of gitops with files below clusters/prod-eu/name whose commit is in the history of"),
        ("nowhere", "means no request of gitops: no fetch of it has brought a commit 1111111111111111111111111111111111111111"),
        (
            "some-other-app",
            &*format!("says nothing of merged requests of gitops: \"{HERE}\" is no Cluster's name and no alias of one, it says no path"),
        ),
    ] {
        let seen = server.at().get(&format!("/events?subject={application}&limit=1"))["items"][0]["id"].as_str().expect("an event").to_owned();
        let said = server.at().get(&format!("/events/{seen}"))["deployment"].to_string().replace('\\', "");
        assert!(said.contains(wanted), "{said}");
    }

    says(&server, "namespaces", &tip, "Healthy", json!({ "server": HERE }), json!(["clusters/prod-eu/apps", "clusters/prod-eu/namespaces"]));
    let applied = server.at().settled("OPS-1", "applied");
    assert_eq!(applied["message"], format!("in force: namespaces is at {}", &tip[..12]));
}

#[test]
fn an_application_whose_overlay_builds_from_a_file_beside_it_is_about_that_file() {
    let server = start(|text| text);
    let kustomization = |directory: &str, resource: &str| {
        server.upstream.write("main", &format!("{directory}/kustomization.yaml"), &format!("resources: [{resource}]\n"));
    };
    server.upstream.write("main", "clusters/prod-eu/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: other, namespace: web }\n");
    kustomization("clusters/prod-eu/overlays/others", "../../other.yaml");
    kustomization("clusters/prod-eu/overlays/all", "../../namespaces/payments.yaml, ../others");
    let tip = merged(&server, "OPS-1", "payments");
    says(&server, "others", &tip, "Healthy", json!({ "name": "prod-eu" }), json!(["clusters/prod-eu/overlays/others"]));
    still(&server, "OPS-1", "merged");
    says(&server, "all", &tip, "Healthy", json!({ "name": "prod-eu" }), json!(["clusters/prod-eu/overlays/all"]));
    server.at().settled("OPS-1", "applied");
}

#[test]
fn a_cluster_is_known_by_its_aliases_and_an_application_by_the_repositorys_list() {
    let server =
        start(|text| text.replacen("  path: clusters/prod-eu\n", &format!("  path: clusters/prod-eu\n  aliases: [in-cluster, \"{HERE}\"]\n"), 1));
    let tip = merged(&server, "OPS-1", "payments");
    says(&server, "web", &tip, "Healthy", json!({ "name": "staging-eu" }), Value::Null);
    still(&server, "OPS-1", "merged");
    says(&server, "web", &tip, "Healthy", json!({ "server": format!("{HERE}/") }), Value::Null);
    server.at().settled("OPS-1", "applied");

    let server = start(|text| text.replacen("  branch: main\n", "  branch: main\n  appliedBy: { applications: [\"platform-*\"] }\n", 1));
    let tip = merged(&server, "OPS-1", "payments");
    says(&server, "web", &tip, "Healthy", json!({ "name": "prod-eu" }), json!(["clusters/prod-eu"]));
    still(&server, "OPS-1", "merged");
    says(&server, "platform-eu", &tip, "Healthy", json!({ "server": HERE }), Value::Null);
    server.at().settled("OPS-1", "applied");
}

#[test]
fn what_goes_to_two_clusters_is_applied_once_both_say_so_and_degraded_by_either() {
    let mut server = TestServer::prepare();
    listen(&server);
    server.edit_resource("namespace-request.yaml", |text| {
        let text = text.replace("    cluster: \"{{ parameters.cluster }}\"\n", "    repository: gitops\n    path: clusters\n");
        let render = |cluster: &str| {
            let with = format!("      with: {{ team: \"parameters.team + '-{cluster}'\" }}\n");
            format!("    - template: namespace\n{with}      path: \"{cluster}/namespaces/{{{{ parameters.team }}}}.yaml\"\n")
        };
        let before = "    - template: namespace\n      path: \"namespaces/{{ parameters.team }}.yaml\"\n";
        assert!(text.contains(before), "{text}");
        text.replace(before, &(render("prod-eu") + &render("staging-eu")))
    });
    server.set("OBSERVE_SECONDS", "1").run();
    let tip = merged(&server, "OPS-1", "payments");
    says(&server, "web", &tip, "Healthy", json!({ "name": "prod-eu" }), Value::Null);
    still(&server, "OPS-1", "merged");
    says(&server, "web", &tip, "Degraded", json!({ "name": "staging-eu" }), Value::Null);
    let degraded = server.at().settled("OPS-1", "degraded");
    assert_eq!(degraded["message"], format!("web in staging-eu is at {} and not well", &tip[..12]));
    says(&server, "web", &tip, "Healthy", json!({ "name": "staging-eu" }), Value::Null);
    let applied = server.at().settled("OPS-1", "applied");
    assert_eq!(applied["message"], format!("in force in prod-eu, staging-eu: web is at {}", &tip[..12]));
}

#[test]
fn a_commit_that_a_fetch_did_not_bring_is_not_fetched_for_again_at_every_word() {
    let server = start(|text| text);
    let tip = merged(&server, "OPS-1", "payments");
    says(&server, "preview", &"a".repeat(40), "Healthy", json!({ "name": "prod-eu" }), Value::Null);
    still(&server, "OPS-1", "merged");
    // The remote is away: whoever has to ask it finds nothing out.
    let away = server.upstream.scratch("away.git");
    std::fs::rename(server.upstream.path(), &away).expect("moved");
    says(&server, "web", &tip, "Healthy", json!({ "name": "prod-eu" }), Value::Null);
    server.at().settled("OPS-1", "applied");
    std::fs::rename(&away, server.upstream.path()).expect("moved back");
}

#[test]
fn a_source_says_nothing_of_repositories_it_may_not_speak_of() {
    let mut server = TestServer::prepare();
    listen(&server);
    server.edit_resource("sources.yaml", |text| text.replace("spec: { kind: argocd,", "spec: { kind: argocd, repositories: [gitpos],"));
    let refused = server.cli(&["check"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && said.contains("gitpos") && said.contains("did you mean \"gitops\"?"), "{said}");

    server.edit_resource("inventory.yaml", |text| {
        format!("{text}---\napiVersion: kubeops.dev/v1alpha1\nkind: Repository\nmetadata: {{ name: other }}\nspec: {{ url: \"file:///srv/git/other.git\", forge: {{ kind: local }} }}\n")
    });
    server.edit_resource("sources.yaml", |text| text.replace("[gitpos]", "[other]"));
    server.set("OBSERVE_SECONDS", "1").run();
    let tip = merged(&server, "OPS-1", "payments");
    says(&server, "web", &tip, "Healthy", json!({ "name": "prod-eu" }), Value::Null);
    still(&server, "OPS-1", "merged");
    server.edit_resource("sources.yaml", |text| text.replace("[other]", "[other, gitops]"));
    let mut tries = 0;
    eventually("the resources are read again", || {
        tries += 1;
        says(&server, &format!("web-{tries}"), &tip, "Healthy", json!({ "name": "prod-eu" }), Value::Null);
        server.at().nothing_owed();
        let request = &server.at().requests_of("OPS-1")[0];
        (request["state"] == "applied").then_some(())
    });
}

fn add_source(server: &TestServer, name: &str, spec: &str) {
    server.secret("DELIVERY_TOKEN", TOKEN);
    let source = format!("kind: Source\nmetadata: {{ name: {name} }}\nspec:\n{spec}");
    server.edit_resource("sources.yaml", |text| format!("{text}\n---\napiVersion: kubeops.dev/v1alpha1\n{source}"));
}

fn signed(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Sends a body with a header that proves it.
fn send(server: &TestServer, source: &str, body: &str, proof: (&str, &str)) -> String {
    let headers = [("content-type", "application/json"), proof];
    call(server.at().address, "POST", &format!("/api/v1/webhooks/{source}"), &headers, body.as_bytes()).expect("an answer").word()
}

/// What Flux's notification-controller sends of a Kustomization.
fn flux(revision: &str, metadata: &[(&str, &str)], severity: &str, reason: &str) -> String {
    let mut body = json!({
        "involvedObject": {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "name": "apps", "namespace": "flux-system",
            "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632",
        },
        "severity": severity, "timestamp": "2026-11-20T12:00:05Z", "message": "health check failed after 5m0s: timeout waiting for Deployment/web/api",
        "reason": reason, "metadata": { "revision": format!("main@sha1:{revision}") },
        "reportingController": "kustomize-controller", "reportingInstance": "kustomize-controller-7c7b47f5f-8bhrp",
    });
    for (name, value) in metadata {
        body["metadata"][name] = json!(value);
    }
    body.to_string()
}

#[test]
fn flux_makes_a_merged_change_degraded_and_applied_signed_or_with_a_token_in_a_header() {
    let bearer = format!("Bearer {TOKEN}");
    for (authentication, is_signed) in [("hmac: { secrets: [DELIVERY_TOKEN] }", true), ("bearer: { secrets: [DELIVERY_TOKEN] }", false)] {
        let mut server = TestServer::prepare();
        add_source(&server, "flux", &format!("  kind: flux\n  authentication: {{ {authentication} }}\n"));
        server.set("OBSERVE_SECONDS", "1").run();
        let says = |body: &str| {
            let signature = signed(body);
            let proof = if is_signed { ("x-signature", signature.as_str()) } else { ("authorization", bearer.as_str()) };
            assert_eq!(send(&server, "flux", body, proof), "202 accepted", "{body}");
        };
        let tip = merged(&server, "OPS-1", "payments");
        let namespaces = ("path", "./clusters/prod-eu/namespaces");
        // Nobody is believed without a proof; and of other files, another cluster, or no place at all nothing follows.
        let body = flux(&tip, &[("cluster", "prod-eu"), namespaces], "info", "ReconciliationSucceeded");
        assert!(send(&server, "flux", &body, ("x-signature", &format!("sha256={}", "0".repeat(64)))).starts_with("401"));
        says(&flux(&tip, &[("cluster", "prod-eu"), ("path", "./clusters/prod-eu/apps")], "info", "ReconciliationSucceeded"));
        says(&flux(&tip, &[("cluster", "staging-eu")], "info", "ReconciliationSucceeded"));
        says(&flux(&tip, &[], "info", "ReconciliationSucceeded"));
        still(&server, "OPS-1", "merged");

        says(&flux(&tip, &[("cluster", "prod-eu"), namespaces], "error", "HealthCheckFailed"));
        let degraded = server.at().settled("OPS-1", "degraded");
        let message = degraded["message"].as_str().expect("a message");
        assert!(message.contains("apps is at") && message.contains("timeout waiting for Deployment/web/api"), "{message}");
        says(&body);
        server.at().settled("OPS-1", "applied");
    }
}

#[test]
fn a_pipeline_says_with_a_mapping_of_its_own_that_a_change_is_in_force() {
    let mut server = TestServer::prepare();
    let mapping = "  mapping:
    id: body.run + \"/\" + body.application + \"/\" + body.status
    type: \"body.status == 'success' ? 'deployment.applied' : 'deployment.failed'\"
    subject: body.application
    data: >-
      {\"deployment\": {\"revision\": body.commit, \"revisions\": [body.commit], \"cluster\": body.cluster, \"paths\": body.paths,
      \"application\": body.application, \"message\": has(body.message) ? body.message : null, \"url\": [body.repository]}}
";
    add_source(&server, "pipeline", &format!("  kind: generic\n  authentication: {{ hmac: {{ secrets: [DELIVERY_TOKEN] }} }}\n{mapping}"));
    server.set("OBSERVE_SECONDS", "1").run();
    let url = format!("file://{}", server.upstream.path().display());
    let tip = merged(&server, "OPS-1", "payments");
    let says = |run: &str, status: &str, repository: &str, path: &str| {
        let body = json!({
            "application": "checkout", "cluster": "prod-eu", "repository": repository, "paths": [path], "commit": tip, "status": status, "run": run,
            "message": "kubectl ended with 1",
        })
        .to_string();
        assert_eq!(send(&server, "pipeline", &body, ("x-signature", &signed(&body))), "202 accepted", "{body}");
    };
    says("1", "success", "https://git.example.org/another/gitops.git", "clusters/prod-eu");
    says("2", "success", &url, "clusters/prod-eu/apps");
    still(&server, "OPS-1", "merged");
    says("3", "failed", &url, "clusters/prod-eu");
    let degraded = server.at().settled("OPS-1", "degraded");
    assert_eq!(degraded["message"], format!("checkout could not be brought to {}: kubectl ended with 1", &tip[..12]));
    says("4", "success", &url, "clusters/prod-eu");
    server.at().settled("OPS-1", "applied");
}

#[test]
fn a_ticket_hears_that_nobody_said_so_in_time_then_that_it_is_not_well_in_the_tools_words_and_then_that_it_is_in_force() {
    let jira = FakeJira::cloud();
    let mut server = super::told::prepare(&jira, "  feedback:\n    - channel: service-desk\n");
    server.edit_resource("inventory.yaml", |text| text.replacen("  path: clusters/prod-eu\n", "  path: clusters/prod-eu\n  appliedWithin: 1s\n", 1));
    add_source(&server, "flux", "  kind: flux\n  authentication: { hmac: { secrets: [DELIVERY_TOKEN] } }\n");
    server.run();
    let key = "OPS-42";
    let heard = |words: &str| {
        eventually(words, || {
            let comments: Vec<String> = jira.issue(key).comments.iter().map(|comment| format!("{comment:?}")).collect();
            let found: Vec<&String> = comments.iter().filter(|comment| comment.contains(words)).collect();
            assert!(found.len() <= 1, "once: {comments:?}");
            found.first().map(|comment| (*comment).clone())
        })
    };
    let tip = merged(&server, key, "payments");
    heard("nobody has said");
    let says = |severity: &str, reason: &str| {
        let body = flux(&tip, &[("cluster", "prod-eu")], severity, reason);
        assert_eq!(send(&server, "flux", &body, ("x-signature", &signed(&body))), "202 accepted");
    };
    says("error", "HealthCheckFailed");
    server.at().settled(key, "degraded");
    heard("timeout waiting for Deployment/web/api");
    says("info", "ReconciliationSucceeded");
    server.at().settled(key, "applied");
    heard("The change is in force");
    server.at().nothing_owed();
    assert_eq!(jira.take_violations(), Vec::<String>::new());
}
