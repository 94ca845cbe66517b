//! What there is to edit in a document, and why some of it may not be: found in the text itself, without the editor's own notions.

use super::habits::{line_start, range};
use kubeops::manifest::{Document, FieldPath, Location, ObjectAddress, ObjectRef, Step};
use serde_json::Value;

/// Others have it by an alias.
const SHARED: &str = "shared by an anchor";

/// A field or an element.
pub struct Node {
    /// The way to it from the document's root.
    pub steps: Vec<Step>,
    /// The same as a JSON pointer.
    pub pointer: String,
    /// What it is now.
    pub value: Value,
    /// Where it stands.
    pub at: Location,
    /// Why it must be refused; none where it must not.
    pub refused: Option<&'static str>,
}

impl Node {
    /// Its path.
    pub fn path(&self) -> FieldPath {
        FieldPath::from(self.steps.clone())
    }

    /// Whether it may be set: what others share may be, where each of them has the field itself.
    pub fn may_be_set(&self) -> bool {
        self.refused.is_none_or(|why| why == SHARED)
    }

    /// Whether it stands below `above` and is shared with others.
    pub fn is_shared_below(&self, above: &Self) -> bool {
        above.refused.is_none() && self.refused == Some(SHARED) && self.steps.starts_with(&above.steps)
    }
}

/// The form a scalar is written in, as far as a reader of the text sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Block,
}

/// The form of what stands at `pointer`, and its text.
pub fn written<'t>(text: &'t str, document: &Document, pointer: &str) -> (Form, &'t str) {
    let at = document.positions.find(pointer);
    let written = at.value.of(text).expect("in the text");
    let form = match written.as_bytes().first() {
        _ if header(text, &at).is_some() => Form::Block,
        Some(b'"') => Form::DoubleQuoted,
        Some(b'\'') => Form::SingleQuoted,
        _ => Form::Plain,
    };
    (form, written)
}

/// The header of a block of text, its line break left out; none for what is no block. A block begins a line, below its `|` or `>`.
pub fn header<'t>(text: &'t str, at: &Location) -> Option<(usize, &'t str)> {
    let start = range(at).start;
    let line = line_start(text, start);
    let above = text[..line].trim_end();
    let begin = line_start(text, above.len());
    let said = above[begin..].split(" #").next().unwrap_or_default().trim_end();
    let marker = said.trim_end_matches(['-', '+', '1', '2', '3', '4']).strip_suffix(['|', '>'])?;
    (text[line..start].trim().is_empty() && !above.is_empty()).then_some((begin + marker.len(), &said[marker.len()..]))
}

/// Every field and element of a document, in its order.
pub fn nodes(text: &str, document: &Document) -> Vec<Node> {
    let aliases = aliases(text, document);
    let mut found = Vec::new();
    collect(&Search { text, document, aliases: &aliases }, &document.value, &mut Way::default(), &mut found);
    found
}

struct Search<'a> {
    text: &'a str,
    document: &'a Document,
    /// The anchors that some alias names.
    aliases: &'a [String],
}

#[derive(Default)]
struct Way {
    steps: Vec<Step>,
    pointer: String,
    refused: Option<&'static str>,
}

fn collect(search: &Search<'_>, value: &Value, way: &mut Way, found: &mut Vec<Node>) {
    let children: Vec<(Step, String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (Step::Key(key.clone()), escaped(key), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(number, value)| (Step::Place(number), number.to_string(), value)).collect(),
        _ => return,
    };
    for (step, name, value) in children {
        let (length, refused) = (way.pointer.len(), way.refused);
        way.pointer.push('/');
        way.pointer.push_str(&name);
        way.steps.push(step);
        let at = search.document.positions.find(&way.pointer);
        way.refused = refused.or_else(|| search.refused(&at));
        found.push(Node { steps: way.steps.clone(), pointer: way.pointer.clone(), value: value.clone(), at, refused: way.refused });
        collect(search, value, way, found);
        way.steps.pop();
        way.pointer.truncate(length);
        way.refused = refused;
    }
}

impl Search<'_> {
    fn refused(&self, at: &Location) -> Option<&'static str> {
        if !at.exact {
            return Some("by a merge key");
        }
        if alias(self.text, at).is_some() {
            return Some("by an alias");
        }
        let anchor = anchor(self.text, at)?;
        self.aliases.iter().any(|alias| alias == anchor).then_some(SHARED)
    }
}

/// The name an alias gives.
fn alias<'t>(text: &'t str, at: &Location) -> Option<&'t str> {
    let before = before(text, at);
    let quoted = before.trim_end().ends_with(['|', '>', '"', '\'']);
    at.value.of(text)?.strip_prefix('*').filter(|name| !quoted && !name.is_empty() && !name.contains([' ', '\n', '.', '"']))
}

/// What stands between a node's key, or the beginning of its line, and its value.
pub fn before<'t>(text: &'t str, at: &Location) -> &'t str {
    let start = range(at).start;
    &text[at.key.map_or(line_start(text, start), |key| key.end.offset as usize).min(start)..start]
}

/// The name of a node's anchor.
fn anchor<'t>(text: &'t str, at: &Location) -> Option<&'t str> {
    let words: Vec<&str> = before(text, at).split_whitespace().collect();
    let word = match at.key {
        // Behind a dash stands what belongs to an element.
        Some(_) => words.into_iter().take_while(|word| *word != "-" && !word.starts_with('#')).find(|word| word.starts_with('&')),
        None => words.into_iter().next_back().filter(|word| word.starts_with('&')),
    };
    word.map(|word| &word[1..])
}

fn aliases(text: &str, document: &Document) -> Vec<String> {
    document.positions.iter().filter_map(|(_, at)| alias(text, &at).map(str::to_owned)).collect()
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// What leads to `steps` in `value`.
pub fn at_mut<'v>(value: &'v mut Value, steps: &[Step]) -> &'v mut Value {
    steps.iter().fold(value, |at, step| match step {
        Step::Key(key) => &mut at[key],
        Step::Place(place) => &mut at[*place],
        Step::Element { .. } => unreachable!("elements are found by their place here"),
    })
}

/// The value with something else in one place.
pub fn with(value: &Value, steps: &[Step], new: &Value) -> Value {
    let mut whole = value.clone();
    *at_mut(&mut whole, steps) = new.clone();
    whole
}

/// The value without a field or an element.
pub fn without(value: &Value, steps: &[Step]) -> Value {
    let mut whole = value.clone();
    let (last, above) = steps.split_last().expect("a step");
    match (at_mut(&mut whole, above), last) {
        (Value::Object(fields), Step::Key(key)) => drop(fields.shift_remove(key)),
        (Value::Array(items), Step::Place(place)) => drop(items.remove(*place)),
        other => unreachable!("{other:?}"),
    }
    whole
}

/// How a document is addressed among others; alone it needs no address.
pub fn address(documents: &[Document], number: usize) -> Option<ObjectAddress> {
    (documents.len() > 1).then(|| ObjectAddress::of(&ObjectRef::of(&documents[number].value).expect("an object")))
}
