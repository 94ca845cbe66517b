//! What goes wrong with a call, and that nothing of it tells what was said.

use super::*;
use crate::forge::NOW;
use crate::support::fake_llm::{Fault, Said};
use kubeops::types::ErrorClass;
use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::Instant;

async fn failure(provider: Provider, fake: &FakeLlm, fault: Fault) -> ModelError {
    fake.fails(fault);
    let failed = model(provider, fake).answer(&conversation()).await;
    let error = failed.expect_err("an error");
    for told in [error.to_string(), format!("{error:?}")] {
        assert!(![KEY, PROMPT, ANSWER, "Half of", "come back"].iter().any(|said| told.contains(said)), "{told}");
    }
    error
}

#[tokio::test]
async fn a_provider_that_is_busy_is_asked_again_when_it_says() {
    let fake = FakeLlm::start();
    let at = time::OffsetDateTime::from_unix_timestamp(NOW + 90).expect("a moment");
    let date = at.format(&time::format_description::well_known::Rfc2822).expect("a date").replace("+0000", "GMT");
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for provider in Provider::ALL {
        for (status, header, wait) in [
            (429, None, None),
            (429, Some("7".to_owned()), seconds(7)),
            (429, Some(date.clone()), seconds(90)),
            (429, Some("999999999".to_owned()), seconds(3600)),
            (429, Some("soon".to_owned()), None),
            (500, None, None),
            (503, Some("30".to_owned()), seconds(30)),
            (529, None, None),
        ] {
            let error = failure(provider, &fake, Fault::Status(status, header)).await;
            assert!(matches!(error, ModelError::Busy { status: told, .. } if told == status), "{error:?}");
            assert_eq!((error.class(), error.retry_after()), (ErrorClass::Transient, wait), "{provider:?} {status}");
        }
    }
    let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": PROMPT, "details": [
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s" },
    ] } });
    let error = failure(Provider::Google, &fake, Fault::Body(429, body)).await;
    assert_eq!(error.retry_after(), Some(Duration::from_millis(37_500)), "Google says it in the body");
}

#[tokio::test]
async fn a_provider_that_refuses_the_call_is_not_asked_again_and_its_own_words_are_not_repeated() {
    let fake = FakeLlm::start();
    let plain = |kind: &str| json!({ "error": { "type": kind, "message": format!("what you sent is wrong: {PROMPT} {KEY}") } });
    for (provider, status, body, code) in [
        (
            Provider::OpenAi,
            401,
            json!({ "error": { "type": "invalid_request_error", "code": "invalid_api_key", "message": KEY } }),
            Some("invalid_api_key"),
        ),
        (Provider::OpenAi, 400, json!({ "error": { "code": "context_length_exceeded" } }), Some("context_length_exceeded")),
        (Provider::Anthropic, 404, plain("not_found_error"), Some("not_found_error")),
        (Provider::Google, 403, json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "message": PROMPT } }), Some("PERMISSION_DENIED")),
        (Provider::Xai, 422, json!({ "code": PROMPT, "error": PROMPT }), None),
        (Provider::Local, 400, plain(PROMPT), None),
        (Provider::Local, 400, plain(KEY), None),
    ] {
        let error = failure(provider, &fake, Fault::Body(status, body)).await;
        let ModelError::Refused { status: told, code: word, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*told, word.as_deref(), error.class()), (status, code, ErrorClass::Permanent), "{provider:?}");
    }
}

