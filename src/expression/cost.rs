//! What an expression may cost, bounded from its shape and the sizes of what it looks at.

use super::{EvaluationError, functions};
use crate::event::Event;
use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};
use std::collections::{BTreeMap, BTreeSet};

/// Comprehensions (`all`, `exists`, `map`, `filter`) may stand inside one another this deep.
const MAX_NESTING: u32 = 2;
/// Steps one evaluation may take; about a tenth of a second.
const MAX_STEPS: u64 = 200_000;
/// Text that a call may put in place of other text, in bytes: it bounds how much larger a value can become.
const MAX_LITERAL: usize = 64;

/// The shape of an expression, as far as its cost goes.
#[derive(Debug, Default)]
pub(super) struct Cost {
    nodes: u64,
    nesting: u32,
    /// Each name it reads that nothing in it binds, with the id of the node where it stands first.
    pub(super) free_variables: BTreeMap<String, u64>,
    /// The first field it reads of `event` that no event has, with the id of the node of the variable.
    pub(super) unknown_field: Option<(String, u64)>,
    /// The fields it reads of `parameters`.
    pub(super) parameters: BTreeSet<String>,
}

impl Cost {
    /// Measures `expression`, or says why its cost has no bound.
    pub(super) fn of(expression: &IdedExpr) -> Result<Self, String> {
        let mut cost = Self::default();
        cost.visit(expression, 0, &mut Vec::new())?;
        Ok(cost)
    }

    /// Refuses an evaluation over data whose longest list or map has `widest` entries when it could take too long.
    pub(super) fn check(&self, widest: impl Fn() -> u64) -> Result<(), EvaluationError> {
        if self.nesting == 0 {
            return Ok(());
        }
        let steps = self.nodes.saturating_mul(widest().max(1).saturating_pow(self.nesting));
        if steps > MAX_STEPS { Err(EvaluationError::TooCostly { steps, limit: MAX_STEPS }) } else { Ok(()) }
    }

    fn visit<'e>(&mut self, at: &'e IdedExpr, nesting: u32, bound: &mut Vec<&'e str>) -> Result<(), String> {
        self.nodes += 1;
        self.nesting = self.nesting.max(nesting);
        match &at.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                if !bound.contains(&name.as_str()) {
                    self.free_variables.entry(name.clone()).or_insert(at.id);
                }
            }
            Expr::Call(call) => {
                bounded_growth(&call.func_name, &call.args)?;
                if let (operators::INDEX, [of, key]) = (call.func_name.as_str(), call.args.as_slice())
                    && let Expr::Literal(LiteralValue::String(field)) = &key.expr
                {
                    self.field(of, field.inner(), bound);
                }
                let target = call.target.as_deref().filter(|target| !functions::is_namespace(target, &call.func_name, functions::PLAIN));
                for part in target.into_iter().chain(&call.args) {
                    self.visit(part, nesting, bound)?;
                }
            }
            Expr::Select(select) => {
                self.field(&select.operand, &select.field, bound);
                self.visit(&select.operand, nesting, bound)?;
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.visit(element, nesting, bound)?;
                }
            }
            Expr::Map(map) => self.visit_entries(map.entries.iter().map(|e| &e.expr), nesting, bound)?,
            Expr::Struct(object) => self.visit_entries(object.entries.iter().map(|e| &e.expr), nesting, bound)?,
            Expr::Comprehension(inner) => {
                if nesting == MAX_NESTING {
                    return Err(format!("`all`, `exists`, `map` and `filter` may stand {MAX_NESTING} deep inside one another, not deeper"));
                }
                self.visit(&inner.iter_range, nesting, bound)?;
                self.visit(&inner.accu_init, nesting, bound)?;
                let outside = bound.len();
                bound.push(&inner.iter_var);
                bound.push(&inner.accu_var);
                bound.extend(inner.iter_var2.as_deref());
                for part in [&inner.loop_cond, &inner.loop_step, &inner.result] {
                    self.visit(part, nesting + 1, bound)?;
                }
                bound.truncate(outside);
            }
        }
        Ok(())
    }

    /// Notes a field of `event` that no event has (what stands deeper is the sender's and not known), and each of `parameters`.
    fn field(&mut self, of: &IdedExpr, field: &str, bound: &[&str]) {
        let Expr::Ident(name) = &of.expr else { return };
        match name.as_str() {
            bound_here if bound.contains(&bound_here) => {}
            "event" if self.unknown_field.is_none() && !Event::FIELDS.contains(&field) => self.unknown_field = Some((field.to_owned(), of.id)),
            "parameters" => drop(self.parameters.insert(field.to_owned())),
            _ => {}
        }
    }

    fn visit_entries<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>, nesting: u32, bound: &mut Vec<&'e str>) -> Result<(), String> {
        for entry in entries {
            match entry {
                EntryExpr::StructField(field) => self.visit(&field.value, nesting, bound)?,
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, nesting, bound)?;
                    self.visit(&entry.value, nesting, bound)?;
                }
            }
        }
        Ok(())
    }
}

/// Functions whose result can be much larger than what they are given, or whose argument is a program of its own,
/// take that argument as a short literal only.
fn bounded_growth(function: &str, arguments: &[IdedExpr]) -> Result<(), String> {
    let limit = match function {
        "replace" | "join" => MAX_LITERAL,
        "matches" => 1024,
        _ => return Ok(()),
    };
    let literal = |argument: &IdedExpr| match &argument.expr {
        Expr::Literal(LiteralValue::String(text)) => text.inner().len() <= limit,
        Expr::Literal(LiteralValue::Int(_)) => true,
        _ => false,
    };
    // `matches` may be called as a function of two arguments; the pattern is the last.
    let checked = if function == "matches" { &arguments[arguments.len().saturating_sub(1)..] } else { arguments };
    if checked.iter().all(literal) { Ok(()) } else { Err(format!("{function}() takes text written out in the expression, {limit} bytes at most")) }
}

/// The number of entries of the largest list or map anywhere in `value`.
pub(super) fn widest(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Array(items) => items.iter().map(widest).max().unwrap_or(0).max(items.len() as u64),
        serde_json::Value::Object(fields) => fields.values().map(widest).max().unwrap_or(0).max(fields.len() as u64),
        _ => 0,
    }
}
