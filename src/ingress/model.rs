//! The `spec:` of a document of kind `Source`, as an author writes it.
//! Pure shape: what fits together is decided in `check`. It holds the names of secrets, never a secret.

use super::nats::spec::NatsSpec;
use crate::types::{ChannelName, RepositoryName, SecretName, SpecDuration};
use serde::{Deserialize, Serialize};

/// One configured webhook sender: its kind, how it proves itself, and what is read from its deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "if" = { "properties": { "kind": { "const": "nats" } }, "required": ["kind"] },
    "then" = { "properties": { "nats": { "description": "Where messages are fetched from." } }, "required": ["nats"] },
    "else" = { "properties": { "authentication": { "description": "How a delivery proves where it comes from: `none`, or exactly one of `hmac`, `bearer`, `basic` and `header`." } }, "required": ["authentication"] },
))]
pub struct SourceSpec {
    /// What kind of sender it is: it decides how bodies are read and the defaults of everything below.
    pub kind: SourceKind,
    /// What the source is for, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How a delivery proves where it comes from: `none`, or exactly one of `hmac`, `bearer`, `basic` and `header`. Every kind needs it but
    /// `nats`, whose messages are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Authentication")]
    pub authentication: Option<Authentication>,
    /// The repositories it may speak of: what it says of pull requests, pushes and deployments of others counts for nothing. Every one
    /// unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryName>,
    /// The addresses that may send, as CIDR (`192.0.2.0/24`) or single addresses; absent or empty means every address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// The largest body accepted, in bytes as sent; 1 MiB (25 MiB for `github`) unless given, 64 MiB at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 67_108_864))]
    pub max_body_bytes: Option<u64>,
    /// How deep objects and lists may stand inside one another; 64 unless given, 127 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 127))]
    pub max_depth: Option<u32>,
    /// Allows bodies with `Content-Encoding: gzip`; they are refused without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gzip: Option<Gzip>,
    /// Headers that are kept with a delivery beside the kind's own, and that the mapping reads as `headers["name"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// How events are read from a body whose shape is the author's own. Needed by `generic`; makes `jira` read the bodies
    /// of "Send web request" actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// Has the sender asked, from time to time and at the start, for what no delivery brought. For `jira`, `alertmanager` and
    /// `github`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<ReconcileSpec>,
    /// Where messages are pulled from. Needed by `nats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsSpec>,
}

/// How a sender is asked for what no delivery brought.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReconcileSpec {
    /// How far apart the looks are; `RECONCILE_SECONDS` unless given, at least `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<SpecDuration>,
    /// What happened longer ago than this is left alone; `7d` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_back: Option<SpecDuration>,
    /// `jira`: the channel of the Jira whose tickets these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// `jira`: a JQL query that finds the tickets in the state that automations wait for, such as `project = OPS AND status = Approved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jql: Option<String>,
    /// `alertmanager`: its address, without `/api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `alertmanager`: the name of the receiver that sends to this source; alerts that are routed elsewhere are left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// `alertmanager`: who we are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<ReconcileAuthentication>,
    /// `alertmanager`: how long an alert has to be gone before it counts as resolved, because one that was started again has
    /// forgotten; `5m` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_for: Option<SpecDuration>,
}

/// Who we are at an Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReconcileAuthentication {
    /// A user and a password.
    #[serde(rename_all = "camelCase")]
    Basic {
        /// The user.
        username: String,
        /// Name of the secret that holds the password.
        secret: SecretName,
    },
    /// A token.
    #[serde(rename_all = "camelCase")]
    Bearer {
        /// Name of the secret that holds the token.
        secret: SecretName,
    },
}

impl ReconcileAuthentication {
    /// The secret it names.
    pub fn secret(&self) -> &SecretName {
        match self {
            Self::Basic { secret, .. } | Self::Bearer { secret } => secret,
        }
    }
}

