//! Whether a value goes back and forth: what a request would change, held beside what earlier requests changed. Pure.
//! What is still open is never taken for done, and of Secrets nothing is compared.

use super::{Changes, PullRef};
use crate::manifest::{Action, FieldChange, ObjectChange};
use crate::types::{RequestId, Timestamp};
use serde_json::Value;

/// The value of what is not there.
const ABSENT: &str = "(absent)";
/// The value of an object that is there, whatever it says.
const THERE: &str = "(there)";
/// Characters of a value that are told.
const TOLD: usize = 60;

/// What an earlier request did: it changed this, and its pull request is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Touch {
    /// The request.
    pub request: RequestId,
    /// Its pull request.
    pub pull: Option<PullRef>,
    /// What it changes.
    pub changes: Changes,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// When it was merged, withdrawn or closed.
    pub ended_at: Timestamp,
    /// Whether it was merged.
    pub merged: bool,
}

/// A value that goes back and forth.
#[derive(Debug, Clone, PartialEq)]
pub struct Oscillation {
    /// The object in its file.
    pub object: ObjectChange,
    /// The field; empty for the object as a whole.
    pub field: String,
    /// What the value is,
    pub old: String,
    /// and what it would become once more.
    pub new: String,
    /// How often it was changed back and forth, this time counted: each time it took a value it had before, and the first change.
    pub changes: u32,
    /// What happened to it, oldest first, without what is asked for now.
    pub steps: Vec<Step>,
}

/// One change of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When; none where nobody told us.
    pub at: Option<Timestamp>,
    /// From this value
    pub old: String,
    /// to that.
    pub new: String,
    /// Who did it.
    pub by: By,
}

/// Who changed a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// This request's pull request was merged.
    Merged(RequestId, Option<PullRef>),
    /// This request proposed it, and was not merged.
    Proposed(RequestId, Option<PullRef>),
    /// That proposal was withdrawn or closed.
    TakenBack(RequestId, Option<PullRef>),
    /// Somebody who is no request of ours.
    Another,
}

/// A place and its value before and after.
struct Place {
    field: String,
    old: String,
    new: String,
}

/// The values that `wanted` would take back to what they were before, and so change back and forth more than `most` times since
/// `since`. A proposal that was withdrawn or closed counts as a change and its taking back.
pub fn oscillations(wanted: &Changes, touches: &[Touch], since: Timestamp, most: u32) -> Vec<Oscillation> {
    let mut found = Vec::new();
    for object in &wanted.objects {
        for Place { field, old, new } in places(object) {
            let known = steps_at(object, &field, touches, since);
            let Some((changes, steps)) = back_and_forth(&old, &new, &known).filter(|(changes, _)| *changes > most) else { continue };
            found.push(Oscillation { object: object.clone(), field, old: brief(&old), new: brief(&new), changes, steps });
        }
    }
    found
}

/// The values a change of an object changes.
fn places(change: &ObjectChange) -> Vec<Place> {
    let whole = |old: &str, new: &str| vec![Place { field: String::new(), old: old.to_owned(), new: new.to_owned() }];
    match change.action {
        Action::Added => whole(ABSENT, THERE),
        Action::Removed => whole(THERE, ABSENT),
        Action::Changed => {
            let fields = change.fields.iter().flat_map(FieldChange::leaves).filter(|field| !field.is_masked());
            fields.map(|field| Place { old: text(field.old), new: text(field.new), field: field.path }).collect()
        }
    }
}

fn text(value: Option<Value>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| value.to_string())
}

