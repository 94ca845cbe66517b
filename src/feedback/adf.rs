//! Markdown as an Atlassian document: what comments in the cloud are made of. Text is text there: nothing in it mentions anybody.
//! It keeps to what Atlassian's schema allows where: <https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/>.

use super::markdown::{self, Block, Inline, Marks};
use serde_json::{Map, Value, json};

/// The longest document, as JSON in UTF-16 units: Jira takes 32,767 and does not say of what.
const MAX: usize = 32_000;

/// What a node stands in, which decides what may stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Quote,
    Item,
}

/// The document of a Markdown text.
pub(super) fn of(text: &str) -> Value {
    markdown::bounded(text, MAX, document, |document| document.to_string().encode_utf16().count())
}

fn document(found: &[Block]) -> Value {
    json!({ "version": 1, "type": "doc", "content": blocks(found, Place::Document) })
}

fn blocks(found: &[Block], place: Place) -> Vec<Value> {
    found.iter().flat_map(|found| block(found, place)).collect()
}

/// The nodes of a block; what may not stand here is shown by what may.
fn block(found: &Block, place: Place) -> Vec<Value> {
    match found {
        Block::Paragraph(text) => vec![paragraph(text)],
        Block::Heading(level, text) if place == Place::Document => {
            vec![json!({ "type": "heading", "attrs": { "level": level }, "content": inlines(text) })]
        }
        Block::Heading(_, text) => vec![paragraph(&strong(text))],
        Block::Code { language, text } => {
            let content: Vec<Value> = (!text.is_empty()).then(|| json!({ "type": "text", "text": text })).into_iter().collect();
            let attrs: Map<String, Value> = language.iter().map(|language| ("language".to_owned(), json!(language))).collect();
            vec![json!({ "type": "codeBlock", "attrs": attrs, "content": content })]
        }
        Block::List { start, items } => vec![list(*start, items)],
        Block::Quote(within) if place == Place::Document => match blocks(within, Place::Quote) {
            content if content.is_empty() => Vec::new(),
            content => vec![json!({ "type": "blockquote", "content": content })],
        },
        Block::Quote(within) => blocks(within, place),
        Block::Table { head, rows } if place == Place::Document => vec![table(head, rows)],
        Block::Table { head, rows } => std::iter::once(head).chain(rows).map(|row| paragraph(&joined(row))).collect(),
        Block::Rule if place == Place::Document => vec![json!({ "type": "rule" })],
        Block::Rule => Vec::new(),
    }
}

fn paragraph(text: &[Inline]) -> Value {
    json!({ "type": "paragraph", "content": inlines(text) })
}

fn list(start: Option<u64>, items: &[Vec<Block>]) -> Value {
    let item = |within: &Vec<Block>| {
        let mut content = blocks(within, Place::Item);
        // A list item begins with text.
        if !content.first().is_some_and(|first| first["type"] == "paragraph" || first["type"] == "codeBlock") {
            content.insert(0, paragraph(&[]));
        }
        json!({ "type": "listItem", "content": content })
    };
    let content: Vec<Value> = items.iter().map(item).collect();
    match start {
        Some(start) => json!({ "type": "orderedList", "attrs": { "order": start }, "content": content }),
        None => json!({ "type": "bulletList", "content": content }),
    }
}

fn table(head: &[Vec<Inline>], rows: &[Vec<Vec<Inline>>]) -> Value {
    let row = |cells: &[Vec<Inline>], kind: &str| {
        let cell = |text: &Vec<Inline>| json!({ "type": kind, "attrs": {}, "content": [paragraph(text)] });
        json!({ "type": "tableRow", "content": cells.iter().map(cell).collect::<Vec<_>>() })
    };
    let content: Vec<Value> = std::iter::once(row(head, "tableHeader")).chain(rows.iter().map(|cells| row(cells, "tableCell"))).collect();
    json!({ "type": "table", "content": content })
}

/// A table's row as one line.
fn joined(row: &[Vec<Inline>]) -> Vec<Inline> {
    let separator = [Inline::Text(" | ".to_owned(), Marks::default())];
    row.join(&separator[..])
}

fn strong(text: &[Inline]) -> Vec<Inline> {
    let marked = |inline: &Inline| match inline {
        Inline::Text(text, marks) => Inline::Text(text.clone(), Marks { strong: true, ..marks.clone() }),
        Inline::Break => Inline::Break,
    };
    text.iter().map(marked).collect()
}

fn inlines(text: &[Inline]) -> Vec<Value> {
    let node = |inline: &Inline| match inline {
        Inline::Break => json!({ "type": "hardBreak" }),
        Inline::Text(text, marks) => {
            let mut node = json!({ "type": "text", "text": text });
            let marks = marks_of(marks);
            if !marks.is_empty() {
                node["marks"] = marks.into();
            }
            node
        }
    };
    text.iter().map(node).collect()
}

/// Code may be a link, and nothing else.
fn marks_of(marks: &Marks) -> Vec<Value> {
    let simple = match marks.code {
        true => vec![("code", true)],
        false => vec![("strong", marks.strong), ("em", marks.emphasis), ("strike", marks.strike)],
    };
    let simple = simple.into_iter().filter(|(_, set)| *set).map(|(kind, _)| json!({ "type": kind }));
    simple.chain(marks.link.iter().map(|href| json!({ "type": "link", "attrs": { "href": href } }))).collect()
}

#[cfg(test)]
mod tests;
