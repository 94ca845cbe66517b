//! Strict JSON in one pass: a repeated key, too deep a nesting, bytes after the value and invalid UTF-8 are errors with a place.
//! It must never panic, whatever the bytes. <https://www.rfc-editor.org/rfc/rfc8259>, duplicates as <https://www.rfc-editor.org/rfc/rfc7493>

use super::IngressError;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, map::Entry};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

/// The deepest nesting that can be allowed: serde_json itself stops at 128.
pub(super) const DEEPEST: u32 = 127;
/// What a value may cost in memory, whatever the body limit: a value counts 1, a list 4 more, an object 19 more (a node takes
/// about 80 bytes, an object about 1,000 with its table), so that `[{"":0},{"":0}, ...` cannot become a hundred times its size.
const BUDGET: u32 = 1_000_000;
const LIST: u32 = 4;
const OBJECT: u32 = 19;
/// Room for the fields of a usual object, which saves growing its table three times.
const USUAL_FIELDS: usize = 8;

/// Keys that are compared one by one; more are looked up.
const FEW_KEYS: usize = 32;

/// How much of a body is kept. All of it is checked all the same, and by the same rules.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// All.
    Whole,
    /// Nothing: `null` stands for it.
    Nothing,
    /// Of an object these fields; a list without its items; anything else as it is.
    Fields(&'static [(&'static str, Part)]),
}

impl Part {
    fn of(self, key: &str) -> Self {
        match self {
            Part::Fields(fields) => fields.iter().find(|(name, _)| *name == key).map_or(Part::Nothing, |(_, part)| *part),
            part => part,
        }
    }

    /// What is kept of the items of a list.
    fn items(self) -> Self {
        if matches!(self, Part::Whole) { Part::Whole } else { Part::Nothing }
    }

    fn is_kept(self) -> bool {
        !matches!(self, Part::Nothing)
    }
}

/// Reads `bytes` as one JSON value with at most `max_depth` objects and lists inside one another, and keeps `part` of it.
pub(super) fn read(bytes: &[u8], max_depth: u32, part: Part) -> Result<Value, IngressError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place(bytes, error.valid_up_to());
        IngressError::Unreadable { message: "this is not UTF-8".to_owned(), line, column }
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (budget, keys) = (Cell::new(BUDGET), RefCell::default());
    let strict = Strict { left: max_depth.min(DEEPEST), budget: &budget, keys: &keys, part };
    let value = strict.deserialize(&mut deserializer).map_err(|error| unreadable(bytes, &error))?;
    deserializer.end().map_err(|error| unreadable(bytes, &error))?;
    Ok(value)
}

/// Line and column, from 1, of the byte at `offset`.
fn place(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (1 + before.iter().filter(|byte| **byte == b'\n').count(), 1 + offset - line_start)
}

fn unreadable(bytes: &[u8], error: &serde_json::Error) -> IngressError {
    let (line, column) = (error.line(), error.column());
    let mut message = error.to_string();
    if let Some(bare) = message.strip_suffix(&format!(" at line {line} column {column}")) {
        message.truncate(bare.len());
    }
    let (line, column) = match column {
        // The offending byte is the end of the line before; of an empty body there is none.
        0 => {
            let line_start = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
            place(bytes, line_start.saturating_sub(1))
        }
        _ => (line, column),
    };
    IngressError::Unreadable { message, line, column }
}

/// Builds `part` of a [`Value`] with `left` more levels and `budget` more cost allowed.
#[derive(Clone, Copy)]
struct Strict<'b, 'de> {
    left: u32,
    budget: &'b Cell<u32>,
    /// The keys seen so far of every object that is open, one object's behind the other's.
    keys: &'b RefCell<Vec<Cow<'de, str>>>,
    part: Part,
}

impl<'de> Strict<'_, 'de> {
    /// What reads the inside of a list or an object.
    fn inner<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom("objects and lists stand too deep inside one another")),
        }
    }

    fn charge<E: Error>(self, cost: u32) -> Result<(), E> {
        match self.budget.get().checked_sub(cost) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(E::custom("there are too many values")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_, 'de> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_, 'de> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(if self.part.is_kept() { Value::String(value.to_owned()) } else { Value::Null })
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = Self { part: self.part.items(), ..self.inner()? };
        self.charge(LIST)?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            self.charge(1)?;
            if inner.part.is_kept() {
                items.push(item);
            }
        }
        Ok(if self.part.is_kept() { Value::Array(items) } else { Value::Null })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        self.charge(OBJECT)?;
        if !matches!(self.part, Part::Whole) {
            return inner.parts_of(access);
        }
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            self.charge(1)?;
            if fields.is_empty() {
                fields = Map::with_capacity(USUAL_FIELDS);
            }
            match fields.entry(key) {
                // Refused before its value is read, so that the place in the error is the key's.
                Entry::Occupied(known) => return Err(twice(known.key())),
                Entry::Vacant(new) => {
                    new.insert(access.next_value_seed(inner)?);
                }
            }
        }
        Ok(Value::Object(fields))
    }
}

impl<'de> Strict<'_, 'de> {
    /// An object of which only some fields are kept, or none: the keys of the others are borrowed from the body.
    fn parts_of<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut seen = Keys { stack: self.keys, first: self.keys.borrow().len(), many: None };
        let mut fields = Map::new();
        while let Some(key) = access.next_key_seed(Key)? {
            self.charge(1)?;
            let part = self.part.of(&key);
            let name = part.is_kept().then(|| key.to_string());
            if let Err(key) = seen.insert(key) {
                return Err(twice(&key));
            }
            let value = access.next_value_seed(Self { part, ..self })?;
            if let Some(name) = name {
                fields.insert(name, value);
            }
        }
        Ok(if self.part.is_kept() { Value::Object(fields) } else { Value::Null })
    }
}

fn twice<E: Error>(key: &str) -> E {
    let key: String = key.chars().take(80).collect();
    E::custom(format_args!("the key {key:?} stands here a second time"))
}

/// The keys of one object: the first ones on the stack that all objects share, so that a small object allocates nothing.
struct Keys<'b, 'de> {
    stack: &'b RefCell<Vec<Cow<'de, str>>>,
    /// Where this object's begin. Those of the objects inside it are gone whenever it is its turn.
    first: usize,
    many: Option<HashSet<Cow<'de, str>>>,
}

impl<'de> Keys<'_, 'de> {
    /// Adds a key, or gives it back when it is there already.
    fn insert(&mut self, key: Cow<'de, str>) -> Result<(), Cow<'de, str>> {
        let mut stack = self.stack.borrow_mut();
        let few = stack.get(self.first..).unwrap_or_default();
        if few.contains(&key) || self.many.as_ref().is_some_and(|many| many.contains(&key)) {
            return Err(key);
        }
        if few.len() < FEW_KEYS {
            stack.push(key);
        } else {
            self.many.get_or_insert_default().insert(key);
        }
        Ok(())
    }
}

impl Drop for Keys<'_, '_> {
    fn drop(&mut self) {
        self.stack.borrow_mut().truncate(self.first);
    }
}

/// Reads a key without copying it where it stands in the body as it is.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
