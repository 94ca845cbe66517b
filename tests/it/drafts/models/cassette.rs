//! Exchanges kept and answered again, and what an exchange is reckoned at.

use super::*;
use crate::support::fake_llm::{Fault, Said};
use kubeops::draft::{Recording, Replaying, Scrub, Tape};
use std::os::unix::fs::PermissionsExt as _;

fn scrubbing() -> Scrub {
    Arc::new(|text: &str| text.replace(PROMPT, "[withheld]").replace(ANSWER, "[withheld]"))
}

#[tokio::test]
async fn what_was_recorded_is_answered_again_without_a_network_and_a_miss_names_its_digest() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("draft.jsonl");
    let kept = {
        let fake = FakeLlm::start();
        let recording = Recording::new(model(Provider::Anthropic, &fake), Arc::new(Tape::new(&path, scrubbing())), true);
        fake.says(Said::calls("read_file", json!({ "path": "a" }))).fails(Fault::Status(503, None)).says(Said::text(&format!("Done: {ANSWER}")));
        let first = recording.answer(&question()).await.expect("an answer");
        recording.answer(&conversation()).await.expect_err("what fails is not kept");
        let second = recording.answer(&conversation()).await.expect("an answer");
        assert!(second.text.contains(ANSWER), "what is kept is scrubbed, what goes on is not");
        first
    };
    let text = std::fs::read_to_string(&path).expect("a cassette");
    assert_eq!(text.lines().count(), 2);
    assert!(![KEY, PROMPT, ANSWER].iter().any(|said| text.contains(said)), "{text}");
    assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let replaying = Replaying::open(&path, scrubbing()).expect("a cassette");
    assert_eq!((replaying.id().provider, replaying.id().name.as_str()), (Provider::Anthropic, "claude-sonnet-4-5"));
    assert_eq!(replaying.answer(&question()).await.expect("an answer"), kept);
    assert_eq!(replaying.answer(&conversation()).await.expect("an answer").text, "Done: [withheld]");
    let other = Exchange { max_tokens: 999, ..question() };
    let miss = replaying.answer(&other).await.expect_err("a miss");
    assert!(miss.to_string().contains(" has no answer to the exchange ") && !miss.to_string().contains(PROMPT), "{miss}");
    assert!(miss.to_string().ends_with("(turn 1 with claude-sonnet-4-5 of anthropic) among the 2 it holds"), "{miss}");
    let later = replaying.answer(&Exchange { max_tokens: 999, ..conversation() }).await.expect_err("a miss").to_string();
    assert!(later.contains("(turn 2 with "), "{later}");
    assert!(other.digest() != question().digest());
    std::fs::write(&path, format!("{text}{ANSWER}\n")).expect("a line");
    let broken = Replaying::open(&path, scrubbing()).map(|_| ()).expect_err("a broken cassette").to_string();
    assert!(broken.contains("line 3") && !broken.contains(ANSWER), "{broken}");
}

#[tokio::test]
async fn what_was_scrubbed_from_an_answer_does_not_hide_what_follows_from_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("draft.jsonl");
    let fake = FakeLlm::start();
    let recording = Recording::new(model(Provider::Anthropic, &fake), Arc::new(Tape::new(&path, scrubbing())), true);
    let goes_on = |reply: &kubeops::draft::Reply| {
        let said = Message::Model { text: reply.text.clone(), calls: reply.calls.clone() };
        Exchange { messages: [question().messages, vec![said, Message::User("Go on.".to_owned())]].concat(), ..question() }
    };
    fake.says(Said::text(&format!("First: {ANSWER}"))).says(Said::text("Second."));
    let first = recording.answer(&question()).await.expect("an answer");
    recording.answer(&goes_on(&first)).await.expect("an answer");
    let replaying = Replaying::open(&path, scrubbing()).expect("a cassette");
    let first = replaying.answer(&question()).await.expect("an answer");
    assert_eq!(first.text, "First: [withheld]");
    assert_eq!(replaying.answer(&goes_on(&first)).await.expect("an answer").text, "Second.");
}

#[tokio::test]
async fn a_cassette_that_is_full_or_was_torn_stays_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("draft.jsonl");
    let fake = FakeLlm::start();
    fake.answers(|_| Said::text("Done."));
    let recording =
        |most: u64, vital: bool| Recording::new(model(Provider::Anthropic, &fake), Arc::new(Tape::new(&path, scrubbing()).of_at_most(most)), vital);
    recording(u64::MAX, true).answer(&question()).await.expect("an answer");
    let whole = std::fs::read_to_string(&path).expect("a cassette");
    // A process that dies while it writes leaves half a line.
    std::fs::write(&path, format!("{whole}{}", &whole[..whole.len() / 2])).expect("written");
    Replaying::open(&path, scrubbing()).expect("a cassette").answer(&question()).await.expect("an answer");
    let two = 2 * whole.len() as u64;
    recording(two, true).answer(&question()).await.expect("an answer");
    assert_eq!(std::fs::read_to_string(&path).expect("a cassette"), whole.repeat(2), "half a line is gone");
    let full = recording(two, true).answer(&question()).await.expect_err("it is full").to_string();
    assert!(full.contains("cannot be written: it is full"), "{full}");
    recording(two, false).answer(&question()).await.expect("the work goes on");
    assert_eq!(std::fs::read_to_string(&path).expect("a cassette"), whole.repeat(2));
    let nowhere = Tape::new(directory.path().join("nowhere/x"), scrubbing());
    Recording::new(model(Provider::Anthropic, &fake), Arc::new(nowhere), false).answer(&question()).await.expect("the work goes on");
}

#[test]
fn a_digest_is_of_what_is_said_and_not_of_the_order_of_fields() {
    let with = |parameters: &str| {
        let parameters = serde_json::from_str(parameters).expect("JSON");
        Exchange { tools: vec![Tool { parameters, ..tool("read_file") }], ..question() }.digest()
    };
    assert_eq!(with(r#"{"a":{"x":1,"y":2},"b":[1,2]}"#), with(r#"{"b":[1,2],"a":{"y":2,"x":1}}"#));
    assert_ne!(with(r#"{"a":1}"#), with(r#"{"a":2}"#));
    assert_ne!(with(r#"{"b":[1,2]}"#), with(r#"{"b":[2,1]}"#));
    assert_eq!(question().digest().len(), 64);
}

#[tokio::test]
async fn an_exchange_is_reckoned_at_more_tokens_than_bytes_are_sent() {
    let fake = FakeLlm::start();
    let quotes = Exchange { messages: vec![Message::User("\"\\\n\u{1}é漢🦀".repeat(50))], ..conversation() };
    for exchange in [conversation(), question(), Exchange { tools: Vec::new(), ..question() }] {
        for provider in Provider::ALL {
            model(provider, &fake).answer(&exchange).await.expect("an answer");
            let sent = fake.asked().body.to_string().len() as u64;
            assert!(exchange.most_tokens() >= sent, "{provider:?}: {} for {sent} bytes", exchange.most_tokens());
        }
    }
    let said: usize = quotes.messages.iter().map(|message| if let Message::User(text) = message { text.len() } else { 0 }).sum();
    assert!(quotes.most_tokens() >= (quotes.system.len() + said) as u64);
}
