//! What is said of the end of a run (a Job, a PipelineRun), in the same words whoever says it: `run` in the data of an event.
//! A mapping that does not fit is told to its sender, not found out when nothing happens.

use super::deployment::check_name;
use crate::types::Timestamp;
use serde_json::Value;

/// The types that say so. Whatever else is said of a run is no end.
const TYPES: [&str; 2] = ["run.succeeded", "run.failed"];
/// As long as a name of Kubernetes may be, and by far the longest kind, group or cluster.
pub(crate) const LONGEST_NAME: usize = 253;

/// Refuses the data of an event that says a run to be finished and does not say which, with what is wrong with it.
pub(super) fn check(kind: &str, data: &Value) -> Result<(), String> {
    if !TYPES.contains(&kind) {
        return Ok(());
    }
    let run = data.get("run").filter(|run| run.is_object()).ok_or_else(|| format!("gives no object `run`, which {kind} needs"))?;
    for field in ["kind", "name", "namespace", "apiVersion", "group", "cluster", "message", "finishedAt"] {
        let value = match run.get(field) {
            None | Some(Value::Null) if ["kind", "name"].contains(&field) => return Err(format!("gives no `run.{field}`, which {kind} needs")),
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text,
            Some(_) => return Err(format!("gives a `run.{field}` that is no text")),
        };
        match field {
            "kind" | "apiVersion" | "group" | "cluster" if value.len() > LONGEST_NAME => {
                return Err(format!("gives a `run.{field}` of more than {LONGEST_NAME} bytes"));
            }
            "kind" if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                return Err(format!("gives a `run.kind` that is no kind: {value:?}"));
            }
            "name" | "namespace" => check_name(value, field).map_err(|_| format!("gives a `run.{field}` that no object can have: {value:?}"))?,
            "finishedAt" => drop(value.parse::<Timestamp>().map_err(|error| format!("gives a `run.finishedAt` that is no time: {error}"))?),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(kind: &str, data: Value) -> String {
        check(kind, &data).expect_err("it is refused")
    }

    #[test]
    fn the_end_of_a_run_says_which_run_it_is() {
        let bare = json!({ "run": { "kind": "Job", "name": "backup" } });
        let whole = json!({ "run": { "kind": "PipelineRun", "name": "backup.1", "namespace": "ops", "apiVersion": "tekton.dev/v1", "group": "tekton.dev",
            "cluster": "prod-eu", "message": "the disk is full", "finishedAt": "2026-11-20T12:00:00Z" } });
        let nothing = json!({ "run": { "kind": "Job", "name": "backup", "namespace": null, "finishedAt": null, "cluster": null } });
        for kind in TYPES {
            for data in [&bare, &whole, &nothing] {
                assert_eq!(check(kind, data), Ok(()), "{kind} {data}");
            }
        }
    }

    #[test]
    fn what_does_not_say_which_is_refused_with_what_is_wrong() {
        for data in [json!({}), json!({ "run": null }), json!({ "run": "backup" }), json!({ "run": ["Job", "backup"] }), Value::Null] {
            assert_eq!(wrong("run.succeeded", data), "gives no object `run`, which run.succeeded needs");
        }
        let with = |field: &str, value: Value| {
            let mut data = json!({ "run": { "kind": "Job", "name": "backup" } });
            data["run"][field] = value;
            wrong("run.failed", data)
        };
        for field in ["kind", "name"] {
            assert_eq!(with(field, Value::Null), format!("gives no `run.{field}`, which run.failed needs"));
        }
        for field in ["kind", "name", "namespace", "apiVersion", "group", "cluster", "message", "finishedAt"] {
            assert_eq!(with(field, json!(7)), format!("gives a `run.{field}` that is no text"));
        }
        for kind in ["", "batch/Job", "Job "] {
            assert_eq!(with("kind", json!(kind)), format!("gives a `run.kind` that is no kind: {kind:?}"));
        }
        for field in ["name", "namespace"] {
            for name in ["", "Backup", "back up", "-backup", &"a".repeat(254)] {
                assert_eq!(with(field, json!(name)), format!("gives a `run.{field}` that no object can have: {name:?}"));
            }
        }
        for field in ["kind", "apiVersion", "group", "cluster"] {
            assert_eq!(with(field, json!("a".repeat(254))), format!("gives a `run.{field}` of more than 253 bytes"));
        }
        let when = with("finishedAt", json!("yesterday"));
        assert!(when.starts_with("gives a `run.finishedAt` that is no time: "), "{when}");
    }

    #[test]
    fn what_is_no_end_may_say_what_it_likes() {
        for kind in ["run.started", "run.succeeded.again", "deployment.applied", "Run.Failed"] {
            assert_eq!(check(kind, &json!({ "run": 7 })), Ok(()), "{kind}");
        }
    }
}
