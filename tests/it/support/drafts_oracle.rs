//! A judge of drafted changes that shares no code with the guard: another YAML reader, objects as sets of leaves, patterns as regular
//! expressions. It says what escaped; it is not asked what could be refused.

use regex::Regex;
use serde_json::Value;
use serde_norway::Value as Yaml;
use std::collections::{BTreeMap, BTreeSet};

/// A tree as paths with their texts.
pub type Files = BTreeMap<String, String>;

/// An object's identity in its file: group, kind, namespace, name, or the place of a document that is none.
type Key = (String, String, String, String, usize);

/// Kinds that `*` may never stand for, a sample that is written down a second time on purpose.
const GRAVE: [&str; 12] = [
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ServiceAccount",
    "Secret",
    "SealedSecret",
    "Namespace",
    "Application",
    "Kustomization",
    "HelmRelease",
    "CustomResourceDefinition",
];

/// How names of files begin that tools heed, and what comments hold that they heed: samples.
const STEERS: [&str; 6] = ["chart.", "fleet.", "helmfile.", "skaffold.", "requirements.", "vendir."];
const ACTS: [&str; 8] = ["imagepolicy", "kpt-set", "checkov:", "trivy:", "nosemgrep", "renovate:", "yamllint", "kics-scan"];

/// Everything by which the tree `after` goes beyond what `draft` (as its author wrote it) allows to be changed of `before`.
pub fn escapes(draft: &Value, within: &str, before: &Files, after: &Files) -> Vec<String> {
    let mut found = Vec::new();
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for path in paths {
        let (old, new) = (before.get(path).map(String::as_str), after.get(path).map(String::as_str));
        if old == new {
            continue;
        }
        if !may_write(draft, within, path) {
            found.push(format!("{path}: outside of what may be written"));
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
        if STEERS.iter().any(|steers| name.starts_with(steers)) {
            found.push(format!("{path}: a tool heeds files of this name"));
        }
        found.extend(file(draft, path, old.unwrap_or_default(), new.unwrap_or_default()).into_iter().map(|escape| format!("{path}: {escape}")));
    }
    found.extend(doubled(within, before, after));
    found
}

/// The objects that stand more often below the target than they did, and more than once: the later one decides what becomes of both.
fn doubled(within: &str, before: &Files, after: &Files) -> Vec<String> {
    let (old, new) = (whole(within, before), whole(within, after));
    let more = |key: &&Key| new[*key] > 1 && new[*key] > old.get(*key).copied().unwrap_or_default();
    new.keys().filter(more).map(|key| format!("{} {}/{} stands twice", key.1, key.2, key.3)).collect()
}

/// How often each object that has a name stands below the target. What a kustomization names as a patch is a part of one.
fn whole(within: &str, files: &Files) -> BTreeMap<Key, usize> {
    let is_visible = |path: &str| path.strip_prefix(within).is_some_and(|rest| rest.starts_with('/') && !rest.contains("/."));
    let mut patches = BTreeSet::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with("/kustomization.yaml")) {
        let Ok(value) = serde_norway::from_str::<Yaml>(text) else { continue };
        let directory = path.trim_end_matches("kustomization.yaml");
        let named = value.get("patches").and_then(Yaml::as_sequence).into_iter().flatten().filter_map(|patch| patch.get("path")?.as_str());
        patches.extend(named.map(|file| format!("{directory}{}", file.trim_start_matches("./"))));
    }
    let mut counts = BTreeMap::new();
    for (path, text) in files.iter().filter(|(path, _)| is_visible(path) && !patches.contains(*path) && !path.ends_with("/kustomization.yaml")) {
        for key in read(path, text).unwrap_or_default().into_keys().filter(|key| !key.1.is_empty() && !key.3.is_empty()) {
            *counts.entry((key.0, key.1, key.2, key.3, 0)).or_default() += 1;
        }
    }
    counts
}

fn may_write(draft: &Value, within: &str, path: &str) -> bool {
    let Some(below) = path.strip_prefix(within).and_then(|rest| rest.strip_prefix('/')) else { return false };
    let plain = path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    plain && texts(draft, "/write").iter().any(|glob| globbed(glob).is_match(below))
}

