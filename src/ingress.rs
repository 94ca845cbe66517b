//! Headers and bytes in, authenticated occurrences out: who sent it, was it proven, what does it say.
//! Pure: no web framework, no I/O, no clock. It must never read a body before its proof is checked,
//! never panic on what a sender writes, and never let a secret into an error, a kept header or `Debug`.

mod address;
mod alertmanager;
mod argocd;
mod authentication;
mod body;
mod check;
mod deployment;
mod error;
mod flux;
mod github;
mod identity;
mod jira;
mod json;
mod kinds;
mod mapping;
mod model;
mod nats;
mod reconcile;
mod run;
#[cfg(test)]
mod tests;

pub use error::{IngressError, Oversized, Refusal, Unproven};
pub use model::{
    Algorithm, Authentication, Basic, Bearer, Encoding, Gzip, HeaderToken, Hmac, Mapping, ReconcileAuthentication, ReconcileSpec, SourceKind,
    SourceSpec,
};
pub use nats::spec::{Consumer, Deliver, NatsAuthentication, NatsSpec, NatsTls, Subscription};
pub use nats::{OVERSIZED, OWN_HEADERS, SEQUENCE, STREAM, SUBJECT, TIME};
pub use reconcile::{Asks, Reconcile};
pub(crate) use run::LONGEST_NAME;

use crate::event::Occurrence;
use crate::types::{RepositoryName, SecretName, SourceName, SpecError, Timestamp};
use ipnet::IpNet;
use json::Part;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A request's headers, wherever they are kept, so that nothing is copied.
pub trait Headers {
    /// The first value of the header `name`, given in lower case; the case of the request's names does not matter.
    fn get(&self, name: &str) -> Option<&[u8]>;
    /// Calls `visit` with every name and value, repeated headers in the order received.
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8]));
}

impl Headers for &[(&str, &[u8])] {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.iter().for_each(|(name, value)| visit(name, value));
    }
}

/// The headers kept with a delivery: names in lower case, values cut at 1,024 characters. Serializes as a JSON object.
pub type Attributes = BTreeMap<String, String>;

impl Headers for Attributes {
    fn get(&self, name: &str) -> Option<&[u8]> {
        BTreeMap::get(self, name).map(String::as_bytes)
    }
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.iter().for_each(|(name, value)| visit(name, value.as_bytes()));
    }
}

/// Where the values of secrets are.
pub trait SecretLookup {
    /// The secret, without a trailing newline; none when there is no such secret.
    fn get(&self, name: &SecretName) -> Option<&SecretString>;
}

/// One HTTP request, as received.
pub struct Incoming<'a> {
    /// Its headers.
    pub headers: &'a dyn Headers,
    /// Its body, byte for byte.
    pub body: &'a [u8],
    /// Who sent it, trusted proxies looked through by the caller.
    pub peer: IpAddr,
    /// When its last byte was received.
    pub received_at: Timestamp,
}

/// What an authenticated delivery says.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The same for deliveries that are the same: 64 hexadecimal characters.
    pub dedup_key: String,
    /// What happened, in the order told; empty when [`Self::handled`] is false.
    pub occurrences: Vec<Occurrence>,
    /// One key per occurrence, in the same order: the same when another delivery tells of the same occurrence again, as
    /// Alertmanager does when an alert goes on firing while its group changes. 64 hexadecimal characters each.
    pub occurrence_keys: Vec<String>,
    /// False when it is well-formed and nobody handles what it says: to be answered 200 and forgotten.
    pub handled: bool,
    /// The headers worth keeping. Never one that carries a proof.
    pub attributes: Attributes,
}

/// The attribute of a delivery that nobody sent: what it says was asked for. No header is ever kept under this name.
pub const RECONCILED: &str = "reconciled";

/// What is told of a delivery when it arrives: enough to keep it and to answer. What it says is read when it is dispatched.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// As [`Received::dedup_key`].
    pub dedup_key: String,
    /// As [`Received::handled`].
    pub handled: bool,
    /// As [`Received::attributes`].
    pub attributes: Attributes,
}

