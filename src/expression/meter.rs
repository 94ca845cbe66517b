//! What keeps an expression of a policy within bounds, whatever it is evaluated on: where it could take long or grow large, it is
//! rewritten to pay first, out of a budget. A loop pays for its turns before it begins, a copy for what it copies. A budget that is
//! spent stays spent, so that no `||` hides it.

use super::functions::{self, Tables};
use super::library::{self, Entry, internal};
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::common::types::{CelInt, CelList, CelMap, CelOptional, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{ExecutionError, IdedExpr};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Comprehensions may stand inside one another this deep.
const MAX_NESTING: usize = 8;
/// Parts may stand inside one another this deep: every level is a level of the interpreter's stack, or two.
const MAX_DEPTH: usize = 64;
/// The longest text that a call puts in place of other text, or between others.
const MAX_FILLING: i64 = 256;
/// The longest text in which something is replaced.
const MAX_REPLACED: i64 = 64 * 1024;
/// The name under which expressions find the budget; nobody can write it.
pub(super) const METER: &str = "@meter";

/// What evaluations may cost in all, in steps of very roughly 50 ns. Once it is spent, everything under it fails.
#[derive(Debug, Clone)]
pub struct Budget {
    steps: Arc<AtomicU64>,
    /// The patterns that were paid for.
    patterns: Arc<library::Patterns>,
}

impl Budget {
    /// A budget of so many steps.
    pub fn new(steps: u64) -> Self {
        Self { steps: Arc::new(AtomicU64::new(steps)), patterns: Arc::default() }
    }

    /// Another of so many steps, for which what was paid for here is paid for as well.
    #[must_use]
    pub fn beside(&self, steps: u64) -> Self {
        Self { steps: Arc::new(AtomicU64::new(steps)), patterns: Arc::clone(&self.patterns) }
    }

    pub(super) fn patterns(&self) -> &library::Patterns {
        &self.patterns
    }

    /// What is left of it.
    pub fn left(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Pays; false when there is not enough, and then nothing is left.
    pub fn pay(&self, steps: u64) -> bool {
        let left = self.left().saturating_sub(steps);
        self.steps.store(left, Ordering::Relaxed);
        left > 0
    }
}

static TYPE: Type = Type::new_unspecified_type("kubeops.Budget");

impl Val for Budget {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Budget {}

/// The functions that rewritten expressions call.
pub(super) const ENTRIES: &[Entry] = &[
    internal("@range", 3, |mut args| {
        let turns = entries(args[0].as_ref());
        let body = args[1].downcast_ref::<CelInt>().and_then(|body| u64::try_from(*body.inner()).ok()).unwrap_or(u64::MAX);
        pay(&args, 2, turns.saturating_mul(body))?;
        Ok(args.swap_remove(0))
    }),
    internal("@weigh", 2, |mut args| {
        pay(&args, 1, 0)?;
        Ok(args.swap_remove(0))
    }),
    internal("@square", 2, |mut args| {
        let turns = entries(args[0].as_ref());
        pay(&args, 1, turns.saturating_mul(turns))?;
        Ok(args.swap_remove(0))
    }),
    internal("@short", 2, |mut args| {
        let most = args[1].downcast_ref::<CelInt>().and_then(|most| usize::try_from(*most.inner()).ok()).unwrap_or(0);
        if args[0].downcast_ref::<CelString<'_>>().is_some_and(|text| text.inner().len() > most) {
            return Err(ExecutionError::function_error("text", "it is too long here"));
        }
        Ok(args.swap_remove(0))
    }),
];

/// Pays for the first argument's size and `more`.
fn pay(args: &[CowVal<'_, '_>], meter: usize, more: u64) -> Result<(), ExecutionError> {
    let Some(budget) = args[meter].downcast_ref::<Budget>() else { return Err(ExecutionError::undeclared_reference(METER)) };
    let most = budget.left();
    let size = size(args[0].as_ref(), most);
    if budget.pay(size.saturating_add(more)) { Ok(()) } else { Err(ExecutionError::function_error("budget", "it is spent")) }
}

fn entries(value: &dyn Val) -> u64 {
    value.as_sizer().and_then(|sizer| u64::try_from(*sizer.size().inner()).ok()).unwrap_or(0)
}

/// The values within `value`, and its text in pieces of 64 bytes; counted no further than `most`.
pub(super) fn size(value: &dyn Val, most: u64) -> u64 {
    let mut sum = 1_u64;
    let mut add = |part: &dyn Val| {
        if sum <= most {
            sum = sum.saturating_add(size(part, most - sum.min(most)));
        }
    };
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return 1 + text.inner().len() as u64 / 64;
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        list.inner().iter().for_each(|item| add(item.as_ref()));
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        map.inner().values().for_each(|item| add(item.as_ref()));
    } else if let Some(inner) = value.downcast_ref::<CelOptional<'_>>().and_then(CelOptional::option) {
        add(inner);
    }
    sum
}

