//! From a `spec:` to a [`Source`]: every rule that a shape alone cannot say, each finding with its place.
//! It finds everything at once, and looks up no secret.

use super::authentication::{Proof, Signature};
use super::kinds::{self, Kind, MappingUse};
use super::mapping::Compiled;
use super::model::{Authentication, Hmac};
use super::nats::spec::{self as nats, Subscription};
use super::{Limits, NatsSpec, Reader, Source, SourceKind, SourceSpec, SpecError, address, json};
use crate::types::{SecretName, SourceName};
use ipnet::IpNet;
use std::time::Duration;

/// The largest body, as sent or unpacked, that any source may take, in bytes.
const LARGEST_BODY: u64 = 64 * 1024 * 1024;
const DEFAULT_DEPTH: u32 = 64;
const DEFAULT_TOLERANCE_SECONDS: u32 = 300;
const MOST_SECRETS: usize = 8;
const MOST_HEADERS: usize = 32;

/// What was found so far.
#[derive(Default)]
struct Findings {
    errors: Vec<SpecError>,
    warnings: Vec<SpecError>,
}

impl Findings {
    fn error(&mut self, pointer: impl Into<String>, message: impl Into<String>, hint: &str) {
        self.errors.push(SpecError::new(pointer, message).hint(hint));
    }

    fn warn(&mut self, pointer: impl Into<String>, message: impl Into<String>, hint: &str) {
        self.warnings.push(SpecError::new(pointer, message).hint(hint));
    }
}

/// Checks `spec` and makes it ready to receive.
pub(super) fn compile(name: SourceName, spec: SourceSpec) -> Result<Source, Vec<SpecError>> {
    let kind = kinds::row(spec.kind);
    let mut findings = Findings::default();
    let subscription = subscription(&name, kind, spec.nats, &mut findings);
    let proof = match kind.kind {
        SourceKind::Nats => fetched(spec.authentication.is_some(), !spec.allow_from.is_empty(), &mut findings),
        _ => proof(kind, spec.authentication, &mut findings),
    };
    let allow_from = allow_from(&spec.allow_from, &mut findings);
    let limits = Limits {
        max_body_bytes: bounded("/maxBodyBytes", spec.max_body_bytes.unwrap_or(kind.max_body_bytes), LARGEST_BODY, &mut findings),
        max_depth: u32::try_from(bounded("/maxDepth", spec.max_depth.unwrap_or(DEFAULT_DEPTH).into(), json::DEEPEST.into(), &mut findings))
            .unwrap_or(json::DEEPEST),
        unpacked_bytes: spec.gzip.map(|gzip| bounded("/gzip/maxBytes", gzip.max_bytes, LARGEST_BODY, &mut findings)),
    };
    let reader = reader(kind, spec.mapping.as_ref(), &mut findings);
    let keep = keep(kind, proof.as_ref(), &spec.headers, &mut findings);
    if let Some(Reader::Mapped(mapping, _)) = &reader
        && mapping.reads_headers()
        && spec.headers.is_empty()
        // What stands beside a message is what a mapping reads there.
        && kind.kind != SourceKind::Nats
    {
        let message = format!("the mapping reads `headers`, which holds only {}", kind.keep.join(", "));
        findings.warn("/mapping", message, "list the headers it needs under `headers`");
    }
    let reconcile = spec.reconcile.and_then(|reconcile| {
        super::reconcile::compile(kind.kind, reconcile, spec.mapping.as_ref()).map_err(|errors| findings.errors.extend(errors)).ok()
    });
    match (proof, reader) {
        (Some(proof), Some(reader)) if findings.errors.is_empty() => {
            let (description, repositories) = (spec.description, spec.repositories);
            let warnings = findings.warnings;
            Ok(Source { name, kind, description, repositories, proof, allow_from, limits, keep, reader, reconcile, subscription, warnings })
        }
        _ => Err(findings.errors),
    }
}

/// Where messages are pulled from.
fn subscription(name: &SourceName, kind: &Kind, spec: Option<NatsSpec>, findings: &mut Findings) -> Option<Subscription> {
    match (kind.kind, spec) {
        (SourceKind::Nats, Some(spec)) => {
            let (subscription, found) = nats::compile(name, spec);
            findings.errors.extend(found.errors);
            findings.warnings.extend(found.warnings);
            Some(subscription)
        }
        (SourceKind::Nats, None) => {
            findings.error("", "a source of kind nats needs `nats`", "say at least `servers` and `stream`");
            None
        }
        (_, Some(_)) => {
            findings.error("/nats", "this goes with a source of kind nats", "leave it out, or use kind: nats");
            None
        }
        (_, None) => None,
    }
}

