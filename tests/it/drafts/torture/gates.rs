//! What each gate alone would have let through: every answer is done without any gate, as a tool would that trusts its model, and each
//! gate is asked alone about what came of it.

use super::attacks;
use crate::drafts::fixture::{Entry, Tree, WITHIN, draft, guard, target};
use crate::support::chance::Chance;
use crate::support::drafts_oracle::{Files, escapes};
use kubeops::plan::{Answer, ChangeSet, FileChange};
use kubeops::types::{ManifestPath, UnknownKinds};
use kubeops::validate::{Rules, validate};
use serde::Deserialize as _;
use serde_json::Value;
use serde_norway::Value as Yaml;
use std::collections::BTreeMap;

/// The gates, and what of the guard's rules each is.
const GATES: [(&str, &[&str]); 7] = [
    ("paths", &["draft.path"]),
    ("kinds", &["draft.kind"]),
    ("fields", &["draft.field"]),
    ("images", &["draft.image"]),
    ("hidden text, comments that act, placeholders", &["draft.hidden", "draft.placeholder", "draft.comment"]),
    ("shape of the text", &["draft.untouched", "draft.yaml", "draft.elided", "draft.syntax", "draft.large"]),
    ("overlays", &["draft.unclear"]),
];

/// How many answers were tried, how many would have escaped without any gate, and how many of those each gate alone lets through.
pub struct Alone {
    pub tried: usize,
    pub escaping: usize,
    pub through: Vec<(&'static str, usize)>,
}

/// Every answer made by hand, and generated ones of the classes that are about what an answer changes.
pub fn alone(seed: u64, generated: usize) -> Alone {
    let hand: Vec<Value> = serde_json::from_str(include_str!("../adversarial.json")).expect("a list of answers");
    let mut answers: Vec<Value> = hand.into_iter().map(|case| case["answer"].clone()).collect();
    let classes = [
        attacks::paths,
        attacks::links,
        attacks::kinds,
        attacks::shorthands,
        attacks::images,
        attacks::fields,
        attacks::hidden,
        attacks::elided,
        attacks::matches,
        attacks::twice,
        attacks::steering,
        attacks::comments,
    ];
    let mut chance = Chance::new(seed);
    while answers.len() < generated + 500 {
        let made = classes[answers.len() % classes.len()](&mut chance);
        answers.extend(made);
    }
    let tree = Tree::new();
    let (before, guard, draft) = (tree.files(), guard(), draft());
    let rules = Rules::new("1.33".parse().expect("a version"), WITHIN.parse().expect("a directory"), UnknownKinds::Warn);
    let mut names = vec!["reading of the answer", "schemas, paths, secrets and policies"];
    names.extend(GATES.map(|(name, _)| name));
    names.extend(["all limits", "all gates"]);
    let mut through: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut escaping, tried) = (0, answers.len());
    for answer in &answers {
        let (after, raw) = done(answer, &tree);
        let behind = after != before && raw.iter().any(|path| is_linked(&tree, path));
        if escapes(&draft, WITHIN, &before, &after).is_empty() && !behind {
            continue;
        }
        escaping += 1;
        let mut lets = |gate: &'static str, passes: bool| *through.entry(gate).or_default() += usize::from(passes);
        let read = Answer::parse(answer).ok();
        lets("reading of the answer", read.is_some());
        let files = changes(&before, &after);
        let named = raw.iter().all(|path| path.parse::<ManifestPath>().is_ok());
        let rules_broken: Vec<&str> = match &files {
            Some(files) => guard.judge(files, &target(), &tree).expect("the tree can be read").into_iter().map(|violation| violation.rule).collect(),
            None => vec!["draft.path"],
        };
        for (gate, of) in GATES {
            let passes = !rules_broken.iter().any(|rule| of.contains(rule));
            lets(gate, passes && (gate != "paths" || named));
        }
        lets("all limits", rules_broken.is_empty() && named);
        let valid = named && files.is_some_and(|files| validate(ChangeSet { files, ..ChangeSet::default() }, &tree, &rules).is_ok());
        lets("schemas, paths, secrets and policies", valid);
        let passes = read.is_some_and(|answer| match guard.change(&answer, &target(), &tree).expect("the tree can be read") {
            Ok(change) => {
                !change.files.is_empty()
                    && !escapes(&draft, WITHIN, &before, &tree.after(&change)).is_empty()
                    && validate(change, &tree, &rules).is_ok()
            }
            Err(_) => false,
        });
        lets("all gates", passes);
    }
    Alone { tried, escaping, through: names.into_iter().map(|name| (name, through.get(name).copied().unwrap_or_default())).collect() }
}

fn is_linked(tree: &Tree, path: &str) -> bool {
    let place = resolved(path);
    tree.entries().any(|(at, entry)| !matches!(entry, Entry::File(_)) && (place == at || place.starts_with(&format!("{at}/"))))
}

