//! Who says that a run is finished: Tekton's CloudEvents and Argo Workflows' exit handler, through the very sources and handler that the
//! documents show.

use super::runs::{KEY, TOKEN, documented, goes, merged, messages, prepare, revert_of};
use crate::support::server::{Answered, TestServer};
use serde_json::{Value, json};

/// A server whose documented automation adds a run of this kind, which a template of its own makes; running.
fn start(api_version: &str, kind: &str, spec: &str) -> TestServer {
    let mut server = prepare(|text| {
        let text = text.replace("template: job", "template: run");
        let kept: Vec<&str> = text.lines().filter(|line| !["image:", "command:"].iter().any(|field| line.trim_start().starts_with(field))).collect();
        format!("{}\n", kept.join("\n"))
    });
    let folder = server.place("templates").join("run");
    std::fs::create_dir_all(&folder).expect("a directory");
    let manifest = format!(
        "apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {{{{ parameters.name ~ \"-\" ~ parameters.run }}}}\n  \
         namespace: {{{{ parameters.namespace }}}}\nspec:\n{spec}"
    );
    let text = json!({ "title": "A text", "description": "A name.", "type": "string", "maxLength": 40 });
    let schema = json!({
        "type": "object", "additionalProperties": false, "title": "Run", "description": "For a test.", "required": ["name", "run", "namespace"],
        "properties": { "name": text, "run": text, "namespace": text },
    });
    for (file, text) in
        [("manifest.yaml.tera", manifest), ("params.schema.json", schema.to_string()), ("README.md", "# run\n\nFor a test.\n".to_owned())]
    {
        std::fs::write(folder.join(file), text).expect("written");
    }
    let templates = server.place("templates").display().to_string();
    server.set("TEMPLATES_DIR", &templates).run();
    server
}

/// What Tekton's controller sends of a run: CloudEvents in binary mode, the event's attributes in headers and the run itself in the body.
fn tekton(server: &TestServer, kind: &str, body: &str) -> Answered {
    let headers = [
        ("ce-id", "b37eb7e4-8a0d-4f0c-9a54-5ff5b0a5b2e1"),
        ("ce-source", "/apis/tekton.dev/v1/namespaces/shop/pipelineruns/reindex-ops-42"),
        ("ce-specversion", "1.0"),
        ("ce-subject", "reindex-ops-42"),
        ("ce-time", "2026-11-20T12:00:01.123456789Z"),
        ("ce-type", kind),
        ("user-agent", "Go-http-client/1.1"),
        ("x-kubeops-secret", TOKEN),
    ];
    server.at().deliver("tekton", &headers, body.as_bytes()).expect("an answer")
}

/// The body of such an event: `field` is `pipelineRun` or `taskRun`.
fn run(field: &str, namespace: &str, status: &Value) -> Value {
    let metadata = json!({
        "name": "reindex-ops-42", "namespace": namespace, "uid": "44ef2940-b2d9-4ecb-ad12-808a69972f02", "resourceVersion": "812", "generation": 1,
        "creationTimestamp": "2026-11-20T11:58:00Z", "labels": { "app.kubernetes.io/managed-by": "tekton-pipelines" },
    });
    json!({ field: { "kind": "", "metadata": metadata, "spec": { "timeouts": { "pipeline": "1h0m0s" } }, "status": status } })
}

fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!([{ "type": "Succeeded", "status": status, "lastTransitionTime": "2026-11-20T12:00:00Z", "reason": reason, "message": message }])
}

fn ended(status: &str, reason: &str, message: &str) -> Value {
    json!({
        "conditions": condition(status, reason, message), "startTime": "2026-11-20T11:58:00Z", "completionTime": "2026-11-20T12:00:00Z",
        "provenance": { "featureFlags": { "enableApiFields": "beta" } },
    })
}

/// Nothing was heard of it, and it waits for its run.
fn waits(server: &TestServer) {
    server.at().nothing_owed();
    let waiting = server.at().settled(KEY, "merged");
    assert_eq!((&waiting["runs"], &waiting["expires_at"]), (&json!([]), &Value::Null), "{waiting:#}");
}

