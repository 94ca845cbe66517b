//! From parser events to documents, in one pass: values and positions come from the same events and cannot disagree.

use super::account::{Account, Size};
use super::divergent;
use super::plain::{self, Scalar};
use super::positions::{Form, Written, push_step};
use super::{Document, Limits, Place, Positions, Span, SyntaxError};
use granit_parser::{Event, Marker, ScalarStyle, StructureStyle, Tag, TryLoadError, TrySpannedEventReceiver};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// An unquoted scalar that Kubernetes tools read differently: quoting it makes it text for all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Disputed {
    /// The scalar as it is written.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    /// JSON pointer of the field or element.
    pub pointer: String,
    /// Whether it is the field's key, not its value.
    pub key: bool,
    /// What `kubectl` makes of it (YAML 1.1).
    pub kubectl: Scalar,
    /// What a YAML 1.2 reader makes of it.
    pub core: Scalar,
}

pub(super) fn compose(text: &str, limits: Limits) -> Result<Vec<Document>, SyntaxError> {
    if text.len() > limits.bytes {
        return Err(SyntaxError { message: format!("the text has {} bytes; {} are allowed", text.len(), limits.bytes), line: 1, column: 1 });
    }
    divergent::refuse(text)?;
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    let mut composer = Composer::new(text, limits);
    composer.open_end = (!text.ends_with('\n')).then(|| narrow(text.len()));
    // Handed from the parser to the composer as they come: an iterator would copy each event, which is large, several times.
    granit_parser::Parser::new_from_str_with_options(text, options).try_load(&mut composer, true).map_err(|error| match error {
        TryLoadError::Scan(error) => at(place(error.marker()), error.info()),
        TryLoadError::Receiver(error) => error,
    })?;
    Ok(composer.documents)
}

impl<'t> TrySpannedEventReceiver<'t> for Composer<'_> {
    type Error = SyntaxError;

    fn on_event(&mut self, event: Event<'t>, span: granit_parser::Span) -> Result<(), SyntaxError> {
        self.take(event, span)
    }
}

pub(super) fn at(place: Place, message: String) -> SyntaxError {
    SyntaxError { message, line: place.line, column: place.column }
}

pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn place(marker: &Marker) -> Place {
    Place { offset: narrow(marker.byte_offset().unwrap_or(0)), line: narrow(marker.line()), column: narrow(marker.col() + 1) }
}

struct Key {
    text: String,
    merge: bool,
}

enum Items {
    Map { fields: Map<String, Value>, key: Option<Key>, merged: Map<String, Value> },
    Seq(Vec<Value>),
}

/// A mapping or sequence that is not ended yet.
struct Frame {
    node: usize,
    anchor: usize,
    before: Size,
    items: Items,
}

struct Composer<'s> {
    text: &'s str,
    depth: usize,
    /// The size of a text whose last line has no end.
    open_end: Option<u32>,
    documents: Vec<Document>,
    /// Documents begun, empty ones included.
    begun: usize,
    account: Account,
    /// Where the last event ended.
    last_end: u32,
    stack: Vec<Frame>,
    /// The key whose value comes next, for the positions.
    pending: Option<(Box<str>, Span)>,
    positions: Positions,
    root: Value,
    disputed: Vec<Disputed>,
}

