//! What GitHub itself says of a commit that was merged: a deployment to an environment, a commit status, a check run. Of the many there
//! are, only those that the repository names, and environments that have the name of a cluster, say whether a change is in force.

use super::InForce;
use crate::event::Event;
use crate::forge::WINDOW_CONTEXT;
use crate::inventory::{AppliedBySpec, Repository};
use crate::store::DeploymentStanding;
use serde_json::Value;

/// What was said, before anybody asks about which commit.
pub(super) struct Said<'e> {
    /// The name of the environment, status or check run.
    pub(super) name: &'e str,
    /// The cluster, where the environment has its name.
    pub(super) cluster: Option<&'e str>,
    pub(super) revision: &'e str,
    pub(super) standing: DeploymentStanding,
    pub(super) message: Option<&'e str>,
}

/// What the event says of a commit of this repository; none where that is of no importance.
pub(super) fn said<'e>(rules: &InForce, event: &'e Event, repository: &Repository) -> Option<Said<'e>> {
    let text = |pointer: &str| event.data.pointer(pointer).and_then(Value::as_str);
    // What we say of a commit ourselves says nothing of where it runs, whatever the repository names.
    let named = |names: fn(&AppliedBySpec) -> &Vec<String>, name: &str| name != WINDOW_CONTEXT && repository.spec.applied_by.names(names, name);
    let (name, revision, state, message, cluster) = match event.kind.as_str() {
        "deployment_status.created" => {
            let name = text("/deployment_status/environment").or_else(|| text("/deployment/environment"))?;
            let cluster = rules.set.inventory.clusters.get(name).filter(|cluster| cluster.repository == repository.name).map(|_| name);
            if cluster.is_none() && !named(|by| &by.environments, name) {
                return None;
            }
            (name, text("/deployment/sha")?, text("/deployment_status/state")?, text("/deployment_status/description"), cluster)
        }
        "status" => {
            let name = text("/context").filter(|name| named(|by| &by.statuses, name))?;
            (name, text("/sha")?, text("/state")?, text("/description"), None)
        }
        "check_run.completed" => {
            let name = text("/check_run/name").filter(|name| named(|by| &by.checks, name))?;
            (name, text("/check_run/head_sha")?, text("/check_run/conclusion")?, text("/check_run/output/title"), None)
        }
        _ => return None,
    };
    let standing = match state {
        "success" => DeploymentStanding::Applied,
        "failure" | "error" | "timed_out" => DeploymentStanding::Failed,
        // Under way, or nobody's word.
        _ => return None,
    };
    Some(Said { name, cluster, revision, standing, message: message.filter(|message| !message.is_empty()) })
}
