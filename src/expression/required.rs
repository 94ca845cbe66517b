//! What a condition demands outright, so that conditions can be indexed instead of evaluated one by one.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};

/// `path == "literal"`, which must hold for the whole condition to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equality {
    /// The field, variable first: `["event", "data", "issue", "key"]`.
    pub path: Vec<String>,
    /// The text it must equal.
    pub literal: String,
}

/// The equalities joined by `&&` at the top of `condition`.
pub(super) fn equalities(condition: &IdedExpr) -> Vec<Equality> {
    let Expr::Call(call) = &condition.expr else { return Vec::new() };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, parts) => parts.iter().flat_map(equalities).collect(),
        (operators::EQUALS, [left, right]) => equality(left, right).or_else(|| equality(right, left)).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn equality(field: &IdedExpr, literal: &IdedExpr) -> Option<Equality> {
    let Expr::Literal(LiteralValue::String(text)) = &literal.expr else { return None };
    let mut path = Vec::new();
    let mut at = field;
    loop {
        match &at.expr {
            Expr::Select(select) if !select.test => {
                path.push(select.field.clone());
                at = &select.operand;
            }
            Expr::Ident(name) => {
                path.push(name.clone());
                break;
            }
            _ => return None,
        }
    }
    path.reverse();
    Some(Equality { path, literal: text.inner().to_owned() })
}
