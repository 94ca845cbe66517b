//! Which values a request changes where, and whether a place goes back and forth between values it had before.
//! Pure. It knows no more of a Secret than that its values differ, and what was only proposed it never takes for done.

use super::PullRef;
use crate::manifest::{Action, FieldChange, ObjectChange};
use crate::plan::{BaseTree, FileChange, TreeError};
use crate::types::{ManifestPath, RequestId, Timestamp};
use crate::validate::ValidatedChange;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Values that are kept of one file; of more, only that the file differs.
const MOST_WRITES: usize = 200;
/// Characters of a value that are kept as they are.
const KEPT: usize = 120;
/// The value of what is not there.
const ABSENT: &str = "(absent)";
/// The value of an object that is there, whatever it says.
const THERE: &str = "(there)";
/// What stands for a Secret's value.
const MASK: &str = "***";

/// One value that a request changes in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The object, or the document that is none; none for the file as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The field; empty for the object, or the file, as a whole.
    pub field: String,
    /// What it was; long values are cut and told apart by their digest.
    pub old: String,
    /// What it becomes.
    pub new: String,
}

/// Which values a request changes, file by file.
pub type Footprint = BTreeMap<ManifestPath, Vec<Write>>;

/// What an earlier request did to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The request.
    pub request: RequestId,
    /// Its pull request.
    pub pull: Option<PullRef>,
    /// The file.
    pub file: ManifestPath,
    /// The values it changes there.
    pub writes: Vec<Write>,
    /// When its pull request was opened.
    pub opened_at: Timestamp,
    /// When it was merged, withdrawn or closed.
    pub ended_at: Option<Timestamp>,
    /// Whether it was merged.
    pub merged: bool,
}

/// A place that goes back and forth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oscillation {
    /// The file.
    pub file: ManifestPath,
    /// The place in it.
    pub write: Write,
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

/// The footprint of a change made on `base`.
///
/// # Errors
/// When the base cannot be read.
pub fn footprint(change: &ValidatedChange, base: &dyn BaseTree) -> Result<Footprint, TreeError> {
    let mut footprint = Footprint::new();
    for (path, file) in change.files() {
        let objects: Vec<&ObjectChange> = change.summary().iter().filter(|object| object.file.as_ref() == Some(path)).collect();
        let mut writes: Vec<Write> = objects.iter().flat_map(|object| writes_of(object)).collect();
        let differing: usize = objects.iter().map(|object| object.fields.len().max(1)).sum();
        // Where fields tell nothing (comments, what cannot be read), the file as a whole does; not where a Secret is masked.
        if writes.len() > MOST_WRITES || differing == 0 {
            let new = match file {
                FileChange::Write(bytes) => digest(bytes),
                FileChange::Remove => ABSENT.to_owned(),
            };
            let old = base.read(path)?.map_or_else(|| ABSENT.to_owned(), |bytes| digest(&bytes));
            writes = vec![Write { object: None, field: String::new(), old, new }];
        }
        footprint.insert(path.clone(), writes);
    }
    Ok(footprint)
}

fn writes_of(change: &ObjectChange) -> Vec<Write> {
    let name = || Some(change.object.as_ref().map_or_else(|| format!("document {}", change.document + 1), ToString::to_string));
    let whole = |old: &str, new: &str| vec![Write { object: name(), field: String::new(), old: old.to_owned(), new: new.to_owned() }];
    match change.action {
        Action::Added => whole(ABSENT, THERE),
        Action::Removed => whole(THERE, ABSENT),
        Action::Changed => {
            let told = change.fields.iter().filter(|field| !is_masked(field));
            told.map(|field| Write { object: name(), field: field.path.clone(), old: text(field.old.as_ref()), new: text(field.new.as_ref()) })
                .collect()
        }
    }
}

fn is_masked(field: &FieldChange) -> bool {
    [&field.old, &field.new].into_iter().flatten().any(|value| value.to_string().contains(MASK))
}

