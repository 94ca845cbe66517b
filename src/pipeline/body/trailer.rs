//! What a machine wants to know of a pull request, as the last line of its body: JSON in a comment that nobody sees.

use crate::request::Request;
use crate::types::{AutomationName, CommitSha, EventId, RequestId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const BEGIN: &str = "<!-- kubeops: ";
const END: &str = " -->";

/// Which request a pull request is of, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// The request.
    pub request: RequestId,
    /// The automation.
    pub automation: AutomationName,
    /// The event that asked for it.
    pub event: EventId,
    /// The commit of the base branch it was computed on.
    pub base: Option<CommitSha>,
    /// The templates that made it, and the digest of each.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
}

impl Trailer {
    /// The trailer of a request's pull request.
    pub fn of(request: &Request) -> Self {
        let templates = request.changes.as_ref().map(|changes| changes.evidence.templates.clone()).unwrap_or_default();
        Self {
            request: request.id.clone(),
            automation: request.key.automation.clone(),
            event: request.event.id.clone(),
            base: request.base.clone(),
            templates,
        }
    }

    /// Reads the trailer of a body: its last line, and no other, so that no text above can pass for it.
    pub fn read(body: &str) -> Option<Self> {
        let line = body.trim_end().rsplit('\n').next()?;
        serde_json::from_str(line.strip_prefix(BEGIN)?.strip_suffix(END)?).ok()
    }
}

impl std::fmt::Display for Trailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        // Nothing in it may end the comment (HTML, 13.1.6). These stand within strings only, where JSON takes escapes for them.
        let json = json.replace("--", "-\\u002d").replace('<', "\\u003c").replace('>', "\\u003e");
        write!(f, "{BEGIN}{json}{END}")
    }
}
