//! A value in the place of one that is there.

use super::error::{EditError, EditFault};
use super::locate::{Spot, kind};
use super::page::{Page, Splice, column, inserted};
use crate::manifest::FieldPath;
use crate::manifest::positions::{Form, NodeView};
use serde_json::Value;

/// The splices that make `old`, which stands at the spot, `new`.
pub(super) fn value(page: &Page<'_>, spot: Spot<'_>, old: &Value, new: &Value) -> Result<Vec<Splice>, EditError> {
    let same_kind = match (old, new) {
        (Value::Null, _) => true,
        (Value::Object(_), Value::Object(_)) | (Value::Array(_), Value::Array(_)) => true,
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => false,
        _ => true,
    };
    if !same_kind {
        let message = format!("`{}` is {}, and {} cannot take its place", FieldPath::prefix(page.whole), kind(old), kind(new));
        return Err(EditError::new(EditFault::Kind, message));
    }
    let node = spot.node;
    if node.written.tagged && std::mem::discriminant(old) != std::mem::discriminant(new) {
        return Err(page.form("has a tag (`!!`) that the new value does not fit"));
    }
    match node.written.form {
        Form::Literal | Form::Folded => block_scalar(page, &node, old, new),
        Form::Absent | Form::Plain if old.is_null() && !spot.flow && is_block(new) => in_place_of_nothing(page, &node, new),
        Form::Absent => absent(page, &spot, new),
        Form::BlockMapping | Form::BlockSequence => block(page, &node, old, new),
        form => {
            let range = node.value.start.offset as usize..node.value.end.offset as usize;
            let text = page.style.instead_of(form, page.text.get(range.clone()).unwrap_or_default(), new, spot.flow);
            Ok(vec![Splice { range, text }])
        }
    }
}

/// Whether a value has lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// A value on one line behind a key that has none.
fn absent(page: &Page<'_>, spot: &Spot<'_>, new: &Value) -> Result<Vec<Splice>, EditError> {
    let node = &spot.node;
    if node.written.anchored || node.written.tagged {
        return Err(page.form("has an anchor or a tag, but no value"));
    }
    let text = page.style.inline(new);
    match (page.after_colon(node), node.key) {
        (Some(at), _) => Ok(vec![inserted(at, format!(" {text}"))]),
        (None, Some((_, key))) if spot.flow => Ok(vec![inserted(key.end.offset as usize, format!(": {text}"))]),
        (None, None) if !spot.flow => {
            let dash = page.dash(node).ok_or_else(|| page.form("is an element whose `-` is not found"))?;
            Ok(vec![inserted(dash + 1, format!(" {text}"))])
        }
        _ => Err(page.form("is written with `?`")),
    }
}

/// A mapping or list, as a block, in the place of nothing or of a `null`.
pub(super) fn in_place_of_nothing(page: &Page<'_>, node: &NodeView<'_>, new: &Value) -> Result<Vec<Splice>, EditError> {
    if node.written.anchored || node.written.tagged {
        return Err(page.form("has an anchor or a tag, but no value"));
    }
    if node.key.is_none() {
        return in_place_of_no_element(page, node, new);
    }
    let (Some(colon), Some((_, key))) = (page.after_colon(node), node.key) else { return Err(page.form("is written with `?`")) };
    let lines = page.style.behind_colon(new, column(key));
    if node.written.form == Form::Absent {
        return Ok(vec![inserted(page.line_end(colon), lines)]);
    }
    let end = node.value.end.offset as usize;
    Ok(vec![Splice { range: colon..end, text: String::new() }, inserted(page.line_end(end), lines)])
}

/// As [`in_place_of_nothing`], behind the `-` of an element.
fn in_place_of_no_element(page: &Page<'_>, node: &NodeView<'_>, new: &Value) -> Result<Vec<Splice>, EditError> {
    let (Some(dash), Some(column)) = (page.dash(node), page.dash_column(node)) else {
        return Err(page.form("is an element whose `-` is not found"));
    };
    let end = if node.written.form == Form::Absent { dash + 1 } else { node.value.end.offset as usize };
    Ok(vec![Splice { range: dash + 1..end, text: format!(" {}", page.style.block(new, column + 2)) }])
}

/// In the place of a block scalar: another literal block where the new text is one, else one line.
fn block_scalar(page: &Page<'_>, node: &NodeView<'_>, old: &Value, new: &Value) -> Result<Vec<Splice>, EditError> {
    let start = page.block_header(node).ok_or_else(|| page.form("is a block whose beginning is not found"))?;
    let indicators = page.text[start + 1..].bytes().take_while(|byte| byte.is_ascii_digit() || b"+-".contains(byte)).count();
    let header = start..start + 1 + indicators;
    let end = page.block_end(node, None);
    let body = page.next_line(header.end).min(end)..end;
    let has_lines = old.as_str().is_some_and(|text| !text.trim().is_empty());
    let block =
        new.as_str().filter(|_| has_lines && node.written.form == Form::Literal).and_then(|text| page.style.literal(text, column(node.value)));
    let (first, lines) = match block {
        Some((header, lines)) => (header.to_owned(), lines),
        None => (page.style.inline(new), String::new()),
    };
    Ok(vec![Splice { range: header, text: first }, Splice { range: body, text: lines }])
}

/// In the place of a mapping or list that is a block.
fn block(page: &Page<'_>, node: &NodeView<'_>, old: &Value, new: &Value) -> Result<Vec<Splice>, EditError> {
    let mut start = node.value.start.offset as usize;
    if node.written.form == Form::BlockSequence {
        // The reader gives the first element's place, not that of its `-`.
        let colon = page.after_colon(node).ok_or_else(|| page.form("is written with `?`"))?;
        start = page.skip_to_value(colon);
    }
    let mut end = page.content_end(node, Some(old));
    if page.text[..end].ends_with('\n') {
        end = page.line_end(page.line_start(end - 1));
    }
    if start >= end {
        return Err(page.form("is a block whose beginning is not found"));
    }
    let indent = page.text[page.line_start(start)..start].chars().count();
    Ok(vec![Splice { range: start..end, text: page.style.block(new, indent) }])
}
