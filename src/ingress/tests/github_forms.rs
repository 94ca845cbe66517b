use super::github::{FORM, SECRET, body_of, form, github, repository, signed};
use super::*;

#[test]
fn a_signed_form_says_the_same_as_the_json_in_it() {
    let secrets = Secrets::of(&[("HOOK", SECRET)]);
    let json = json!({"action": "created", "issue": {"number": 13}, "comment": {"id": 7, "body": "a+b & 100% = ü"}, "repository": repository()});
    let json = json.to_string().into_bytes();
    let event = ("X-GitHub-Event", "issue_comment");
    let plain = receive(&github(), &secrets, &[event, ("X-Hub-Signature-256", &signed(&json))], &json).expect("an event");
    let form = form(&json);
    let headers = [event, FORM, ("X-Hub-Signature-256", &signed(&form))];
    let received = receive(&github(), &secrets, &headers, &form).expect("an event");
    assert_eq!(received.occurrences, plain.occurrences);
    assert_eq!(received.dedup_key, plain.dedup_key);
    assert_eq!(github().read(&received.attributes, &form, noon()).expect("what is stored"), received);
    let of_the_json = receive(&github(), &secrets, &[event, FORM, ("X-Hub-Signature-256", &signed(&json))], &form);
    assert!(matches!(of_the_json, Err(IngressError::Unauthorized(Unproven::Mismatch))), "the raw bytes are signed");
    let sha1 = receive(&github(), &secrets, &[event, ("X-Hub-Signature", &signed(&json))], &json);
    assert!(matches!(sha1, Err(IngressError::Unauthorized(Unproven::Missing))));
}

#[test]
fn a_form_is_one_field_and_nothing_beside_it() {
    let refused = |body: &[u8]| match read(&github(), &[FORM, ("X-GitHub-Event", "ping")], body) {
        Err(IngressError::Unreadable { message, line, column }) => (message, line, column),
        other => panic!("{other:?}"),
    };
    let no_field = ("the form does not begin with `payload=`".to_owned(), 1, 1);
    // Signed as JSON, with somebody's text in it: it must not be read as a form that holds that text.
    assert_eq!(refused(br#"{"comment":{"body":"&payload=%7B%22action%22%3A%22closed%22%7D&x="}}"#), no_field);
    for body in ["", "payload", "Payload=%7B%7D", "x=1&payload=%7B%7D", " payload=%7B%7D", "{}"] {
        assert_eq!(refused(body.as_bytes()), no_field, "{body:?}");
    }
    assert_eq!(refused(b"payload=%7B%7D&x=1"), ("the form has another field than `payload`".to_owned(), 1, 15));
    for (body, column) in [("payload=%", 9), ("payload=%7", 9), ("payload=%7B%G0", 12), ("payload=%%7B", 9)] {
        assert_eq!(refused(body.as_bytes()), ("after `%` come two hexadecimal digits".to_owned(), 1, column), "{body}");
    }
    assert!(matches!(read(&github(), &[FORM, ("X-GitHub-Event", "ping")], b"payload=%FF"), Err(IngressError::Unreadable { .. })));
    let form = ("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=utf-8");
    assert!(read(&github(), &[form, ("X-GitHub-Event", "ping")], b"payload=%7b+%7D").is_ok());
    for other in ["application/x-www-form-urlencoded; charset=latin1", "multipart/form-data", "text/plain"] {
        let refused = read(&github(), &[("Content-Type", other), ("X-GitHub-Event", "ping")], b"payload=%7B%7D");
        assert!(matches!(refused, Err(IngressError::UnsupportedMedia(_))), "{other}");
    }
}

#[test]
fn a_packed_form_is_unpacked_first_and_stays_within_its_limit() {
    use std::io::Write;
    let source = source(json!({"kind": "github", "authentication": "none", "gzip": {"maxBytes": 1000}}));
    let headers = [FORM, ("Content-Encoding", "gzip"), ("X-GitHub-Event", "push")];
    for (pad, fits) in [(0, true), (2000, false)] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&form(format!("{}{}", body_of("push"), " ".repeat(pad)).as_bytes())).expect("memory");
        let packed = encoder.finish().expect("memory");
        match read(&source, &headers, &packed) {
            Ok(received) => assert!(fits && received.handled),
            Err(error) => assert!(!fits && error.refusal() == Refusal::TooLarge, "{error}"),
        }
    }
}

#[test]
fn twenty_five_mebibytes_are_taken_and_one_byte_more_is_not() {
    let source = github();
    assert_eq!(source.max_body_bytes(), 25 * 1024 * 1024);
    let mut body = body_of("push");
    body["pad"] = json!("");
    let pad = 25 * 1024 * 1024 - body.to_string().len();
    body["pad"] = json!("x".repeat(pad));
    let headers = [("X-GitHub-Event", "push")];
    let mut bytes = body.to_string().into_bytes();
    assert_eq!(bytes.len(), 25 * 1024 * 1024);
    assert!(read(&source, &headers, &bytes).expect("an event").handled);
    bytes.push(b' ');
    assert_eq!(read(&source, &headers, &bytes).expect_err("too large").refusal(), Refusal::TooLarge);
    // As many values as fit into that many bytes are another matter, whatever their field.
    let values = format!("{{\"a\":[{}0]}}", "0,".repeat(12 * 1024 * 1024));
    assert!(
        matches!(read(&source, &headers, values.as_bytes()), Err(IngressError::Unreadable { message, .. }) if message.contains("too many values"))
    );
}

#[test]
fn a_body_nested_without_end_is_refused() {
    for json in [format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), format!("{{\"action\":{}", "{\"a\":".repeat(100_000))] {
        for body in [json.as_bytes(), &form(json.as_bytes())] {
            let mut headers = vec![("X-GitHub-Event", "push")];
            headers.extend((body[0] == b'p').then_some(FORM));
            assert!(matches!(read(&github(), &headers, body), Err(IngressError::Unreadable { message, .. }) if message.contains("too deep")));
        }
    }
}
