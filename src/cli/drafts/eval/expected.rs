//! What is right about a task: which objects of the repository have which fields in the end, and that everything else is as it was.

use crate::manifest::{Action, Document, FieldPath, Limits, ObjectAddress, Step, diff, parse, write_value};
use crate::plan::FileChange;
use crate::types::{ManifestPath, Quantity};
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Files by path.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Fields whose values, and those below them, are compared as amounts: `1Gi` is `1024Mi`.
const AMOUNTS: [&str; 11] =
    ["resources", "requests", "limits", "hard", "default", "defaultRequest", "max", "min", "storage", "sizeLimit", "averageValue"];

/// An outcome that is right.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    /// Objects that are there in the end, each with fields that have these values: `Deployment/shop/web`, with ` in <file>` behind it where
    /// several files have it; or a file alone whose one document is no object. No other field of an object that was there may differ.
    #[serde(default)]
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Objects that are gone.
    #[serde(default)]
    absent: Vec<String>,
}

/// A document of the repository.
struct Held {
    path: String,
    document: Document,
}

/// Where an outcome's object is.
struct Address {
    object: Option<ObjectAddress>,
    file: Option<String>,
}

impl Address {
    fn read(text: &str) -> anyhow::Result<Self> {
        match text.split_once(" in ") {
            Some((object, file)) => Ok(Self { object: Some(object.parse()?), file: Some(file.to_owned()) }),
            None if text.parse::<ManifestPath>().is_ok() => Ok(Self { object: None, file: Some(text.to_owned()) }),
            None => Ok(Self { object: Some(text.parse()?), file: None }),
        }
    }

    fn is(&self, held: &Held) -> bool {
        let named = match (&self.object, held.document.object()) {
            (Some(address), Ok(object)) => address.names(&object),
            (None, _) => true,
            (Some(_), Err(_)) => false,
        };
        named && self.file.as_ref().is_none_or(|file| *file == held.path)
    }
}

impl Outcome {
    /// Whether it can be read.
    ///
    /// # Errors
    /// A name or a path that is none, and an outcome that says nothing.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.objects.is_empty() && self.absent.is_empty() {
            bail!("expect: an outcome names `objects`, or those that are `absent`");
        }
        for address in self.objects.keys().chain(&self.absent) {
            Address::read(address).with_context(|| format!("expect: {address:?}"))?;
        }
        for (address, fields) in &self.objects {
            if fields.is_empty() {
                bail!("expect: {address:?} has no field that is looked at");
            }
            for (path, wanted) in fields {
                path.parse::<FieldPath>().with_context(|| format!("expect: {address:?}: {path:?}"))?;
                known(wanted).with_context(|| format!("expect: {address:?}: {path}"))?;
            }
        }
        Ok(())
    }

    /// Everything that is not as it is here; nothing where the outcome is right.
    pub(super) fn problems(&self, before: &Files, after: &Files) -> anyhow::Result<Vec<String>> {
        let (before, after) = (documents(before)?, documents(after)?);
        let mut problems = Vec::new();
        let mut named: Vec<(Address, Option<Vec<String>>)> = Vec::new();
        for (text, fields) in &self.objects {
            let address = Address::read(text)?;
            let found: Vec<&Held> = after.iter().filter(|held| address.is(held)).collect();
            match found.as_slice() {
                [] => problems.push(format!("{text} is not there")),
                [one] => problems.extend(differing(&one.document.value, fields)?.into_iter().map(|problem| format!("{text}: {problem}"))),
                several => {
                    let files: Vec<&str> = several.iter().map(|held| held.path.as_str()).collect();
                    problems.push(format!("{text} is there more than once: in {}", files.join(", ")));
                }
            }
            named.push((address, Some(fields.keys().flat_map(|path| written(path)).collect())));
        }
        for text in &self.absent {
            let address = Address::read(text)?;
            if after.iter().any(|held| address.is(held)) {
                problems.push(format!("{text} is there yet"));
            }
            named.push((address, None));
        }
        problems.extend(beyond(&before, &after, &named));
        Ok(problems)
    }
}

/// Everything that differs between two states and is none of what is named.
fn beyond(before: &[Held], after: &[Held], named: &[(Address, Option<Vec<String>>)]) -> Vec<String> {
    let paths: BTreeSet<&str> = before.iter().chain(after).map(|held| held.path.as_str()).collect();
    let of = |held: &[Held], path: &str| held.iter().filter(|held| held.path == path).map(|held| held.document.clone()).collect::<Vec<_>>();
    let mut problems = Vec::new();
    for path in paths {
        let (old, new) = (of(before, path), of(after, path));
        for change in diff(&old, &new) {
            let state = if change.action == Action::Removed { &old } else { &new };
            let Some(document) = state.iter().find(|document| document.index == change.document).cloned() else { continue };
            let held = Held { path: path.to_owned(), document };
            let what = format!("{} in {path}", change.what());
            let Some((_, fields)) = named.iter().find(|(address, _)| address.is(&held)) else {
                problems.push(format!("{what} changed, and was to stay as it is"));
                continue;
            };
            let Some(fields) = fields else { continue };
            for leaf in change.fields.iter().flat_map(|field| field.leaves()) {
                if !fields.iter().any(|asserted| leads_to(asserted, &leaf.path) || leads_to(&leaf.path, asserted)) {
                    problems.push(format!("{what}: {} changed as well: {}", leaf.path, leaf.told()));
                }
            }
        }
    }
    problems
}

