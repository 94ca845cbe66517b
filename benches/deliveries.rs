//! Signed Jira deliveries of 4 KiB, each different, made ahead of time: while a server is measured, only a number and a
//! signature are put in their places.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What deliveries are signed with.
pub const SECRET: &str = "measured-with-a-secret-of-32-bytes-or-more";
/// Length of a body, in bytes.
pub const BODY_BYTES: usize = 4096;
/// Digits of a delivery's number.
const DIGITS: usize = 10;
/// Hexadecimal digits of a signature.
const SIGNATURE: usize = 64;
/// What stands where a number or a signature goes.
const NUMBER_MARK: &str = "##########";

/// Requests that differ in the issue's key, the identifier of the webhook and the signature.
pub struct Deliveries {
    /// A request whose number and signature are not filled in.
    request: Vec<u8>,
    numbers: Vec<usize>,
    signature: usize,
    signatures: Vec<[u8; SIGNATURE]>,
}

impl Deliveries {
    /// `count` deliveries to `path`.
    pub fn new(path: &str, count: usize) -> anyhow::Result<Self> {
        let body = body();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Atlassian Webhook HTTP Client\r\nContent-Type: application/json; charset=UTF-8\r\n\
             X-Atlassian-Webhook-Identifier: {NUMBER_MARK}\r\nX-Hub-Signature: sha256={}\r\nContent-Length: {}\r\n\r\n",
            "0".repeat(SIGNATURE),
            body.len()
        );
        let signature = head.find("sha256=").unwrap_or_default() + "sha256=".len();
        let request = format!("{head}{body}");
        let numbers = request.match_indices(NUMBER_MARK).map(|(at, _)| at).collect();
        // The number stands at the end of the body, so that what is before it is hashed once.
        let (before, after) = body.split_once(NUMBER_MARK).unwrap_or((&body, ""));
        let mut begun = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
        begun.update(before.as_bytes());
        let sign = |number: usize| {
            let mut mac = begun.clone();
            mac.update(&digits(number));
            mac.update(after.as_bytes());
            let mut text = [0; SIGNATURE];
            hex::encode_to_slice(mac.finalize().into_bytes(), &mut text).map(|()| text)
        };
        let signatures = (0..count).map(sign).collect::<Result<_, _>>()?;
        Ok(Self { request: request.into_bytes(), numbers, signature, signatures })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.signatures.len()
    }

    /// A buffer to write requests into.
    pub fn buffer(&self) -> Vec<u8> {
        self.request.clone()
    }

    /// Makes `buffer` the delivery `number`.
    pub fn write(&self, number: usize, buffer: &mut [u8]) {
        let digits = digits(number);
        for at in &self.numbers {
            buffer[*at..at + DIGITS].copy_from_slice(&digits);
        }
        buffer[self.signature..self.signature + SIGNATURE].copy_from_slice(&self.signatures[number]);
    }
}

fn digits(number: usize) -> [u8; DIGITS] {
    let (mut text, mut rest) = ([b'0'; DIGITS], number);
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // An issue's number does not begin with a zero.
    text[0] = b'1';
    text
}

/// The body of the delivery `number`.
pub fn body_of(number: usize) -> String {
    body().replace(NUMBER_MARK, &String::from_utf8_lossy(&digits(number)))
}

/// What Jira Cloud sends when an issue is changed, filled up to [`BODY_BYTES`] with a description; no automation takes it.
fn body() -> String {
    let body = |description: &str| {
        let people = r#""accountId":"5b10a2844c20165700ede21g","displayName":"Mia Krystof","active":true,"timeZone":"Europe/Berlin","accountType":"atlassian""#;
        let fields = format!(
            r#""summary":"The storefront answers slowly","issuetype":{{"id":"10102","name":"Incident","subtask":false}},"project":{{"id":"10000","key":"OPS","name":"Platform operations","projectTypeKey":"service_desk"}},"status":{{"id":"10201","name":"Waiting for support","statusCategory":{{"id":4,"key":"indeterminate","name":"In Progress"}}}},"priority":{{"id":"3","name":"Medium"}},"labels":["storefront","latency"],"components":[{{"id":"10001","name":"web"}},{{"id":"10002","name":"cache"}}],"reporter":{{{people}}},"assignee":{{{people}}},"creator":{{{people}}},"votes":{{"votes":0,"hasVoted":false}},"watches":{{"watchCount":3,"isWatching":false}},"created":"2026-11-20T08:11:23.120+0100","updated":"2026-11-20T09:02:51.004+0100","duedate":null,"resolution":null,"environment":null,"customfield_10050":null,"customfield_10051":12.5,"customfield_10052":{{"value":"prod-eu","id":"10020"}},"description":"{description}""#
        );
        let changelog = r#""changelog":{"id":"20031","items":[{"field":"status","fieldtype":"jira","fieldId":"status","from":"10200","fromString":"Open","to":"10201","toString":"Waiting for support"}]}"#;
        format!(
            r#"{{"timestamp":1795262400250,"webhookEvent":"jira:issue_updated","issue_event_type_name":"issue_generic","user":{{{people}}},{changelog},"issue":{{"id":"10042","self":"https://acme.atlassian.net/rest/api/2/10042","fields":{{{fields}}},"key":"OPS-{NUMBER_MARK}"}}}}"#
        )
    };
    let sentence = "Since the release this morning the first page takes four seconds; the cache seems to miss. ";
    let missing = BODY_BYTES.saturating_sub(body("").len());
    body(&sentence.chars().cycle().take(missing).collect::<String>())
}
