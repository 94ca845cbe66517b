//! From an address to the one place it means: object, field, element; or an error that lists what there is.

use super::error::{EditError, EditFault, LISTED, candidates};
use crate::manifest::field_path::scalar_text;
use crate::manifest::positions::{Form, NodeView};
use crate::manifest::{Document, FieldPath, ObjectAddress, ObjectRef, Step, flatten};
use crate::types::listed;
use serde_json::{Map, Value};

/// A step that leads to something there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Key(String),
    Index(usize),
}

/// How far a path leads.
#[derive(Debug)]
pub(super) struct Resolved<'a> {
    /// The way to `value`.
    pub(super) places: Vec<Place>,
    /// The last value on the path that is there.
    pub(super) value: &'a Value,
    /// The steps that are not.
    pub(super) missing: &'a [Step],
}

/// A place in the text.
pub(super) struct Spot<'d> {
    pub(super) node: NodeView<'d>,
    /// Whether it stands within brackets or braces.
    pub(super) flow: bool,
}

/// The document and the way in it to the object; without an address, the only document.
pub(super) fn object(documents: &[Document], address: Option<&ObjectAddress>) -> Result<(usize, Vec<Place>), EditError> {
    let objects = || {
        documents.iter().enumerate().flat_map(|(number, document)| {
            flatten(&document.value).into_iter().filter_map(move |(pointer, value)| Some((number, pointer, ObjectRef::of(value).ok()?)))
        })
    };
    let names = || objects().map(|(_, _, object)| ObjectAddress::of(&object).to_string()).collect::<Vec<_>>();
    let Some(address) = address else {
        return match documents.len() {
            0 => Err(EditError::new(EditFault::Missing, "the file holds no document")),
            1 => Ok((0, Vec::new())),
            many => {
                Err(EditError::new(EditFault::Ambiguous, format!("the file holds {many} documents; name the object: {}", listed(names(), LISTED))))
            }
        };
    };
    let mut found = objects().filter(|(_, _, object)| address.names(object));
    let Some((number, pointer, first)) = found.next() else {
        let message = format!("there is no {address} in the file; {}", candidates(&address.to_string(), &names()));
        return Err(EditError::new(EditFault::Missing, message));
    };
    let others: Vec<ObjectRef> = found.map(|(_, _, object)| object).collect();
    if !others.is_empty() {
        let exact: Vec<String> = std::iter::once(&first).chain(&others).map(|object| ObjectAddress::exactly(object).to_string()).collect();
        let apart = others.iter().all(|other| other.group() != first.group());
        let way_out = if apart { format!("; name one of them with its group: {}", listed(&exact, LISTED)) } else { String::new() };
        return Err(EditError::new(EditFault::Ambiguous, format!("{address} stands {} times in the file{way_out}", exact.len())));
    }
    let place = |step: &str| step.parse().map_or_else(|_| Place::Key(step.to_owned()), Place::Index);
    Ok((number, pointer.split('/').skip(1).map(place).collect()))
}

/// Follows `base`, which is there, and then `steps` as far as they lead.
pub(super) fn resolve<'a>(value: &'a Value, base: Vec<Place>, steps: &'a [Step]) -> Result<Resolved<'a>, EditError> {
    let mut value = at(value, &base).unwrap_or(&Value::Null);
    let mut places = base;
    for (number, step) in steps.iter().enumerate() {
        let here = || if number == 0 { "the document".to_owned() } else { format!("`{}`", FieldPath::prefix(&steps[..number])) };
        let place = match (step, value) {
            (_, Value::Null) => return Ok(Resolved { places, value, missing: &steps[number..] }),
            (Step::Key(key), Value::Object(fields)) if fields.contains_key(key) => Place::Key(key.clone()),
            (Step::Key(_), Value::Object(_)) => return Ok(Resolved { places, value, missing: &steps[number..] }),
            (Step::Element { key, value: wanted }, Value::Array(items)) => Place::Index(element(items, key, wanted, &here())?),
            (Step::Place(place), Value::Array(items)) if *place < items.len() => Place::Index(*place),
            (Step::Key(key), Value::Array(items)) => {
                let message = format!("{} is a list, so it has no field {key:?}; name an element: {}", here(), listed(named(items, "name"), LISTED));
                return Err(EditError::new(EditFault::Kind, message));
            }
            (Step::Element { .. } | Step::Place(_), Value::Object(fields)) => {
                let fields: Vec<String> = fields.keys().cloned().collect();
                let message = format!("{} is a mapping, not a list; its fields are: {}", here(), listed(&fields, LISTED));
                return Err(EditError::new(EditFault::Kind, message));
            }
            (Step::Key(_), scalar) => return Err(EditError::new(EditFault::Kind, format!("{} is {}, not a mapping", here(), kind(scalar)))),
            (Step::Place(place), Value::Array(items)) => {
                return Err(EditError::new(EditFault::Missing, format!("{} has {} elements, and none at {place}", here(), items.len())));
            }
            (_, scalar) => return Err(EditError::new(EditFault::Kind, format!("{} is {}, not a list", here(), kind(scalar)))),
        };
        value = child(value, &place).unwrap_or(&Value::Null);
        places.push(place);
    }
    Ok(Resolved { places, value, missing: &[] })
}