#[test]
fn a_run_goes_when_tekton_says_that_it_is_finished_and_nothing_else_that_tekton_says_is_kept() {
    let pipeline_run = ("PipelineRun", "pipelineRun", "pipelinerun", "  pipelineRef:\n    name: reindex\n");
    let task_run = ("TaskRun", "taskRun", "taskrun", "  taskRef:\n    name: reindex\n");
    let done = "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0";
    let broken = "\"step-reindex\" exited with code 1 (image: \"registry.example.com/shop/reindex@sha256:1\"); for logs run: kubectl -n shop logs x";
    for ((kind, field, lower, spec), end, status, outcome) in [
        (pipeline_run, "successful", ended("True", "Succeeded", done), "succeeded"),
        (task_run, "failed", ended("False", "Failed", broken), "failed"),
    ] {
        let server = start("tekton.dev/v1", kind, spec);
        let request = merged(&server, 1);
        server.at().nothing_owed();
        // What goes on, and what is finished of another kind: answered, and nothing is owed for it.
        for (word, reason) in [("queued", "Pending"), ("started", "Started"), ("running", "Running"), ("unknown", "Unknown")] {
            let body = run(field, "shop", &json!({ "conditions": condition("Unknown", reason, "Not all Tasks have completed executing") }));
            let answered = tekton(&server, &format!("dev.tekton.event.{lower}.{word}.v1"), &body.to_string());
            assert_eq!(answered.word(), "200 ignored", "{word}: {}", answered.text());
        }
        let custom = |word: &str| json!({ "customRun": run(field, "shop", &status)[field], "said": word }).to_string();
        for other in ["dev.tekton.event.customrun.successful.v1", "dev.tekton.event.triggers.done.v1", "xdev.tekton.event.taskrun.failed.v1"] {
            assert_eq!(tekton(&server, other, &custom(other)).word(), "200 ignored", "{other}");
        }
        let kept = server.at().all("/deliveries");
        let ignored: Vec<_> = kept.iter().filter(|delivery| delivery["source"] == "tekton").map(|delivery| &delivery["state"]).collect();
        assert_eq!(ignored, vec!["ignored"; 7], "kept to be looked up, and no event: {kept:#?}");
        waits(&server);

        // What is no run of Tekton's, says of none which, or is not Tekton's at all.
        let finished = format!("dev.tekton.event.{lower}.{end}.v1");
        let mut nameless = run(field, "shop", &status);
        nameless[field]["metadata"].as_object_mut().expect("metadata").remove("name");
        let mut misnamed = run(field, "shop", &status);
        misnamed[field]["metadata"]["name"] = json!("Not A Name");
        for body in [nameless.to_string(), misnamed.to_string(), custom(&finished), "[]".to_owned(), "{\"pipelineRun\": ".to_owned()] {
            assert_eq!(tekton(&server, &finished, &body).status, 400, "{body}");
        }
        let whole = run(field, "shop", &status).to_string();
        let unnamed = server.at().deliver("tekton", &[("x-kubeops-secret", TOKEN)], whole.as_bytes()).expect("an answer");
        assert_eq!(unnamed.status, 400, "{}", unnamed.text());
        let stranger =
            server.at().deliver("tekton", &[("ce-type", &finished), ("x-kubeops-secret", "guessed")], whole.as_bytes()).expect("an answer");
        assert_eq!(stranger.status, 401);
        // One of the same name elsewhere is none of its business.
        assert_eq!(tekton(&server, &finished, &run(field, "web", &status).to_string()).word(), "202 accepted");
        waits(&server);

        let told = tekton(&server, &finished, &whole);
        assert_eq!(told.word(), "202 accepted", "{}", told.text());
        assert_eq!(tekton(&server, &finished, &whole).word(), "200 duplicate");
        let expired = goes(&server, &request);
        let message = status["conditions"][0]["message"].clone();
        let heard = json!({ "apiVersion": "tekton.dev/v1", "kind": kind, "namespace": "shop", "name": "reindex-ops-42", "outcome": outcome, "message": message,
            "at": "2026-11-20T12:00:00.000Z" });
        assert_eq!(expired["runs"], json!([heard]));
        assert!(messages(&expired).iter().any(|line| line.starts_with(&format!("{kind} shop/reindex-ops-42 {outcome}: "))), "{expired:#}");
        assert_eq!((server.at().requests_of(&revert_of(&request)).len(), server.at().get("/status")["dead_tasks"].clone()), (1, json!(0)));
    }
}