/// What proves messages that are fetched: the connection, so that nothing of what senders prove goes with it.
fn fetched(authentication: bool, allow_from: bool, findings: &mut Findings) -> Option<Proof> {
    for (given, pointer, hint) in
        [(authentication, "/authentication", "who we are at NATS stands in `nats.authentication`"), (allow_from, "/allowFrom", "leave it out")]
    {
        if given {
            findings.error(pointer, "nobody sends to a source of kind nats: its messages are fetched", hint);
        }
    }
    Some(Proof::Fetched)
}

fn proof(kind: &Kind, authentication: Option<Authentication>, findings: &mut Findings) -> Option<Proof> {
    match authentication {
        None => {
            let hint = "name one of hmac, bearer, basic and header; or say `authentication: none` outright";
            findings.error("", "a source needs `authentication`", hint);
            None
        }
        Some(Authentication::None) => {
            let message = "every delivery is believed: whoever reaches this address can ask for changes";
            findings.warn("/authentication", message, "use hmac, bearer, basic or header; at the least, set allowFrom");
            Some(Proof::Open)
        }
        Some(Authentication::Hmac(hmac)) => {
            check_secrets("/authentication/hmac/secrets", &hmac.secrets, findings);
            Some(Proof::Signature(signature(kind, hmac, findings)))
        }
        Some(Authentication::Bearer(bearer)) => {
            check_secrets("/authentication/bearer/secrets", &bearer.secrets, findings);
            let header = "authorization".to_owned();
            Some(Proof::Token { secrets: bearer.secrets, header, scheme: Some("bearer"), least_bytes: kind.least_token_bytes })
        }
        Some(Authentication::Header(token)) => {
            check_secrets("/authentication/header/secrets", &token.secrets, findings);
            let header = header_name("/authentication/header/name", &token.name, findings);
            Some(Proof::Token { secrets: token.secrets, header, scheme: None, least_bytes: kind.least_token_bytes })
        }
        Some(Authentication::Basic(basic)) => {
            check_secrets("/authentication/basic/secrets", &basic.secrets, findings);
            if basic.username.is_empty() || basic.username.contains(|c: char| c == ':' || c.is_control()) {
                findings.error(
                    "/authentication/basic/username",
                    "a user name is not empty and holds no colon",
                    "RFC 7617 cannot carry a colon in it",
                );
            }
            Some(Proof::Basic { secrets: basic.secrets, username: basic.username })
        }
    }
}

fn signature(kind: &Kind, hmac: Hmac, findings: &mut Findings) -> Signature {
    let header = match &hmac.header {
        Some(name) => header_name("/authentication/hmac/header", name, findings),
        None => kind.signature_header.to_owned(),
    };
    let prefix = hmac.prefix.unwrap_or_else(|| format!("{}=", hmac.algorithm.as_str()));
    if prefix.len() > 64 || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
        findings.error("/authentication/hmac/prefix", "a prefix has 64 visible ASCII characters at most", "for example `sha256=`, or \"\" for none");
    }
    let tolerance = match hmac.timestamp_tolerance_seconds {
        Some(seconds) if !(1..=86_400).contains(&seconds) => {
            findings.error("/authentication/hmac/timestampToleranceSeconds", "a tolerance is 1 to 86400 seconds", "300 is usual");
            seconds
        }
        Some(_) if hmac.timestamp_header.is_none() => {
            findings.error("/authentication/hmac", "timestampToleranceSeconds goes with timestampHeader", "name the header, or leave both out");
            DEFAULT_TOLERANCE_SECONDS
        }
        seconds => seconds.unwrap_or(DEFAULT_TOLERANCE_SECONDS),
    };
    let timestamp = hmac.timestamp_header.map(|name| {
        let name = header_name("/authentication/hmac/timestampHeader", &name, findings);
        (name, Duration::from_secs(tolerance.into()))
    });
    Signature { secrets: hmac.secrets, algorithm: hmac.algorithm, header, prefix, encoding: hmac.encoding, timestamp }
}

