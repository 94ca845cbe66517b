//! Fields of YAML and JSON texts set, added and taken out in place: only the bytes of what is asked for change, everything else stays.
//! A text is spliced at positions the reader gave, read again as strictly, and compared with what was meant. It never guesses
//! what an address means, and never gives out a text that says anything else than was asked for.

mod error;
mod insert;
mod locate;
mod merge;
mod page;
mod part;
mod remove;
mod replace;
mod style;

pub use error::{EditError, EditFault};

use super::positions::{Shift, push_step};
use super::{Document, FieldPath, Limits, ObjectAddress, Step, SyntaxError, parse};
use locate::{Intent, Place, Resolved};
use page::{Page, Splice};
use serde_json::Value;

/// A text whose fields are set one after the other.
#[derive(Debug, Clone)]
pub struct Editor {
    text: String,
    documents: Vec<Document>,
    json: bool,
}

/// A text with an edit written, and what was read of it again.
struct Written {
    text: String,
    reread: Reread,
}

enum Reread {
    Document(Document),
    Field(part::Reread),
}

impl Editor {
    /// Reads a text; `json` says that it is to stay JSON.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn open(text: String, json: bool) -> Result<Self, SyntaxError> {
        let documents = parse(&text, Limits::default())?;
        Ok(Self { text, documents, json })
    }

    /// The text as it is now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its documents.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Gives a field its value; tells whether that changed anything. Without `object` the text has one document.
    ///
    /// A scalar takes a scalar's place, a mapping a mapping's, a list a list's; nothing, and `null`, make room for anything.
    /// A missing field is added behind its siblings, missing mappings above it are made; an element of a list never is.
    ///
    /// # Errors
    /// See [`EditError`]; then the text holds nothing of it.
    pub fn set(&mut self, object: Option<&ObjectAddress>, path: &FieldPath, value: &Value) -> Result<bool, EditError> {
        let (document, base) = locate::object(&self.documents, object)?;
        self.set_at(document, base, path.steps(), path.steps(), value)
    }

    /// Sets the field that `steps` lead to from `base`; `whole` is the path an error names.
    fn set_at(&mut self, document: usize, base: Vec<Place>, steps: &[Step], whole: &[Step], value: &Value) -> Result<bool, EditError> {
        let Some(at) = self.documents.get(document) else { return Err(EditError::unsound(whole)) };
        let resolved = locate::resolve(&at.value, base, steps)?;
        if resolved.missing.is_empty() {
            if resolved.value == value {
                return Ok(false);
            }
            if let (Value::Object(old), Value::Object(new)) = (resolved.value, value)
                && !old.is_empty()
                && old.keys().all(|key| new.contains_key(key))
            {
                // Field by field, so that what is equal keeps its form.
                let (places, mut edited) = (resolved.places, self.clone());
                for (key, value) in new {
                    edited.set_at(document, places.clone(), &[Step::Key(key.clone())], whole, value)?;
                }
                *self = edited;
                return Ok(true);
            }
        }
        let intent = Intent::set(&resolved, value);
        // A comment that stands deeper than a block of text before it would become a part of it: then the text goes on one line.
        let written = self.written(document, &intent, [true, false], |blocks| self.splices(document, &resolved, whole, value, blocks))?;
        let Some(written) = written else { return Err(self.refusal(document, &resolved.places, whole)) };
        self.take(document, written);
        Ok(true)
    }

    /// What stands at a field; none where it is missing.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn get(&self, object: Option<&ObjectAddress>, path: &FieldPath) -> Result<Option<&Value>, EditError> {
        let (document, base) = locate::object(&self.documents, object)?;
        let at = self.documents.get(document).ok_or_else(|| EditError::unsound(path.steps()))?;
        let resolved = locate::resolve(&at.value, base, path.steps())?;
        let places = resolved.missing.is_empty().then_some(resolved.places);
        Ok(places.and_then(|places| locate::at(&at.value, &places)))
    }

    /// The JSON pointer (RFC 6901) of a field within its object.
    ///
    /// # Errors
    /// See [`EditError`]; the field has to be there.
    pub fn pointer(&self, object: Option<&ObjectAddress>, path: &FieldPath) -> Result<String, EditError> {
        let (document, base) = locate::object(&self.documents, object)?;
        let at = self.documents.get(document).ok_or_else(|| EditError::unsound(path.steps()))?;
        let above = base.len();
        let resolved = locate::resolve(&at.value, base, path.steps())?;
        let mut pointer = String::new();
        for place in &resolved.places[above..] {
            match place {
                Place::Key(key) => push_step(&mut pointer, key),
                Place::Index(index) => push_step(&mut pointer, &index.to_string()),
            }
        }
        for step in resolved.missing {
            match step {
                Step::Key(key) => push_step(&mut pointer, key),
                _ => return Err(locate::nothing_at(&resolved, path.steps())),
            }
        }
        Ok(pointer)
    }

    /// Takes an object out: its document, or its entry in a `List`.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn remove_object(&mut self, object: &ObjectAddress) -> Result<bool, EditError> {
        let (document, base) = locate::object(&self.documents, Some(object))?;
        if !base.is_empty() {
            let steps: Vec<Step> = base
                .into_iter()
                .map(|place| match place {
                    Place::Key(key) => Step::Key(key),
                    Place::Index(index) => Step::Place(index),
                })
                .collect();
            return self.remove_at(document, Vec::new(), &steps, &steps);
        }
        let Some(begin) = self.documents.get(document).and_then(|at| at.positions.node(0)) else { return Err(EditError::unsound(&[])) };
        let range = page::whole_document(&self.text, begin.value.start.offset as usize);
        let text = page::spliced(&self.text, &[Splice { range, text: String::new() }]);
        let others = self.documents.iter().enumerate().filter(|(number, _)| *number != document).map(|(_, other)| &other.value);
        let reread = parse(&text, Limits::default()).ok().filter(|reread| reread.iter().map(|document| &document.value).eq(others));
        let Some(reread) = reread else {
            return Err(EditError::new(EditFault::Form, format!("{object} cannot be taken out of its file without changing another document")));
        };
        *self = Self { text, documents: reread, json: self.json };
        Ok(true)
    }

    /// Adds a document at the end; at the beginning, where the last document would become another one by the end of line it lacks, as one
    /// with a block of text that keeps its last lines (`|+`) does.
    ///
    /// # Errors
    /// See [`EditError`]; JSON has one document.
    pub fn add_document(&mut self, document: &str) -> Result<bool, EditError> {
        let unfit = || EditError::new(EditFault::Form, "a document cannot be added to this file without changing another one");
        let crlf = self.text.find('\n').is_some_and(|at| self.text[..at].ends_with('\r'));
        let eol = if crlf { "\r\n" } else { "\n" };
        let lines = document.lines().collect::<Vec<_>>().join(eol);
        let own = parse(document, Limits::default()).map_err(|_| unfit())?;
        if self.json || own.len() != 1 {
            return Err(unfit());
        }
        let ended = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { eol };
        let begun = if self.text.starts_with("---") { String::new() } else { format!("---{eol}") };
        let (there, own) = (self.documents.iter().map(|document| &document.value), own.iter().map(|document| &document.value));
        let (last, first) = (there.clone().chain(own.clone()).collect::<Vec<_>>(), own.chain(there).collect());
        let ways = [
            (format!("{}{ended}---{eol}{lines}{eol}", self.text), &last),
            (format!("{}{ended}---{eol}{lines}", self.text), &last),
            (format!("{lines}{eol}{begun}{}", self.text), &first),
        ];
        let says = |reread: &[Document], expected: &[&Value]| reread.iter().map(|document| &document.value).eq(expected.iter().copied());
        let written = ways.into_iter().find_map(|(text, expected)| {
            let reread = parse(&text, Limits::default()).ok().filter(|reread| says(reread, expected))?;
            Some((text, reread))
        });
        let (text, documents) = written.ok_or_else(unfit)?;
        *self = Self { text, documents, json: self.json };
        Ok(true)
    }

    /// Takes a field or an element out; tells whether it was there. A mapping or list that loses its last member becomes `{}` or `[]`.
    ///
    /// # Errors
    /// See [`EditError`]; what leads to the field has to be there.
    pub fn remove(&mut self, object: Option<&ObjectAddress>, path: &FieldPath) -> Result<bool, EditError> {
        let (document, base) = locate::object(&self.documents, object)?;
        self.remove_at(document, base, path.steps(), path.steps())
    }

    fn remove_at(&mut self, document: usize, base: Vec<Place>, steps: &[Step], whole: &[Step]) -> Result<bool, EditError> {
        let Some(at) = self.documents.get(document) else { return Err(EditError::unsound(whole)) };
        let (Some((last, above)), root) = (steps.split_last(), &at.value) else { return Err(EditError::unsound(whole)) };
        let parent = locate::resolve(root, base, above)?;
        if !parent.missing.is_empty() {
            return Err(locate::nothing_at(&parent, steps));
        }
        let Some(place) = locate::member(parent.value, last, above)? else { return Ok(false) };
        let spot = locate::walk(at, &parent.places, whole)?;
        let places = [parent.places.as_slice(), std::slice::from_ref(&place)].concat();
        let child = locate::walk(at, &places, whole)?;
        let number = at.positions.below(spot.node.number).position(|node| node.number == child.node.number);
        let mut value = parent.value.clone();
        match (&mut value, &place) {
            (Value::Object(fields), Place::Key(key)) => drop(fields.shift_remove(key)),
            (Value::Array(items), Place::Index(index)) => drop(items.remove(*index)),
            _ => return Err(EditError::unsound(whole)),
        }
        let intent = Intent { places: &parent.places, value };
        let page = Page::new(&self.text, at, self.json, whole);
        let number = number.unwrap_or(usize::MAX);
        let taken_out = |taken| remove::child(&page, &spot.node, parent.value, number, taken);
        let Some(written) = self.written(document, &intent, remove::Taken::WAYS, taken_out)? else {
            return Err(locate::comes_back(at, &spot.node, &place, whole).unwrap_or_else(|| self.refusal(document, &places, whole)));
        };
        self.take(document, written);
        Ok(true)
    }

    /// Adds an element behind the last one of a list; a list that is missing, or empty, is made.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn append(&mut self, object: Option<&ObjectAddress>, path: &FieldPath, value: &Value) -> Result<bool, EditError> {
        let (document, base) = locate::object(&self.documents, object)?;
        let Some(at) = self.documents.get(document) else { return Err(EditError::unsound(path.steps())) };
        let resolved = locate::resolve(&at.value, base, path.steps())?;
        if !resolved.missing.is_empty() || resolved.value.is_null() {
            return self.set(object, path, &Value::Array(vec![value.clone()]));
        }
        let mut list = resolved.value.clone();
        match &mut list {
            Value::Array(items) => items.push(value.clone()),
            _ => {
                let message = format!("`{path}` is {}, not a list", locate::kind(resolved.value));
                return Err(EditError::new(EditFault::Kind, message));
            }
        }
        let intent = Intent { places: &resolved.places, value: list };
        let added = |blocks| {
            let mut page = Page::new(&self.text, at, self.json, path.steps());
            page.style.literal &= blocks;
            insert::element(&page, locate::walk(at, &resolved.places, path.steps())?, resolved.value, value)
        };
        let Some(written) = self.written(document, &intent, [true, false], added)? else {
            return Err(self.refusal(document, &resolved.places, path.steps()));
        };
        self.take(document, written);
        Ok(true)
    }

    /// The first way of writing that says what is meant; none when no way does.
    fn written<W>(
        &self,
        document: usize,
        intent: &Intent<'_>,
        ways: impl IntoIterator<Item = W>,
        splices: impl Fn(W) -> Result<Vec<Splice>, EditError>,
    ) -> Result<Option<Written>, EditError> {
        for way in ways {
            if let Some(written) = self.applied(document, &splices(way)?, intent) {
                return Ok(Some(written));
            }
        }
        Ok(None)
    }

    /// Why a text would say something else than what was meant.
    fn refusal(&self, document: usize, places: &[Place], whole: &[Step]) -> EditError {
        let anchor = self.documents.get(document).and_then(|document| locate::anchor(document, places));
        anchor.map_or_else(|| EditError::unsound(whole), |line| EditError::shared(whole, line))
    }

    fn splices(&self, document: usize, resolved: &Resolved<'_>, whole: &[Step], value: &Value, blocks: bool) -> Result<Vec<Splice>, EditError> {
        let mut page = Page::new(&self.text, &self.documents[document], self.json, whole);
        page.style.literal &= blocks;
        let spot = locate::walk(&self.documents[document], &resolved.places, whole)?;
        match resolved.missing.split_first() {
            None => replace::value(&page, spot, resolved.value, value),
            Some((first, rest)) => {
                let (key, value) = locate::nested(first, rest, value, whole)?;
                insert::field(&page, spot, resolved.value, &key, &value)
            }
        }
    }

    /// The text with the splices written, and its document, unless that then says anything else than is meant. Only the document's own
    /// lines are read again: a line that begins with `---` or `...` is the end of a document wherever it stands (YAML 1.2.2, 9.1.2).
    fn applied(&self, at: usize, splices: &[Splice], intent: &Intent<'_>) -> Option<Written> {
        if let Some((text, field)) = self.applied_in_part(at, splices, intent) {
            return Some(Written { text, reread: Reread::Field(field) });
        }
        let document = self.documents.get(at)?;
        let begin = document.positions.node(0)?.value.start.offset as usize;
        let lines = page::document_lines(&self.text, begin);
        if splices.iter().any(|splice| splice.range.start < lines.start || splice.range.end > lines.end) {
            return None;
        }
        let text = page::spliced(&self.text, splices);
        let end = text.len() - (self.text.len() - lines.end);
        let mut reread = parse(text.get(lines.start..end)?, Limits::default()).ok()?;
        let json = !self.json || serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let intended = intent.whole(&document.value);
        let document = reread.pop().filter(|document| json && reread.is_empty() && document.value == intended)?;
        let moved = Shift::between("", text.get(..lines.start)?);
        Some(Written { text, reread: Reread::Document(Document { index: at, ..document.shifted(moved) }) })
    }

    /// Puts the text in the place of the old one; the documents behind the one that was read again stand elsewhere now.
    fn take(&mut self, at: usize, Written { text, reread }: Written) {
        let moved = Shift::between(&self.text, &text);
        self.text = text;
        let behind = self.documents.split_off((at + 1).min(self.documents.len()));
        match (self.documents.get_mut(at), reread) {
            (Some(document), Reread::Document(reread)) => *document = reread,
            (Some(document), Reread::Field(field)) => field.put(document),
            (None, _) => {}
        }
        self.documents.extend(behind.into_iter().map(|document| document.shifted(moved)));
    }
}
