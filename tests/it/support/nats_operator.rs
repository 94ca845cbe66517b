//! A NATS server that believes its operator: accounts and users are JWTs that stand above one another, as `nsc` makes them.
//! <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt>

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with one account that has a JetStream.
pub struct Operator {
    account: KeyPair,
    configuration: String,
}

impl Operator {
    pub fn new() -> Self {
        let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1 });
        let itself = token(&operator, &operator.public_key(), "operator", json!({ "system_account": system.public_key() }));
        let of_account = token(&operator, &account.public_key(), "account", json!({ "limits": limits }));
        let of_system = token(&operator, &system.public_key(), "account", json!({ "limits": { "subs": -1, "conn": -1, "data": -1, "payload": -1 } }));
        let configuration = format!(
            "operator: {itself}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{\n  {account_name}: {of_account}\n  {system}: {of_system}\n}}",
            system = system.public_key(),
            account_name = account.public_key(),
        );
        Self { account, configuration }
    }

    /// Lines of the configuration of a server.
    pub fn configuration(&self) -> &str {
        &self.configuration
    }

    /// A user's `.creds` file.
    pub fn credentials(&self) -> String {
        credentials(&self.account)
    }

    /// That of a user whose account nobody knows.
    pub fn strangers_credentials() -> String {
        credentials(&KeyPair::new_account())
    }
}

fn credentials(account: &KeyPair) -> String {
    let user = KeyPair::new_user();
    let token = token(account, &user.public_key(), "user", json!({ "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {} }));
    let seed = user.seed().expect("a seed");
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// What `issuer` says of `subject`.
fn token(issuer: &KeyPair, subject: &str, kind: &str, mut of_kind: Value) -> String {
    of_kind["type"] = kind.into();
    of_kind["version"] = 2.into();
    let claims = json!({ "jti": "A-STORY", "iat": 1_750_000_000, "iss": issuer.public_key(), "name": kind, "sub": subject, "nats": of_kind });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).expect("signed"));
    format!("{signed}.{signature}")
}