#[tokio::test]
async fn a_server_of_ones_own_that_refuses_is_told_with_what_it_usually_wants() {
    let fake = FakeLlm::start();
    let body = |kind: &str| json!({ "error": { "type": kind, "message": PROMPT } });
    for (provider, status, kind, hint) in [
        (Provider::Local, 401, "Unauthorized", "LLM_LOCAL_API_KEY"),
        (Provider::Local, 400, "BadRequestError", "--enable-auto-tool-choice"),
        (Provider::Local, 400, "nothing known", "--enable-auto-tool-choice"),
        (Provider::Local, 400, "context_length_exceeded", ""),
        (Provider::Local, 404, "NotFoundError", ""),
        (Provider::OpenAi, 401, "Unauthorized", ""),
        (Provider::OpenAi, 400, "invalid_request_error", ""),
    ] {
        let told = failure(provider, &fake, Fault::Body(status, body(kind))).await.to_string();
        assert!(
            told.contains(&format!("HTTP {status}")) && told.contains(hint) && told.contains(';') != hint.is_empty(),
            "{provider:?} {kind}: {told}"
        );
    }
    fake.fails(Fault::Status(400, None));
    let without = Exchange { tools: Vec::new(), ..question() };
    let told = model(Provider::Local, &fake).answer(&without).await.expect_err("an error").to_string();
    assert!(!told.contains("--enable-auto-tool-choice"), "it was offered no tools: {told}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_without_what_it_says() {
    let fake = FakeLlm::start();
    for provider in Provider::ALL {
        for (fault, reason) in [
            (Fault::MalformedJson, "it ends in the middle of its JSON"),
            (Fault::InvalidUtf8, "it is no JSON"),
            (Fault::Page, "it does not say that it is JSON"),
            (Fault::NoChoices, "it"),
            (Fault::Body(200, json!([ANSWER])), "it holds no"),
            (Fault::Body(200, json!({ "error": { "message": ANSWER } })), "it holds no"),
            (Fault::Huge, "it has more than 4194304 bytes"),
        ] {
            let error = failure(provider, &fake, fault.clone()).await;
            let ModelError::Unreadable { reason: told, .. } = &error else { panic!("{provider:?} {fault:?}: {error:?}") };
            assert!(told.starts_with(reason), "{provider:?} {fault:?}: {told}");
            assert_eq!(error.class(), ErrorClass::Transient);
        }
    }
}

#[tokio::test]
async fn a_call_takes_no_longer_than_it_may_and_one_attempt() {
    let fake = FakeLlm::start();
    fake.fails(Fault::Hang);
    let settings = ModelSettings { timeout: Duration::from_millis(300), ..settings(Provider::OpenAi, &fake) };
    let begun = Instant::now();
    let error = made(settings, key(KEY)).expect("a model").answer(&question()).await.expect_err("an error");
    assert!(matches!(error, ModelError::TimedOut { within, .. } if within == Duration::from_millis(300)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!((error.class(), fake.ledger().len()), (ErrorClass::Transient, 1));
}

/// A server that answers one call with the head of an answer and these bytes, again and again or once, and keeps the connection.
fn endless(bytes: &'static str, again: bool) -> ModelSettings {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address")).parse().ok();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a call");
        let _ = stream.read(&mut [0; 64 * 1024]);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("{:x}\r\n{bytes}\r\n", bytes.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(chunk.as_bytes()));
        while again && stream.write_all(chunk.as_bytes()).is_ok() {}
        // Until the other side has enough of it.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    ModelSettings { provider: Provider::Local, name: "m".to_owned(), url, timeout: Duration::from_secs(20) }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up_in_time_and_at_a_size() {
    let stalled = ModelSettings { timeout: Duration::from_millis(500), ..endless("{\"choices\":", false) };
    let error = made(stalled, key(KEY)).expect("a model").answer(&question()).await.expect_err("an error");
    assert!(matches!(error, ModelError::TimedOut { .. }), "{error:?}");
    let error = made(endless(ANSWER, true), key(KEY)).expect("a model").answer(&question()).await.expect_err("an error");
    assert!(matches!(&error, ModelError::Unreadable { reason, .. } if reason == "it has more than 4194304 bytes"), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_one_attempt_and_the_next_call_is_answered() {
    let fake = FakeLlm::start();
    for provider in Provider::ALL {
        let model = model(provider, &fake);
        for fault in [Fault::Dropped, Fault::HalfBody] {
            let before = fake.ledger().len();
            fake.fails(fault.clone()).says(Said::text("Back again."));
            let error = model.answer(&question()).await.expect_err("an error");
            assert!(matches!(error, ModelError::Unreachable { .. }), "{provider:?} {fault:?}: {error:?}");
            assert_eq!((error.class(), fake.ledger().len()), (ErrorClass::Transient, before + 1));
            assert_eq!(model.answer(&question()).await.expect("an answer").text, "Back again.");
        }
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let url = format!("http://{nobody}/v1").parse().ok();
    let error = made(ModelSettings { url, ..settings(Provider::OpenAi, &fake) }, key(KEY)).expect("a model").answer(&question()).await;
    assert!(matches!(&error, Err(ModelError::NotReached { reason, .. }) if reason.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn a_key_goes_along_no_redirect() {
    let (fake, other) = (FakeLlm::start(), FakeLlm::start());
    for provider in Provider::ALL {
        let error = failure(provider, &fake, Fault::Redirect(format!("{}/v1/chat/completions", other.url()))).await;
        assert_eq!(error.class(), ErrorClass::Permanent);
        assert!(error.to_string().ends_with("leads to another address (HTTP 307), which is not followed"), "{error}");
    }
    assert!(other.ledger().is_empty());
}

#[tokio::test]
async fn a_key_is_asked_for_at_each_call_and_stands_in_one_header_alone() {
    let fake = FakeLlm::start();
    let keys = Arc::new(Mutex::new(vec![KEY.to_owned(), "sk-rotated".to_owned()]));
    let source: KeySource = Arc::new(move || Ok(keys.lock().expect("keys").pop().map(Into::into)));
    let model = made(settings(Provider::Anthropic, &fake), source).expect("a model");
    for expected in ["sk-rotated", KEY] {
        model.answer(&question()).await.expect("an answer");
        let asked = fake.asked();
        assert_eq!(asked.headers["x-api-key"], expected);
        assert_eq!(asked.headers.values().filter(|value| value.contains(expected)).count(), 1);
        assert!(!format!("{}{}{}", asked.path, asked.query, asked.body).contains(expected));
    }
    let error = model.answer(&question()).await.expect_err("no key is left");
    assert!(matches!(&error, ModelError::NotConfigured(told) if told.ends_with("has no key")), "{error:?}");
    assert_eq!(fake.ledger().len(), 2, "nothing is sent without a key");
    let unusable = made(settings(Provider::OpenAi, &fake), key("sk\ncanary")).expect("a model").answer(&question()).await.expect_err("an error");
    assert!(matches!(&unusable, ModelError::NotConfigured(told) if !told.contains("canary")), "{unusable:?}");
    let none: KeySource = Arc::new(|| Ok(None));
    made(settings(Provider::Local, &fake), none).expect("a model").answer(&question()).await.expect("a server of one's own may want none");
    assert!(!fake.asked().headers.contains_key("authorization"));
}

#[test]
fn plain_http_is_for_this_machine_and_servers_of_ones_own() {
    let at = |provider, url: &str| {
        let url = url.parse().ok();
        made(ModelSettings { provider, name: "m".to_owned(), url, timeout: Duration::from_secs(1) }, key(KEY)).map(|model| model.id().name.clone())
    };
    for provider in Provider::ALL {
        assert_eq!(at(provider, "http://models.example/v1").is_ok(), provider == Provider::Local, "{provider:?}");
        assert!(at(provider, "https://models.example/v1").is_ok() && at(provider, "http://localhost:1/v1").is_ok());
        assert!(at(provider, "https://user:hunter2@models.example/v1").is_err_and(|error| !error.to_string().contains("hunter2")));
    }
    let nameless = ModelSettings { provider: Provider::OpenAi, name: String::new(), url: None, timeout: Duration::from_secs(1) };
    assert!(made(nameless.clone(), key(KEY)).is_err());
    let local = ModelSettings { provider: Provider::Local, name: "m".to_owned(), ..nameless };
    assert!(made(local, key(KEY)).is_err_and(|error| error.to_string().contains("LLM_LOCAL_URL")));
}

/// Where a test's log lines go.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_that_was_said_is_in_any_log_line_down_to_debug() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let fake = FakeLlm::start();
    for provider in Provider::ALL {
        // Tests beside this one log nothing, and what they came by first may be held to be of no interest.
        tracing::callsite::rebuild_interest_cache();
        let model = model(provider, &fake);
        fake.says(Said::text(ANSWER)).fails(Fault::Body(400, json!({ "error": { "message": PROMPT, "code": ANSWER } }))).fails(Fault::MalformedJson);
        model.answer(&conversation()).await.expect("an answer");
        model.answer(&conversation()).await.expect_err("a refusal");
        model.answer(&conversation()).await.expect_err("an error");
    }
    drop(guard);
    let told = String::from_utf8(log.0.lock().expect("the log").clone()).expect("text");
    assert!(told.contains("a model answered"), "{told}");
    assert!(![KEY, PROMPT, ANSWER].iter().any(|said| told.contains(said)), "{told}");
}
