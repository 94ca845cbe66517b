//! A GitHub App as GitHub sees it: signatures checked against its public key and GitHub's clock, tokens that end.

use super::{error, json_answer};
use crate::support::github_openapi::example_with;
use crate::support::loopback::Answer;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Made once: an RSA key takes a while.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("an RSA key"));

/// The App's private key, as GitHub gives it to its owner.
pub fn private_key() -> String {
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = KEY.as_der().expect("the key");
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base 64")).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

#[derive(Debug, Clone)]
pub struct FakeApp {
    pub id: u64,
    /// The installation at each owner.
    pub installations: BTreeMap<String, u64>,
    /// Seconds a token lasts.
    pub lifetime: i64,
    /// What a token may do with the contents of repositories.
    pub contents: &'static str,
    /// Tokens with their installation and end.
    pub tokens: Vec<(String, u64, i64)>,
    /// What its webhook was sent, the newest first.
    pub deliveries: Vec<FakeDelivery>,
}

/// An attempt to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct FakeDelivery {
    pub id: u64,
    pub guid: String,
    /// Seconds since the epoch.
    pub at: i64,
    /// What the receiver answered; 0 where it did not.
    pub status: u16,
    pub redelivery: bool,
}

impl FakeDelivery {
    fn view(&self) -> Value {
        json!({
            "id": self.id, "guid": self.guid, "delivered_at": kubeops::types::Timestamp::from_unix_millis(self.at * 1000).to_string(),
            "redelivery": self.redelivery, "duration": 0.27, "status": if self.status == 200 { "OK" } else { "failed to connect to host" },
            "status_code": self.status, "event": "issue_comment", "action": "created", "installation_id": 34, "repository_id": 7, "throttled_at": null,
        })
    }
}

impl FakeApp {
    /// App 12, whose installation at `acme` is 34 and whose tokens last an hour.
    pub fn new() -> Self {
        Self {
            id: 12,
            installations: BTreeMap::from([("acme".to_owned(), 34)]),
            lifetime: 3600,
            contents: "write",
            tokens: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    /// The installation a token is of, as long as it lasts.
    pub fn installation_of(&self, token: &str, now: i64) -> Option<u64> {
        let known = self.tokens.iter().find(|(known, _, until)| known == token && now < *until)?;
        Some(known.1)
    }

    /// Nobody gets in with the tokens there are.
    pub fn revoke(&mut self) {
        self.tokens.iter_mut().for_each(|(_, _, until)| *until = 0);
    }

    /// What GitHub says to a signature.
    pub fn admits(&self, signature: &str, now: i64) -> Result<(), String> {
        let undecoded = |_| "A JSON web token could not be decoded".to_owned();
        let key = DecodingKey::from_rsa_der(KEY.public_key().as_ref());
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let claims: Value = jsonwebtoken::decode(signature, &key, &validation).map_err(undecoded)?.claims;
        if claims["iss"] != json!(self.id) {
            return Err("Integration not found".to_owned());
        }
        let number = |name: &str| claims[name].as_i64().unwrap_or_default();
        if number("iat") > now {
            return Err("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued".to_owned());
        }
        if number("exp") <= now {
            return Err(
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires".to_owned()
            );
        }
        if number("exp") > now + 600 {
            return Err("'Expiration time' claim ('exp') is too far in the future".to_owned());
        }
        Ok(())
    }

    pub(super) fn act(&mut self, method: &str, path: &str, query: &str, now: i64) -> Answer {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (method, parts.as_slice()) {
            ("GET", ["app"]) => json_answer(200, &example_with("integration", json!({ "id": self.id, "slug": "kubeops" }))),
            ("GET", ["repos", owner, _, "installation"]) => match self.installations.get(*owner) {
                Some(id) => json_answer(200, &example_with("installation", json!({ "id": id, "app_id": self.id }))),
                None => error(404, "Not Found", json!([])),
            },
            ("GET", ["app", "hook", "deliveries"]) => {
                let given = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                let number = |name: &str, otherwise: usize| given(name).map_or(otherwise, |value| value.parse().expect("a number"));
                let (size, start) = (number("per_page", 30), number("cursor", 0));
                let shown = self.deliveries.iter().skip(start).take(size).map(FakeDelivery::view).collect();
                let mut answer = json_answer(200, &Value::Array(shown));
                if start + size < self.deliveries.len() {
                    let next = format!("</app/hook/deliveries?per_page={size}&cursor={}>; rel=\"next\"", start + size);
                    answer.headers.push(("link".to_owned(), next));
                }
                answer
            }
            ("POST", ["app", "hook", "deliveries", id, "attempts"]) => {
                let Some(known) = self.deliveries.iter().find(|delivery| delivery.id.to_string() == **id).cloned() else {
                    return error(404, "Not Found", json!([]));
                };
                let again = FakeDelivery { id: known.id + 1_000_000, at: now, redelivery: true, ..known };
                self.deliveries.insert(0, again);
                json_answer(202, &json!({}))
            }
            ("POST", ["app", "installations", id, "access_tokens"]) => {
                let Some(id) = self.installations.values().find(|known| known.to_string() == **id).copied() else {
                    return error(404, "Not Found", json!([]));
                };
                let token = format!("ghs_{:036}", self.tokens.len() + 1);
                let until = now + self.lifetime;
                self.tokens.push((token.clone(), id, until));
                let ends = kubeops::types::Timestamp::from_unix_millis(until * 1000).to_string();
                json_answer(
                    201,
                    &example_with("installation-token", json!({ "token": token, "expires_at": ends, "permissions": { "contents": self.contents } })),
                )
            }
            _ => error(404, "Not Found", json!([])),
        }
    }
}
