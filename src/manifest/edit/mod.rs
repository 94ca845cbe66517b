//! Fields of YAML and JSON texts set in place: only the bytes of the value asked for are written, everything else stays.
//! A text is spliced at positions the reader gave, read again as strictly, and compared with what was meant. It never guesses
//! what an address means, and never gives out a text that says anything else than was asked for.

mod error;
mod insert;
mod locate;
mod page;
mod replace;
mod style;

pub use error::{EditError, EditFault};

use super::{Document, FieldPath, Limits, ObjectAddress, Step, SyntaxError, parse};
use locate::{Place, Resolved};
use page::{Page, Splice};
use serde_json::Value;

/// A text whose fields are set one after the other.
#[derive(Debug, Clone)]
pub struct Editor {
    text: String,
    documents: Vec<Document>,
    json: bool,
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
        let intended = locate::intended(&at.value, &resolved, value);
        // A comment that stands deeper than a block of text before it would become a part of it: then the text goes on one line.
        for blocks in [true, false] {
            let splices = self.splices(document, &resolved, whole, value, blocks)?;
            if let Some((text, documents)) = self.applied(document, &splices, &intended) {
                (self.text, self.documents) = (text, documents);
                return Ok(true);
            }
        }
        Err(if locate::is_shared(at, &resolved.places) { EditError::shared(whole) } else { EditError::unsound(whole) })
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

    /// The text with the splices written, unless it then says anything else than `intended`.
    fn applied(&self, at: usize, splices: &[Splice], intended: &Value) -> Option<(String, Vec<Document>)> {
        let text = page::spliced(&self.text, splices);
        let documents = parse(&text, Limits::default()).ok()?;
        let as_meant = documents.len() == self.documents.len()
            && documents.iter().zip(&self.documents).enumerate().all(
                |(number, (new, old))| {
                    if number == at { new.value == *intended } else { new.value == old.value }
                },
            );
        let json = !self.json || serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        (as_meant && json).then_some((text, documents))
    }
}