impl<'s> Composer<'s> {
    fn new(text: &'s str, limits: Limits) -> Self {
        Self {
            text,
            depth: limits.depth,
            open_end: None,
            documents: Vec::new(),
            begun: 0,
            account: Account::new(limits),
            last_end: 0,
            stack: Vec::new(),
            pending: None,
            positions: Positions::with_capacity(DOCUMENT_NODES),
            root: Value::Null,
            disputed: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: granit_parser::Span) -> Result<(), SyntaxError> {
        let tag_at = span.tag_start().map(|marker| place(&marker));
        let span = Span { start: place(&span.start), end: place(&span.end) };
        if let Event::Scalar(_, _, anchor, _) | Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) = &event
            && *anchor != 0
            && divergent::is_odd_anchor(self.text, self.last_end, span.start.offset)
        {
            return Err(at(span.start, "an anchor's name has letters, digits, `_` and `-` only: readers end other names differently".to_owned()));
        }
        // Where a document begins without `---` is told late, behind its first anchor.
        if !matches!(event, Event::StreamStart | Event::DocumentStart(..)) {
            self.last_end = span.end.offset;
        }
        match event {
            Event::DocumentStart(explicit, _) => {
                if !explicit && self.begun > 0 {
                    return Err(at(span.start, "a document after another begins with `---`".to_owned()));
                }
                self.begun += 1;
                if self.begun > MAX_DOCUMENTS {
                    return Err(at(span.start, format!("more than {MAX_DOCUMENTS} documents")));
                }
                self.account.end_document();
            }
            Event::DocumentEnd => self.end_document(),
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = self.tagged(tag.as_deref(), "str", tag_at.unwrap_or(span.start))?;
                self.scalar(text, style, text_tag, anchor, span)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let tagged = self.tagged(tag.as_deref(), "seq", tag_at.unwrap_or(span.start))?;
                let form = if style == StructureStyle::Flow { Form::FlowSequence } else { Form::BlockSequence };
                self.open(Items::Seq(Vec::new()), anchor, Written { form, anchored: anchor != 0, tagged }, span)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let tagged = self.tagged(tag.as_deref(), "map", tag_at.unwrap_or(span.start))?;
                let form = if style == StructureStyle::Flow { Form::FlowMapping } else { Form::BlockMapping };
                let items = Items::Map { fields: Map::new(), key: None, merged: Map::new() };
                self.open(items, anchor, Written { form, anchored: anchor != 0, tagged }, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            // Nothing else carries content: stream ends, and comments, which are not asked for.
            _ => {}
        }
        Ok(())
    }

    /// Whether the node has the one core tag that it may have; any other tag is an error.
    fn tagged(&self, tag: Option<&Tag>, allowed: &str, place: Place) -> Result<bool, SyntaxError> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema_tag(allowed) => Ok(true),
            Some(tag) => Err(at(place, format!("the tag `{}` is not allowed here: Kubernetes knows JSON's types only", tag.original()))),
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, text_tag: bool, anchor: usize, span: Span) -> Result<(), SyntaxError> {
        let before = self.account.size();
        self.account.charge(1, text.len(), span.start)?;
        // The parser calls an absent value `~`.
        let absent = span.start.offset == span.end.offset && style == ScalarStyle::Plain;
        let plain = style == ScalarStyle::Plain && !text_tag;
        let text: Cow<'_, str> = match text {
            _ if absent => "".into(),
            // The parser ends a block scalar with a line feed even where the text ends without one; libyaml does not.
            Cow::Owned(text) if self.open_end == Some(span.end.offset) && matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) => {
                text.strip_suffix('\n').map(str::to_owned).unwrap_or(text).into()
            }
            text => text,
        };
        if let Some(Frame { items: Items::Map { fields, key: key @ None, .. }, .. }) = self.stack.last_mut() {
            if anchor != 0 {
                return Err(at(span.start, "an anchor on a key is not allowed".to_owned()));
            }
            if absent && !text_tag {
                return Err(at(span.start, "a key is missing before `:`".to_owned()));
            }
            if fields.contains_key(text.as_ref()) {
                return Err(at(span.start, format!("the key {:?} stands twice in this mapping", shorten(&text))));
            }
            *key = Some(Key { text: text.as_ref().to_owned(), merge: plain && text == "<<" });
            self.pending = Some((text.as_ref().into(), span));
            return if plain { self.dispute(&text, span, true) } else { Ok(()) };
        }
        let form = if absent { Form::Absent } else { form_of(style) };
        let node = self.positions.open(self.pending.take(), span, Written { form, anchored: anchor != 0, tagged: text_tag });
        if plain {
            self.dispute(&text, span, false)?;
        }
        let value = match if plain { plain::kubectl(&text) } else { Scalar::Text } {
            Scalar::Null => Value::Null,
            Scalar::Bool(flag) => Value::Bool(flag),
            Scalar::Int(number) => i64::try_from(number).map(Value::from).or_else(|_| u64::try_from(number).map(Value::from)).unwrap_or(Value::Null),
            Scalar::Float(number) => match serde_json::Number::from_f64(number) {
                Some(number) => Value::Number(number),
                None => return Err(at(span.start, format!("`{text}` is a number that JSON does not have; quote it if it is text"))),
            },
            Scalar::Text => Value::String(text.into_owned()),
        };
        self.positions.close(node, span.end);
        self.finish(value, anchor, before, span)
    }

    /// Notes a scalar that its readers disagree on.
    fn dispute(&mut self, text: &str, span: Span, key: bool) -> Result<(), SyntaxError> {
        let kubectl = plain::kubectl(text);
        if kubectl == Scalar::Text || text.is_empty() {
            return Ok(());
        }
        let core = plain::core(text);
        // A key is text here; kubectl writes a key that it read as something else anew, so `1.10` becomes `1.1`.
        let agreed = match kubectl {
            Scalar::Bool(flag) if key => text == if flag { "true" } else { "false" },
            Scalar::Int(number) if key => text == number.to_string(),
            Scalar::Null | Scalar::Float(_) if key => false,
            _ => kubectl == core,
        };
        if agreed {
            return Ok(());
        }
        // Every note holds a pointer; a text made of nothing else must not be made many times larger by them.
        self.account.charge(1, 0, span.start)?;
        let mut pointer = String::new();
        for frame in &self.stack {
            match &frame.items {
                Items::Map { key: Some(key), .. } => push_step(&mut pointer, &key.text),
                Items::Map { key: None, .. } => {}
                Items::Seq(items) => push_step(&mut pointer, &items.len().to_string()),
            }
        }
        if self.disputed.len() < MAX_DISPUTED {
            self.disputed.push(Disputed { text: text.to_owned(), place: span.start, pointer, key, kubectl, core });
        }
        Ok(())
    }

    fn open(&mut self, items: Items, anchor: usize, written: Written, span: Span) -> Result<(), SyntaxError> {
        self.refuse_as_key(span)?;
        if self.stack.len() >= self.depth {
            return Err(at(span.start, format!("more than {} levels of nesting", self.depth)));
        }
        let before = self.account.size();
        self.account.charge(1, 0, span.start)?;
        let node = self.positions.open(self.pending.take(), span, written);
        self.stack.push(Frame { node, anchor, before, items });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), SyntaxError> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        self.positions.close(frame.node, span.end);
        let value = match frame.items {
            Items::Seq(items) => Value::Array(items),
            Items::Map { mut fields, merged, .. } => {
                for (key, value) in merged {
                    fields.entry(key).or_insert(value);
                }
                Value::Object(fields)
            }
        };
        self.finish(value, frame.anchor, frame.before, span)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), SyntaxError> {
        self.refuse_as_key(span)?;
        let before = self.account.size();
        let value = self.account.alias(anchor, span.start)?;
        let node = self.positions.open(self.pending.take(), span, Written { form: Form::Alias, anchored: false, tagged: false });
        self.positions.close(node, span.end);
        self.finish(value, 0, before, span)
    }

    fn refuse_as_key(&self, span: Span) -> Result<(), SyntaxError> {
        match self.stack.last() {
            Some(Frame { items: Items::Map { key: None, .. }, .. }) => {
                Err(at(span.start, "a key is a scalar, written out: no mapping, sequence or alias".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Puts a whole value where it belongs.
    fn finish(&mut self, value: Value, anchor: usize, before: Size, span: Span) -> Result<(), SyntaxError> {
        if anchor != 0 {
            self.account.keep(anchor, &value, before, span.start)?;
        }
        match self.stack.last_mut().map(|frame| &mut frame.items) {
            None => self.root = value,
            Some(Items::Seq(items)) => items.push(value),
            Some(Items::Map { fields, key, merged }) => match key.take() {
                Some(Key { merge: true, .. }) => merge(fields, merged, value, span)?,
                Some(Key { text, .. }) => {
                    fields.insert(text, value);
                }
                None => {}
            },
        }
        Ok(())
    }

    fn end_document(&mut self) {
        let disputed = std::mem::take(&mut self.disputed);
        let value = self.root.take();
        // The next document is taken to be about as large as this one.
        let room = self.positions.len().min(DOCUMENT_NODES);
        let positions = std::mem::replace(&mut self.positions, Positions::with_capacity(room));
        if !value.is_null() {
            let start_line = positions.find("").value.start.line;
            self.documents.push(Document { value, positions, index: self.documents.len(), start_line, disputed });
        }
    }
}

fn form_of(style: ScalarStyle) -> Form {
    match style {
        ScalarStyle::Plain => Form::Plain,
        ScalarStyle::SingleQuoted => Form::SingleQuoted,
        ScalarStyle::DoubleQuoted => Form::DoubleQuoted,
        ScalarStyle::Literal => Form::Literal,
        ScalarStyle::Folded => Form::Folded,
    }
}

/// Nodes that room is made for before a document is read.
const DOCUMENT_NODES: usize = 32;
/// Documents of a text, empty ones included: each takes the memory of a dozen values.
const MAX_DOCUMENTS: usize = 10_000;
/// Disagreements that are kept per document; more say nothing new.
const MAX_DISPUTED: usize = 100;

/// Brings the fields of `value`, a mapping or a sequence of mappings, under those that the mapping has itself.
/// <https://yaml.org/type/merge.html>
fn merge(fields: &Map<String, Value>, merged: &mut Map<String, Value>, value: Value, span: Span) -> Result<(), SyntaxError> {
    let wrong = || at(span.start, "`<<` takes a mapping or a sequence of mappings".to_owned());
    if !merged.is_empty() {
        return Err(at(span.start, "`<<` stands twice in this mapping".to_owned()));
    }
    let maps = match value {
        map @ Value::Object(_) => vec![map],
        Value::Array(items) => items,
        _ => return Err(wrong()),
    };
    for map in maps {
        let Value::Object(map) = map else { return Err(wrong()) };
        for (key, value) in map {
            // Some readers let the later one win, some the mapping's own.
            if fields.contains_key(&key) {
                return Err(at(span.start, format!("`<<` would set {:?}, which stands before it; put `<<` first", shorten(&key))));
            }
            merged.entry(key).or_insert(value);
        }
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