/// A message that was fetched, as it is to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Filed {
    /// As of a delivery that was sent; what cannot be read counts as handled, so that whoever reads it tells why.
    pub accepted: Accepted,
    /// Why it cannot be read.
    pub unreadable: Option<IngressError>,
}

/// A source's size and depth limits.
#[derive(Debug, Clone, Copy)]
struct Limits {
    max_body_bytes: u64,
    max_depth: u32,
    /// None when gzip is refused.
    unpacked_bytes: Option<u64>,
}

/// Who reads the body.
#[derive(Debug)]
enum Reader {
    Own(fn(kinds::Document<'_>) -> Result<kinds::Reading, IngressError>),
    Mapped(Box<mapping::Compiled>, fn(&str) -> Result<(), &'static str>),
}

/// A configured webhook sender, checked and ready to receive. It holds no secrets.
#[derive(Debug)]
pub struct Source {
    name: SourceName,
    kind: &'static kinds::Kind,
    description: Option<String>,
    repositories: Vec<RepositoryName>,
    proof: authentication::Proof,
    allow_from: Vec<IpNet>,
    limits: Limits,
    keep: Vec<String>,
    reader: Reader,
    reconcile: Option<Reconcile>,
    subscription: Option<Subscription>,
    warnings: Vec<SpecError>,
}

/// A secret that does not serve, or not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFinding {
    /// Its name.
    pub name: SecretName,
    /// Where the `spec:` names it, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong.
    pub problem: SecretProblem,
}

/// What is wrong with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretProblem {
    /// There is none, or it is empty: deliveries that need it are answered 503. An error.
    Missing,
    /// It is so short that it is not used: deliveries that need it are answered 503. An error.
    TooShort {
        /// Its length, in bytes.
        bytes: usize,
        /// What it must have at least.
        least: usize,
    },
    /// It is used, and could be guessed. A warning.
    Weak {
        /// Its length, in bytes.
        bytes: usize,
        /// What it should have at least.
        advised: usize,
    },
}

impl Source {
    /// Checks `spec` and makes it ready to receive.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn compile(name: SourceName, spec: SourceSpec) -> Result<Self, Vec<SpecError>> {
        check::compile(name, spec)
    }

    /// Its name.
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> SourceKind {
        self.kind.kind
    }

