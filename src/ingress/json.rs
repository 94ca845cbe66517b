//! Strict JSON in one pass: a repeated key, too deep a nesting, bytes after the value and invalid UTF-8 are errors with a place.
//! It must never panic, whatever the bytes. <https://www.rfc-editor.org/rfc/rfc8259>, duplicates as <https://www.rfc-editor.org/rfc/rfc7493>

use super::IngressError;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, map::Entry};
use std::{cell::Cell, fmt};

/// The deepest nesting that can be allowed: serde_json itself stops at 128.
pub(super) const DEEPEST: u32 = 127;
/// What a value may cost in memory, whatever the body limit: a value counts 1, a list 4 more, an object 19 more (a node takes
/// about 80 bytes, an object about 1,000 with its table), so that `[{"":0},{"":0}, ...` cannot become a hundred times its size.
const BUDGET: u32 = 1_000_000;
const LIST: u32 = 4;
const OBJECT: u32 = 19;
/// Room for the fields of a usual object, which saves growing its table three times.
const USUAL_FIELDS: usize = 8;

/// Reads `bytes` as one JSON value with at most `max_depth` objects and lists inside one another.
pub(super) fn read(bytes: &[u8], max_depth: u32) -> Result<Value, IngressError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place(bytes, error.valid_up_to());
        IngressError::Unreadable { message: "this is not UTF-8".to_owned(), line, column }
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let budget = Cell::new(BUDGET);
    let value = Strict { left: max_depth.min(DEEPEST), budget: &budget }.deserialize(&mut deserializer).map_err(|error| unreadable(&error))?;
    deserializer.end().map_err(|error| unreadable(&error))?;
    Ok(value)
}

/// Line and column, from 1, of the byte at `offset`.
fn place(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (1 + before.iter().filter(|byte| **byte == b'\n').count(), 1 + offset - line_start)
}

fn unreadable(error: &serde_json::Error) -> IngressError {
    let (line, column) = (error.line(), error.column());
    let mut message = error.to_string();
    if let Some(bare) = message.strip_suffix(&format!(" at line {line} column {column}")) {
        message.truncate(bare.len());
    }
    IngressError::Unreadable { message, line, column }
}

/// Builds a [`Value`] with `left` more levels and `budget` more cost allowed.
#[derive(Clone, Copy)]
struct Strict<'b> {
    left: u32,
    budget: &'b Cell<u32>,
}

impl Strict<'_> {
    /// What reads the inside of a list or an object.
    fn inner<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, budget: self.budget }),
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

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        self.charge(LIST)?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            self.charge(1)?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        self.charge(OBJECT)?;
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            self.charge(1)?;
            if fields.is_empty() {
                fields = Map::with_capacity(USUAL_FIELDS);
            }
            match fields.entry(key) {
                // Refused before its value is read, so that the place in the error is the key's.
                Entry::Occupied(known) => {
                    let key: String = known.key().chars().take(80).collect();
                    return Err(A::Error::custom(format_args!("the key {key:?} stands here a second time")));
                }
                Entry::Vacant(new) => {
                    new.insert(access.next_value_seed(inner)?);
                }
            }
        }
        Ok(Value::Object(fields))
    }
}
