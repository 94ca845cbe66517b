//! The pure half of taking a merged change back: what its request is called, where it goes, what its pull request says, and the change
//! on a base of today. Everything it needs was kept when it was opened.

use super::body::markdown::{code, link};
use super::planning::{Stop, Ungated};
use crate::inventory::{Inventory, Target};
use crate::plan::{BaseTree, PullText, Undone};
use crate::request::{Changes, Place, Request, RevertCause, Reverts};
use crate::types::{DirectoryPath, RepositoryName, RequestId, Timestamp};
use sha2::{Digest, Sha256};

/// The type of the event that stands for taking a change back.
pub(super) const REVERTED: &str = "kubeops.request.reverted";

/// The correlation key of what takes a request back: so at most one lives.
pub(super) fn correlation(request: &RequestId) -> String {
    format!("revert of {request}")
}

/// The id of the request that takes a request back at the end of its time: asked for again after a crash it is the same one.
pub(super) fn at_the_end(request: &RequestId, end: Timestamp) -> RequestId {
    let digest = Sha256::digest(format!("{request}/{}", end.unix_millis()));
    let mut random = [0_u8; 16];
    random.copy_from_slice(&digest[..16]);
    RequestId::from_parts(end, u128::from_be_bytes(random))
}

/// Where a request's change went. What was planned without keeping that, and a group, is of the cluster whose directory holds all of it.
pub(super) fn place(request: &Request, repository: &RepositoryName, inventory: &Inventory) -> Place {
    let kept = request.changes.as_ref().and_then(|changes| changes.place.clone());
    kept.unwrap_or_else(|| {
        let files = request.changes.as_ref().map(|changes| changes.files.as_slice()).unwrap_or_default();
        let holds_all =
            inventory.clusters.iter().filter(|(_, spec)| spec.repository == *repository && files.iter().all(|file| spec.path.contains(file)));
        let narrowest = holds_all.max_by_key(|(_, spec)| spec.path.as_str().len());
        narrowest.map_or(Place { cluster: None, path: DirectoryPath::root() }, |(name, spec)| Place {
            cluster: Some(name.clone()),
            path: spec.path.clone(),
        })
    })
}

/// Where what takes a change back goes: to where the change went, under what holds there today.
pub(super) fn target(inventory: &Inventory, reverts: &Reverts) -> Result<Target, Stop> {
    let Reverts { repository, place, .. } = reverts;
    let cluster = place.cluster.as_ref().filter(|name| inventory.clusters.get(*name).is_some_and(|spec| spec.repository == *repository));
    let target = match cluster {
        Some(cluster) => inventory.by_cluster(cluster.as_str()),
        None => inventory.by_repository(repository.as_str(), place.path.clone()),
    };
    let target = target.map_err(|unknown| Stop::refused(unknown.to_string()))?;
    Ok(Target { path: place.path.clone(), ..target })
}

/// The change on this base; what somebody else has changed since is a note for whoever reviews it.
pub(super) fn ungated(reverts: &Reverts, base: &dyn BaseTree) -> Result<Ungated, Stop> {
    let Undone { mut change, left } = reverts.inverse.apply(base, &reverts.place.path)?;
    change.notes.extend(left);
    Ok(Ungated { change, text: reverts.text.clone(), expiry: None })
}

/// How the pull request that takes a request back looks. It is merged by itself only where its time to live says so.
pub(super) fn text(request: &Request, why: &str, cause: RevertCause, people_at: &str) -> PullText {
    let what = link(request.id.as_str(), &format!("{people_at}/requests/{}", request.id));
    let pull = request.pull.as_ref().map(|pull| format!(", pull request #{}", pull.number)).unwrap_or_default();
    let merged = request.merged.as_ref().map(|merged| format!(", merged as {}", code(&merged.as_str()[..12]))).unwrap_or_default();
    let body = format!(
        "Takes back what request {what} changed{pull}{merged}.\n\nWhy: {}.\n\nWhat somebody else has changed since is left as it is, and named below.",
        code(why)
    );
    let lifetime = request.changes.as_ref().and_then(|changes| changes.expiry.as_ref()).map(|expiry| expiry.lifetime);
    let known = request.text.clone();
    let title = known.as_ref().map_or_else(|| format!("Revert request {}", request.id), |text| format!("Revert \"{}\"", text.title));
    PullText {
        title,
        body: Some(body),
        labels: known.as_ref().map(|text| text.labels.clone()).unwrap_or_default(),
        reviewers: known.as_ref().map(|text| text.reviewers.clone()).unwrap_or_default(),
        assignees: known.as_ref().map(|text| text.assignees.clone()).unwrap_or_default(),
        milestone: known.and_then(|text| text.milestone),
        draft: false,
        auto_merge: lifetime.and_then(|lifetime| lifetime.auto_merge).filter(|_| cause == RevertCause::TimeIsOver),
    }
}

/// What was planned of a request: without it there is nothing to take back.
pub(super) fn planned(request: &Request) -> Option<(&RepositoryName, &Changes)> {
    request.repository.as_ref().zip(request.changes.as_ref())
}