fn text(value: Option<&serde_json::Value>) -> String {
    let Some(value) = value else { return ABSENT.to_owned() };
    let whole = value.to_string();
    match whole.char_indices().nth(KEPT) {
        None => whole,
        Some((end, _)) => format!("{}… ({})", &whole[..end], digest(whole.as_bytes())),
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256 {}", &hex::encode(Sha256::digest(bytes))[..16])
}

/// The places that `wanted` would take back to a value they had before, and so change back and forth more than `most` times since
/// `since`. A proposal that was withdrawn or closed counts as a change and its taking back; one that is still open as nothing.
pub fn oscillations(wanted: &Footprint, touches: &[Touch], since: Timestamp, most: u32) -> Vec<Oscillation> {
    let places = wanted.iter().flat_map(|(file, writes)| writes.iter().map(move |write| (file, write)));
    let found = places.filter_map(|(file, write)| {
        let (changes, steps) = back_and_forth(write, &steps_at(file, write, touches, since))?;
        (changes > most).then(|| Oscillation { file: file.clone(), write: write.clone(), changes, steps })
    });
    found.collect()
}

/// What happened to one place, oldest first.
fn steps_at(file: &ManifestPath, wanted: &Write, touches: &[Touch], since: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    for touch in touches.iter().filter(|touch| touch.file == *file) {
        let Some(ended_at) = touch.ended_at else { continue };
        let who = || (touch.request.clone(), touch.pull.clone());
        for write in touch.writes.iter().filter(|write| write.object == wanted.object && write.field == wanted.field) {
            let step = |at, old: &str, new: &str, by| Step { at: Some(at), old: old.to_owned(), new: new.to_owned(), by };
            let (request, pull) = who();
            if touch.merged {
                steps.push(step(ended_at, &write.old, &write.new, By::Merged(request, pull)));
            } else {
                steps.push(step(touch.opened_at, &write.old, &write.new, By::Proposed(request, pull)));
                let (request, pull) = who();
                steps.push(step(ended_at, &write.new, &write.old, By::TakenBack(request, pull)));
            }
        }
    }
    steps.retain(|step| step.at.is_some_and(|at| at >= since));
    steps.sort_by_key(|step| step.at);
    steps
}

/// How often the place was changed back and forth, where `wanted` takes it back once more; and what happened to it, with what
/// somebody else must have done in between.
fn back_and_forth(wanted: &Write, known: &[Step]) -> Option<(u32, Vec<Step>)> {
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
    if let Some(between) = current.filter(|current| *current != wanted.old) {
        returns += u32::from(former.contains(&wanted.old.as_str()));
        steps.push(Step { at: None, old: between.to_owned(), new: wanted.old.clone(), by: By::Another });
    }
    former.contains(&wanted.new.as_str()).then_some((returns + 2, steps))
}

impl std::fmt::Display for Oscillation {
    /// The place.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.file.as_str())?;
        self.write.object.iter().try_for_each(|object| write!(f, ", {object}"))?;
        if self.write.field.is_empty() { Ok(()) } else { write!(f, ", {}", self.write.field) }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}", self.old, self.new)?;
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

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_795_000_000_000 + minute * 60_000)
    }

    fn write(old: &str, new: &str) -> Write {
        Write {
            object: Some("HorizontalPodAutoscaler web/api".to_owned()),
            field: "spec.maxReplicas".to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        }
    }

    fn path() -> ManifestPath {
        "apps/web/hpa.yaml".parse().expect("a path")
    }

    fn touch(number: i64, old: &str, new: &str) -> Touch {
        Touch {
            request: RequestId::from_parts(at(number), 1),
            pull: None,
            file: path(),
            writes: vec![write(old, new)],
            opened_at: at(number),
            ended_at: Some(at(number)),
            merged: true,
        }
    }

    fn changes(touches: &[Touch], old: &str, new: &str) -> Option<u32> {
        let wanted = Footprint::from([(path(), vec![write(old, new)])]);
        oscillations(&wanted, touches, at(0), 0).first().map(|found| found.changes)
    }

    #[test]
    fn a_value_that_alternates_changes_back_and_forth_from_the_second_time_on() {
        let values = ["6", "9"];
        let mut history = Vec::new();
        for number in 0..6 {
            let (old, new) = (values[number % 2], values[(number + 1) % 2]);
            let before = u32::try_from(number).expect("small");
            assert_eq!(changes(&history, old, new), (before > 0).then_some(before + 1), "after {number} changes");
            history.push(touch(i64::from(before), old, new));
        }
    }

    #[test]
    fn a_value_that_goes_on_or_is_proposed_twice_does_not_return() {
        let up: Vec<Touch> = [("1", "2"), ("2", "3"), ("3", "4")].into_iter().zip(0..).map(|((old, new), n)| touch(n, old, new)).collect();
        assert_eq!(changes(&up, "4", "5"), None);
        assert_eq!(changes(&up, "4", "1"), Some(2), "once forth, once back");
        let open = |number| Touch { ended_at: None, merged: false, ..touch(number, "6", "9") };
        assert_eq!(changes(&[open(1), open(2), open(3)], "6", "9"), None, "what is open has not happened");
        let elsewhere = Touch { file: "apps/web/other.yaml".parse().expect("a path"), ..touch(1, "6", "9") };
        let other_field = Touch { writes: vec![Write { field: "spec.minReplicas".to_owned(), ..write("6", "9") }], ..touch(1, "6", "9") };
        assert_eq!(changes(&[elsewhere, other_field], "9", "6"), None);
        assert_eq!(changes(&[touch(-5, "6", "9"), touch(-4, "9", "6")], "6", "9"), None, "that is over");
    }

    #[test]
    fn what_is_proposed_and_taken_back_goes_forth_and_back() {
        let flap = |number| Touch { ended_at: Some(at(number + 1)), merged: false, ..touch(number, "6", "9") };
        assert_eq!(changes(&[flap(0)], "6", "9"), Some(3));
        assert_eq!(changes(&[flap(0), flap(2)], "6", "9"), Some(5));
    }

    #[test]
    fn who_undoes_ours_by_hand_is_counted_and_named() {
        let history = [touch(0, "6", "9"), touch(10, "6", "9")];
        let wanted = Footprint::from([(path(), vec![write("6", "9")])]);
        let found = oscillations(&wanted, &history, at(0), 4);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].changes, 5);
        let told: Vec<String> = found[0].steps.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(told[0].starts_with("6 -> 9 at 20") && told[0].contains("(merged, req_"), "{told:#?}");
        assert_eq!((told[1].as_str(), told[3].as_str()), ("9 -> 6 by somebody else", "9 -> 6 by somebody else"));
        assert_eq!(found[0].to_string(), "apps/web/hpa.yaml, HorizontalPodAutoscaler web/api, spec.maxReplicas");
        assert_eq!(oscillations(&wanted, &history, at(0), 5), []);
    }

    #[test]
    fn a_long_value_is_cut_and_still_told_apart() {
        let long = |end: &str| serde_json::Value::String("x".repeat(500) + end);
        let (one, other) = (text(Some(&long("a"))), text(Some(&long("b"))));
        assert!(one.len() < 200 && one != other && one == text(Some(&long("a"))), "{one}");
        assert_eq!(text(Some(&serde_json::json!(3))), "3");
    }
}
