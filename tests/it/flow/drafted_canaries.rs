//! Secrets stand wherever they may stand: in the base, in runbooks, in the ticket, in our own configuration. A model that repeats
//! everything it is shown gets none of them, and none of them comes out anywhere.

use super::drafted::scale;
use super::drafted_github::{KEY, only_pull, prepare};
use crate::support::collector::{Collector, Seen};
use crate::support::fake_jira::FakeJira;
use crate::support::fake_llm::{Asked, FakeLlm, Said};
use crate::support::server::{eventually, ticket};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use kubeops::store::{Drafts as _, Store as _};
use kubeops::store::{SqlStore, SqliteOptions};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const DATA: &str = "Vq7rT2xLm9Zp4KcanaryA";
const STRING: &str = "horse-battery-canary-B!/?";
const LITERAL: &str = "Yw3nB8vQe5Rt1UcanaryC";
const TOKEN_IN_RUNBOOK: &str = "ghp_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R";
const TOKEN_IN_CONFIG: &str = "glpat-Xy7Kq2Wm9Lr4Tn6Vb8Zc";
const TOKEN_IN_TICKET: &str = "glpat-Hj5Fd3Sa8Gk2Lp9Qw4Er";
const PASSWORD_IN_TICKET: &str = "Zu8Io0Pl6Mn4BvcanaryD";
const MODELS_KEY: &str = "sk-local-5Tg7Yh9Uj2Ik4OcanaryE";

/// A secret in every form it could come out in.
fn forms(secret: &str) -> Vec<String> {
    let url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = json!(secret).to_string();
    let mut forms = vec![secret.to_owned(), url.replace('+', "%20"), url, json.trim_matches('"').to_owned()];
    // In base64 at any alignment, without the digits that depend on what stands beside it.
    for before in 0..3 {
        let coded = STANDARD.encode([vec![b' '; before], secret.as_bytes().to_vec()].concat());
        let from = (before * 8).div_ceil(6);
        let to = (before + secret.len()) * 8 / 6;
        forms.push(coded[from..to].to_owned());
    }
    forms.extend([STANDARD.encode(secret), STANDARD_NO_PAD.encode(secret), URL_SAFE.encode(secret)]);
    forms.dedup();
    forms
}

/// Fails when a text holds one of the secrets in any form.
fn keeps(what: &str, text: &[u8], secrets: &[&str]) {
    for secret in secrets {
        for form in forms(secret) {
            let at = text.windows(form.len()).position(|window| window == form.as_bytes());
            if let Some(at) = at {
                let around = String::from_utf8_lossy(&text[at.saturating_sub(200)..text.len().min(at + 200)]).into_owned();
                panic!("{secret} stands in {what}, as {form}: {around}");
            }
        }
    }
}

/// Everything a model was shown in a request.
fn shown(asked: &Asked) -> String {
    let mut shown = String::new();
    for message in asked.body["messages"].as_array().into_iter().flatten() {
        shown.push_str(message["content"].as_str().unwrap_or_default());
        shown.push('\n');
    }
    shown
}

#[test]
fn the_secrets_forms_are_found_where_they_stand() {
    for form in [STANDARD.encode(DATA), STANDARD.encode(format!("x{DATA}")), STANDARD.encode(format!("xy{DATA}z"))] {
        assert!(std::panic::catch_unwind(|| keeps("it", form.as_bytes(), &[DATA])).is_err(), "{form}");
    }
    assert!(std::panic::catch_unwind(|| keeps("it", b"a=horse-battery-canary-B%21%2F%3F", &[STRING])).is_err());
    keeps("it", b"nothing", &[DATA, STRING]);
}

