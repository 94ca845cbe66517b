//! What is said of the end of a run (a Job, a PipelineRun), in the same words whoever says it: `run` in the data of an event.
//! A mapping that does not fit is told to its sender, not found out when nothing happens.

use super::deployment::check_name;
use crate::types::Timestamp;
use serde_json::Value;

/// The types that say so. Whatever else is said of a run is no end.
const TYPES: [&str; 2] = ["run.succeeded", "run.failed"];

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
