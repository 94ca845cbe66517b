//! Signed webhooks and Slack, against a plain server.

use super::*;
use crate::forge::NOW;
use crate::support::loopback::{Answer, Loopback, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use kubeops::feedback::{FeedbackError, Notice, Notifier, Slack, Webhook};
use kubeops::inventory::WebhookSpec;
use kubeops::types::{ErrorClass, Timestamp};
use rstest::rstest;
use std::sync::Mutex;

const KEY_BYTES: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A receiver that answers always the same.
struct Receiver {
    server: Loopback,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (theirs, body) = (Arc::clone(&seen), body.to_owned());
        let headers: Vec<(String, String)> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let server = Loopback::serve(move |request| {
            theirs.lock().expect("a lock").push(request);
            let mut answer = Answer::new(status, "text/plain", body.as_str());
            answer.headers.extend(headers.clone());
            answer
        });
        Self { server, seen }
    }

    fn webhook(&self, key: &str) -> Webhook {
        let spec: WebhookSpec =
            serde_json::from_value(json!({ "url": format!("{}/hooks", self.server.url()), "secret": "KEY", "headers": { "X-Team": "platform" } }))
                .expect("a receiver");
        Webhook::new(&"ops".parse().expect("a name"), &spec, makings(secret(key), &Arc::default())).expect("a client")
    }

    fn slack(&self) -> Slack {
        let url = format!("{}/services/T0/B0/s3cretpath", self.server.url());
        Slack::new(&"chat".parse().expect("a name"), makings(secret(&url), &Arc::default())).expect("a client")
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("a lock").clone()
    }
}

fn signing_key() -> String {
    format!("whsec_{}", STANDARD.encode(KEY_BYTES))
}

fn notice() -> Notice {
    Notice {
        id: "req_1/3".to_owned(),
        kind: "request.merged".to_owned(),
        at: Timestamp::from_unix_millis(NOW * 1000),
        title: "Namespace web <!channel>".to_owned(),
        text: "**Merged** by @here, see [the change](https://x.example/7) & <@U1>\n\n- one\n- `two`".to_owned(),
        url: "https://kubeops.example/requests/req_1".to_owned(),
        data: json!({ "request": "req_1", "state": "merged" }),
    }
}

