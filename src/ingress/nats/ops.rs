//! The subjects of Ops (`crd.chenshaowen.com`): what their tokens say, as data. Tokens are texts of whoever publishes, and no more.

use serde_json::{Value, json};

/// What a subject of Ops says.
pub(super) struct Told {
    /// What the event is called, before it is made a type: `ops.taskruns.status`.
    pub(super) kind: String,
    /// What it is about: `prod-eu/ops-system/taskruns/backup`.
    pub(super) subject: String,
    /// The tokens by name.
    pub(super) data: Value,
}

/// Reads a subject; none that is not of Ops.
pub(super) fn read(subject: &str) -> Option<Told> {
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens.as_slice() {
        // A name may hold dots: what follows the kind but the last token is the name.
        ["ops", "clusters", cluster, "namespaces", namespace, resource, name @ .., event] if !name.is_empty() => {
            let name = name.join(".");
            Some(Told {
                kind: format!("ops.{resource}.{event}"),
                subject: format!("{cluster}/{namespace}/{resource}/{name}"),
                data: json!({ "cluster": cluster, "namespace": namespace, "resource": resource, "name": name, "event": event }),
            })
        }
        ["ops", "notifications", "providers", provider, "channels", channel, "severities", severity] => Some(Told {
            kind: "ops.notification".to_owned(),
            subject: format!("{provider}/{channel}"),
            data: json!({ "provider": provider, "channel": channel, "severity": severity }),
        }),
        _ => None,
    }
}
