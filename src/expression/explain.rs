//! Why a condition holds or does not, predicate by predicate.

use super::{EvaluationError, Expression, Scope, failure, to_json};
use cel::common::ast::{Expr, LiteralValue, operators};
use cel::{IdedExpr, Value};
use serde::{Deserialize, Serialize};

/// The answer to "why did, or did not, this match?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether the whole condition holds.
    pub holds: bool,
    /// Each part joined by `&&` or `||`, in the order written.
    pub predicates: Vec<Predicate>,
}

/// One part of a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicate {
    /// The part, in CEL.
    pub text: String,
    /// Its value; none when it has none.
    pub value: Option<bool>,
    /// Why it has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every field it reads and what was found there; `null` with `missing` in the text when there is no such field.
    pub operands: Vec<Operand>,
}

/// One field a predicate reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operand {
    /// The field as written, such as `event.data.issue.key`.
    pub path: String,
    /// What stands there, shortened; none when nothing does.
    pub value: Option<serde_json::Value>,
}

impl Explanation {
    /// The first part that keeps the condition from holding, in a line; none when it holds.
    pub fn reason(&self) -> Option<String> {
        if self.holds {
            return None;
        }
        self.predicates.iter().find(|p| p.value != Some(true)).map(Predicate::in_a_line)
    }
}

impl Predicate {
    /// `event.data.x == "y"` is false: event.data.x is "z"
    pub fn in_a_line(&self) -> String {
        let verdict = match (self.value, &self.error) {
            (Some(value), _) => value.to_string(),
            (None, Some(error)) => format!("without a value ({error})"),
            (None, None) => "without a value".to_owned(),
        };
        let operands: Vec<String> = self
            .operands
            .iter()
            .map(|operand| match &operand.value {
                Some(value) => format!("{} is {value}", operand.path),
                None => format!("{} is missing", operand.path),
            })
            .collect();
        let because = if operands.is_empty() { String::new() } else { format!(": {}", operands.join(", ")) };
        format!("`{}` is {verdict}{because}", self.text)
    }
}

pub(super) fn explain(expression: &Expression, scope: &Scope<'_>) -> Explanation {
    let holds = expression.holds(scope);
    if let Err(error) = expression.cost.check(|| scope.widest()) {
        let whole = Predicate { text: expression.source.clone(), value: None, error: Some(error.to_string()), operands: Vec::new() };
        return Explanation { holds, predicates: vec![whole] };
    }
    let mut parts = Vec::new();
    split(expression.program.expression(), &mut parts);
    let texts = split_text(&expression.source);
    let matched = texts.len() == parts.len();
    let predicates = parts
        .iter()
        .enumerate()
        .map(|(at, part)| {
            let text = if matched { texts[at].clone() } else { expression.source.clone() };
            predicate(part, text, scope)
        })
        .collect();
    Explanation { holds, predicates }
}

fn predicate(part: &IdedExpr, text: String, scope: &Scope<'_>) -> Predicate {
    let (value, error) = match scope.resolve(part) {
        Ok(Value::Bool(value)) => (Some(value), None),
        Ok(other) => (None, Some(format!("a condition is true or false, this is a {}", other.type_of()))),
        Err(error) => (None, Some(failure(&error).to_string())),
    };
    let mut paths = Vec::new();
    collect_paths(part, &mut paths);
    let operands = paths
        .into_iter()
        .map(|(path, at)| {
            let value = match scope.resolve(at).map_err(|error| failure(&error)) {
                Ok(value) => to_json(&value).ok().map(shortened),
                Err(EvaluationError::Missing(_) | EvaluationError::TooCostly { .. } | EvaluationError::Failed(_)) => None,
            };
            Operand { path, value }
        })
        .collect();
    Predicate { text, value, error, operands }
}

/// The operands of `&&` and `||`, as deep as they stand directly in one another.
fn split<'e>(at: &'e IdedExpr, parts: &mut Vec<&'e IdedExpr>) {
    match &at.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_AND || call.func_name == operators::LOGICAL_OR => {
            call.args.iter().for_each(|part| split(part, parts));
        }
        _ => parts.push(at),
    }
}

/// The same split on the text, so that a predicate is shown as its author wrote it.
fn split_text(source: &str) -> Vec<String> {
    let bytes = source.as_bytes();
    let mut pieces = Vec::new();
    let (mut depth, mut start, mut at) = (0_u32, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = end_of_string(bytes, at, quote),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'&' | b'|' if depth == 0 && bytes.get(at + 1) == Some(&bytes[at]) => {
                pieces.push(source[start..at].trim());
                at += 1;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    pieces.push(source[start.min(source.len())..].trim());
    if let [only] = pieces.as_slice() {
        return match only.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
            Some(inner) if balanced(inner) => split_text(inner),
            _ => vec![(*only).to_owned()],
        };
    }
    pieces.into_iter().flat_map(split_text).collect()
}

/// The index of the quote that closes the string opened at `from`, or the last byte.
fn end_of_string(bytes: &[u8], from: usize, quote: u8) -> usize {
    let raw = from > 0 && matches!(bytes[from - 1], b'r' | b'R');
    let triple = bytes[from..].starts_with(&[quote; 3]);
    let mut at = from + if triple { 3 } else { 1 };
    while at < bytes.len() {
        if bytes[at] == b'\\' && !raw {
            at += 1;
        } else if bytes[at] == quote && (!triple || bytes[at..].starts_with(&[quote; 3])) {
            return at + if triple { 2 } else { 0 };
        }
        at += 1;
    }
    bytes.len() - 1
}

fn balanced(text: &str) -> bool {
    let mut depth = 0_i64;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = end_of_string(bytes, at, quote),
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
        at += 1;
    }
    depth == 0
}

/// Every longest chain of field selections that begins at a variable.
fn collect_paths<'e>(at: &'e IdedExpr, paths: &mut Vec<(String, &'e IdedExpr)>) {
    if let Some(path) = path_of(at) {
        // `has(a.b)` selects with a test; what it tests is told by its own value.
        if path.contains('.') && !paths.iter().any(|(known, _)| *known == path) {
            paths.push((path, at));
        }
        return;
    }
    match &at.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(|part| collect_paths(part, paths)),
        Expr::Select(select) => collect_paths(&select.operand, paths),
        Expr::List(list) => list.elements.iter().for_each(|part| collect_paths(part, paths)),
        Expr::Comprehension(inner) => collect_paths(&inner.iter_range, paths),
        _ => {}
    }
}

fn path_of(at: &IdedExpr) -> Option<String> {
    match &at.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => path_of(&select.operand).map(|path| format!("{path}.{}", select.field)),
        Expr::Call(call) if call.func_name == operators::INDEX => match &call.args.as_slice() {
            [operand, IdedExpr { expr: Expr::Literal(key), .. }] => {
                let key = match key {
                    LiteralValue::String(text) => format!("{:?}", text.inner()),
                    LiteralValue::Int(int) => int.inner().to_string(),
                    _ => return None,
                };
                path_of(operand).map(|path| format!("{path}[{key}]"))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A value short enough to be read in an explanation.
fn shortened(value: serde_json::Value) -> serde_json::Value {
    const LONGEST: usize = 200;
    match &value {
        serde_json::Value::String(text) if text.chars().count() > LONGEST => format!("{}…", text.chars().take(LONGEST).collect::<String>()).into(),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            let text = value.to_string();
            if text.chars().count() > LONGEST { format!("{}…", text.chars().take(LONGEST).collect::<String>()).into() } else { value }
        }
        _ => value,
    }
}