#[tokio::test]
async fn a_webhook_is_a_cloud_event_whose_signature_the_receiver_can_check() {
    let receiver = Receiver::new(202, &[], "");
    receiver.webhook(&signing_key()).notify(&notice()).await.expect("taken");
    let [request] = &receiver.seen()[..] else { panic!("one request") };
    let header = |name: &str| request.headers[name].as_str();
    assert_eq!((header("webhook-id"), header("webhook-timestamp"), header("x-team")), ("req_1/3", NOW.to_string().as_str(), "platform"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY_BYTES).expect("a key");
    mac.update(format!("req_1/3.{NOW}.{}", String::from_utf8_lossy(&request.body)).as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let wanted = json!({
        "specversion": "1.0",
        "id": "req_1/3",
        "source": "kubeops",
        "type": "dev.kubeops.request.merged",
        "time": "2025-11-20T12:00:00.000Z",
        "datacontenttype": "application/json",
        "data": { "title": notice().title, "text": notice().text, "url": notice().url, "details": notice().data },
    });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn slack_gets_a_message_that_mentions_nobody() {
    let receiver = Receiver::new(200, &[], "ok");
    receiver.slack().notify(&notice()).await.expect("taken");
    let body: Value = serde_json::from_slice(&receiver.seen()[0].body).expect("JSON");
    assert_eq!(body["text"], "Namespace web &lt;!channel&gt;");
    let section = body["blocks"][1]["text"]["text"].as_str().expect("text");
    assert_eq!(section, "*Merged* by @here, see <https://x.example/7|the change> &amp; &lt;@U1&gt;\n• one\n• `two`");
    assert_eq!(body["blocks"][1]["text"]["verbatim"], true, "@here is a word");
    assert_eq!(body["blocks"][2]["elements"][0]["text"], "<https://kubeops.example/requests/req_1|More>");
    let long = Notice { text: "a&b ".repeat(3_000), title: "t".repeat(400), ..notice() };
    receiver.slack().notify(&long).await.expect("taken");
    let body: Value = serde_json::from_slice(&receiver.seen()[1].body).expect("JSON");
    assert!(body["blocks"][1]["text"]["text"].as_str().is_some_and(|text| text.chars().count() <= 3_000 && text.ends_with("(shortened)")));
    assert_eq!(body["blocks"][0]["text"]["text"].as_str().map(|title| title.chars().count()), Some(150));
}

#[rstest]
#[case(429, &[("retry-after", "30")], "", ErrorClass::Transient, Some(30), "asks to wait 30 s")]
#[case(503, &[("retry-after", "5")], "", ErrorClass::Transient, Some(5), "status 503")]
#[case(500, &[], "rollup_error", ErrorClass::Transient, None, "cannot be reached")]
#[case(410, &[], "channel_is_archived", ErrorClass::Permanent, None, "gone for good")]
#[case(404, &[], "no_service", ErrorClass::Permanent, None, "gone for good")]
#[case(403, &[], "action_prohibited", ErrorClass::Permanent, None, "does not allow it")]
#[case(400, &[], "invalid_payload", ErrorClass::User, None, "does not take it")]
#[case(302, &[("location", "https://elsewhere.example/s3cretpath")], "", ErrorClass::Permanent, None, "which is not followed")]
#[tokio::test]
async fn a_refusal_is_told_with_no_secret_in_it(
    #[case] status: u16,
    #[case] headers: &[(&str, &str)],
    #[case] body: &str,
    #[case] class: ErrorClass,
    #[case] wait: Option<u64>,
    #[case] words: &str,
) {
    let receiver = Receiver::new(status, headers, body);
    for notifier in [&receiver.webhook(&signing_key()) as &dyn Notifier, &receiver.slack()] {
        let error = notifier.notify(&notice()).await.expect_err("refused");
        assert_eq!((error.class(), error.retry_after()), (class, wait.map(Duration::from_secs)), "{error}");
        let said = format!("{error} {error:?}");
        assert!(said.contains(words) && !said.contains("s3cretpath") && !said.contains("whsec_"), "{said}");
    }
    let said = receiver.slack().notify(&notice()).await.expect_err("refused").to_string();
    assert!(matches!(status, 302 | 429 | 503) || said.contains(body), "Slack's own word: {said}");
}

#[tokio::test]
async fn a_secret_of_the_wrong_form_is_told_without_it() {
    let receiver = Receiver::new(200, &[], "");
    for key in ["whsec_short", "whsec_!!!", "plain-text-key", &format!("whsec_{}", STANDARD.encode([7; 65]))] {
        let error = receiver.webhook(key).notify(&notice()).await.expect_err("no key");
        assert!(matches!(error, FeedbackError::Setup { .. }) && !error.to_string().contains(key), "{error}");
    }
    for url in ["s3cret", "http://hooks.slack.example/s3cret", "ftp://x/s3cret"] {
        let slack = Slack::new(&"chat".parse().expect("a name"), makings(secret(url), &Arc::default())).expect("a client");
        let error = slack.notify(&notice()).await.expect_err("no URL");
        assert!(matches!(error, FeedbackError::Setup { .. }) && !format!("{error:?}").contains("s3cret"), "{error}");
    }
    let gone = Slack::new(&"chat".parse().expect("a name"), makings(secret("http://127.0.0.1:1/s3cretpath"), &Arc::default())).expect("a client");
    let error = gone.notify(&notice()).await.expect_err("nobody");
    assert!(error.class() == ErrorClass::Transient && !format!("{error:?}").contains("s3cret"), "{error:?}");
    assert!(receiver.seen().is_empty());
}
