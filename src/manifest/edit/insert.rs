//! A field that is not there yet, behind its siblings and written as they are.

use super::error::EditError;
use super::locate::Spot;
use super::page::{Page, Splice, column, inserted};
use super::replace::in_place_of_nothing;
use crate::manifest::positions::{Form, NodeView};
use serde_json::{Map, Value};

/// The splices that add a field to the mapping at the spot, whose value is `mapping`; what is empty becomes a mapping.
pub(super) fn field(page: &Page<'_>, spot: Spot<'_>, mapping: &Value, key: &str, value: &Value) -> Result<Vec<Splice>, EditError> {
    let node = spot.node;
    match node.written.form {
        Form::BlockMapping => Ok(vec![on_a_line(page, &node, mapping, key, value)]),
        Form::FlowMapping => Ok(in_braces(page, &node, mapping, key, value)),
        _ if !mapping.is_null() => Err(EditError::unsound(page.whole)),
        _ => {
            let whole = Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
            if spot.flow || node.key.is_none() {
                super::replace::value(page, spot, mapping, &whole)
            } else {
                in_place_of_nothing(page, &node, &whole)
            }
        }
    }
}

/// A line of its own behind the last field, comments behind which stay where they are.
fn on_a_line(page: &Page<'_>, node: &NodeView<'_>, mapping: &Value, key: &str, value: &Value) -> Splice {
    let indent = column(node.value);
    let field = format!("{:indent$}{}", "", page.style.field(key, value, indent));
    let end = page.content_end(node, Some(mapping));
    if page.text[..end].ends_with('\n') {
        return inserted(end, format!("{field}{}", page.style.eol));
    }
    inserted(page.line_end(end), format!("{}{field}", page.style.eol))
}

fn in_braces(page: &Page<'_>, node: &NodeView<'_>, mapping: &Value, key: &str, value: &Value) -> Vec<Splice> {
    let pair = page.style.pair(key, value);
    let Some(last) = page.document.positions.below(node.number).last() else { return vec![in_empty_braces(page, node, &pair)] };
    let end = match (last.written.form, last.key) {
        (Form::Absent, Some((_, key))) => page.after_colon(&last).unwrap_or(key.end.offset as usize),
        _ => page.content_end(&last, last.key.and_then(|(key, _)| mapping.get(key))),
    };
    let next = page.skip_blank(end);
    let closed_by_comma = page.text[next..].starts_with(',');
    let begin = last.key.map_or(last.value, |(_, key)| key).start.offset as usize;
    let lead = &page.text[page.line_start(begin)..begin];
    if !lead.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
        return vec![if closed_by_comma { inserted(next + 1, format!(" {pair}")) } else { inserted(end, format!(", {pair}")) }];
    }
    // Each field stands on a line of its own.
    let eol = page.style.eol;
    if closed_by_comma {
        return vec![inserted(page.line_end(next), format!("{eol}{lead}{pair},"))];
    }
    let line_end = page.line_end(end);
    if next < line_end {
        return vec![inserted(end, format!(",{eol}{lead}{pair}"))];
    }
    vec![inserted(end, ",".to_owned()), inserted(line_end, format!("{eol}{lead}{pair}"))]
}

fn in_empty_braces(page: &Page<'_>, node: &NodeView<'_>, pair: &str) -> Splice {
    let (open, close) = (node.value.start.offset as usize + 1, (node.value.end.offset as usize).saturating_sub(1));
    match page.text.get(open..close) {
        Some("") => inserted(open, pair.to_owned()),
        Some(inner) if inner.bytes().all(|byte| byte == b' ') => Splice { range: open..close, text: format!(" {pair} ") },
        _ => inserted(open, pair.to_owned()),
    }
}