/// What a value is, in a word.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn child<'a>(value: &'a Value, place: &Place) -> Option<&'a Value> {
    match place {
        Place::Key(key) => value.get(key),
        Place::Index(index) => value.get(index),
    }
}

/// The place of the one element whose field `key` is `wanted`.
fn element(items: &[Value], key: &str, wanted: &str, list: &str) -> Result<usize, EditError> {
    let mut found = items.iter().enumerate().filter(|(_, item)| field_of(item, key).is_some_and(|field| Step::names(wanted, field)));
    let first = found.next();
    let more = found.count();
    match first {
        Some((place, _)) if more == 0 => Ok(place),
        Some(_) => {
            Err(EditError::new(EditFault::Ambiguous, format!("{list} has {} elements with {key}={wanted}; name one by another field", more + 1)))
        }
        None => {
            let message = format!("{list} has no element with {key}={wanted}; {}", candidates(&format!("{key}={wanted}"), &named(items, key)));
            Err(EditError::new(EditFault::Missing, message))
        }
    }
}

/// The place of the last step of a path in what is above it; none when it is not there.
pub(super) fn member(parent: &Value, last: &Step, above: &[Step]) -> Result<Option<Place>, EditError> {
    let here = || if above.is_empty() { "the document".to_owned() } else { format!("`{}`", FieldPath::prefix(above)) };
    match (last, parent) {
        (Step::Key(key), Value::Object(fields)) => Ok(fields.contains_key(key).then(|| Place::Key(key.clone()))),
        (Step::Element { key, value }, Value::Array(items)) => match element(items, key, value, &here()) {
            Ok(index) => Ok(Some(Place::Index(index))),
            Err(error) if error.reason == EditFault::Missing => Ok(None),
            Err(error) => Err(error),
        },
        (_, Value::Null) => Ok(None),
        (Step::Key(_), other) => Err(EditError::new(EditFault::Kind, format!("{} is {}, not a mapping", here(), kind(other)))),
        (Step::Place(place), Value::Array(items)) => Ok((*place < items.len()).then_some(Place::Index(*place))),
        (_, other) => Err(EditError::new(EditFault::Kind, format!("{} is {}, not a list", here(), kind(other)))),
    }
}

/// Why nothing stands where `steps` lead: where they end, and what is there instead.
pub(super) fn nothing_at(resolved: &Resolved<'_>, steps: &[Step]) -> EditError {
    let there = &steps[..steps.len().saturating_sub(resolved.missing.len() + 1)];
    let here = if there.is_empty() { "the document".to_owned() } else { format!("`{}`", FieldPath::prefix(there)) };
    let message = match (resolved.missing.first(), resolved.value) {
        (Some(Step::Key(key)), Value::Object(fields)) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            format!("{here} has no field `{key}`; {}", candidates(key, &names))
        }
        _ => format!("{here} is {}", kind(resolved.value)),
    };
    EditError::new(EditFault::Missing, message)
}

/// The field of an element that names it; without a key the element names itself.
fn field_of<'v>(item: &'v Value, key: &str) -> Option<&'v Value> {
    if key.is_empty() { Some(item) } else { item.get(key) }
}

/// The elements of a list by their field `key`; where none has it, the fields they have.
fn named(items: &[Value], key: &str) -> Vec<String> {
    let names: Vec<String> = items.iter().filter_map(|item| Some(format!("{key}={}", scalar_text(field_of(item, key)?)?))).collect();
    if !names.is_empty() {
        return names;
    }
    let mut fields: Vec<String> = Vec::new();
    for field in items.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        let field = format!("elements with `{field}`");
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields
}

/// The key that is missing first, and the value it gets: what is asked for, within the mappings that are missing too.
pub(super) fn nested(first: &Step, rest: &[Step], value: &Value, whole: &[Step]) -> Result<(String, Value), EditError> {
    let mut value = value.clone();
    let no_list = || {
        let at = whole.iter().position(|step| !matches!(step, Step::Key(_)) && (step == first || rest.contains(step)));
        let list = FieldPath::prefix(&whole[..at.unwrap_or(0)]);
        EditError::new(EditFault::Missing, format!("there is no list `{list}`, and an element of a list is changed, never made"))
    };
    for step in rest.iter().rev() {
        let Step::Key(key) = step else { return Err(no_list()) };
        value = Value::Object(Map::from_iter([(key.clone(), value)]));
    }
    match first {
        Step::Key(key) => Ok((key.clone(), value)),
        Step::Element { .. } | Step::Place(_) => Err(no_list()),
    }
}

/// What `places` lead to.
pub(super) fn at<'v>(whole: &'v Value, places: &[Place]) -> Option<&'v Value> {
    places.iter().try_fold(whole, child)
}

/// As [`at`], to be changed.
pub(super) fn at_mut<'v>(whole: &'v mut Value, places: &[Place]) -> Option<&'v mut Value> {
    places.iter().try_fold(whole, |at, place| match place {
        Place::Key(key) => at.get_mut(key),
        Place::Index(index) => at.get_mut(index),
    })
}

