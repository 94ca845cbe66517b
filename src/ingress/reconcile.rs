//! How a sender is asked for what no delivery brought: the `reconcile:` of a source, checked. Nobody is asked in here.

use super::{Mapping, ReconcileAuthentication, ReconcileSpec, SourceKind, SpecError};
use crate::types::{ChannelName, SpecDuration, is_loopback};
use std::time::Duration;
use url::Url;

/// How far back is looked unless the author says so.
const LOOK_BACK: SpecDuration = SpecDuration::from_millis(7 * 86_400_000);
/// How long an alert has to be gone unless the author says so.
const GONE_FOR: SpecDuration = SpecDuration::from_millis(5 * 60_000);
/// The shortest time between two looks.
const SHORTEST: SpecDuration = SpecDuration::from_millis(1_000);
/// The longest JQL query, in characters.
const LONGEST_JQL: usize = 4_000;

/// What a sender is asked, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconcile {
    /// How far apart the looks are, where it is said.
    pub every: Option<Duration>,
    /// What happened longer ago is left alone.
    pub look_back: Duration,
    /// Who is asked for what.
    pub asks: Asks,
}

/// Who is asked for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// A Jira for the tickets a query finds.
    Jira {
        /// The channel that is this Jira.
        channel: ChannelName,
        /// The query.
        jql: String,
    },
    /// An Alertmanager for its alerts.
    Alertmanager {
        /// Its address, without a slash at its end.
        url: String,
        /// The receiver whose alerts these are.
        receiver: String,
        /// Who we are there.
        authentication: Option<ReconcileAuthentication>,
        /// How long an alert has to be gone before it counts as resolved.
        gone_for: Duration,
    },
    /// GitHub for comments, and for deliveries of an App that did not get through.
    Github,
}

/// Checks `spec` of a source of this kind; all errors together.
pub(super) fn compile(kind: SourceKind, spec: ReconcileSpec, mapping: Option<&Mapping>) -> Result<Reconcile, Vec<SpecError>> {
    let ReconcileSpec { every, look_back, channel, jql, url, receiver, authentication, gone_for } = spec;
    let mut errors = Vec::new();
    let mut error = |field: &str, message: &str, hint: &str| {
        let pointer = if field.is_empty() { "/reconcile".to_owned() } else { format!("/reconcile/{field}") };
        errors.push(SpecError::new(pointer, message).hint(hint));
    };
    if every.is_some_and(|every| every < SHORTEST) {
        error("every", "looks are at least 1s apart", "10m is usual");
    }
    let given = [
        ("channel", "jira", channel.is_some()),
        ("jql", "jira", jql.is_some()),
        ("url", "alertmanager", url.is_some()),
        ("receiver", "alertmanager", receiver.is_some()),
        ("authentication", "alertmanager", authentication.is_some()),
        ("goneFor", "alertmanager", gone_for.is_some()),
    ];
    for (field, of, _) in given.into_iter().filter(|(_, of, given)| *given && *of != kind.as_str()) {
        error(field, &format!("this goes with a source of kind {of}"), "leave it out");
    }
    let asks = match kind {
        SourceKind::Jira => {
            if mapping.is_some() {
                error("", "what a mapping reads has a shape of its own, which Jira's search does not give", "use a source without `mapping`");
            }
            if jql.as_ref().is_some_and(|jql| jql.trim().is_empty() || jql.chars().count() > LONGEST_JQL) {
                error("jql", "a query has 1 to 4000 characters", "for example: project = OPS AND status = Approved");
            }
            match (channel, jql) {
                (Some(channel), Some(jql)) => Some(Asks::Jira { channel, jql }),
                _ => {
                    error("", "a Jira is asked on a `channel` with a `jql`", "channel: service-desk, jql: project = OPS AND status = Approved");
                    None
                }
            }
        }
        SourceKind::Alertmanager => match (url, receiver) {
            (Some(url), Some(receiver)) => {
                if let Some(message) = unsafe_address(&url, authentication.is_some()) {
                    error("url", message, "for example: http://alertmanager:9093, and https:// where there is `authentication`");
                }
                let gone_for = gone_for.unwrap_or(GONE_FOR).get();
                Some(Asks::Alertmanager { url: url.trim_end_matches('/').to_owned(), receiver, authentication, gone_for })
            }
            _ => {
                let hint = "url: http://alertmanager:9093, receiver: the name in alertmanager.yml";
                error("", "an Alertmanager is asked at a `url` for the alerts of a `receiver`", hint);
                None
            }
        },
        SourceKind::Github => Some(Asks::Github),
        SourceKind::Argocd | SourceKind::Flux | SourceKind::Nats | SourceKind::Generic => {
            error("", "nobody can be asked for what this kind of source did not bring", "leave `reconcile` out");
            None
        }
    };
    match asks {
        Some(asks) if errors.is_empty() => {
            Ok(Reconcile { every: every.map(SpecDuration::get), look_back: look_back.unwrap_or(LOOK_BACK).get(), asks })
        }
        _ => Err(errors),
    }
}

/// What is wrong with an address, said without it: it may hold a password.
fn unsafe_address(given: &str, secret: bool) -> Option<&'static str> {
    let Ok(url) = Url::parse(given) else { return Some("this is no URL") };
    if !url.username().is_empty() || url.password().is_some() {
        Some("an address holds no user name and no password; they go into `authentication`")
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("an Alertmanager's address has no `?` and no `#`")
    } else if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        Some("an Alertmanager is asked over http:// or https://")
    } else if secret && url.scheme() == "http" && !is_loopback(&url) {
        Some("the secret would be sent in the clear; only https:// will do, but on this machine")
    } else {
        None
    }
}
