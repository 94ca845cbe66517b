//! SIGTERM under load.

use crate::support::server::{PATIENCE, TestServer, ticket};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

#[test]
fn a_shutdown_under_load_loses_nothing_and_ends_in_order() {
    const SENDERS: usize = 8;
    let mut server = TestServer::prepare();
    server.set("GRACEFUL_TIMEOUT", "15").run();
    let acknowledged_so_far = AtomicUsize::new(0);
    let at = server.at().clone();
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (at, so_far) = (&at, &acknowledged_so_far);
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        // The first asks for something; the others are updates nobody listens to, but they are kept as well.
                        let mut told = ticket(&format!("OPS-{sender}"), &format!("team-{sender}"));
                        if number > 0 {
                            told["timestamp"] = json!(1_795_176_000_000_i64 + number);
                            told["changelog"]["items"] = json!([]);
                        }
                        match at.jira(told.to_string().as_bytes()) {
                            Ok(answered) if answered.status == 202 => {
                                so_far.fetch_add(1, Ordering::SeqCst);
                                acknowledged.push(answered.id());
                            }
                            Ok(answered) => assert_eq!(answered.status, 503, "{}", answered.text()),
                            // Nobody listens any more.
                            Err(_) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let begun = Instant::now();
        while acknowledged_so_far.load(Ordering::SeqCst) < 40 {
            assert!(begun.elapsed() < PATIENCE, "deliveries are taken");
            std::thread::yield_now();
        }
        let asked = Instant::now();
        let status = server.terminate();
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(asked.elapsed().as_secs() < 15, "it took {:?}", asked.elapsed());
        acknowledged.extend(senders.into_iter().flat_map(|sender| sender.join().expect("a sender")));
    });
    assert!(acknowledged.len() >= 40);

    server.run();
    let kept: BTreeSet<String> = server.at().all("/deliveries").iter().filter_map(|delivery| delivery["id"].as_str().map(str::to_owned)).collect();
    let lost: Vec<&String> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged deliveries are lost: {lost:?}", lost.len(), acknowledged.len());
    for sender in 0..SENDERS {
        server.at().settled(&format!("OPS-{sender}"), "proposed");
    }
    assert_eq!(server.at().all("/pulls").len(), SENDERS);
    server.upstream.fsck();
}

#[test]
fn an_idle_server_ends_at_once() {
    let mut server = TestServer::start();
    let asked = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(asked.elapsed().as_secs() < 3, "it took {:?}", asked.elapsed());
}

#[test]
fn a_remote_that_says_nothing_does_not_hold_up_the_end() {
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let mut server = TestServer::prepare();
    server.edit_resource("inventory.yaml", |text| {
        let forge = "forge:\n    kind: github\n    repository: acme/gitops\n    apiUrl: https://api.github.com\n    token: GITHUB_TOKEN";
        let lines: Vec<String> = text
            .lines()
            .map(|line| if line.trim_start().starts_with("url:") { format!("  url: http://127.0.0.1:{port}/gitops.git") } else { line.to_owned() })
            .collect();
        format!("{}\n", lines.join("\n")).replace("forge:\n    kind: local", forge)
    });
    server.secret("GITHUB_TOKEN", "ghp_0123456789abcdef0123456789abcdef");
    server.set("GRACEFUL_TIMEOUT", "2").run();
    assert_eq!(server.at().ticket(&ticket("OPS-1", "payments")).status, 202);
    let (_step, _) = silent.accept().expect("the step fetches");
    let asked = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(asked.elapsed().as_secs() < 5, "it took {:?}", asked.elapsed());
}
