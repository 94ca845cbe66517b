//! The `nats:` of a source: which messages are pulled from which stream, as an author writes it and checked. Nobody is connected to in here.
//! It holds the names of secrets, never a secret. <https://docs.nats.io/nats-concepts/jetstream/consumers>

use crate::types::{SecretName, SourceName, SpecDuration, SpecError, is_loopback};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

/// How long NATS waits for an acknowledgement unless the author says otherwise.
const ACK_WAIT: SpecDuration = SpecDuration::from_millis(30_000);
/// The shortest and the longest wait for an acknowledgement.
const ACK_WAITS: std::ops::RangeInclusive<SpecDuration> = SpecDuration::from_millis(5_000)..=SpecDuration::from_millis(3_600_000);
/// Messages that may be under way at a time, over all processes, unless the author says otherwise.
const MAX_ACK_PENDING: u32 = 512;
const MOST_ACK_PENDING: u32 = 10_000;
const MOST_SERVERS: usize = 16;
const MOST_SUBJECTS: usize = 64;
const LONGEST_NAME: usize = 128;
const LONGEST_SUBJECT: usize = 512;

/// Where messages are pulled from: one stream of one NATS cluster. Another cluster is another source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NatsSpec {
    /// The servers of one cluster, such as `tls://nats.example.com:4222`; `nats://` is without TLS unless the server wants it.
    #[schemars(length(min = 1, max = 16))]
    pub servers: Vec<String>,
    /// Who we are there; nobody unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<NatsAuthentication>,
    /// Which certificates are believed and shown, where they are not those of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<NatsTls>,
    /// The JetStream domain, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The stream. It is never made.
    pub stream: String,
    /// The durable pull consumer that all processes share; `kubeops-` and the source's name unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Whether the consumer is made where there is none, and kept as it is written here; `true` unless given. With `false` it has to be there.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub create: bool,
    /// The subjects the consumer is given, with `*` and `>`; all of the stream's unless given. Several need NATS 2.10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub subjects: Vec<String>,
    /// Where a consumer that is made begins; at what is published from then on unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver: Option<Deliver>,
    /// How long NATS waits for an acknowledgement before it delivers a message again; `30s` unless given, `5s` to `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_wait: Option<SpecDuration>,
    /// How many messages may be delivered and not acknowledged, over all processes; 512 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_ack_pending: Option<u32>,
    /// How often NATS delivers a message before it gives it up; without end unless given, so that nothing is lost while the store is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_deliver: Option<u32>,
}

fn yes() -> bool {
    true
}

/// Who we are at a NATS server. <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro>
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NatsAuthentication {
    /// A user and a password.
    #[serde(rename_all = "camelCase")]
    Password {
        /// The user.
        username: String,
        /// Name of the secret that holds the password.
        secret: SecretName,
    },
    /// A token.
    Token {
        /// Name of the secret that holds the token.
        secret: SecretName,
    },
    /// An NKey: its seed signs what the server asks, and never leaves.
    Nkey {
        /// Name of the secret that holds the user's seed (`SU...`).
        secret: SecretName,
    },
    /// A JWT with its NKey, as `nsc` writes them into a `.creds` file.
    Creds {
        /// Name of the secret that holds the whole file.
        secret: SecretName,
    },
}

impl NatsAuthentication {
    /// The secret it names.
    pub fn secret(&self) -> &SecretName {
        match self {
            Self::Password { secret, .. } | Self::Token { secret } | Self::Nkey { secret } | Self::Creds { secret } => secret,
        }
    }
}

/// Certificates of a connection to NATS, in PEM (RFC 7468).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NatsTls {
    /// The authorities that are believed, instead of the machine's own.
    pub ca: String,
    /// Our certificate, with those between it and its authority; goes with `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Name of the secret that holds the key of our certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretName>,
    /// Speaks TLS from the first byte, for servers with `handshake_first`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// Where a new consumer begins. <https://docs.nats.io/nats-concepts/jetstream/consumers#deliverpolicy>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Deliver {
    /// With what is published after it was made.
    #[default]
    New,
    /// With the oldest message the stream still has.
    All,
    /// With the last message of the stream.
    Last,
    /// With the last message of each subject.
    LastPerSubject,
}

