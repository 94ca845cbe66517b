//! `"abc 123".find("[0-9]+")` and `findAll`. The engine takes time in proportion to the text, whatever the pattern.

use super::{Args, Call, Entry, Outcome, int, string, text};
use cel::ExecutionError;
use cel::common::types::{CelList, CelString};
use cel::common::value::{CowVal, Val};
use regex::{Regex, RegexBuilder};

/// A pattern's length, and the size of what it is compiled to, in bytes.
const MAX_PATTERN: usize = 1024;
const MAX_COMPILED: usize = 256 * 1024;

pub(super) const ENTRIES: &[Entry] = &[
    ("find", Call::Member, 1, |args| {
        let pattern = compile("find", text("find", &args, 1)?)?;
        Ok(string(pattern.find(text("find", &args, 0)?).map_or("", |found| found.as_str())))
    }),
    ("findAll", Call::Member, 1, find_all),
    ("findAll", Call::Member, 2, find_all),
];

fn compile(function: &str, pattern: &str) -> Result<Regex, ExecutionError> {
    let compiled = (pattern.len() <= MAX_PATTERN).then(|| RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build().ok()).flatten();
    compiled.ok_or_else(|| ExecutionError::function_error(function, "this is no regular expression, or too large a one"))
}

fn find_all<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    let pattern = compile("findAll", text("findAll", &args, 1)?)?;
    // A negative number stands for all of them.
    let most = if args.len() > 2 { usize::try_from(int("findAll", &args, 2)?).unwrap_or(usize::MAX) } else { usize::MAX };
    let found = pattern.find_iter(text("findAll", &args, 0)?).take(most);
    let found: Vec<Box<dyn Val + 'v>> = found.map(|found| -> Box<dyn Val + 'v> { Box::new(CelString::from(found.as_str().to_owned())) }).collect();
    Ok(CowVal::owned(CelList::from(found)))
}