/// The paths that a path in an outcome stands for, as a comparison spells them: the field, and of elements of lists on the way to it what
/// they are named by, which is new with a new element.
fn written(text: &str) -> Vec<String> {
    let Ok(path) = text.parse::<FieldPath>() else { return Vec::new() };
    let names = path.steps().iter().enumerate().filter_map(|(place, step)| match step {
        Step::Element { key, .. } if !key.is_empty() => {
            let above = path.steps().iter().take(place + 1).cloned().chain([Step::Key(key.clone())]);
            Some(FieldPath::from(above.collect::<Vec<_>>()).to_string())
        }
        _ => None,
    });
    let names: Vec<String> = names.collect();
    names.into_iter().chain([path.to_string()]).collect()
}

/// Whether a path is another one, or above it.
fn leads_to(above: &str, path: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Every document of manifests, by file.
fn documents(files: &Files) -> anyhow::Result<Vec<Held>> {
    let mut held = Vec::new();
    for (path, bytes) in files {
        if path.parse::<ManifestPath>().is_err() {
            continue;
        }
        let text = std::str::from_utf8(bytes).with_context(|| format!("{path} is not UTF-8"))?;
        let documents = parse(text, Limits::default()).map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
        held.extend(documents.into_iter().map(|document| Held { path: path.clone(), document }));
    }
    Ok(held)
}

/// The repository after a change.
pub(super) fn after(before: &Files, change: &BTreeMap<ManifestPath, FileChange>) -> Files {
    let mut files = before.clone();
    for (path, change) in change {
        match change {
            FileChange::Write(bytes) => drop(files.insert(path.to_string(), bytes.clone())),
            FileChange::Remove => drop(files.remove(path.as_str())),
        }
    }
    files
}

/// The fields that are not what is wanted.
fn differing(object: &Value, fields: &BTreeMap<String, Value>) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for (text, wanted) in fields {
        let path: FieldPath = text.parse()?;
        let found = at(object, path.steps());
        let amount = path.steps().iter().any(|step| matches!(step, Step::Key(key) if AMOUNTS.contains(&key.as_str())));
        if !fits(wanted, found, amount) {
            let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), write_value);
            problems.push(format!("{text} is {}, and {} is wanted", shown(found), shown(Some(wanted))));
        }
    }
    Ok(problems)
}

fn at<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    let inner = match step {
        Step::Key(key) => value.get(key)?,
        Step::Place(place) => value.get(place)?,
        Step::Element { key, value: wanted } => value.as_array()?.iter().find(|element| {
            let field = if key.is_empty() { Some(*element) } else { element.get(key) };
            field.is_some_and(|field| field.as_str().map_or_else(|| field.to_string(), str::to_owned) == *wanted)
        })?,
    };
    at(inner, rest)
}

/// The word of a matcher, and what it is given.
fn matcher(wanted: &Value) -> Option<(&str, &Value)> {
    let fields = wanted.as_object().filter(|fields| fields.keys().any(|key| key.starts_with('$')))?;
    fields.iter().next().map(|(word, given)| (word.as_str(), given))
}

/// Whether the matchers in a value are known.
fn known(wanted: &Value) -> anyhow::Result<()> {
    match matcher(wanted) {
        Some(("$any" | "$absent", Value::Bool(true)) | ("$oneOf", Value::Array(_)) | ("$has" | "$contains", _)) => Ok(()),
        Some(("$from" | "$to", _)) if wanted.as_object().is_some_and(|it| it.keys().all(|key| key == "$from" || key == "$to")) => Ok(()),
        Some((word, _)) => bail!("{word} is none of `$any: true`, `$absent: true`, `$oneOf: []`, `$has`, `$contains`, `$from` and `$to`"),
        None => Ok(()),
    }
}

/// Whether a value is what is wanted.
fn fits(wanted: &Value, found: Option<&Value>, amount: bool) -> bool {
    match (matcher(wanted), found) {
        (Some(("$any", _)), _) => true,
        (Some(("$absent", _)), found) => found.is_none_or(Value::is_null),
        (Some(("$oneOf", several)), _) => several.as_array().into_iter().flatten().any(|one| fits(one, found, amount)),
        (_, None) => false,
        (Some(("$has", element)), Some(found)) => found.as_array().into_iter().flatten().any(|one| same(element, one, amount)),
        (Some(("$contains", part)), Some(found)) => found.as_str().zip(part.as_str()).is_some_and(|(found, part)| found.contains(part)),
        (Some(_), Some(found)) => wanted.as_object().is_some_and(|range| within(range, found)),
        (None, Some(found)) => same(wanted, found, amount),
    }
}

/// Whether an amount lies between two.
fn within(range: &Map<String, Value>, found: &Value) -> bool {
    let Some(found) = quantity(found) else { return false };
    let bound = |key: &str| range.get(key).map(quantity);
    let holds = |bound: Option<Option<Quantity>>, test: &dyn Fn(Quantity) -> bool| bound.is_none_or(|bound| bound.is_some_and(test));
    holds(bound("$from"), &|from| found >= from) && holds(bound("$to"), &|to| found <= to)
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn same(wanted: &Value, found: &Value, amount: bool) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.len() == found.len()
                && wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| same(value, found, amount || AMOUNTS.contains(&key.as_str()))))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| same(wanted, found, amount))
        }
        _ if wanted == found => true,
        _ => amount && quantity(wanted).zip(quantity(found)).is_some_and(|(wanted, found)| wanted == found),
    }
}