#[test]
fn what_tekton_leaves_out_of_a_run_that_is_finished_is_not_missed() {
    let server = start("tekton.dev/v1", "PipelineRun", "  pipelineRef:\n    name: reindex\n");
    let request = merged(&server, 1);
    // Neither words nor a time: a condition has words only where there are some.
    let status = json!({ "conditions": [{ "type": "Succeeded", "status": "False", "reason": "CouldntGetPipeline" }] });
    let told = tekton(&server, "dev.tekton.event.pipelinerun.failed.v1", &run("pipelineRun", "shop", &status).to_string());
    assert_eq!(told.word(), "202 accepted", "{}", told.text());
    let expired = goes(&server, &request);
    assert_eq!((&expired["runs"][0]["outcome"], &expired["runs"][0]["message"]), (&json!("failed"), &Value::Null), "{expired:#}");
}

/// What the exit handler of the documents sends once Argo has put a workflow's values into it.
struct ExitHandler {
    headers: Vec<(String, String)>,
    body: String,
}

impl ExitHandler {
    fn documented() -> Self {
        let workflow: Value = serde_yaml_ng::from_str(&documented("sources.md", "Workflow", "reindex-ops-42")).expect("YAML");
        let handler = workflow["spec"]["onExit"].as_str().expect("an exit handler");
        let templates = workflow["spec"]["templates"].as_array().expect("templates");
        let http = &templates.iter().find(|template| template["name"] == handler).expect("the handler's template")["http"];
        assert_eq!((&http["method"], &http["url"]), (&json!("POST"), &json!("https://kubeops.example.com/api/v1/webhooks/runs")));
        let header = |header: &Value| {
            let value = header["value"].as_str().map(str::to_owned).unwrap_or_else(|| {
                assert_eq!(header["valueFrom"]["secretKeyRef"], json!({ "name": "kubeops", "key": "authorization" }));
                format!("Bearer {TOKEN}")
            });
            (header["name"].as_str().expect("a name").to_owned(), value)
        };
        let headers = http["headers"].as_array().expect("headers").iter().map(header).collect();
        Self { headers, body: http["body"].as_str().expect("a body").to_owned() }
    }

    /// The workflow's values: how it ended, and which run of that name it was.
    fn sends(&self, server: &TestServer, name: &str, status: &str, uid: &str) -> Answered {
        let values = [("namespace", "shop"), ("name", name), ("uid", uid), ("status", status)];
        let body = values.iter().fold(self.body.clone(), |body, (field, value)| body.replace(&format!("{{{{workflow.{field}}}}}"), value));
        assert!(!body.contains("{{"), "{body}");
        let headers: Vec<(&str, &str)> =
            self.headers.iter().filter(|(name, _)| name != "Content-Type").map(|(name, value)| (name.as_str(), value.as_str())).collect();
        server.at().deliver("runs", &headers, body.as_bytes()).expect("an answer")
    }
}

#[test]
fn a_workflow_goes_when_its_exit_handler_says_so_and_each_of_a_name_waits_for_its_own() {
    let handler = ExitHandler::documented();
    let server = start("argoproj.io/v1alpha1", "Workflow", "  entrypoint: reindex\n");
    let first = merged(&server, 1);
    server.at().nothing_owed();
    for status in ["Running", "Pending", ""] {
        assert_eq!(handler.sends(&server, "reindex-ops-42", status, "11").word(), "200 ignored", "{status}");
    }
    for (name, uid) in [("Not A Name", "11"), ("reindex-ops-42", "\"")] {
        assert_eq!(handler.sends(&server, name, "Succeeded", uid).status, 400, "{name} {uid}");
    }
    assert_eq!(handler.sends(&server, "verify-ops-42", "Succeeded", "10").word(), "202 accepted");
    waits(&server);
    assert_eq!(handler.sends(&server, "reindex-ops-42", "Error", "11").word(), "202 accepted");
    assert_eq!(handler.sends(&server, "reindex-ops-42", "Error", "11").word(), "200 duplicate", "Argo tries again where the answer was lost");
    let expired = goes(&server, &first);
    assert_eq!((expired["runs"][0]["kind"].as_str(), expired["runs"][0]["outcome"].as_str()), (Some("Workflow"), Some("failed")), "{expired:#}");

    // Approved once more, it runs once more.
    let second = merged(&server, 2);
    assert_ne!(second["id"], first["id"]);
    waits(&server);
    assert_eq!(handler.sends(&server, "reindex-ops-42", "Succeeded", "12").word(), "202 accepted");
    assert_eq!(goes(&server, &second)["runs"][0]["outcome"], "succeeded");
    server.upstream.fsck();
}