#[test]
fn no_secret_reaches_a_model_that_repeats_everything_nor_comes_out_anywhere() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    let mut world = prepare(&llm, &jira);
    let at = |name: &str| format!("clusters/prod-eu/apps/shop/{name}");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: web, namespace: shop }}\ndata:\n  key: {}\nstringData:\n  dsn: \"{STRING}\"\n",
        STANDARD.encode(DATA)
    );
    let sops = "apiVersion: v1\nkind: Secret\nmetadata: { name: sealed, namespace: shop }\ndata:\n  key: ENC[AES256_GCM,data:c2VhbGVkY2FuYXJ5RGF0YQ==,iv:a,tag:b,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:c2VhbGVkY2FuYXJ5TWFj,iv:a,tag:b,type:str]\n";
    let config = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: web, namespace: shop }}\ndata:\n  registry-token: {LITERAL}\n  note: |\n    push with {TOKEN_IN_CONFIG} to payments\n  address: https://web:{LITERAL}@db.shop/\n"
    );
    let runbook = format!(
        "# Scaling payments\n\nTo scale the front end, log in first:\n\n    curl -H 'Authorization: Bearer {TOKEN_IN_RUNBOOK}' https://api.shop\n"
    );
    for (name, text) in [("secret.yaml", secret.as_str()), ("sealed.yaml", sops), ("config.yaml", &config), ("scaling.md", &runbook)] {
        world.server.upstream.write("main", &at(name), text);
    }
    world
        .server
        .edit_resource("namespace-request.yaml", |text| text.replace("    write:", "    read: ['**']\n    runbooks: ['apps/**/*.md']\n    write:"));
    world.server.secret("LLM_LOCAL_API_KEY", MODELS_KEY);
    let collector = Collector::start();
    world.server.set("LOG_LEVEL", "DEBUG").set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()).set("OTEL_BSP_SCHEDULE_DELAY", "20");

    // It looks at everything, then says all it was shown, in text, in files and in its explanation.
    let turn = Arc::new(Mutex::new(0));
    llm.answers(move |asked| {
        let mut turn = turn.lock().expect("the turn");
        *turn += 1;
        let all = shown(asked);
        let content = all.lines().filter(|line| line.contains("withheld")).take(60).map(|line| format!("  # {line}\n")).collect::<String>();
        let explanation: String =
            all.replace("withheld:", "").replace(['\u{27e6}', '\u{27e7}'], "").chars().rev().take(6_000).collect::<String>().chars().rev().collect();
        match *turn {
            1 => ["secret.yaml", "sealed.yaml", "config.yaml", "scaling.md", "web.yaml"]
                .into_iter()
                .fold(Said::text(&explanation), |said, name| said.and_calls("read_file", json!({ "file": at(name) })))
                .and_calls("search_runbooks", json!({ "query": "log in curl scale" })),
            2 => ["canary", "glpat", "Bearer", "key", "dsn"]
                .into_iter()
                .fold(Said::text(&explanation), |said, text| said.and_calls("search", json!({ "text": text })))
                .and_calls("find_object", json!({ "kind": "Secret" }))
                .and_calls("search", json!({ "regex": "[A-Za-z0-9]{20}" })),
            // Messages of the gate quote what is wrong.
            3 => Said::calls(
                "check",
                json!({ "operations": [
                    { "replace": { "file": at("secret.yaml"), "search": "dsn: \"horse\"", "replace": "x" } },
                    { "replace": { "file": at("config.yaml"), "search": "registry-token: Y", "replace": "x" } },
                    { "edit": { "object": "ConfigMap/shop/web", "set": { "data.address": "x" } } }
                ], "explanation": "x" }),
            ),
            4 => Said::calls(
                "propose_change",
                json!({ "operations": [{ "file": { "file": at("echo.yaml"), "content": content } }], "explanation": explanation }),
            ),
            5 => Said::text(&explanation),
            _ => Said::calls("propose_change", json!({ "operations": scale(4)["operations"], "explanation": explanation })),
        }
    });
    world.server.run();
    let [webhook, alertmanager, _] = world.server.secrets().map(str::to_owned);
    let mut asks = ticket(KEY, "payments");
    // Its title stands in pull requests, as that of every ticket does.
    asks["issue"]["fields"]["summary"] = json!("scale web in shop");
    asks["issue"]["fields"]["description"] = json!(format!(
        "the token is {TOKEN_IN_TICKET}, password: {PASSWORD_IN_TICKET}; signed with {webhook} and {}",
        STANDARD.encode(&alertmanager)
    ));
    assert_eq!(world.server.at().ticket(&asks).word(), "202 accepted");
    let request = eventually("it is over", || {
        let request = world.server.at().requests_of(KEY).into_iter().next()?;
        ["proposed", "rejected", "unchanged", "failed"].contains(&request["state"].as_str()?).then_some(request)
    });
    let id = request["id"].as_str().expect("an id").to_owned();
    let lines = world.server.at().get(&format!("/requests/{id}/drafts/1/lines"));
    assert_eq!(request["state"], "proposed", "{request:#}\n{lines:#}");
    world.server.at().nothing_owed();

    let in_base = [DATA, STRING, LITERAL, TOKEN_IN_RUNBOOK, TOKEN_IN_CONFIG, "c2VhbGVkY2FuYXJ5RGF0YQ==", "c2VhbGVkY2FuYXJ5TWFj", MODELS_KEY];
    let in_ticket = [TOKEN_IN_TICKET, PASSWORD_IN_TICKET, &*webhook, &*alertmanager];
    let all: Vec<&str> = in_base.into_iter().chain(in_ticket).collect();
    let ledger = llm.ledger();
    assert_eq!(ledger.len(), 6);
    assert!(ledger.iter().all(|asked| asked.headers["authorization"] == format!("Bearer {MODELS_KEY}")), "only there");
    let told = shown(&ledger[5]);
    for name in ["secret.yaml", "sealed.yaml", "config.yaml", "curl -H", "scale web in shop"] {
        assert!(told.contains(name), "it was shown {name}: {told}");
    }
    assert!(told.matches("\u{27e6}withheld:").count() > 10, "{told}");
    for (number, asked) in ledger.iter().enumerate() {
        keeps(&format!("request {number} to the model"), asked.body.to_string().as_bytes(), &all);
        keeps(&format!("request {number} to the model"), shown(asked).as_bytes(), &all);
    }
    let calls = eventually("a span of each call", || {
        let calls: Vec<Seen> = collector.spans().into_iter().filter(|span| span.attributes.contains_key("gen_ai.provider.name")).collect();
        (calls.len() == 6).then_some(calls)
    });
    assert!(
        calls.iter().all(|call| call.kind == 3 && call.attributes["gen_ai.operation.name"] == "chat" && call.trace == calls[0].trace),
        "{calls:#?}"
    );
    assert!(calls.iter().any(|call| call.attributes.contains_key("gen_ai.usage.input_tokens")), "{calls:#?}");
    keeps("the traces", &collector.bytes(), &all);
    keeps("what was said, for people", lines.to_string().as_bytes(), &all);

    let pull = only_pull(&world);
    keeps("the pull request", format!("{pull:#?}").as_bytes(), &all);
    keeps("the pull request", format!("{}\n{}", pull.title, pull.body).as_bytes(), &all);
    keeps("the commit", world.server.upstream.git(&["log", "-1", "-p", "--format=fuller", &pull.head]).as_bytes(), &all);
    eventually("the ticket heard of it", || (!jira.issue(KEY).comments.is_empty()).then_some(()));
    keeps("the ticket", format!("{:?}", jira.changes()).as_bytes(), &all);
    keeps("the ticket", format!("{:?}", jira.issue(KEY).comments).as_bytes(), &all);

    // The delivery itself is kept as it came; of the draft nothing is kept but what the model was told and said.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kept: Value = runtime.block_on(async {
        let store =
            SqlStore::sqlite(world.server.data().join("kubeops.db").to_str().expect("UTF-8"), SqliteOptions::default()).await.expect("the store");
        let id = id.parse().expect("an id");
        let mut kept = Vec::new();
        for draft in store.drafts(&id).await.expect("drafts") {
            for turn in store.turns(&id, draft.number).await.expect("turns") {
                kept.push(json!([turn.reply, turn.response]));
            }
            kept.push(json!([draft.brief, draft.outcome]));
        }
        store.close().await;
        Value::Array(kept)
    });
    keeps("what is kept of the draft", kept.to_string().as_bytes(), &all);
    let files: Vec<_> = std::fs::read_dir(world.server.data())
        .expect("the data")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubeops.db")))
        .collect();
    assert!(files.iter().any(|path| path.to_string_lossy().ends_with("-wal")), "{files:?}");
    for file in files {
        keeps(&file.display().to_string(), &std::fs::read(&file).expect("a file"), &in_base);
    }
    world.server.terminate();
    keeps("the log", world.server.log().as_bytes(), &all);
}