/// What is pulled from where: a [`NatsSpec`], checked, with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The servers of one cluster, as URLs.
    pub servers: Vec<String>,
    /// Who we are there.
    pub authentication: Option<NatsAuthentication>,
    /// Which certificates are believed and shown.
    pub tls: Option<NatsTls>,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// The stream.
    pub stream: String,
    /// The durable consumer.
    pub consumer: String,
    /// How the consumer is made and kept; none where it is only bound to.
    pub keeps: Option<Consumer>,
}

/// A consumer as it is wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The subjects it is given; all when empty.
    pub subjects: Vec<String>,
    /// Where it begins when it is made.
    pub deliver: Deliver,
    /// How long an acknowledgement is waited for.
    pub ack_wait: Duration,
    /// Messages under way at most.
    pub max_ack_pending: u32,
    /// Deliveries of one message at most.
    pub max_deliver: Option<u32>,
}

impl Subscription {
    /// The secrets that are needed to connect.
    pub fn secret_names(&self) -> impl Iterator<Item = &SecretName> {
        let key = self.tls.as_ref().and_then(|tls| tls.key.as_ref());
        self.authentication.as_ref().map(NatsAuthentication::secret).into_iter().chain(key)
    }
}

/// What was found, in the order of the fields.
#[derive(Default)]
pub(in crate::ingress) struct Findings {
    pub(in crate::ingress) errors: Vec<SpecError>,
    pub(in crate::ingress) warnings: Vec<SpecError>,
}

impl Findings {
    fn error(&mut self, pointer: &str, message: impl Into<String>, hint: &str) {
        self.errors.push(SpecError::new(format!("/nats{pointer}"), message).hint(hint));
    }
}

/// Checks the `nats:` of the source `name`; where there are errors what is given back is not to be used.
pub(in crate::ingress) fn compile(name: &SourceName, spec: NatsSpec) -> (Subscription, Findings) {
    let mut findings = Findings::default();
    check_servers(&spec, &mut findings);
    check_tls(spec.tls.as_ref(), &mut findings);
    for (pointer, given) in [("/stream", Some(&spec.stream)), ("/consumer", spec.consumer.as_ref()), ("/domain", spec.domain.as_ref())] {
        if given.is_some_and(|name| !is_name(name)) {
            findings.error(pointer, "a name has 1 to 128 visible ASCII characters but `.`, `*`, `>`, `/` and `\\`", "for example: ops");
        }
    }
    check_subjects(&spec.subjects, &mut findings);
    check_limits(&spec, &mut findings);
    let consumer = spec.consumer.unwrap_or_else(|| format!("kubeops-{name}"));
    let wished = Consumer {
        subjects: spec.subjects,
        deliver: spec.deliver.unwrap_or_default(),
        ack_wait: spec.ack_wait.unwrap_or(ACK_WAIT).get(),
        max_ack_pending: spec.max_ack_pending.unwrap_or(MAX_ACK_PENDING),
        max_deliver: spec.max_deliver,
    };
    let keeps = spec.create.then_some(wished);
    let (servers, authentication, tls, domain, stream) = (spec.servers, spec.authentication, spec.tls, spec.domain, spec.stream);
    (Subscription { servers, authentication, tls, domain, stream, consumer, keeps }, findings)
}

fn check_servers(spec: &NatsSpec, findings: &mut Findings) {
    if spec.servers.is_empty() || spec.servers.len() > MOST_SERVERS {
        findings.error("/servers", "a cluster has 1 to 16 servers", "for example: [tls://nats.example.com:4222]");
    }
    let in_the_clear = matches!(spec.authentication, Some(NatsAuthentication::Password { .. } | NatsAuthentication::Token { .. }));
    for (index, server) in spec.servers.iter().enumerate() {
        let pointer = format!("/servers/{index}");
        match Url::parse(server) {
            Err(_) => findings.error(&pointer, "this is no URL", "for example: tls://nats.example.com:4222"),
            Ok(url) => match unfit(&url) {
                Some(message) => findings.error(&pointer, message, "for example: tls://nats.example.com:4222"),
                None if in_the_clear && url.scheme() == "nats" && !stays_here(server) => {
                    let message = "a password or token goes there in the clear unless the server itself asks for TLS";
                    findings.warnings.push(SpecError::new(format!("/nats{pointer}"), message).hint("write tls://, or use nkey or creds"));
                }
                None => {}
            },
        }
    }
    if let Some(NatsAuthentication::Password { username, .. }) = &spec.authentication
        && (username.is_empty() || username.chars().any(char::is_control))
    {
        findings.error("/authentication/password/username", "a user name is not empty and holds no control characters", "write the user");
    }
}

