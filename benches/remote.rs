//! What a repository's remote is in the measurements: `git http-backend` behind a small web server, and as much of GitHub's
//! API beside it as one pull request needs, and of Jira's as a comment does. A process of its own, the same for everything that is compared.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

struct Remote {
    root: PathBuf,
    pulls: AtomicU64,
}

/// Serves the bare repositories below `root` on a port of the loopback until it is killed.
pub fn serve(port: u16, root: PathBuf) -> anyhow::Result<()> {
    let remote = web::Data::from(Arc::new(Remote { root, pulls: AtomicU64::new(0) }));
    let app = move || App::new().app_data(remote.clone()).route("/{any:.*}", web::to(answer));
    let server = HttpServer::new(app).workers(2).disable_signals().bind(("127.0.0.1", port))?.run();
    actix_web::rt::System::new().block_on(server)?;
    Ok(())
}

async fn answer(remote: web::Data<Remote>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    let mut body = Vec::new();
    while let Some(Ok(part)) = payload.next().await {
        body.extend_from_slice(&part);
    }
    if remote.root.join(AWAY).exists() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    if request.path().starts_with("/repos/") {
        return pull_request(&remote, &request, &body);
    }
    if request.path().starts_with("/rest/") {
        return issue(&remote, &request);
    }
    backend(&remote, &request, &body).await.unwrap_or_else(|error| HttpResponse::InternalServerError().body(error.to_string()))
}

/// One CGI call (RFC 3875).
async fn backend(remote: &Remote, request: &HttpRequest, body: &[u8]) -> anyhow::Result<HttpResponse> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &remote.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("REMOTE_USER", "bench")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("PATH_INFO", request.path())
        .env("QUERY_STRING", request.query_string())
        .env("REQUEST_METHOD", request.method().as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("no stdin")?;
    let (written, output) = tokio::join!(
        async move {
            let written = input.write_all(body).await;
            drop(input);
            written
        },
        child.wait_with_output()
    );
    // A backend that has heard enough hangs up.
    let _ = written;
    let output = output?.stdout;
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").context("no head")?;
    let head = std::str::from_utf8(&output[..split])?;
    let mut status = 200;
    let mut kind = String::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "status" => status = value.split(' ').next().unwrap_or_default().parse()?,
            "content-type" => value.clone_into(&mut kind),
            _ => {}
        }
    }
    let status = actix_web::http::StatusCode::from_u16(status)?;
    Ok(HttpResponse::build(status).insert_header((CONTENT_TYPE, kind)).body(output[split + 4..].to_vec()))
}

/// A pull request that is as it was asked for.
fn pull_request(remote: &Remote, request: &HttpRequest, body: &[u8]) -> HttpResponse {
    let asked: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let path = request.path();
    match request.method().as_str() {
        "POST" if path.ends_with("/pulls") => match note(remote, &format!("pull {}", asked["head"].as_str().unwrap_or_default())) {
            Ok(()) => HttpResponse::Created().json(pull(remote.pulls.fetch_add(1, Ordering::Relaxed) + 1, &asked)),
            Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
        },
        "POST" if path.ends_with("/requested_reviewers") => {
            let mut pull = pull(number_in(path), &json!({}));
            for (ours, theirs) in [("requested_reviewers", "reviewers"), ("requested_teams", "team_reviewers")] {
                let names = asked[theirs].as_array().into_iter().flatten();
                pull[ours] = names.map(|name| json!({ "login": name, "slug": name })).collect();
            }
            HttpResponse::Created().json(pull)
        }
        "POST" if path.ends_with("/labels") => {
            HttpResponse::Ok().json(asked["labels"].as_array().into_iter().flatten().map(|name| json!({ "name": name })).collect::<Vec<_>>())
        }
        "GET" if path.ends_with("/pulls") || path.ends_with("/reviews") => HttpResponse::Ok().json(json!([])),
        _ => HttpResponse::Ok().json(pull(number_in(path), &asked)),
    }
}

/// While a file of this name is below the root, neither git nor GitHub nor Jira answers anything but 503.
pub const AWAY: &str = "away";
/// Where it is kept which issues have a comment, below the root.
pub const COMMENTED: &str = "commented";
/// Where it is kept, a line each, which pull requests were opened and which issues were commented on, below the root.
pub const LEDGER: &str = "ledger";

/// Adds a line to the ledger.
fn note(remote: &Remote, line: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(remote.root.join(LEDGER))?.write_all(format!("{line}\n").as_bytes())
}

/// An issue that takes everything; one that has a comment has a file of its name.
fn issue(remote: &Remote, request: &HttpRequest) -> HttpResponse {
    let parts: Vec<&str> = request.path().split('/').collect();
    if let (Some(key), true) = (parts.get(5), request.path().ends_with("/comment") && request.method() == "POST") {
        let directory = remote.root.join(COMMENTED);
        let kept = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(directory.join(key), b""));
        if kept.and_then(|()| note(remote, &format!("comment {key}"))).is_err() {
            return HttpResponse::InternalServerError().finish();
        }
    }
    if request.path().ends_with("/myself") {
        return HttpResponse::Ok().json(json!({ "accountId": "5b10a2844c20165700ede21g", "displayName": "KubeOps", "active": true }));
    }
    HttpResponse::Created().json(json!({ "id": 1 }))
}

fn number_in(path: &str) -> u64 {
    path.split('/').find_map(|part| part.parse().ok()).unwrap_or(1)
}

fn pull(number: u64, asked: &Value) -> Value {
    let now = "2026-11-20T12:00:00Z";
    let side = |name: &Value| json!({ "ref": name.as_str().unwrap_or("main"), "sha": "1".repeat(40) });
    json!({
        "number": number, "html_url": format!("http://127.0.0.1/{number}"), "state": "open", "title": asked["title"].as_str().unwrap_or("-"),
        "body": asked["body"], "labels": [], "requested_reviewers": [], "requested_teams": [], "assignees": [], "draft": false,
        "head": side(&asked["head"]), "base": side(&asked["base"]), "user": { "login": "bench" }, "node_id": format!("PR_{number}"),
        "merged_at": null, "merge_commit_sha": null, "created_at": now, "updated_at": now,
    })
}