fn globbed(glob: &str) -> Regex {
    let pattern = regex::escape(glob).replace(r"\*\*/", "(?:[^/]+/)*").replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]");
    Regex::new(&format!("^{pattern}$")).expect("a pattern")
}

fn texts(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn file(draft: &Value, path: &str, old: &str, new: &str) -> Vec<String> {
    let (before, after) = match (read(path, old), read(path, new)) {
        (Ok(before), Ok(after)) => (before, after),
        (_, Err(error)) => return vec![format!("it cannot be read: {error}")],
        (Err(_), _) => return vec!["what could not be read was changed".to_owned()],
    };
    let mut found = Vec::new();
    let new_lines: Vec<&str> = new.lines().filter(|line| old.lines().all(|other| other != *line)).collect();
    for line in &new_lines {
        if line.contains([
            '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{200b}', '\u{200d}', '\u{feff}', '\u{ad}',
        ]) {
            found.push(format!("hidden text in {line:?}"));
        }
        if line.to_lowercase().contains("⟦withheld") {
            found.push("a placeholder".to_owned());
        }
        if line.split_once('#').is_some_and(|(_, comment)| ACTS.iter().any(|acts| comment.contains(acts))) {
            found.push(format!("a comment acts in {line:?}"));
        }
        let value = line.split_once(": ").map_or("", |(_, value)| value.trim()).trim_start_matches("- ");
        if value.starts_with('&') || value.starts_with('*') || line.trim_start().starts_with("<<:") || value.starts_with('!') {
            found.push(format!("an anchor, alias, merge key or tag in {line:?}"));
        }
    }
    let identities: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    for key in identities {
        let what = format!("{} {}", key.1, key.3);
        match (before.get(key), after.get(key)) {
            (None, Some(object)) => {
                if !allows(draft, key).any(|allow| allow["add"] == true) {
                    found.push(format!("{what} was added"));
                }
                found.extend(
                    leaves(object)
                        .into_iter()
                        .filter(|(path, image)| is_image(path) && !fits(draft, image))
                        .map(|(_, image)| format!("{what} brought the image {image}")),
                );
            }
            (Some(_), None) if !allows(draft, key).any(|allow| allow["remove"] == true) => found.push(format!("{what} was removed")),
            (Some(old), Some(new)) if old != new => found.extend(changed(draft, key, old, new).into_iter().map(|escape| format!("{what}: {escape}"))),
            _ => {}
        }
    }
    found.extend(untouched(path, old, new));
    found
}

/// A document that says the same is there in the same bytes.
fn untouched(path: &str, old: &str, new: &str) -> Vec<String> {
    let split = |text: &str| {
        let mut parts = vec![String::new()];
        for line in text.lines() {
            match line.trim_end() {
                "---" => parts.push(String::new()),
                _ => parts.last_mut().expect("a part").push_str(&format!("{line}\n")),
            }
        }
        parts.iter().map(|part| part.trim_matches('\n').to_owned()).collect::<Vec<_>>()
    };
    if new.is_empty() {
        return Vec::new();
    }
    let (old, new) = (split(old), split(new));
    let says = |part: &str| serde_norway::from_str::<Yaml>(part).ok().filter(|value| !value.is_null());
    let spoken: Vec<Yaml> = new.iter().filter_map(|part| says(part)).collect();
    old.iter()
        .filter(|part| !new.contains(part) && says(part).is_some_and(|value| spoken.contains(&value)))
        .map(|part| format!("a document of {path} was written otherwise: {part:?}"))
        .collect()
}

fn read(path: &str, text: &str) -> Result<BTreeMap<Key, Yaml>, String> {
    use serde::Deserialize;
    let mut objects = BTreeMap::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let mut value = Yaml::deserialize(document).map_err(|error| error.to_string())?;
        value.apply_merge().map_err(|error| error.to_string())?;
        if value.is_null() {
            continue;
        }
        let items = match value.get("items").and_then(Yaml::as_sequence) {
            Some(items) if value.get("kind").and_then(Yaml::as_str).is_some_and(|kind| kind.ends_with("List")) => items.clone(),
            _ => vec![value],
        };
        for item in items {
            let mut key = key_of(path, &item);
            while objects.contains_key(&key) {
                key.4 += 1;
            }
            objects.insert(key, item);
        }
    }
    Ok(objects)
}

