//! Two states of a file, as the steps that lead from the new one back to the old.

use super::{Step, address, documents, said};
use crate::manifest::{self, Document, FieldPath, ObjectRef, flatten};
use serde_json::Value;

/// The fields that tell the elements of a list apart, the usual one first.
const KEYS: [&str; 4] = ["name", "key", "containerPort", "port"];

/// The steps from `new` to `old`, whose text is `before`.
pub(super) fn steps(before: &str, old: &[Document], new: &[Document]) -> Vec<Step> {
    let mut steps = Vec::new();
    if let ([old], [new]) = (old, new)
        && (old.object().is_err() || new.object().is_err())
    {
        compare(None, &mut Vec::new(), Some(&old.value), Some(&new.value), &mut steps);
        return steps;
    }
    let find = |documents: &'_ [Document], object: &ObjectRef| -> Option<Value> {
        let mut objects = documents.iter().flat_map(|document| flatten(&document.value)).map(|(_, value)| value);
        objects.find(|value| ObjectRef::of(value).is_ok_and(|other| other.is_same(object))).cloned()
    };
    for (_, value) in new.iter().flat_map(|document| flatten(&document.value)) {
        let Ok(object) = ObjectRef::of(value) else { continue };
        match find(old, &object) {
            Some(was) => compare(Some(&address(&object)), &mut Vec::new(), Some(&was), Some(value), &mut steps),
            None => steps.push(Step::Object { object: address(&object), is: said(value) }),
        }
    }
    for document in old {
        let Ok(object) = document.object() else { continue };
        if find(new, &object).is_none()
            && let Some(text) = text_of(before, document)
        {
            steps.push(Step::Document { text });
        }
    }
    steps
}

/// A document's own lines, with as much of their end as it means something.
fn text_of(text: &str, document: &Document) -> Option<String> {
    let span = document.positions.find("").value;
    let begin = text.get(..span.start.offset as usize)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = span.end.offset as usize;
    // With a comment behind its last value.
    let end = text.get(end..)?.find('\n').map_or(text.len(), |newline| end + newline);
    let own = text.get(begin..end)?;
    // Spaces, ends of lines and blank lines at the end may be part of a block of text.
    let trimmed = own.trim_end_matches(['\r', '\n']);
    let ways = [format!("{trimmed}\n"), trimmed.to_owned(), own.to_owned()];
    ways.into_iter().find(|text| documents(text).iter().map(|own| &own.value).eq([&document.value]))
}

fn compare(object: Option<&str>, path: &mut Vec<manifest::Step>, was: Option<&Value>, is: Option<&Value>, steps: &mut Vec<Step>) {
    if was == is {
        return;
    }
    match (was, is) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (key, is) in new {
                path.push(manifest::Step::Key(key.clone()));
                compare(object, path, old.get(key), Some(is), steps);
                path.pop();
            }
            for (key, was) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                path.push(manifest::Step::Key(key.clone()));
                compare(object, path, Some(was), None, steps);
                path.pop();
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if !path.is_empty() => match key_of(old, new) {
            Some(key) => elements(object, path, key, old, new, steps),
            None => steps.push(field(object, path, was, is)),
        },
        _ if path.is_empty() => {}
        _ => steps.push(field(object, path, was, is)),
    }
}

/// The field that tells the elements of both lists apart; empty where they are scalars that do so themselves.
fn key_of(old: &[Value], new: &[Value]) -> Option<&'static str> {
    let tells = |key: &str| {
        [old, new].iter().all(|items| {
            let names: Option<Vec<String>> = items.iter().map(|item| name(item, key)).collect();
            names.is_some_and(|names| names.iter().collect::<std::collections::BTreeSet<_>>().len() == items.len())
        })
    };
    [""].into_iter().chain(KEYS).find(|key| tells(key))
}

pub(super) fn name(item: &Value, key: &str) -> Option<String> {
    match if key.is_empty() { Some(item) } else { item.get(key) }? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn elements(object: Option<&str>, path: &mut Vec<manifest::Step>, key: &str, old: &[Value], new: &[Value], steps: &mut Vec<Step>) {
    let find = |items: &'_ [Value], wanted: &Value| items.iter().position(|item| name(item, key) == name(wanted, key));
    for item in new {
        let Some(value) = name(item, key) else { continue };
        path.push(manifest::Step::Element { key: key.to_owned(), value });
        compare(object, path, find(old, item).map(|place| &old[place]), Some(item), steps);
        path.pop();
    }
    for item in old.iter().filter(|item| find(new, item).is_none()) {
        steps.push(Step::Element { object: object.map(str::to_owned), list: shown(path), key: key.to_owned(), was: item.clone() });
    }
}

fn field(object: Option<&str>, path: &[manifest::Step], was: Option<&Value>, is: Option<&Value>) -> Step {
    Step::Field { object: object.map(str::to_owned), field: shown(path), was: was.cloned(), is: is.cloned() }
}

fn shown(path: &[manifest::Step]) -> String {
    FieldPath::from(path.to_vec()).to_string()
}