/// A kind of sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// Jira Cloud, Jira Data Center and Jira Service Management.
    Jira,
    /// Prometheus Alertmanager, webhook payload version 4.
    Alertmanager,
    /// GitHub's webhooks, of a repository, an organization or an App.
    Github,
    /// Argo CD's notifications, with the template of docs/sources.md.
    Argocd,
    /// Flux's notification-controller, providers `generic` and `generic-hmac`.
    Flux,
    /// A stream of NATS JetStream, whose messages are pulled.
    Nats,
    /// Any sender of JSON, read through `mapping`.
    Generic,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [SourceKind; 7] =
        [SourceKind::Jira, SourceKind::Alertmanager, SourceKind::Github, SourceKind::Argocd, SourceKind::Flux, SourceKind::Nats, SourceKind::Generic];

    /// The word an author writes.
    pub fn as_str(self) -> &'static str {
        match self {
            SourceKind::Jira => "jira",
            SourceKind::Alertmanager => "alertmanager",
            SourceKind::Github => "github",
            SourceKind::Argocd => "argocd",
            SourceKind::Flux => "flux",
            SourceKind::Nats => "nats",
            SourceKind::Generic => "generic",
        }
    }
}

/// How a delivery proves where it comes from. Several secrets are valid at the same time, so that one can be replaced
/// without losing a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Authentication {
    /// Not at all: whoever reaches the address is believed. Warned about.
    None,
    /// A signature over the raw body.
    Hmac(Hmac),
    /// `Authorization: Bearer <secret>`.
    Bearer(Bearer),
    /// `Authorization: Basic`, with the secret as password.
    Basic(Basic),
    /// The secret as the value of a header.
    Header(HeaderToken),
}

/// A keyed hash over the raw bytes of the body. <https://www.rfc-editor.org/rfc/rfc2104>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hmac {
    /// The secrets that may have signed: one, or several while they are being replaced.
    #[schemars(length(min = 1, max = 8))]
    pub secrets: Vec<SecretName>,
    /// The hash.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The header that holds the signature; `X-Hub-Signature` for `jira`, `X-Hub-Signature-256` for `github`, else `X-Signature`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// What stands before the signature in the header; the algorithm and `=` (`sha256=`) unless given, and may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// A header with the time of sending in Unix seconds: then `time:body` is signed, and an old time is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// How many seconds the time of sending may lie from the time of receipt, either way; 300 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timestamp_tolerance_seconds: Option<u32>,
}

/// The hash of an HMAC. SHA-1 is not offered: every sender that used it offers SHA-256 too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256, 32 bytes.
    #[default]
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl Algorithm {
    /// The word in front of a signature, and the one an author writes.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal, in either case.
    #[default]
    Hex,
    /// Base64 with padding. <https://www.rfc-editor.org/rfc/rfc4648#section-4>
    Base64,
}

/// `Authorization: Bearer <secret>`. <https://www.rfc-editor.org/rfc/rfc6750#section-2.1>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bearer {
    /// The secrets that are accepted.
    #[schemars(length(min = 1, max = 8))]
    pub secrets: Vec<SecretName>,
}

/// `Authorization: Basic`. <https://www.rfc-editor.org/rfc/rfc7617>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Basic {
    /// The user, without a colon.
    pub username: String,
    /// The passwords that are accepted.
    #[schemars(length(min = 1, max = 8))]
    pub secrets: Vec<SecretName>,
}

/// A secret as the whole value of a header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderToken {
    /// The header.
    pub name: String,
    /// The secrets that are accepted.
    #[schemars(length(min = 1, max = 8))]
    pub secrets: Vec<SecretName>,
}

/// Allows bodies with `Content-Encoding: gzip`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gzip {
    /// The largest body after it is unpacked, in bytes; 64 MiB at most.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub max_bytes: u64,
}

/// How events are read from a body: CEL over `body` (the parsed JSON), `headers` (the kept headers, names in lower case)
/// and, with `each`, `item`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// A list: one event is read per entry, which the other expressions see as `item`. Without it a body is one event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
    /// The sender's own id of the event, a text or a whole number; `null` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event's type, such as `'deploy.finished'` (a text within the expression, so quoted twice in YAML).
    #[serde(rename = "type")]
    pub kind: String,
    /// What it happened to, a text or a whole number.
    pub subject: String,
    /// When it happened: RFC 3339 text, or milliseconds since 1970; the time of receipt where absent or `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What the event carries as `event.data`; the body, or the `item`, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}
