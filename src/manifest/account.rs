//! How large a text is with its aliases written out, counted while it is read, and what aliases are made from.

use super::compose::at;
use super::{Limits, Place, SyntaxError};
use serde_json::Value;
use std::collections::HashMap;

/// A number of values and the bytes of their texts.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    nodes: usize,
    bytes: usize,
}

struct Anchored {
    value: Value,
    size: Size,
}

/// What was read so far.
pub(super) struct Account {
    limits: Limits,
    /// Aliases expanded: it grows only, and ends the reading at the limit.
    size: Size,
    /// What is kept for aliases to be made from.
    copies: Size,
    anchors: HashMap<usize, Anchored>,
}

impl Account {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, size: Size::default(), copies: Size::default(), anchors: HashMap::new() }
    }

    /// What was read so far, to be told what is read from here on.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Anchors end with their document.
    pub(super) fn end_document(&mut self) {
        self.anchors.clear();
    }

    pub(super) fn charge(&mut self, nodes: usize, bytes: usize, place: Place) -> Result<(), SyntaxError> {
        self.size.nodes = self.size.nodes.saturating_add(nodes);
        self.size.bytes = self.size.bytes.saturating_add(bytes);
        self.check(place)
    }

    fn check(&self, place: Place) -> Result<(), SyntaxError> {
        if self.size.nodes.saturating_add(self.copies.nodes) > self.limits.nodes {
            return Err(at(place, format!("more than {} values, aliases expanded", self.limits.nodes)));
        }
        if self.size.bytes.saturating_add(self.copies.bytes) > self.limits.scalar_bytes {
            return Err(at(place, format!("more than {} bytes of text, aliases expanded", self.limits.scalar_bytes)));
        }
        Ok(())
    }

    /// Keeps what has an anchor; `before` was the size where it began.
    pub(super) fn keep(&mut self, anchor: usize, value: &Value, before: Size, place: Place) -> Result<(), SyntaxError> {
        let size = Size { nodes: self.size.nodes - before.nodes, bytes: self.size.bytes - before.bytes };
        self.copies.nodes = self.copies.nodes.saturating_add(size.nodes);
        self.copies.bytes = self.copies.bytes.saturating_add(size.bytes);
        self.check(place)?;
        self.anchors.insert(anchor, Anchored { value: value.clone(), size });
        Ok(())
    }

    /// What an alias stands for, counted before it is copied.
    pub(super) fn alias(&mut self, anchor: usize, place: Place) -> Result<Value, SyntaxError> {
        // An anchor within itself is not known yet when its alias comes.
        let Some(Anchored { size, .. }) = self.anchors.get(&anchor) else {
            return Err(at(place, "the alias stands inside what it names".to_owned()));
        };
        let size = *size;
        self.charge(size.nodes, size.bytes, place)?;
        Ok(self.anchors.get(&anchor).map_or(Value::Null, |anchored| anchored.value.clone()))
    }
}