/// The tree after an answer that nobody looked at, and the paths it named.
fn done(answer: &Value, tree: &Tree) -> (Files, Vec<String>) {
    let mut files = tree.files();
    let mut raw = Vec::new();
    for operation in answer["operations"].as_array().into_iter().flatten() {
        let Some((name, body)) = operation.as_object().and_then(|fields| fields.iter().next()) else { continue };
        let named = body["file"].as_str();
        raw.extend(named.map(str::to_owned));
        let object = body["object"].as_str();
        let place = named.map(resolved).or_else(|| object.and_then(|object| home_of(object, &files)));
        let Some(place) = place else { continue };
        match name.as_str() {
            "file" => drop(files.insert(place, body["content"].as_str().unwrap_or_default().to_owned())),
            "remove" => match object {
                None => drop(files.remove(&place)),
                Some(object) => rewritten(&mut files, &place, |documents| documents.retain(|document| !is(document, object))),
            },
            "replace" => {
                if let (Some(text), Some(search), Some(replace)) = (files.get_mut(&place), body["search"].as_str(), body["replace"].as_str()) {
                    *text = text.replacen(search, replace, 1);
                }
            }
            "edit" => rewritten(&mut files, &place, |documents| {
                let only = documents.len() == 1;
                let found = documents.iter_mut().find(|document| object.map_or(only, |object| is(document, object)));
                found.into_iter().for_each(|document| edited(document, body));
            }),
            _ => {}
        }
    }
    (files, raw)
}

/// Where a path leads on a disk.
fn resolved(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn documents(text: &str) -> Option<Vec<Yaml>> {
    serde_norway::Deserializer::from_str(text).map(|document| Yaml::deserialize(document).ok()).collect()
}

fn is(document: &Yaml, object: &str) -> bool {
    let text = |value: Option<&Yaml>| value.and_then(Yaml::as_str).unwrap_or_default().to_owned();
    let metadata = document.get("metadata");
    let of = |field: &str| text(metadata.and_then(|metadata| metadata.get(field)));
    format!("{}/{}/{}", text(document.get("kind")), of("namespace"), of("name")) == object
}

fn home_of(object: &str, files: &Files) -> Option<String> {
    files
        .iter()
        .find(|(_, text)| documents(text).is_some_and(|documents| documents.iter().any(|document| is(document, object))))
        .map(|(path, _)| path.clone())
}

fn rewritten(files: &mut Files, place: &str, change: impl FnOnce(&mut Vec<Yaml>)) {
    let Some(text) = files.get_mut(place) else { return };
    let Some(mut all) = documents(text) else { return };
    let before = all.clone();
    change(&mut all);
    if all != before {
        *text = all.iter().map(|document| serde_norway::to_string(document).expect("YAML")).collect::<Vec<_>>().join("---\n");
    }
}

fn edited(document: &mut Yaml, body: &Value) {
    for how in ["set", "merge", "append"] {
        for (path, value) in body[how].as_object().into_iter().flatten() {
            let value: Yaml = serde_norway::to_value(value).expect("YAML");
            let Some(place) = reached(document, path) else { continue };
            match (how, &mut *place, value) {
                ("merge", Yaml::Mapping(fields), Yaml::Mapping(new)) => fields.extend(new),
                ("append", Yaml::Sequence(items), value) => items.push(value),
                ("append", place, value) => *place = Yaml::Sequence(vec![value]),
                (_, place, value) => *place = value,
            }
        }
    }
    for path in body["remove"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if let Some(place) = reached(document, path) {
            *place = Yaml::Null;
        }
    }
}

/// What a path leads to, made where it is not there.
fn reached<'d>(document: &'d mut Yaml, path: &str) -> Option<&'d mut Yaml> {
    let step = regex::Regex::new(r#"\["([^"]*)"\]|\[name=([^\]]*)\]|\[(\d+)\]|([^.\[\]]+)"#).expect("a pattern");
    let mut place = document;
    for found in step.captures_iter(path) {
        if let Some(key) = found.get(1).or(found.get(4)) {
            if place.is_null() {
                *place = Yaml::Mapping(serde_norway::Mapping::new());
            }
            place = place.as_mapping_mut()?.entry(Yaml::String(key.as_str().to_owned())).or_insert(Yaml::Null);
        } else if let Some(name) = found.get(2) {
            place = place.as_sequence_mut()?.iter_mut().find(|item| item.get("name").and_then(Yaml::as_str) == Some(name.as_str()))?;
        } else {
            place = place.as_sequence_mut()?.get_mut(found[3].parse::<usize>().ok()?)?;
        }
    }
    Some(place)
}

/// The change between two trees; none where a path of it is no manifest's.
fn changes(before: &Files, after: &Files) -> Option<BTreeMap<ManifestPath, FileChange>> {
    let written =
        after.iter().filter(|(path, text)| before.get(*path) != Some(text)).map(|(path, text)| (path, FileChange::Write(text.clone().into_bytes())));
    let removed = before.keys().filter(|path| !after.contains_key(*path)).map(|path| (path, FileChange::Remove));
    written.chain(removed).map(|(path, change)| Some((path.parse().ok()?, change))).collect()
}
