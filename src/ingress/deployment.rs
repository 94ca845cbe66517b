//! What a delivery tool says of a deployment, in the same words whichever tool it is: the types, and `deployment` in the data.
//! It reads no sender's body itself, and never takes a `deployment` that a sender brings along for its own.

use super::IngressError;
use serde_json::{Map, Value, json};

/// What is in the repository runs in the cluster.
pub(super) const APPLIED: &str = "deployment.applied";
/// It was applied, or should have been, and is not well.
pub(super) const DEGRADED: &str = "deployment.degraded";
/// Applying it failed.
pub(super) const FAILED: &str = "deployment.failed";

/// What is said of a deployment.
#[derive(Debug, Default)]
pub(super) struct Deployment {
    /// What was deployed, as the sender writes it: one for each repository it comes from.
    pub(super) revisions: Vec<String>,
    pub(super) cluster: Option<String>,
    /// The address of its API server.
    pub(super) server: Option<String>,
    /// Directories of the repositories that it is made from.
    pub(super) paths: Vec<String>,
    pub(super) application: String,
    pub(super) message: Option<String>,
    pub(super) urls: Vec<String>,
}

impl Deployment {
    /// The body as an event's data, with what it says as `deployment`.
    pub(super) fn within(self, mut body: Map<String, Value>) -> Value {
        let revisions: Vec<&str> = self.revisions.iter().map(|revision| commit_in(revision).unwrap_or(revision)).collect();
        // Where there are several the commit counts: the others are versions of charts.
        let revision = self.revisions.iter().find_map(|revision| commit_in(revision)).or(revisions.first().copied());
        let deployment = json!({
            "revision": revision,
            "revisions": revisions,
            "cluster": self.cluster,
            "server": self.server,
            "paths": self.paths,
            "application": self.application,
            "message": self.message,
            "url": self.urls,
        });
        body.insert("deployment".to_owned(), deployment);
        Value::Object(body)
    }
}

/// The commit in a revision: `<sha>`, `main@sha1:<sha>`, `sha1:<sha>` and, as older Flux has it, `main/<sha>`.
pub(super) fn commit_in(revision: &str) -> Option<&str> {
    let bare = match revision.rsplit_once("sha1:") {
        Some((before, sha)) if before.is_empty() || before.ends_with('@') => sha,
        _ => revision.rsplit_once('/').map_or(revision, |(_, sha)| sha),
    };
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (bare.len() == 40 && bare.bytes().all(hexadecimal)).then_some(bare)
}

/// The text at `place`; none where there is `null`, an empty text or nothing.
pub(super) fn text(body: &Map<String, Value>, place: &str) -> Result<Option<String>, IngressError> {
    let mut names = place.split('/').skip(1);
    let first = names.next().and_then(|name| body.get(name));
    match names.try_fold(first, |value, name| Some(value?.get(name))).flatten() {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(IngressError::malformed(place, "this is a text")),
    }
}

/// Refuses what is not the name of an object as Kubernetes has them.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>
pub(super) fn check_name(name: &str, place: &str) -> Result<(), IngressError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.len() <= 253 && name.bytes().all(inner) && name.starts_with(edge) && name.ends_with(edge) {
        return Ok(());
    }
    Err(IngressError::malformed(place, "the name of an object has lower-case letters, digits, `-` and `.`, 253 characters at most"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_found_in_every_form_of_a_revision() {
        let sha = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1";
        for revision in [sha.to_owned(), format!("main@sha1:{sha}"), format!("sha1:{sha}"), format!("main/{sha}"), format!("team/a/b@sha1:{sha}")] {
            assert_eq!(commit_in(&revision), Some(sha), "{revision}");
        }
        let digest = "b".repeat(64);
        for revision in ["", "6.5.0", "main", &format!("latest@sha256:{digest}"), &format!("{sha}0"), &sha.to_uppercase(), &format!("xsha1:{sha}")] {
            assert_eq!(commit_in(revision), None, "{revision}");
        }
    }

    #[test]
    fn of_several_revisions_the_commit_counts_and_without_one_the_first() {
        let of = |revisions: &[&str]| {
            let deployment = Deployment { revisions: revisions.iter().map(|text| (*text).to_owned()).collect(), ..Deployment::default() };
            deployment.within(Map::new())["deployment"].clone()
        };
        let sha = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1";
        assert_eq!(of(&["6.5.0", sha])["revision"], sha);
        assert_eq!(of(&["6.5.0", "1.0.0"])["revision"], "6.5.0");
        assert_eq!((&of(&[])["revision"], &of(&[])["revisions"]), (&Value::Null, &json!([])));
    }
}
