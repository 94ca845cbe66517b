//! Regular expressions: `"abc".matches("[a-z]")`, `"abc 123".find("[0-9]+")` and `findAll`. The engine takes time in proportion to the
//! text and to what the pattern is compiled to, so that both are paid for: by what compiles it, once within a budget, and by every search.

use super::{Args, Call, Entry, Outcome, boolean, int, internal, string, text};
use crate::expression::Budget;
use cel::ExecutionError;
use cel::common::types::{CelList, CelString};
use cel::common::value::{CowVal, Val};
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// The sizes a pattern may be compiled to, in bytes, each with its price in steps: compiling ends where the size is passed.
const SIZES: [(usize, u64); 3] = [(8 * 1024, 300), (64 * 1024, 3_000), (256 * 1024, 12_000)];
/// What a search may use besides, in bytes.
const MAX_CACHE: usize = 512 * 1024;
/// Patterns that a budget keeps, at most.
const MAX_KEPT: usize = 32;

/// The names: what policies write is rewritten to call what pays.
pub(super) const ENTRIES: &[Entry] = &[("find", Call::Member, 1, unpaid), ("findAll", Call::Member, 1, unpaid), ("findAll", Call::Member, 2, unpaid)];

/// What they are rewritten to, the budget being the last argument.
pub(super) const METERED: &[Entry] = &[
    internal("@matches", 3, |args| {
        let found = compiled("matches", &args)?.is_match(text("matches", &args, 0)?);
        Ok(boolean(found))
    }),
    internal("@find", 3, |args| {
        let pattern = compiled("find", &args)?;
        Ok(string(pattern.find(text("find", &args, 0)?).map_or("", |found| found.as_str())))
    }),
    internal("@findAll", 3, find_all),
    internal("@findAll", 4, find_all),
];

/// The name that pays, for one that policies write.
pub(in crate::expression) fn metered(function: &str) -> Option<&'static str> {
    match function {
        "matches" => Some("@matches"),
        "find" => Some("@find"),
        "findAll" => Some("@findAll"),
        _ => None,
    }
}

/// Patterns that were paid for; none for what is no pattern, or too large a one.
#[derive(Debug, Default)]
pub(in crate::expression) struct Patterns(Mutex<HashMap<String, Option<Regex>>>);

impl Patterns {
    fn compiled(&self, pattern: &str, budget: &Budget) -> Result<Option<Regex>, ExecutionError> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(pattern) {
            return Ok(known.clone());
        }
        let mut found = None;
        for (size, price) in SIZES {
            paid(budget, price + 8 * pattern.len() as u64)?;
            match RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(MAX_CACHE).build() {
                Ok(compiled) => found = Some(compiled),
                Err(regex::Error::CompiledTooBig(_)) => continue,
                Err(_) => {}
            }
            break;
        }
        let mut kept = lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), found.clone());
        Ok(found)
    }
}

fn unpaid<'b, 'v>(_: Args<'b, 'v>) -> Outcome<'b, 'v> {
    Err(ExecutionError::function_error("pattern", "nothing pays for it"))
}

fn paid(budget: &Budget, steps: u64) -> Result<(), ExecutionError> {
    if budget.pay(steps) { Ok(()) } else { Err(ExecutionError::function_error("budget", "it is spent")) }
}

/// The pattern among the arguments, once it and the search are paid for.
fn compiled(function: &str, args: &[CowVal<'_, '_>]) -> Result<Regex, ExecutionError> {
    let budget = args.last().and_then(|meter| meter.downcast_ref::<Budget>());
    let budget = budget.ok_or_else(|| ExecutionError::undeclared_reference(super::super::meter::METER))?;
    let (searched, pattern) = (text(function, args, 0)?, text(function, args, 1)?);
    let wrong = || ExecutionError::function_error(function, "this is no regular expression, or too large a one");
    if pattern.len() > MAX_PATTERN {
        return Err(wrong());
    }
    paid(budget, 1 + (searched.len() as u64 / 64).saturating_mul(1 + pattern.len() as u64 / 32))?;
    budget.patterns().compiled(pattern, budget)?.ok_or_else(wrong)
}

fn find_all<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    let pattern = compiled("findAll", &args)?;
    // A negative number stands for all of them.
    let most = if args.len() > 3 { usize::try_from(int("findAll", &args, 2)?).unwrap_or(usize::MAX) } else { usize::MAX };
    let found = pattern.find_iter(text("findAll", &args, 0)?).take(most);
    let found: Vec<Box<dyn Val + 'v>> = found.map(|found| -> Box<dyn Val + 'v> { Box::new(CelString::from(found.as_str().to_owned())) }).collect();
    Ok(CowVal::owned(CelList::from(found)))
}
