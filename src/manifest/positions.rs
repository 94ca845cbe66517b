//! Where each part of a document stands in the text, by JSON pointer (RFC 6901).

use serde::Serialize;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Bytes before it.
    pub offset: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A stretch of a text. Its end is the first place after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Where it begins.
    pub start: Place,
    /// The first place after it.
    pub end: Place,
}

impl Span {
    /// The stretch of `text`, the text the span was made from.
    pub fn of<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.get(self.start.offset as usize..self.end.offset as usize)
    }
}

/// How far a text was moved: bytes and lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    bytes: i64,
    lines: i64,
}

impl Shift {
    /// How far what stands at the end of `old` is moved in `new`.
    pub(super) fn between(old: &str, new: &str) -> Self {
        let lines = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count() as i64;
        Self { bytes: new.len() as i64 - old.len() as i64, lines: lines(new) - lines(old) }
    }

    /// The line, moved.
    pub(super) fn line(self, line: u32) -> u32 {
        u32::try_from(i64::from(line) + self.lines).unwrap_or(u32::MAX)
    }

    /// The place, moved by whole lines.
    pub(super) fn place(self, place: Place) -> Place {
        let offset = u32::try_from(i64::from(place.offset) + self.bytes).unwrap_or(u32::MAX);
        Place { offset, line: self.line(place.line), column: place.column }
    }

    fn span(self, span: Span) -> Span {
        Span { start: self.place(span.start), end: self.place(span.end) }
    }
}

/// What is known of a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The key, where it is a mapping's field.
    pub key: Option<Span>,
    /// The value. That of an empty value is empty, that of an alias is the alias; a block scalar's begins with its first line of text.
    pub value: Span,
    /// Whether the pointer itself was found, not only something above it.
    pub exact: bool,
}

impl Location {
    /// Where an editor should put the cursor: the key, or else the value.
    pub fn place(&self) -> Place {
        self.key.unwrap_or(self.value).start
    }
}

/// Where each part of a document stands. Parts that an alias or a merge key brought in stand where the alias stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// The nodes in the order of the text, parents before children; the first is the root.
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    key: Option<(Box<str>, Span)>,
    value: Span,
    /// The place in `nodes` after the last descendant, which is the next sibling's.
    end: u32,
    written: Written,
}

/// How a node is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) form: Form,
    /// Whether it has an anchor, which an alias may name.
    pub(super) anchored: bool,
    /// Whether it has a tag.
    pub(super) tagged: bool,
}

/// In which of YAML's forms a node is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing stands there.
    Absent,
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
    FlowMapping,
    BlockMapping,
    FlowSequence,
    BlockSequence,
    Alias,
}

/// One node, as an editor sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeView<'p> {
    /// Its number, to ask for its children.
    pub(super) number: usize,
    /// Its key, where it is a mapping's field.
    pub(super) key: Option<(&'p str, Span)>,
    /// Its value; see [`Location::value`].
    pub(super) value: Span,
    pub(super) written: Written,
}

impl Node {
    fn move_by(&mut self, by: Shift) {
        self.value = by.span(self.value);
        if let Some((_, key)) = &mut self.key {
            *key = by.span(*key);
        }
    }
}

impl Positions {
    /// Nothing yet, with room for as many nodes.
    pub(super) fn with_capacity(nodes: usize) -> Self {
        Self { nodes: Vec::with_capacity(nodes) }
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node below the one opened last and gives its number.
    pub(super) fn open(&mut self, key: Option<(Box<str>, Span)>, value: Span, written: Written) -> usize {
        let number = self.nodes.len();
        self.nodes.push(Node { key, value, end: u32::try_from(number + 1).unwrap_or(u32::MAX), written });
        number
    }

    /// Ends the node `number`: everything added since is below it, and its value reaches to `end`.
    pub(super) fn close(&mut self, number: usize, end: Place) {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.nodes.get_mut(number) {
            node.end = next;
            node.value.end = node.value.end.max(end);
        }
    }

    /// Where `pointer` stands, or the nearest thing above it that is in the text. The empty pointer is the whole document.
    pub fn find(&self, pointer: &str) -> Location {
        let mut at = 0;
        let mut exact = true;
        for step in pointer.split('/').skip(1) {
            match self.child(at, step) {
                Some(child) => at = child,
                None => {
                    exact = false;
                    break;
                }
            }
        }
        let origin = Place { offset: 0, line: 1, column: 1 };
        self.nodes.get(at).map_or(Location { key: None, value: Span { start: origin, end: origin }, exact: false }, |node| Location {
            key: node.key.as_ref().map(|(_, span)| *span),
            value: node.value,
            exact,
        })
    }

    /// The line of `pointer`'s key or value, or of the nearest thing above it, from 1.
    pub fn line(&self, pointer: &str) -> u32 {
        self.find(pointer).place().line
    }

    /// Every pointer of the text with its location, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (String, Location)> {
        let mut pointers = Vec::new();
        if !self.nodes.is_empty() {
            self.collect(0, &mut String::new(), &mut pointers);
        }
        pointers.into_iter()
    }