/// Whether an address leads to this machine. Hosts of schemes that nobody registered are not looked at closer than as texts.
fn stays_here(server: &str) -> bool {
    Url::parse(&server.replacen("nats://", "http://", 1)).is_ok_and(|url| is_loopback(&url))
}

/// What is wrong with an address, said without it: it may hold a password.
fn unfit(url: &Url) -> Option<&'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        Some("an address holds no user name and no password; they go into `authentication`")
    } else if !matches!(url.scheme(), "nats" | "tls") || url.host_str().is_none_or(str::is_empty) {
        Some("a server is reached over nats:// or tls://")
    } else if url.query().is_some() || url.fragment().is_some() || !matches!(url.path(), "" | "/") {
        Some("an address of NATS ends with its port")
    } else {
        None
    }
}

fn check_tls(tls: Option<&NatsTls>, findings: &mut Findings) {
    let Some(tls) = tls else { return };
    let is_certificate = |text: &str| text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----");
    let hint = "-----BEGIN CERTIFICATE----- ... -----END CERTIFICATE-----";
    if !is_certificate(&tls.ca) {
        findings.error("/tls/ca", "this is no certificate in PEM", hint);
    }
    if tls.certificate.as_deref().is_some_and(|text| !is_certificate(text)) {
        findings.error("/tls/certificate", "this is no certificate in PEM", hint);
    }
    if tls.certificate.is_some() != tls.key.is_some() {
        findings.error("/tls", "`certificate` and `key` go together", "give both, or neither");
    }
}

fn check_subjects(subjects: &[String], findings: &mut Findings) {
    if subjects.len() > MOST_SUBJECTS {
        findings.error("/subjects", "64 subjects at most are filtered for", "use `*` and `>`");
    }
    for (index, subject) in subjects.iter().enumerate() {
        let pointer = format!("/subjects/{index}");
        if !is_filter(subject) {
            findings.error(
                &pointer,
                "this is no subject: tokens with dots between, `*` for one token, `>` for the rest",
                "ops.clusters.*.namespaces.>",
            );
        } else if subjects[..index].contains(subject) {
            findings.error(&pointer, "this subject stands here twice", "name each subject once");
        }
    }
}

fn check_limits(spec: &NatsSpec, findings: &mut Findings) {
    if spec.ack_wait.is_some_and(|wait| !ACK_WAITS.contains(&wait)) {
        findings.error("/ackWait", "an acknowledgement is waited for 5s to 1h", "30s is usual");
    }
    if spec.max_ack_pending.is_some_and(|most| !(1..=MOST_ACK_PENDING).contains(&most)) {
        findings.error("/maxAckPending", "1 to 10000 messages may be under way", "512 is usual");
    }
    if spec.max_deliver.is_some_and(|most| most == 0) {
        findings.error("/maxDeliver", "a message is delivered at least once", "leave it out, so that none is given up");
    } else if spec.max_deliver.is_some() {
        let message = "NATS gives a message up after so many deliveries, even when only the store was away: it is lost then";
        findings.warnings.push(SpecError::new("/nats/maxDeliver", message).hint("leave it out; what cannot be read is stored and ended as it is"));
    }
    let given = [
        ("/subjects", !spec.subjects.is_empty()),
        ("/deliver", spec.deliver.is_some()),
        ("/ackWait", spec.ack_wait.is_some()),
        ("/maxAckPending", spec.max_ack_pending.is_some()),
        ("/maxDeliver", spec.max_deliver.is_some()),
    ];
    for (pointer, _) in given.into_iter().filter(|(_, given)| *given && !spec.create) {
        findings.error(pointer, "a consumer that is only bound to (`create: false`) has this itself", "leave it out");
    }
}

/// Whether a stream, consumer or domain may be called that: it stands in subjects and in paths.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>/\\".contains(&byte))
}

/// Whether this is a subject, with wildcards. <https://docs.nats.io/nats-concepts/subjects>
fn is_filter(subject: &str) -> bool {
    let tokens: Vec<&str> = subject.split('.').collect();
    let last = tokens.len() - 1;
    let fits = |(index, token): (usize, &&str)| match *token {
        "" => false,
        "*" => true,
        ">" => index == last,
        token => token.bytes().all(|byte| byte > b' ' && byte != 0x7f && !b"*>".contains(&byte)),
    };
    subject.len() <= LONGEST_SUBJECT && tokens.iter().enumerate().all(fits)
}
