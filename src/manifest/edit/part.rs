//! A document read again only where it changed: one field of a block mapping, when no anchor can carry the change elsewhere.
//! The lines of such a field are a YAML text of their own, and what follows it in its mapping stands in for by a field of our own, so
//! that what the reader makes of the lines is what it makes of them within the whole. Whoever finds no such field reads everything.

use super::locate::{self, Intent, Place};
use super::page::{Splice, spliced};
use super::{Editor, Shift};
use crate::manifest::positions::{Form, NodeView, push_step};
use crate::manifest::{Disputed, Document, Limits, Positions, parse};
use serde_json::Value;
use std::ops::Range;

/// A field that has its lines for itself, and another field of its mapping behind it.
struct Field {
    number: usize,
    key: String,
    /// Columns before its key.
    indent: usize,
    /// From the beginning of its key's line to that of the next field's.
    lines: Range<usize>,
    /// The way to it.
    places: Vec<Place>,
    /// The JSON pointer of its mapping.
    above: String,
}

/// A field as it was read again.
pub(super) struct Reread {
    number: usize,
    places: Vec<Place>,
    value: Value,
    positions: Positions,
    disputed: Vec<Disputed>,
    prefix: Shift,
    moved: Shift,
}

impl Reread {
    /// Puts the field in its place in the document it was read for.
    pub(super) fn put(self, document: &mut Document) {
        if let Some(at) = locate::at_mut(&mut document.value, &self.places) {
            *at = self.value;
        }
        document.positions.graft(self.number, self.positions, self.prefix, self.moved);
        document.disputed = self.disputed;
    }
}

impl Editor {
    /// The text with the splices written, and the field that changed, as the whole of it would be read; none where that cannot be told from
    /// a part.
    pub(super) fn applied_in_part(&self, at: usize, splices: &[Splice], intent: &Intent<'_>) -> Option<(String, Reread)> {
        let document = self.documents.get(at)?;
        if self.json || is_woven(document) {
            return None;
        }
        let field = self.field_of(document, splices)?;
        let wanted = intent.below(&field.places, &document.value)?;
        let text = spliced(&self.text, splices);
        let end = text.len() - (self.text.len() - field.lines.end);
        let next = if field.key == "next" { "after" } else { "next" };
        let part = format!("{}{:indent$}{next}: 0\n", text.get(field.lines.start..end)?, "", indent = field.indent);
        let mut read = parse(&part, Limits::default()).ok()?;
        let part = read.pop().filter(|_| read.is_empty())?;
        let fields = part.value.as_object().filter(|fields| fields.len() == 2)?;
        if *fields.get(&field.key)? != wanted {
            return None;
        }
        let prefix = Shift::between("", text.get(..field.lines.start)?);
        let moved = Shift::between(&self.text[field.lines.clone()], text.get(field.lines.start..end)?);
        let disputed = disputed(document, &field, part.disputed, prefix, moved, next);
        let (number, places, positions) = (field.number, field.places, part.positions);
        Some((text, Reread { number, places, value: wanted, positions, disputed, prefix, moved }))
    }

    /// The innermost field that holds every splice behind its key.
    fn field_of(&self, document: &Document, splices: &[Splice]) -> Option<Field> {
        let (first, last) = (splices.first()?.range.start, splices.last()?.range.end);
        let (mut found, mut places, mut above) = (None, Vec::new(), String::new());
        let mut node = document.positions.node(0)?;
        loop {
            let mut below = document.positions.below(node.number).enumerate().peekable();
            let mut inner = None;
            while let Some((place, child)) = below.next() {
                let next = below.peek().map(|(_, next)| *next);
                let begins_behind = next.is_some_and(|next| begin(&next) <= first);
                if begins_behind {
                    continue;
                }
                inner = Some((place, child, next));
                break;
            }
            let (place, child, next) = inner?;
            if begin(&child) > first {
                return found;
            }
            match child.key {
                Some((key, span)) if node.written.form == Form::BlockMapping => {
                    let next = next.and_then(|next| next.key).map(|(_, span)| span.start.offset as usize);
                    let lines = next.and_then(|next| Some(self.line_of(span.start.offset as usize)?..self.line_of(next)?));
                    places.push(Place::Key(key.to_owned()));
                    if let Some(lines) = lines.filter(|lines| first >= span.end.offset as usize && last <= lines.end) {
                        let indent = span.start.offset as usize - lines.start;
                        found =
                            Some(Field { number: child.number, key: key.to_owned(), indent, lines, places: places.clone(), above: above.clone() });
                    }
                    push_step(&mut above, key);
                }
                None if node.written.form == Form::BlockSequence => {
                    places.push(Place::Index(place));
                    push_step(&mut above, &place.to_string());
                }
                _ => return found,
            }
            node = child;
            if !matches!(node.written.form, Form::BlockMapping | Form::BlockSequence) {
                return found;
            }
        }
    }

    /// Where the line begins that `at` is the first thing in; none where something else stands before it.
    fn line_of(&self, at: usize) -> Option<usize> {
        let line = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        self.text[line..at].bytes().all(|byte| byte == b' ').then_some(line)
    }
}

fn begin(node: &NodeView<'_>) -> usize {
    node.key.map_or(node.value, |(_, key)| key).start.offset as usize
}

/// Whether something in it may be used elsewhere in it.
fn is_woven(document: &Document) -> bool {
    document
        .positions
        .subtree(0)
        .any(|node| node.written.anchored || node.written.tagged || node.written.form == Form::Alias || node.key.is_some_and(|(key, _)| key == "<<"))
}

/// The scalars two readers dispute: those before and behind the field, and the field's own as they are now.
fn disputed(document: &Document, field: &Field, own: Vec<Disputed>, prefix: Shift, moved: Shift, next: &str) -> Vec<Disputed> {
    let offset = |disputed: &Disputed| disputed.place.offset as usize;
    let (before, behind): (Vec<Disputed>, Vec<Disputed>) = document
        .disputed
        .iter()
        .filter(|disputed| !field.lines.contains(&offset(disputed)))
        .cloned()
        .partition(|disputed| offset(disputed) < field.lines.start);
    let own = own.into_iter().filter(|disputed| disputed.pointer != format!("/{next}"));
    let own = own.map(|own| Disputed { place: prefix.place(own.place), pointer: format!("{}{}", field.above, own.pointer), ..own });
    let behind = behind.into_iter().map(|disputed| Disputed { place: moved.place(disputed.place), ..disputed });
    before.into_iter().chain(own).chain(behind).collect()
}
