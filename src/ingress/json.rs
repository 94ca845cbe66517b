//! Strict JSON in one pass: a repeated key, too deep a nesting, bytes after the value and invalid UTF-8 are errors with a place.
//! It must never panic, whatever the bytes. <https://www.rfc-editor.org/rfc/rfc8259>, duplicates as <https://www.rfc-editor.org/rfc/rfc7493>

use super::IngressError;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, map::Entry};
use std::fmt;

/// The deepest nesting that can be allowed: serde_json itself stops at 128.
pub(super) const DEEPEST: u32 = 127;

/// Reads `bytes` as one JSON value with at most `max_depth` objects and lists inside one another.
pub(super) fn read(bytes: &[u8], max_depth: u32) -> Result<Value, IngressError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place(bytes, error.valid_up_to());
        IngressError::Unreadable { message: "this is not UTF-8".to_owned(), line, column }
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { left: max_depth.min(DEEPEST) }.deserialize(&mut deserializer).map_err(|error| unreadable(&error))?;
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

/// Builds a [`Value`] with `left` more levels allowed.
#[derive(Clone, Copy)]
struct Strict {
    left: u32,
}

impl Strict {
    fn inner<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left }),
            None => Err(E::custom("objects and lists stand too deep inside one another")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
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
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
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