    /// How its deliveries are proven: `none`, `hmac`, `bearer`, `basic`, `header`, or `connection` where they are fetched.
    pub fn authentication(&self) -> &'static str {
        self.proof.word()
    }

    /// The form of the headers that prove them, for the log: `x-signature: sha256=<hex>`.
    pub fn proof_form(&self) -> String {
        self.proof.form()
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The repositories it is bound to; none named where it may speak of every one.
    pub fn repositories(&self) -> &[RepositoryName] {
        &self.repositories
    }

    /// Whether what it says of a repository counts.
    pub fn may_speak_of(&self, repository: &RepositoryName) -> bool {
        self.repositories.is_empty() || self.repositories.contains(repository)
    }

    /// Every type its events can have; none when the body decides.
    pub fn event_types(&self) -> Option<Vec<&str>> {
        match &self.reader {
            Reader::Own(_) => Some(self.kind.types.to_vec()).filter(|types| !types.is_empty()),
            Reader::Mapped(mapping, _) => mapping.literal_type().map(|literal| vec![literal.as_str()]),
        }
    }

    /// How its sender is asked for what no delivery brought.
    pub fn reconcile(&self) -> Option<&Reconcile> {
        self.reconcile.as_ref()
    }

    /// The secret that is shown to its sender when it is asked.
    pub fn reconcile_secret(&self) -> Option<&SecretName> {
        match &self.reconcile.as_ref()?.asks {
            Asks::Alertmanager { authentication, .. } => authentication.as_ref().map(ReconcileAuthentication::secret),
            Asks::Jira { .. } | Asks::Github => None,
        }
    }

    /// Where its messages are pulled from; none where they are sent.
    pub fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// What is worth a word in its configuration, though it is accepted.
    pub fn warnings(&self) -> &[SpecError] {
        &self.warnings
    }

    /// The largest body it takes, in bytes as sent: the web layer need not read further.
    pub fn max_body_bytes(&self) -> u64 {
        self.limits.max_body_bytes
    }

    /// The secrets it needs.
    pub fn secret_names(&self) -> &[SecretName] {
        self.proof.secrets()
    }

    /// What is wrong with its secrets as they are now, to be told at load.
    pub fn check_secrets(&self, secrets: &dyn SecretLookup) -> Vec<SecretFinding> {
        let strength = self.proof.strength();
        let problem = |name: &SecretName| match secrets.get(name).map_or(0, |secret| secret.expose_secret().len()) {
            0 => Some(SecretProblem::Missing),
            bytes if bytes < strength.least => Some(SecretProblem::TooShort { bytes, least: strength.least }),
            bytes if bytes < strength.advised => Some(SecretProblem::Weak { bytes, advised: strength.advised }),
            _ => None,
        };
        let finding = |(index, name): (usize, &SecretName)| {
            let pointer = format!("/authentication/{}/secrets/{index}", self.proof.word());
            problem(name).map(|problem| SecretFinding { name: name.clone(), pointer, problem })
        };
        self.secret_names().iter().enumerate().filter_map(finding).collect()
    }

    /// Checks where a request comes from and what proves it, then reads it.
    ///
    /// # Errors
    /// In this order: the address, the size, the content type and encoding, the proof, the JSON, the shape.
    pub fn receive(&self, incoming: &Incoming<'_>, secrets: &dyn SecretLookup) -> Result<Received, IngressError> {
        self.prove(incoming, secrets)?;
        self.read(incoming.headers, incoming.body, incoming.received_at)
    }

    /// Comes to the same as [`Self::receive`], and to the same errors, without taking apart what is only needed later.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn accept(&self, incoming: &Incoming<'_>, secrets: &dyn SecretLookup) -> Result<Accepted, IngressError> {
        self.prove(incoming, secrets)?;
        let part = match &self.reader {
            Reader::Own(_) => self.kind.judged_by,
            Reader::Mapped(..) => Part::Whole,
        };
        let attributes = self.attributes(incoming.headers);
        let (dedup_key, reading) = self.interpret(incoming.headers, &attributes, incoming.body, incoming.received_at, part)?;
        Ok(Accepted { dedup_key, handled: reading.handled, attributes })
    }

    /// What is stored of a message that was fetched: all of it that is kept, whether it can be read or not.
    pub fn file(&self, headers: &dyn Headers, body: &[u8], received_at: Timestamp) -> Filed {
        let attributes = self.attributes(headers);
        let read = self.check_size(body).and_then(|()| body::check_content_type(headers, self.kind.form_field));
        match read.and_then(|()| self.interpret(headers, &attributes, body, received_at, Part::Whole)) {
            Ok((dedup_key, reading)) => Filed { accepted: Accepted { dedup_key, handled: reading.handled, attributes }, unreadable: None },
            Err(error) => {
                let identity = self.kind.identity.map_or(identity::Identity::WithBody(Vec::new()), |of| of(&attributes, &serde_json::Value::Null));
                let dedup_key = identity::delivery_key(&self.name, &identity, body);
                Filed { accepted: Accepted { dedup_key, handled: true, attributes }, unreadable: Some(error) }
            }
        }
    }

    /// Reads a request **without** asking who sent it: for deliveries that were authenticated before, such as a stored one
    /// (whose headers are its [`Attributes`]), and for payload files an operator explains or renders.
    ///
    /// # Errors
    /// The size, the content type and encoding, the JSON, the shape.
    pub fn read(&self, headers: &dyn Headers, body: &[u8], received_at: Timestamp) -> Result<Received, IngressError> {
        self.check_size(body)?;
        body::check_content_type(headers, self.kind.form_field)?;
        let attributes = self.attributes(headers);
        let (dedup_key, reading) = self.interpret(headers, &attributes, body, received_at, Part::Whole)?;
        let mut occurrences = Vec::with_capacity(reading.sightings.len());
        let mut occurrence_keys = Vec::with_capacity(reading.sightings.len());
        for (index, sighting) in reading.sightings.into_iter().enumerate() {
            occurrence_keys.push(match &sighting.key {
                Some(parts) => identity::occurrence_key(&self.name, parts),
                None => identity::occurrence_key_in(&self.name, &dedup_key, index),
            });
            occurrences.push(sighting.occurrence);
        }
        Ok(Received { dedup_key, occurrences, occurrence_keys, handled: reading.handled, attributes })
    }

    /// Whether it comes from where it may, and proves it.
    fn prove(&self, incoming: &Incoming<'_>, secrets: &dyn SecretLookup) -> Result<(), IngressError> {
        if !self.allow_from.is_empty() && !address::contains(&self.allow_from, incoming.peer) {
            return Err(IngressError::Forbidden { address: incoming.peer });
        }
        self.check_size(incoming.body)?;
        body::check_content_type(incoming.headers, self.kind.form_field)?;
        body::is_packed(incoming.headers, self.limits.unpacked_bytes)?;
        self.proof.verify(incoming.headers, incoming.body, incoming.received_at, secrets)
    }

    /// The body's key and what `part` of it says.
    fn interpret(
        &self,
        headers: &dyn Headers,
        attributes: &Attributes,
        body: &[u8],
        received_at: Timestamp,
        part: Part,
    ) -> Result<(String, kinds::Reading), IngressError> {
        if let Some(bytes) = attributes.get(OVERSIZED) {
            let limit = self.limits.max_body_bytes;
            return Err(IngressError::malformed("", format!("the message had {bytes} bytes, and `maxBodyBytes` is {limit}: it was not stored")));
        }
        let json = body::out_of_form(headers, body::unpack(headers, body, self.limits.unpacked_bytes)?, self.kind.form_field)?;
        let body = json::read(&json, self.limits.max_depth, part)?;
        let known_by = self.kind.identity.map(|of| of(attributes, &body));
        let document = kinds::Document { body, attributes, received_at, signed: self.proof.signs_body() };
        let mut reading = match &self.reader {
            Reader::Own(read) => read(document)?,
            Reader::Mapped(mapping, check_subject) => mapping.read(document, *check_subject)?,
        };
        reading.identity = known_by.unwrap_or(reading.identity);
        Ok((identity::delivery_key(&self.name, &reading.identity, &json), reading))
    }

    fn check_size(&self, body: &[u8]) -> Result<(), IngressError> {
        let limit = self.limits.max_body_bytes;
        if body.len() as u64 > limit { Err(IngressError::TooLarge { what: Oversized::Body, limit }) } else { Ok(()) }
    }

    /// The headers to keep; what is not text is left out.
    fn attributes(&self, headers: &dyn Headers) -> Attributes {
        const LONGEST: usize = 1024;
        const MOST_KEPT: usize = 96;
        let kept = |name: &String| {
            let value = std::str::from_utf8(headers.get(name)?).ok()?;
            Some((name.clone(), value.chars().take(LONGEST).collect()))
        };
        let mut attributes: Attributes = self.keep.iter().filter_map(kept).collect();
        if let Some(prefix) = self.kind.keep_prefix {
            headers.each(&mut |name, _| {
                let name = name.to_ascii_lowercase();
                let fits = name.len() <= 100 && name.starts_with(prefix) && !check::may_hold_a_secret(&name);
                if fits && attributes.len() < MOST_KEPT && !attributes.contains_key(&name) {
                    attributes.extend(kept(&name));
                }
            });
        }
        attributes
    }
}
