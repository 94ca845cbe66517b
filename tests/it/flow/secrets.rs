//! Secrets stay where they were put: no file, no log line, no answer holds one.

use crate::support::server::{TestServer, files_with, ticket};
use serde_json::json;

#[test]
fn no_secret_is_in_a_file_a_log_line_or_an_answer() {
    let mut server = TestServer::prepare();
    // Everything that can be said is said.
    server.set("LOG_LEVEL", "TRACE").set("GUNICORN_LOG_LEVEL", "TRACE").run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().alert(&serde_json::from_str(include_str!("../../fixtures/ingress/alertmanager-firing.json")).expect("JSON"));
    // A signature and a token that are nearly right are secrets of somebody, too.
    let secrets: Vec<String> = server.secrets().iter().map(|secret| (*secret).to_owned()).collect();
    let nearly = format!("Bearer {}x", secrets[1]);
    assert_eq!(server.at().deliver("alertmanager", &[("authorization", &nearly)], b"{}").expect("an answer").status, 401);
    server.at().settled("OPS-1", "proposed");
    assert!(server.cli(&["pulls", "merge", "gitops#1"]).status.success());
    server.at().settled("OPS-1", "merged");
    let texts: Vec<&str> = secrets.iter().map(String::as_str).collect();

    // Every listing, every single thing listed, and what is not behind a token.
    let at = server.at();
    let mut paths = vec!["/status".to_owned(), "/tokens".to_owned(), "/docs/openapi.json".to_owned()];
    for listing in [
        "/requests",
        "/events",
        "/deliveries",
        "/pulls",
        "/automations",
        "/sources",
        "/repositories",
        "/forges",
        "/clusters",
        "/channels",
        "/mcp-servers",
        "/templates",
    ] {
        paths.push(listing.to_owned());
        for item in at.all(listing) {
            let name = |field: &str| item[field].as_str().map(str::to_owned);
            match listing {
                "/requests" => paths.extend(["", "/diff"].map(|part| format!("/requests/{}{part}", name("id").expect("an id")))),
                "/deliveries" => paths.extend(["", "/body"].map(|part| format!("/deliveries/{}{part}", name("id").expect("an id")))),
                "/events" => paths.push(format!("/events/{}", name("id").expect("an id"))),
                "/pulls" => paths.extend(["", "/diff"].map(|part| format!("/pulls/gitops/{}{part}", item["number"]))),
                "/automations" | "/templates" => paths.push(format!("{listing}/{}", name("name").expect("a name"))),
                _ => {}
            }
        }
    }
    assert!(paths.len() > 25, "{paths:?}");
    let mut answers: Vec<(String, String)> = paths.iter().map(|path| (path.clone(), at.api("GET", path, None).text())).collect();
    answers.extend(["/metrics", "/ready", "/health"].map(|path| (path.to_owned(), at.plain(path).text())));
    answers.push(("a refusal".to_owned(), at.api("POST", "/tokens", Some(&json!({ "name": secrets[0].clone() + "\u{7}", "role": "king" }))).text()));
    for (path, text) in &answers[..answers.len() - 1] {
        assert!(!text.is_empty(), "{path}");
        assert!(!texts.iter().any(|secret| text.contains(secret)), "{path} holds a secret");
    }

    // The log and the files, while the server runs and after it has copied its log into the database.
    let held = |server: &TestServer| files_with(&server.data(), &texts);
    assert_eq!(held(&server), [] as [std::path::PathBuf; 0]);
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(held(&server), [] as [std::path::PathBuf; 0]);
    assert!(!files_with(&server.data(), &["customfield_10050"]).is_empty(), "the search finds what is there");
    let log = server.log();
    assert!(log.lines().count() > 20, "{log}");
    let telling: Vec<&str> = log.lines().filter(|line| texts.iter().any(|secret| line.contains(secret))).collect();
    assert_eq!(telling, [] as [&str; 0]);
    assert_eq!(super::objects_with(&server.data().join("mirrors"), &texts), [] as [String; 0]);
    assert_eq!(super::objects_with(server.upstream.path(), &texts), [] as [String; 0]);
}