/// What happened to one place, oldest first.
fn steps_at(object: &ObjectChange, field: &str, touches: &[Touch], since: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    for touch in touches {
        let theirs = touch.changes.objects.iter().filter(|theirs| theirs.is_about_the_same(object));
        for place in theirs.flat_map(places).filter(|place| place.field == field) {
            let who = || (touch.request.clone(), touch.pull.clone());
            let (there, back) = ((place.old.clone(), place.new.clone()), (place.new, place.old));
            let step = |at, (old, new), by| Step { at: Some(at), old, new, by };
            let (request, pull) = who();
            if touch.merged {
                steps.push(step(touch.ended_at, there, By::Merged(request, pull)));
            } else {
                steps.push(step(touch.planned_at, there, By::Proposed(request, pull)));
                let (request, pull) = who();
                steps.push(step(touch.ended_at, back, By::TakenBack(request, pull)));
            }
        }
    }
    steps.retain(|step| step.at.is_some_and(|at| at >= since));
    steps.sort_by_key(|step| step.at);
    steps
}

/// How often the place was changed back and forth, where `new` takes it back once more; and what happened to it, with what
/// somebody else must have done in between.
fn back_and_forth(old: &str, new: &str, known: &[Step]) -> Option<(u32, Vec<Step>)> {
    let (mut former, mut current, mut returns, mut steps): (Vec<&str>, Option<&str>, u32, Vec<Step>) = (Vec::new(), None, 0, Vec::new());
    for step in known {
        let is_certain = matches!(step.by, By::Merged(..));
        if let Some(between) = current.filter(|current| is_certain && *current != step.old) {
            returns += u32::from(former.contains(&step.old.as_str()));
            steps.push(Step { at: None, old: between.to_owned(), new: step.old.clone(), by: By::Another });
            current = Some(&step.old);
        }
        returns += u32::from(current.is_some_and(|current| current != step.new) && former.contains(&step.new.as_str()));
        former.extend([step.old.as_str(), step.new.as_str()]);
        current = Some(&step.new);
        steps.push(step.clone());
    }
    if let Some(between) = current.filter(|current| *current != old) {
        returns += u32::from(former.contains(&old));
        steps.push(Step { at: None, old: between.to_owned(), new: old.to_owned(), by: By::Another });
    }
    former.contains(&new).then_some((returns + 2, steps))
}

/// A value as it is told.
fn brief(value: &str) -> String {
    match value.char_indices().nth(TOLD) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}…", &value[..end]),
    }
}