/// Rewrites one expression and notes what it reads.
pub(super) struct Rewriter<'a> {
    tables: Tables,
    /// The names the policy declares below `variables`.
    declared: &'a [&'a str],
    bound: Vec<String>,
    nesting: usize,
    depth: usize,
    /// The fields of `variables` it reads.
    pub(super) variables: BTreeSet<String>,
    /// Names that nothing in it binds, each with the node where it stands first.
    pub(super) free: BTreeMap<String, u64>,
    /// The first fault, with its node.
    pub(super) fault: Option<(u64, String)>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(tables: Tables, declared: &'a [&'a str]) -> Self {
        Self { tables, declared, bound: Vec::new(), nesting: 0, depth: 0, variables: BTreeSet::new(), free: BTreeMap::new(), fault: None }
    }

    fn fault(&mut self, id: u64, message: String) {
        self.fault.get_or_insert((id, message));
    }

    fn is_free(&self, name: &str) -> bool {
        !self.bound.iter().any(|bound| bound == name)
    }

    /// Rewrites `at` in place.
    pub(super) fn visit(&mut self, at: &mut IdedExpr) {
        if self.depth == MAX_DEPTH {
            return self.fault(at.id, format!("the parts of an expression may stand {MAX_DEPTH} deep inside one another, not deeper"));
        }
        self.depth += 1;
        self.inside(at);
        self.depth -= 1;
    }

    fn inside(&mut self, at: &mut IdedExpr) {
        let id = at.id;
        match &mut at.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                let name = name.trim_start_matches('.').to_owned();
                if self.is_free(&name) {
                    if name == super::metered::VARIABLES {
                        self.fault(id, "`variables` is read field by field: write variables.name".to_owned());
                    }
                    self.free.entry(name).or_insert(id);
                }
            }
            Expr::Call(call) => {
                let wrap = self.call(call);
                if wrap {
                    self.weigh(at);
                }
            }
            Expr::Select(select) => {
                let of_variables = matches!(&select.operand.expr, Expr::Ident(name) if name == super::metered::VARIABLES && self.is_free(name));
                if !of_variables {
                    return self.visit(&mut select.operand);
                }
                if !self.declared.contains(&select.field.as_str()) {
                    let near = crate::types::nearest(&select.field, self.declared.iter().copied());
                    let hint = near.map_or_else(
                        || "a variable reads only those declared before it".to_owned(),
                        |near| format!("did you mean variables.{near}?"),
                    );
                    self.fault(id, format!("there is no variable `variables.{}` here; {hint}", select.field));
                }
                let name = format!("{}.{}", super::metered::VARIABLES, select.field);
                self.variables.insert(select.field.clone());
                // What is declared is there.
                at.expr = if select.test { Expr::Literal(LiteralValue::Boolean(true.into())) } else { Expr::Ident(name) };
            }
            Expr::List(list) => list.elements.iter_mut().for_each(|element| self.copied(element)),
            Expr::Map(map) => map.entries.iter_mut().for_each(|entry| self.entry(&mut entry.expr)),
            Expr::Struct(object) => {
                let message = format!("`{}` cannot be made here: there are no such types", object.type_name);
                self.fault(id, message);
            }
            Expr::Comprehension(inner) => self.comprehension(id, inner),
        }
    }

    fn entry(&mut self, entry: &mut EntryExpr) {
        if let EntryExpr::MapEntry(entry) = entry {
            self.visit(&mut entry.key);
            self.copied(&mut entry.value);
        }
    }

    /// A part whose value is copied.
    fn copied(&mut self, part: &mut IdedExpr) {
        self.visit(part);
        self.weigh(part);
    }

    fn weigh(&self, part: &mut IdedExpr) {
        if !matches!(part.expr, Expr::Literal(_)) {
            wrap(part, "@weigh", Vec::new(), true);
        }
    }

    /// Whether what the call gives has to be paid for.
    fn call(&mut self, call: &mut CallExpr) -> bool {
        let function = call.func_name.clone();
        let namespace =
            call.target.as_deref().is_some_and(|target| functions::is_namespace(target, &function, self.tables) && self.names_no_bound(target));
        if let Some(target) = call.target.as_deref_mut().filter(|_| !namespace) {
            self.visit(target);
        }
        let grows_accumulator =
            function == operators::ADD && matches!(&call.args.first().map(|arg| &arg.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
        call.args.iter_mut().for_each(|arg| self.visit(arg));
        if let Some(metered) = library::metered(&function).filter(|_| !namespace) {
            let target = call.target.take().map(|target| *target);
            call.args.splice(0..0, target);
            call.args.push(IdedExpr { id: 0, expr: Expr::Ident(METER.to_owned()) });
            call.func_name = metered.to_owned();
            return function == "findAll";
        }
        match function.as_str() {
            operators::ADD => return !grows_accumulator,
            operators::OPT_SELECT | operators::OPT_INDEX => call.args.iter_mut().take(1).for_each(|of| self.weigh(of)),
            operators::EQUALS | operators::NOT_EQUALS | operators::IN if self.nesting > 0 => {
                call.args.iter_mut().skip(1).for_each(|with| self.weigh(with))
            }
            "contains" | "equivalent" | "intersects" if namespace => {
                call.args.iter_mut().for_each(|list| wrap(list, "@square", Vec::new(), true));
            }
            "distinct" | "sort" | "@sortByAssociatedKeys" => {
                call.target.as_deref_mut().into_iter().for_each(|list| wrap(list, "@square", Vec::new(), true));
            }
            "replace" | "join" => {
                call.args.iter_mut().for_each(|filling| short(filling, MAX_FILLING));
                if function == "replace" {
                    call.target.as_deref_mut().into_iter().for_each(|text| short(text, MAX_REPLACED));
                }
                return true;
            }
            "format" | "split" | "flatten" | "range" | "concat" => return true,
            name if self.nesting > 0 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && !namespace => {
                call.target.as_deref_mut().into_iter().for_each(|of| self.weigh(of));
            }
            _ => {}
        }
        false
    }

    fn names_no_bound(&self, target: &IdedExpr) -> bool {
        matches!(&target.expr, Expr::Ident(name) if self.is_free(name))
    }

    fn comprehension(&mut self, id: u64, inner: &mut ComprehensionExpr) {
        if self.nesting == MAX_NESTING {
            self.fault(id, format!("`all`, `exists`, `map` and `filter` may stand {MAX_NESTING} deep inside one another, not deeper"));
            return;
        }
        let body = [&inner.loop_cond, &inner.loop_step].into_iter().map(nodes).sum::<u64>();
        self.visit(&mut inner.iter_range);
        self.visit(&mut inner.accu_init);
        // What `optMap` and `sortBy` become is a binding, written as a loop of no turns.
        if matches!(&inner.iter_range.expr, Expr::List(list) if list.elements.is_empty()) {
            self.weigh(&mut inner.accu_init);
        } else {
            let body = literal(i64::try_from(body).unwrap_or(i64::MAX));
            wrap(&mut inner.iter_range, "@range", vec![body], true);
        }
        let outside = self.bound.len();
        self.bound.extend([inner.iter_var.clone(), inner.accu_var.clone()]);
        self.bound.extend(inner.iter_var2.clone());
        self.nesting += 1;
        for part in [&mut inner.loop_cond, &mut inner.loop_step, &mut inner.result] {
            self.visit(part);
        }
        self.nesting -= 1;
        self.bound.truncate(outside);
    }
}

/// The parts of an expression.
fn nodes(at: &IdedExpr) -> u64 {
    1 + match &at.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => 0,
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).map(nodes).sum(),
        Expr::Select(select) => nodes(&select.operand),
        Expr::List(list) => list.elements.iter().map(nodes).sum(),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| if let EntryExpr::MapEntry(entry) = &entry.expr { nodes(&entry.key) + nodes(&entry.value) } else { 1 })
            .sum(),
        Expr::Struct(object) => object.entries.len() as u64,
        // Inner loops pay for themselves.
        Expr::Comprehension(inner) => nodes(&inner.iter_range) + nodes(&inner.result),
    }
}

fn literal(value: i64) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(value.into())) }
}

fn short(part: &mut IdedExpr, most: i64) {
    if !matches!(&part.expr, Expr::Literal(LiteralValue::String(text)) if i64::try_from(text.inner().len()).is_ok_and(|length| length <= most)) {
        wrap(part, "@short", vec![literal(most)], false);
    }
}

/// Puts a call of `function` around `part`.
fn wrap(part: &mut IdedExpr, function: &str, more: Vec<IdedExpr>, metered: bool) {
    let id = part.id;
    let inner = std::mem::take(part);
    let meter = metered.then(|| IdedExpr { id: 0, expr: Expr::Ident(METER.to_owned()) });
    let args = std::iter::once(inner).chain(more).chain(meter).collect();
    *part = IdedExpr { id, expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }) };
}

/// Every function a policy may call.
pub(super) fn tables() -> Tables {
    static TABLES: std::sync::LazyLock<Vec<&'static [functions::Function]>> =
        std::sync::LazyLock::new(|| vec![functions::FUNCTIONS, library::FUNCTIONS.as_slice()]);
    TABLES.as_slice()
}