    fn collect(&self, at: usize, pointer: &mut String, into: &mut Vec<(String, Location)>) {
        let node = &self.nodes[at];
        into.push((pointer.clone(), Location { key: node.key.as_ref().map(|(_, span)| *span), value: node.value, exact: true }));
        for (number, child) in self.children(at).enumerate() {
            let length = pointer.len();
            match &self.nodes[child].key {
                Some((key, _)) => push_step(pointer, key),
                None => push_step(pointer, &number.to_string()),
            }
            self.collect(child, pointer, into);
            pointer.truncate(length);
        }
    }

    /// Puts the first field of another text, which is moved by `prefix`, in the place of the subtree at `number`; what is behind that is
    /// moved by `moved`, and what is above it ends behind it. Either has to be there, or nothing changes.
    pub(super) fn graft(&mut self, number: usize, mut other: Self, prefix: Shift, moved: Shift) {
        let end = |positions: &Self, number: usize| positions.nodes.get(number).map(|node| node.end as usize);
        let (Some(old), Some(own)) = (end(self, number), end(&other, 1)) else { return };
        let narrow = |end: usize| u32::try_from(end).unwrap_or(u32::MAX);
        let grown = |end: u32| narrow(end as usize + (own - 1) - (old - number));
        for node in self.nodes[..number].iter_mut().filter(|node| node.end as usize > number) {
            node.end = grown(node.end);
            node.value.end = moved.place(node.value.end);
        }
        for node in &mut self.nodes[old..] {
            node.end = grown(node.end);
            node.move_by(moved);
        }
        let new = other.nodes.drain(1..own).map(|mut node| {
            node.end = narrow(node.end as usize + number - 1);
            node.move_by(prefix);
            node
        });
        drop(self.nodes.splice(number..old, new));
    }

    /// The same in a text that was moved.
    pub(super) fn shifted(mut self, by: Shift) -> Self {
        self.nodes.iter_mut().for_each(|node| node.move_by(by));
        self
    }

    /// The node with this number; the root has 0.
    pub(super) fn node(&self, number: usize) -> Option<NodeView<'_>> {
        let node = self.nodes.get(number)?;
        let key = node.key.as_ref().map(|(key, span)| (&**key, *span));
        Some(NodeView { number, key, value: node.value, written: node.written })
    }

    /// The nodes directly below a node, in the order of the text.
    pub(super) fn below(&self, number: usize) -> impl Iterator<Item = NodeView<'_>> {
        self.children(number).filter_map(|child| self.node(child))
    }

    /// Every node at or below `number`, in the order of the text.
    pub(super) fn subtree(&self, number: usize) -> impl Iterator<Item = NodeView<'_>> {
        let end = self.nodes.get(number).map_or(number, |node| node.end as usize);
        (number..end).filter_map(|node| self.node(node))
    }

    fn children(&self, at: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes.get(at).map_or(0, |node| node.end as usize);
        let mut next = at + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < end).then(|| {
                next = self.nodes[child].end as usize;
                child
            })
        })
    }

    fn child(&self, at: usize, step: &str) -> Option<usize> {
        let first = at + 1;
        if first >= self.nodes.get(at)?.end as usize {
            return None;
        }
        if self.nodes[first].key.is_some() {
            let step = unescape(step);
            self.children(at).find(|child| self.nodes[*child].key.as_ref().is_some_and(|(key, _)| **key == *step))
        } else {
            let number = step.parse().ok().filter(|_| step == "0" || !step.starts_with(['0', '+']))?;
            self.children(at).nth(number)
        }
    }
}

/// Adds one step to a pointer, escaped.
pub(crate) fn push_step(pointer: &mut String, step: &str) {
    pointer.push('/');
    let mut rest = step;
    while let Some(at) = rest.find(['~', '/']) {
        pointer.push_str(&rest[..at]);
        pointer.push_str(if rest.as_bytes()[at] == b'~' { "~0" } else { "~1" });
        rest = &rest[at + 1..];
    }
    pointer.push_str(rest);
}

/// A step of a pointer as the key it stands for.
pub(super) fn unescape(step: &str) -> std::borrow::Cow<'_, str> {
    if step.contains('~') { step.replace("~1", "/").replace("~0", "~").into() } else { step.into() }
}
