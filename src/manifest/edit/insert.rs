//! A field or an element that is not there yet, behind its siblings and written as they are.

use super::EditFault;
use super::error::EditError;
use super::locate::{Spot, kind};
use super::page::{Page, Splice, column, inserted};
use super::replace::in_place_of_nothing;
use crate::manifest::FieldPath;
use crate::manifest::positions::{Form, NodeView};
use serde_json::{Map, Value};

/// The splices that add a field to the mapping at the spot, whose value is `mapping`; what is empty becomes a mapping.
pub(super) fn field(page: &Page<'_>, spot: Spot<'_>, mapping: &Value, key: &str, value: &Value) -> Result<Vec<Splice>, EditError> {
    let node = spot.node;
    match node.written.form {
        Form::BlockMapping => Ok(vec![on_a_line(page, &node, mapping, key, value)]),
        Form::FlowMapping => Ok(in_brackets(page, &node, mapping, page.style.pair(key, value))),
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

/// The splices that add an element to the list at the spot, whose value is `list`; what is empty becomes a list.
pub(super) fn element(page: &Page<'_>, spot: Spot<'_>, list: &Value, value: &Value) -> Result<Vec<Splice>, EditError> {
    let node = spot.node;
    match node.written.form {
        Form::BlockSequence => {
            let last = page.document.positions.below(node.number).last().ok_or_else(|| EditError::unsound(page.whole))?;
            let indent = page.dash_column(&last).ok_or_else(|| page.form("has elements that do not stand on lines of their own"))?;
            let element = format!("{:indent$}- {}", "", page.style.block(value, indent + 2));
            let end = page.content_end(&node, Some(list));
            Ok(vec![if page.text[..end].ends_with('\n') {
                inserted(end, format!("{element}{}", page.style.eol))
            } else {
                inserted(page.line_end(end), format!("{}{element}", page.style.eol))
            }])
        }
        Form::FlowSequence => Ok(in_brackets(page, &node, list, page.style.inline(value))),
        _ if !list.is_null() => Err(EditError::new(EditFault::Kind, format!("`{}` is {}, not a list", FieldPath::prefix(page.whole), kind(list)))),
        _ => super::replace::value(page, spot, list, &Value::Array(vec![value.clone()])),
    }
}

/// `member`, a field or an element, behind the last one within the braces or brackets of `node`, whose value is `whole`.
fn in_brackets(page: &Page<'_>, node: &NodeView<'_>, whole: &Value, member: String) -> Vec<Splice> {
    let Some((number, last)) = page.document.positions.below(node.number).enumerate().last() else {
        return vec![in_empty_brackets(page, node, &member)];
    };
    let end = match (last.written.form, last.key) {
        (Form::Absent, Some((_, key))) => page.after_colon(&last).unwrap_or(key.end.offset as usize),
        (_, Some((key, _))) => page.content_end(&last, whole.get(key)),
        (_, None) => page.content_end(&last, whole.get(number)),
    };
    let next = page.skip_blank(end);
    let closed_by_comma = page.text[next..].starts_with(',');
    let begin = last.key.map_or(last.value, |(_, key)| key).start.offset as usize;
    let lead = &page.text[page.line_start(begin)..begin];
    if !lead.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
        return vec![if closed_by_comma { inserted(next + 1, format!(" {member}")) } else { inserted(end, format!(", {member}")) }];
    }
    // Each stands on a line of its own.
    let eol = page.style.eol;
    if closed_by_comma {
        return vec![inserted(page.line_end(next), format!("{eol}{lead}{member},"))];
    }
    let line_end = page.line_end(end);
    if next < line_end {
        return vec![inserted(end, format!(",{eol}{lead}{member}"))];
    }
    vec![inserted(end, ",".to_owned()), inserted(line_end, format!("{eol}{lead}{member}"))]
}

fn in_empty_brackets(page: &Page<'_>, node: &NodeView<'_>, member: &str) -> Splice {
    let (open, close) = (node.value.start.offset as usize + 1, (node.value.end.offset as usize).saturating_sub(1));
    match page.text.get(open..close) {
        Some("") => inserted(open, member.to_owned()),
        Some(inner) if inner.bytes().all(|byte| byte == b' ') => Splice { range: open..close, text: format!(" {member} ") },
        _ => inserted(open, member.to_owned()),
    }
}