impl std::fmt::Display for Oscillation {
    /// The place.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.object.file {
            write!(f, "{file}, ")?;
        }
        f.write_str(&self.object.what())?;
        if self.field.is_empty() { Ok(()) } else { write!(f, ", {}", self.field) }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}", brief(&self.old), brief(&self.new))?;
        self.at.iter().try_for_each(|at| write!(f, " at {at}"))?;
        let (what, request, pull) = match &self.by {
            By::Merged(request, pull) => ("merged", request, pull),
            By::Proposed(request, pull) => ("proposed", request, pull),
            By::TakenBack(request, pull) => ("taken back", request, pull),
            By::Another => return f.write_str(" by somebody else"),
        };
        write!(f, " ({what}, {request}")?;
        pull.iter().try_for_each(|pull| write!(f, ", pull request #{}", pull.number))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_795_000_000_000 + minute * 60_000)
    }

    /// A change of one object's field, in the form the store keeps it.
    fn changes(file: &str, action: &str, field: &str, old: Value, new: Value) -> Changes {
        let fields = if action == "changed" { json!([{ "path": field, "old": old, "new": new }]) } else { json!([]) };
        let object = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "namespace": "web", "name": "api" });
        let whole = json!({
            "files": [file], "cut": false, "first": null,
            "objects": [{ "file": file, "document": 0, "object": object, "action": action, "fields": fields }],
            "evidence": { "kubernetes": "1.33", "schemas": [], "unchecked": [], "templates": {} },
        });
        serde_json::from_value(whole).expect("changes")
    }

    fn replicas(old: u32, new: u32) -> Changes {
        changes("apps/web/hpa.yaml", "changed", "spec.maxReplicas", json!(old), json!(new))
    }

    fn touch(number: i64, changes: Changes) -> Touch {
        let request = RequestId::from_parts(at(number), 1);
        Touch { request, pull: None, changes, planned_at: at(number), ended_at: at(number), merged: true }
    }

    fn counted(touches: &[Touch], wanted: &Changes) -> Option<u32> {
        oscillations(wanted, touches, at(0), 0).first().map(|found| found.changes)
    }

    #[test]
    fn a_value_that_alternates_changes_back_and_forth_from_the_second_time_on() {
        let values = [6, 9];
        let mut history = Vec::new();
        for number in 0..6 {
            let wanted = replicas(values[number % 2], values[(number + 1) % 2]);
            let before = u32::try_from(number).expect("small");
            assert_eq!(counted(&history, &wanted), (before > 0).then_some(before + 1), "after {number} changes");
            history.push(touch(i64::from(before), wanted));
        }
    }

    #[test]
    fn a_value_that_goes_on_or_is_another_one_does_not_return() {
        let up: Vec<Touch> = [(1, 2), (2, 3), (3, 4)].into_iter().zip(0..).map(|((old, new), n)| touch(n, replicas(old, new))).collect();
        assert_eq!(counted(&up, &replicas(4, 5)), None);
        assert_eq!(counted(&up, &replicas(4, 1)), Some(2), "once forth, once back");
        let elsewhere = touch(1, changes("apps/web/other.yaml", "changed", "spec.maxReplicas", json!(6), json!(9)));
        let other_field = touch(1, changes("apps/web/hpa.yaml", "changed", "spec.minReplicas", json!(6), json!(9)));
        assert_eq!(counted(&[elsewhere, other_field], &replicas(9, 6)), None);
        assert_eq!(counted(&[touch(-5, replicas(6, 9)), touch(-4, replicas(9, 6))], &replicas(6, 9)), None, "that is over");
    }

    #[test]
    fn what_is_proposed_and_taken_back_goes_forth_and_back() {
        let flap = |number| Touch { ended_at: at(number + 1), merged: false, ..touch(number, replicas(6, 9)) };
        assert_eq!(counted(&[flap(0)], &replicas(6, 9)), Some(3));
        assert_eq!(counted(&[flap(0), flap(2)], &replicas(6, 9)), Some(5));
    }

    #[test]
    fn objects_come_and_go_and_of_secrets_nothing_is_compared() {
        let whole = |action| changes("apps/web/hpa.yaml", action, "", Value::Null, Value::Null);
        let history = [touch(0, whole("added")), touch(1, whole("removed"))];
        assert_eq!(counted(&history, &whole("added")), Some(3));
        let secret = || changes("apps/web/hpa.yaml", "changed", "data.password", json!("***"), json!("***"));
        assert_eq!(counted(&[touch(0, secret()), touch(1, secret())], &secret()), None);
        // A whole mapping that came is told of each of its values.
        let mapping = changes("apps/web/hpa.yaml", "changed", "spec", Value::Null, json!({ "maxReplicas": 9 }));
        assert_eq!(counted(&[touch(0, mapping)], &replicas(9, 6)), None);
        let gone = changes("apps/web/hpa.yaml", "changed", "spec.maxReplicas", json!(9), Value::Null);
        let again = changes("apps/web/hpa.yaml", "changed", "spec.maxReplicas", Value::Null, json!(9));
        assert_eq!(counted(&[touch(0, again.clone()), touch(1, gone)], &again), Some(3));
    }

    #[test]
    fn who_undoes_ours_by_hand_is_counted_and_named() {
        let history = [touch(0, replicas(6, 9)), touch(10, replicas(6, 9))];
        let found = oscillations(&replicas(6, 9), &history, at(0), 4);
        assert_eq!((found.len(), found[0].changes), (1, 5));
        let told: Vec<String> = found[0].steps.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(told[0].starts_with("6 -> 9 at 20") && told[0].contains("(merged, req_"), "{told:#?}");
        assert_eq!((told[1].as_str(), told[3].as_str()), ("9 -> 6 by somebody else", "9 -> 6 by somebody else"));
        assert_eq!(found[0].to_string(), "apps/web/hpa.yaml, HorizontalPodAutoscaler web/api, spec.maxReplicas");
        assert_eq!(oscillations(&replicas(6, 9), &history, at(0), 5), []);
    }
}