fn check_secrets(pointer: &str, secrets: &[SecretName], findings: &mut Findings) {
    if secrets.is_empty() {
        findings.error(pointer, "there is no secret, so nothing could ever be proven", "name at least one secret");
    }
    if secrets.len() > MOST_SECRETS {
        findings.error(pointer, format!("{MOST_SECRETS} secrets at most are valid at a time"), "remove those that are no longer in use");
    }
    for (index, secret) in secrets.iter().enumerate() {
        if secrets[..index].contains(secret) {
            findings.error(format!("{pointer}/{index}"), format!("{secret} stands here twice"), "name each secret once");
        }
    }
}

fn allow_from(texts: &[String], findings: &mut Findings) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let pointer = format!("/allowFrom/{index}");
        let Some(network) = address::parse_network(text) else {
            let shown: String = text.chars().take(80).collect();
            findings.error(pointer, format!("{shown:?} is not a network"), "write CIDR, such as 192.0.2.0/24 or 2001:db8::/32, or one address");
            continue;
        };
        if network != network.trunc() {
            findings.warn(pointer, format!("{network} means all of {}", network.trunc()), "write the network's first address, or a longer prefix");
        }
        networks.push(network);
    }
    networks
}

fn bounded(pointer: &str, value: u64, most: u64, findings: &mut Findings) -> u64 {
    if !(1..=most).contains(&value) {
        findings.error(pointer, format!("{value} is not between 1 and {most}"), "leave it out for the default");
    }
    value
}

fn reader(kind: &'static Kind, mapping: Option<&super::Mapping>, findings: &mut Findings) -> Option<Reader> {
    match (kind.mapping, mapping) {
        (MappingUse::Required, None) => {
            let message = format!("a source of kind {} needs `mapping`", kind.kind.as_str());
            findings.error("", message, "say at least `type` and `subject`, as CEL over `body`");
            None
        }
        (MappingUse::Refused, Some(_)) => {
            let message = format!("a source of kind {} reads its bodies itself", kind.kind.as_str());
            findings.error("/mapping", message, "leave `mapping` out, or use kind: generic");
            None
        }
        (_, Some(mapping)) => match Compiled::compile(mapping) {
            Ok(compiled) => Some(Reader::Mapped(Box::new(compiled), kind.check_subject)),
            Err(errors) => {
                findings.errors.extend(errors);
                None
            }
        },
        (_, None) => Some(Reader::Own(kind.read)),
    }
}

/// The headers to keep, in lower case: the kind's own and the author's, never one that carries a proof.
fn keep(kind: &Kind, proof: Option<&Proof>, headers: &[String], findings: &mut Findings) -> Vec<String> {
    let proof = proof.map(Proof::headers).unwrap_or_default();
    if headers.len() > MOST_HEADERS {
        findings.error("/headers", format!("{MOST_HEADERS} headers at most are kept"), "name only those the mapping reads");
    }
    let mut keep: Vec<String> = kind.keep.iter().map(|name| (*name).to_owned()).collect();
    for (index, header) in headers.iter().enumerate() {
        let pointer = format!("/headers/{index}");
        let name = header_name(&pointer, header, findings);
        if name == super::RECONCILED || super::nats::OWN_HEADERS.contains(&name.as_str()) {
            findings.error(pointer, "KubeOps itself writes this beside a delivery, and no sender may", "leave it out");
        } else if proof.contains(&name.as_str()) || may_hold_a_secret(&name) {
            findings.error(pointer, format!("{name} may hold a secret, and what is kept can be read later"), "leave it out");
        } else if !keep.contains(&name) {
            keep.push(name);
        }
    }
    keep.retain(|name| !proof.contains(&name.as_str()));
    keep
}

/// Whether a header of this name, in lower case, is one that secrets are sent in.
pub(super) fn may_hold_a_secret(name: &str) -> bool {
    const TELLING: [&str; 8] = ["authorization", "cookie", "signature", "token", "secret", "password", "api-key", "apikey"];
    TELLING.iter().any(|word| name.contains(word))
}

/// A header's name in lower case. <https://www.rfc-editor.org/rfc/rfc9110#section-5.1>
fn header_name(pointer: &str, name: &str, findings: &mut Findings) -> String {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
        let shown: String = name.chars().take(80).collect();
        findings.error(pointer, format!("{shown:?} is not the name of a header"), "letters, digits and `-`, such as X-Signature");
    }
    name.to_ascii_lowercase()
}