/// What an edit is to make of the document: the value that stands at `places` then. Everything else stays.
pub(super) struct Intent<'p> {
    pub(super) places: &'p [Place],
    pub(super) value: Value,
}

impl<'p> Intent<'p> {
    /// The field set; what is missing on the way to it is made.
    pub(super) fn set(resolved: &'p Resolved<'_>, value: &Value) -> Self {
        let places = resolved.places.as_slice();
        let Some((first, rest)) = resolved.missing.split_first() else { return Self { places, value: value.clone() } };
        let mut whole = resolved.value.clone();
        let mut at = &mut whole;
        for step in [first].into_iter().chain(rest) {
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            let (Step::Key(key), Value::Object(fields)) = (step, at) else { return Self { places, value: whole } };
            at = fields.entry(key.clone()).or_insert(Value::Null);
        }
        *at = value.clone();
        Self { places, value: whole }
    }

    /// The document's value as it is to be.
    pub(super) fn whole(&self, document: &Value) -> Value {
        let mut whole = document.clone();
        if let Some(at) = at_mut(&mut whole, self.places) {
            *at = self.value.clone();
        }
        whole
    }

    /// What is to stand at `above`, which leads to all that changes; none where it does not.
    pub(super) fn below(&self, above: &[Place], document: &Value) -> Option<Value> {
        let rest = self.places.strip_prefix(above)?;
        let mut value = at(document, above)?.clone();
        *at_mut(&mut value, rest)? = self.value.clone();
        Some(value)
    }
}

/// The place in the text that `places` lead to.
pub(super) fn walk<'d>(document: &'d Document, places: &[Place], whole: &[Step]) -> Result<Spot<'d>, EditError> {
    let positions = &document.positions;
    let mut spot = Spot { node: positions.node(0).ok_or_else(|| EditError::unsound(whole))?, flow: false };
    for place in places {
        refuse_alias(&spot.node, whole)?;
        let flow = spot.flow || matches!(spot.node.written.form, Form::FlowMapping | Form::FlowSequence);
        let mut below = positions.below(spot.node.number);
        let node = match place {
            Place::Key(wanted) => below.find(|node| node.key.is_some_and(|(key, _)| key == wanted)),
            Place::Index(index) => below.nth(*index),
        };
        let node = node.ok_or_else(|| merged(document, &spot.node, whole))?;
        spot = Spot { node, flow };
    }
    refuse_alias(&spot.node, whole)?;
    Ok(spot)
}

fn refuse_alias(node: &NodeView<'_>, whole: &[Step]) -> Result<(), EditError> {
    if node.written.form != Form::Alias {
        return Ok(());
    }
    let line = node.value.start.line;
    let message =
        format!("`{}` is reached through the alias in line {line}; change it where its anchor stands, or write it out", FieldPath::prefix(whole));
    Err(EditError::new(EditFault::Shared, message))
}

/// A field that the value has and the text has not was brought in by a merge key.
fn merged(document: &Document, mapping: &NodeView<'_>, whole: &[Step]) -> EditError {
    let merge = document.positions.below(mapping.number).find(|node| node.key.is_some_and(|(key, _)| key == "<<"));
    let line = merge.map_or(mapping.value.start.line, |node| node.value.start.line);
    let message =
        format!("`{}` comes from the merge key `<<` in line {line}; write the field out in its own mapping first", FieldPath::prefix(whole));
    EditError::new(EditFault::Shared, message)
}

/// Why a field cannot be taken out of a mapping whose merge key has it too.
pub(super) fn comes_back(document: &Document, mapping: &NodeView<'_>, place: &Place, whole: &[Step]) -> Option<EditError> {
    let Place::Key(_) = place else { return None };
    let brings = |form| matches!(form, Form::Alias | Form::FlowMapping | Form::BlockMapping | Form::FlowSequence | Form::BlockSequence);
    let is_merge = |node: &NodeView<'_>| node.key.is_some_and(|(key, _)| key == "<<") && brings(node.written.form);
    let merge = document.positions.below(mapping.number).find(is_merge)?;
    let (path, line) = (FieldPath::prefix(whole), merge.value.start.line);
    let message = format!("`{path}` would come back through the merge key `<<` in line {line}; take it out where its anchor stands, or write it out");
    Some(EditError::new(EditFault::Shared, message))
}

/// The line of what has an anchor on the way, or below its end.
pub(super) fn anchor(document: &Document, places: &[Place]) -> Option<u32> {
    let positions = &document.positions;
    let line = |node: &NodeView<'_>| node.key.map_or(node.value, |(_, key)| key).start.line;
    let mut at = 0;
    for place in places {
        if let Some(node) = positions.node(at).filter(|node| node.written.anchored) {
            return Some(line(&node));
        }
        let mut below = positions.below(at);
        let node = match place {
            Place::Key(wanted) => below.find(|node| node.key.is_some_and(|(key, _)| key == wanted)),
            Place::Index(index) => below.nth(*index),
        };
        at = node?.number;
    }
    positions.subtree(at).find(|node| node.written.anchored).map(|node| line(&node))
}
