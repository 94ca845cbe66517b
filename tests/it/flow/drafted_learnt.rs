//! What a draft made and learnt in one turn is there in the next: the runbooks are indexed once, a secret that was seen stays one; and it is
//! all the same where it had to be made and learnt anew, after a crash or under other rules.

use super::drafted::{job_is, prepare, scale, start};
use crate::support::fake_llm::{Asked, FakeLlm, Said};
use crate::support::server::{TestServer, eventually};
use serde_json::json;
use std::sync::{Mutex, mpsc};

const SECRET: &str = "clusters/prod-eu/apps/shop/secret.yaml";
const CONFIG: &str = "clusters/prod-eu/apps/shop/config.yaml";
/// No pattern finds it where it does not stand in a Secret.
const WORD: &str = "MossGreen9";

/// A server that indexes runbooks, and says when.
fn with_runbooks(llm: &FakeLlm) -> TestServer {
    let mut server = prepare(llm);
    server.upstream.write("main", "docs/scaling.md", "# Scaling\n\n## Four is enough\n\nNobody needs five.\n");
    server.upstream.write("main", "docs/private/scaling.md", "# Scaling\n\nFive is a secret plan.\n");
    let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: web, namespace: shop }}\nstringData:\n  a: {WORD}\n");
    server.upstream.write("main", SECRET, &secret);
    let config =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: web, namespace: shop }}\ndata:\n  note: walk past {WORD} to the left\n");
    server.upstream.write("main", CONFIG, &config);
    server.edit_resource("anything.yaml", |text| text.replace("    write:", "    read: ['**']\n    runbooks: ['/docs/**/*.md']\n    write:"));
    server.set("LOG_LEVEL", "DEBUG");
    server
}

fn asks(query: &str) -> Said {
    Said::calls("search_runbooks", json!({ "query": query }))
}

fn reads(file: &str) -> Said {
    Said::calls("read_file", json!({ "file": file }))
}

/// How often runbooks were indexed.
fn indexed(server: &TestServer) -> usize {
    server.log().matches("the runbooks are indexed for a draft").count()
}

/// What the model was told last in a request.
fn told(asked: &Asked) -> String {
    asked.body["messages"].as_array().and_then(|messages| messages.last()).map(|message| message["content"].to_string()).unwrap_or_default()
}

#[test]
fn however_often_a_draft_searches_runbooks_they_are_indexed_once_and_another_draft_has_an_index_of_its_own() {
    let llm = FakeLlm::start();
    let mut server = with_runbooks(&llm);
    server.run();
    for (replicas, drafts) in [(4, 1), (5, 2)] {
        llm.says(asks("is four enough")).says(asks("five").and_calls("search_runbooks", json!({ "query": "scaling" })));
        llm.says(Said::calls("propose_change", scale(replicas)));
        let id = start(&server, "Scale the front end of shop");
        job_is(&server, &id, "proposed");
        let asked = llm.ledger();
        let [.., second, third] = asked.as_slice() else { panic!("{} requests", asked.len()) };
        assert!(told(second).contains("Nobody needs five."), "{}", told(second));
        assert!(third.body["messages"].to_string().matches("docs/scaling.md:5: Scaling > Four is enough").count() >= 3, "{:#}", third.body);
        assert_eq!(indexed(&server), drafts);
    }
}

#[test]
fn a_secret_that_a_draft_saw_is_withheld_in_its_later_turns_also_after_a_crash_between_them_and_another_draft_never_saw_it() {
    let placeholder = |text: &str| text.split_once("walk past ").and_then(|(_, rest)| rest.split_once(" to the left")).map(|(it, _)| it.to_owned());
    for crashes in [false, true] {
        let llm = FakeLlm::start();
        llm.says(reads(SECRET)).says(reads(CONFIG)).says(Said::calls("propose_change", scale(4)));
        let mut server = with_runbooks(&llm);
        server.set("KUBEOPS_FAILPOINT", if crashes { "draft.told" } else { "" }).run();
        let id = start(&server, "Scale the front end to four");
        if crashes {
            assert!(!server.wait().success(), "it died");
            server.set("KUBEOPS_FAILPOINT", "").run();
        }
        job_is(&server, &id, "proposed");
        let asked = llm.ledger();
        assert_eq!(asked.len(), 3);
        let (first, second) = (told(&asked[1]), placeholder(&told(&asked[2])).expect("the note"));
        assert!(second.starts_with("⟦withheld:") && first.contains(&second), "{second} in {first}");
        assert!(!asked[2].body.to_string().contains(WORD), "crashes: {crashes}");
        assert_eq!(indexed(&server), if crashes { 2 } else { 1 });
        let replayed = server.cli(&["drafts", "replay", &id]);
        assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stdout));

        llm.says(reads(CONFIG)).says(Said::calls("no_change", json!({ "reason": "Enough." })));
        let id = start(&server, "Look around");
        job_is(&server, &id, "unchanged");
        assert_eq!(placeholder(&told(&llm.asked())).expect("the note"), WORD, "what one draft learnt is not told to another");
    }
}

#[test]
fn rules_that_change_in_the_middle_of_a_draft_count_from_its_next_turn_on() {
    let llm = FakeLlm::start();
    let mut server = with_runbooks(&llm);
    server.set("RESOURCES_RELOAD_SECONDS", "1");
    let (asked, is_asked) = mpsc::channel();
    let (goes_on, may_go_on) = mpsc::channel::<()>();
    let (may_go_on, mut turn) = (Mutex::new(may_go_on), 0);
    llm.answers(move |_| {
        turn += 1;
        match turn {
            1 => asks("five"),
            2 => {
                asked.send(()).expect("somebody listens");
                may_go_on.lock().expect("the channel").recv().expect("somebody speaks");
                asks("five")
            }
            3 => asks("five"),
            _ => Said::calls("propose_change", scale(4)),
        }
    });
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    is_asked.recv_timeout(crate::support::server::PATIENCE).expect("the model is asked");
    server.edit_resource("anything.yaml", |text| text.replace("['/docs/**/*.md']", "['/docs/*.md']"));
    eventually("the change is in force", || server.log().contains("the resources were read again").then_some(()));
    goes_on.send(()).expect("the model listens");
    job_is(&server, &id, "proposed");
    let asked = llm.ledger();
    // A turn that was begun is done under the rules it was begun under.
    assert!(told(&asked[1]).contains("secret plan") && told(&asked[2]).contains("secret plan"), "{}", told(&asked[2]));
    assert!(told(&asked[3]).contains("Nobody needs five.") && !told(&asked[3]).contains("secret plan"), "{}", told(&asked[3]));
    assert_eq!(indexed(&server), 2);
}