fn key_of(path: &str, value: &Yaml) -> Key {
    let text = |value: Option<&Yaml>| value.and_then(Yaml::as_str).unwrap_or_default().to_owned();
    let mut version = text(value.get("apiVersion"));
    let mut kind = text(value.get("kind"));
    if kind.is_empty() && path.ends_with("/kustomization.yaml") {
        (kind, version) = ("Kustomization".to_owned(), "kustomize.config.k8s.io/v1beta1".to_owned());
    }
    let group = version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let metadata = value.get("metadata");
    (group, kind, text(metadata.and_then(|it| it.get("namespace"))), text(metadata.and_then(|it| it.get("name"))), 0)
}

fn allows<'d>(draft: &'d Value, key: &'d Key) -> impl Iterator<Item = &'d Value> {
    let named = |name: &str| match name {
        "*" => !key.1.is_empty() && !GRAVE.contains(&key.1.as_str()),
        "none" => key.1.is_empty(),
        name => !key.1.is_empty() && (name == key.1 || name == format!("{}.{}", key.1, key.0)),
    };
    let entries = draft.pointer("/allow").and_then(Value::as_array).into_iter().flatten();
    entries.filter(move |allow| texts(allow, "/kinds").iter().any(|name| named(name)))
}

/// Every scalar of an object by its path; elements of lists by their names where they have some.
fn leaves(value: &Yaml) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(value, String::new(), &mut found);
    found
}

fn walk(value: &Yaml, path: String, found: &mut BTreeMap<String, String>) {
    match value {
        Yaml::Mapping(fields) => {
            for (key, value) in fields {
                let key = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
                let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
                let step = if plain { format!(".{key}") } else { format!(".\u{1}{}\u{1}", key.replace(['.', '[', ']'], "\u{2}")) };
                walk(value, format!("{path}{step}"), found);
            }
        }
        Yaml::Sequence(items) => {
            for (place, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Yaml::as_str).map_or_else(|| place.to_string(), |name| format!("name={name}"));
                walk(item, format!("{path}[{name}]"), found);
            }
        }
        scalar => drop(found.insert(path, serde_norway::to_string(scalar).expect("a scalar").trim().trim_matches(['"', '\'']).to_owned())),
    }
}

fn pattern(field: &str) -> Regex {
    let escaped = regex::escape(&format!(".{field}")).replace(r"\[\*\]", r"\[[^\]]*\]").replace(r"\*", r"[^.\[\]]+");
    Regex::new(&format!(r"^{escaped}(?:[.\[].*)?$")).expect("a pattern")
}

fn changed(draft: &Value, key: &Key, old: &Yaml, new: &Yaml) -> Vec<String> {
    let (old, new) = (leaves(old), leaves(new));
    let fields: Vec<Regex> = allows(draft, key).flat_map(|allow| texts(allow, "/fields")).map(|field| pattern(&field)).collect();
    let mut found = Vec::new();
    for path in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        if old.get(path) == new.get(path) {
            continue;
        }
        if !fields.iter().any(|field| field.is_match(path)) {
            found.push(format!("{path} changed"));
        }
        let repository = |image: Option<&String>| {
            image.map(|image| image.split('@').next().unwrap_or_default().to_owned()).map(|image| match image.rsplit_once(':') {
                Some((before, tag)) if !tag.contains('/') => before.to_owned(),
                _ => image,
            })
        };
        if let Some(image) = new.get(path).filter(|_| is_image(path))
            && repository(old.get(path)) != repository(Some(image))
            && !fits(draft, image)
        {
            found.push(format!("{path} became the image {image}"));
        }
    }
    found
}

fn is_image(path: &str) -> bool {
    let path = path.to_lowercase();
    [".image", ".newname", ".image.repository", ".image.registry"].iter().any(|end| path.ends_with(end))
}

fn fits(draft: &Value, image: &str) -> bool {
    texts(draft, "/images")
        .iter()
        .any(|wanted| Regex::new(&format!("^{}$", regex::escape(wanted).replace(r"\*", ".*"))).expect("a pattern").is_match(image))
}
