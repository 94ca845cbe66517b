use super::*;
use crate::ingress::Unproven::{BadTime, Malformed, Mismatch, Missing, NoTime, Prefix, Stale};
use base64::Engine;
use proptest::prelude::*;

const EVERYBODY: &str = "It's a Secret to Everybody";

fn jira(authentication: Value) -> Source {
    source(json!({"kind": "jira", "authentication": authentication}))
}

fn hmac_source() -> Source {
    jira(json!({"hmac": {"secrets": ["NEW", "OLD"]}}))
}

/// Whether the proof was accepted; what comes after it (these bodies are no Jira webhooks) does not count.
fn proven(result: Result<Received, IngressError>) -> Result<(), IngressError> {
    match result {
        Err(error) if matches!(error.refusal(), Refusal::Unauthorized | Refusal::Unavailable) => Err(error),
        _ => Ok(()),
    }
}

fn unproven(reason: Unproven) -> Result<(), IngressError> {
    Err(IngressError::Unauthorized(reason))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn sign(secret: &str, body: &[u8]) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[test]
fn the_published_signatures_of_atlassian_and_github_are_accepted() {
    let secrets = Secrets::of(&[("NEW", EVERYBODY), ("OLD", "an older secret, still valid")]);
    for (body, signature) in [
        ("Hello World!", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"),
        ("Hello, World!", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
    ] {
        assert_eq!(proven(receive(&hmac_source(), &secrets, &[("X-Hub-Signature", signature)], body.as_bytes())), Ok(()));
        assert_eq!(proven(receive(&hmac_source(), &secrets, &[("X-Hub-Signature", signature)], b"Hello World?")), unproven(Mismatch));
    }
}

#[test]
fn the_vectors_of_rfc_4231_hold_for_both_hashes() {
    let secrets = Secrets::of(&[("KEY", "Jefe")]);
    for (algorithm, mac) in [
        ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "sha512",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let source = jira(json!({"hmac": {"secrets": ["KEY"], "algorithm": algorithm, "header": "X-Mac"}}));
        let header = format!("{algorithm}={mac}");
        assert_eq!(proven(receive(&source, &secrets, &[("x-mac", &header)], b"what do ya want for nothing?")), Ok(()));
    }
}

#[test]
fn base64_without_a_prefix_is_read_when_asked_for() {
    let source = jira(json!({"hmac": {"secrets": ["KEY"], "algorithm": "sha512", "encoding": "base64", "prefix": ""}}));
    let secrets = Secrets::of(&[("KEY", EVERYBODY)]);
    let signature = "opBl7CBk1rcW/9F2cz2s7VmH8BRn9pP6qXXAYlT2Gz8+aSAXwRpCYqlAee6gz1GE+hzF1M5DbEL3MOgxhbLK0A==";
    assert_eq!(proven(receive(&source, &secrets, &[("X-Hub-Signature", signature)], br#"{"a":1}"#)), Ok(()));
    assert_eq!(proven(receive(&source, &secrets, &[("X-Hub-Signature", signature.trim_end_matches('='))], br#"{"a":1}"#)), unproven(Malformed));
}

#[test]
fn missing_malformed_and_truncated_signatures_are_refused_and_the_sender_learns_nothing() {
    let secrets = Secrets::of(&[("NEW", EVERYBODY), ("OLD", "old")]);
    let right = sign(EVERYBODY, b"{}");
    let mut texts = Vec::new();
    let mut details = std::collections::BTreeSet::new();
    for (header, reason) in [
        (None, Missing),
        (Some(String::new()), Prefix),
        (Some("sha256=".to_owned()), Mismatch),
        (Some(right[..right.len() - 2].to_owned()), Mismatch),
        (Some(right[..right.len() - 1].to_owned()), Malformed),
        (Some(format!("{right}00")), Mismatch),
        (Some(right.trim_start_matches("sha256=").to_owned()), Prefix),
        (Some(right.replace("sha256", "sha1")), Prefix),
        (Some(format!("{right},{right}")), Malformed),
        (Some("sha256=zz".to_owned()), Malformed),
        (Some(sign("another secret", b"{}")), Mismatch),
        (Some(sign("", b"{}")), Mismatch),
    ] {
        let headers: Vec<(&str, &str)> = header.iter().map(|value| ("X-Hub-Signature", value.as_str())).collect();
        let error = proven(receive(&hmac_source(), &secrets, &headers, b"{}")).expect_err("a refusal");
        assert_eq!(error, IngressError::Unauthorized(reason), "{header:?}");
        texts.push(error.to_string());
        details.insert((error.word(), error.detail()));
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(details.len(), 4, "the log tells them apart: {details:?}");
    assert_eq!(hmac_source().proof_form(), "x-hub-signature: sha256=<hex>");
}

#[test]
fn while_secrets_are_being_replaced_each_of_them_is_accepted() {
    let secrets = Secrets::of(&[("NEW", "the new one"), ("OLD", "the old one")]);
    for secret in ["the new one", "the old one"] {
        assert_eq!(proven(receive(&hmac_source(), &secrets, &[("X-Hub-Signature", &sign(secret, b"{}"))], b"{}")), Ok(()));
    }
}

#[test]
fn a_missing_or_empty_secret_fails_closed_and_is_seen_at_load() {
    let name: SecretName = "NEW".parse().expect("a name");
    for secrets in [Secrets::of(&[("OLD", "the old one")]), Secrets::of(&[("NEW", ""), ("OLD", "the old one")])] {
        let with = |signature: &str| proven(receive(&hmac_source(), &secrets, &[("X-Hub-Signature", signature)], b"{}"));
        assert_eq!(with(&sign("the old one", b"{}")), Ok(()), "the other secret still serves");
        let error = with(&sign("", b"{}")).expect_err("an empty key must not be a key");
        assert_eq!(error, IngressError::SecretUnavailable { secret: name.clone() });
        assert_eq!((error.refusal(), error.class()), (Refusal::Unavailable, crate::types::ErrorClass::Permanent));
        assert!(!error.to_string().contains("NEW") && error.detail().contains("NEW"));
        let problems = hmac_source().check_secrets(&secrets);
        let pointer = "/authentication/hmac/secrets/0".to_owned();
        assert_eq!(problems[0], SecretFinding { name: name.clone(), pointer, problem: SecretProblem::Missing });
        assert!(matches!(problems[1].problem, SecretProblem::Weak { bytes: 11, advised: 16 }));
    }
    // Without a header there is nothing to check, whatever the secrets.
    assert_eq!(proven(receive(&hmac_source(), &Secrets::default(), &[], b"{}")), unproven(Missing));
}

#[test]
fn a_signed_time_of_sending_is_part_of_the_signature_and_may_not_be_old() {
    let source = source(json!({
        "kind": "generic",
        "mapping": {"type": "'x'", "subject": "body.a"},
        "authentication": {"hmac": {
            "secrets": ["KEY"], "header": "X-Grafana-Alerting-Signature", "prefix": "", "timestampHeader": "X-Grafana-Alerting-Timestamp",
        }},
    }));
    let secrets = Secrets::of(&[("KEY", "grafana-secret")]);
    let signature = "293fe5f906195904a960d2cf0c7dd451d14537dc9bd9a989e8956f28175d305e";
    let at = |time: &str, received_at: Timestamp| {
        let headers: [(&str, &[u8]); 2] = [("X-Grafana-Alerting-Signature", signature.as_bytes()), ("X-Grafana-Alerting-Timestamp", time.as_bytes())];
        let peer = "192.0.2.7".parse().expect("an address");
        proven(source.receive(&Incoming { headers: &headers.as_slice(), body: br#"{"a":1}"#, peer, received_at }, &secrets))
    };
    let seconds = |n: u64| std::time::Duration::from_secs(n);
    assert_eq!(at("1795176000", noon()), Ok(()));
    assert_eq!(at("1795176000", noon().plus(seconds(300))), Ok(()));
    assert_eq!(at("1795176000", noon().minus(seconds(300))), Ok(()));
    assert_eq!(at("1795176000", noon().plus(seconds(301))), unproven(Stale));
    assert_eq!(at("1795176000", noon().minus(seconds(301))), unproven(Stale));
    assert_eq!(at("1795176001", noon()), unproven(Mismatch));
    for garbage in ["", "+1795176000", "1795176000.0", "99999999999999999999"] {
        assert_eq!(at(garbage, noon()), unproven(BadTime), "{garbage:?}");
    }
    let untimed = proven(receive(&source, &secrets, &[("X-Grafana-Alerting-Signature", signature)], br#"{"a":1}"#));
    assert_eq!(untimed, unproven(NoTime));
    assert_eq!(source.proof_form(), "x-grafana-alerting-signature: <hex>, x-grafana-alerting-timestamp: <Unix seconds>");
}

#[test]
fn bearer_tokens_are_compared_whole_and_the_schemes_case_does_not_matter() {
    let source = source(json!({"kind": "alertmanager", "authentication": {"bearer": {"secrets": ["A", "B"]}}}));
    let secrets = Secrets::of(&[("A", "token-a"), ("B", "token-b")]);
    let with = |value: &str| proven(receive(&source, &secrets, &[("Authorization", value)], b"{}"));
    for good in ["Bearer token-a", "bearer token-b", "BEARER  token-a"] {
        assert_eq!(with(good), Ok(()), "{good}");
    }
    for (bad, reason) in [
        ("Bearer token-", Mismatch),
        ("Bearer token-aa", Mismatch),
        ("Bearer ", Mismatch),
        ("Bearertoken-a", Malformed),
        ("Bearer", Malformed),
        ("Basic token-a", Malformed),
        ("token-a", Malformed),
    ] {
        assert_eq!(with(bad), unproven(reason), "{bad}");
    }
    assert_eq!(proven(receive(&source, &secrets, &[], b"{}")), unproven(Missing));
}

#[test]
fn basic_needs_the_right_user_and_one_of_the_passwords() {
    let source = source(json!({"kind": "alertmanager", "authentication": {"basic": {"username": "prometheus", "secrets": ["A", "B"]}}}));
    let secrets = Secrets::of(&[("A", "pass:word"), ("B", "other")]);
    let with = |value: &str| proven(receive(&source, &secrets, &[("authorization", value)], b"{}"));
    assert_eq!(with(&basic("prometheus", "pass:word")), Ok(()));
    assert_eq!(with(&basic("prometheus", "other")), Ok(()));
    for (user, password) in [("prometheus", "pass"), ("Prometheus", "other"), ("", "other"), ("prometheus", "")] {
        assert_eq!(with(&basic(user, password)), unproven(Mismatch), "{user}:{password}");
    }
    for malformed in ["Basic !!!", "Basic cHJvbWV0aGV1cw==", "Bearer x"] {
        assert_eq!(with(malformed), unproven(Malformed), "{malformed}");
    }
}

#[test]
fn a_header_token_of_jira_is_long_or_not_used() {
    let source = jira(json!({"header": {"name": "X-Automation-Token", "secrets": ["TOKEN"]}}));
    let long = "0123456789abcdef0123456789abcdef";
    let with = |secret: &str| proven(receive(&source, &Secrets::of(&[("TOKEN", secret)]), &[("x-automation-token", secret)], b"{}"));
    assert_eq!(with(long), Ok(()));
    assert!(matches!(with(&long[1..]), Err(IngressError::SecretUnavailable { .. })));
    let problems = source.check_secrets(&Secrets::of(&[("TOKEN", &long[1..])]));
    assert_eq!(problems[0].pointer, "/authentication/header/secrets/0");
    assert_eq!(problems[0].problem, SecretProblem::TooShort { bytes: 31, least: 32 });
    assert_eq!(proven(receive(&source, &Secrets::of(&[("TOKEN", long)]), &[("x-automation-token", &long[1..])], b"{}")), unproven(Mismatch));
    assert_eq!(proven(receive(&source, &Secrets::of(&[("TOKEN", long)]), &[], b"{}")), unproven(Missing));
}

#[test]
fn no_secret_stands_in_what_a_source_or_an_error_prints() {
    let secrets = Secrets::of(&[("NEW", "hush-hush-hush"), ("OLD", "old")]);
    let error = receive(&hmac_source(), &secrets, &[("X-Hub-Signature", &sign("x", b"{}"))], b"{}").expect_err("a refusal");
    let printed = format!("{:?} {error} {error:?} {}", hmac_source(), error.detail());
    assert!(!printed.contains("hush"), "{printed}");
}

proptest! {
    #[test]
    fn any_flipped_bit_of_a_signed_body_is_refused(
        body in prop::collection::vec(any::<u8>(), 1..200), secret in "[ -~]{1,80}", bit in any::<prop::sample::Index>(),
    ) {
        let secrets = Secrets::of(&[("NEW", &secret), ("OLD", "another secret")]);
        let signature = sign(&secret, &body);
        prop_assert_eq!(proven(receive(&hmac_source(), &secrets, &[("X-Hub-Signature", &signature)], &body)), Ok(()));
        let mut flipped = body.clone();
        let bit = bit.index(body.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(proven(receive(&hmac_source(), &secrets, &[("X-Hub-Signature", &signature)], &flipped)), unproven(Mismatch));
    }

    #[test]
    fn any_flipped_bit_of_a_signature_is_refused(body in prop::collection::vec(any::<u8>(), 0..64), bit in any::<prop::sample::Index>()) {
        let secrets = Secrets::of(&[("NEW", EVERYBODY), ("OLD", "another secret")]);
        let signature = sign(EVERYBODY, &body).into_bytes();
        let bit = bit.index(signature.len() * 8);
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // `a` and `A` are the same digit.
        prop_assume!(!(flipped.eq_ignore_ascii_case(&signature) && bit / 8 >= "sha256=".len()));
        let headers: [(&str, &[u8]); 1] = [("x-hub-signature", &flipped)];
        let peer = "192.0.2.7".parse().expect("an address");
        let incoming = Incoming { headers: &headers.as_slice(), body: &body, peer, received_at: noon() };
        let result = proven(hmac_source().receive(&incoming, &secrets));
        prop_assert!(matches!(result, Err(IngressError::Unauthorized(_))), "{:?}", result);
    }
}
