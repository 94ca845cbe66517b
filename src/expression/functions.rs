//! Which functions an expression may call, and with how many arguments: the interpreter finds that out only when it runs.
//! The list says names and numbers, never types: what stands in an event is not known before it arrives.

use super::CompileError;
use crate::types::nearest;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SourceInfo};
use cel::{IdedExpr, Program};

/// One function, by how it is called.
pub(super) struct Function {
    /// `name`, or `namespace.name`.
    pub(super) name: &'static str,
    /// Called as `name(x)`.
    pub(super) global: Option<Arity>,
    /// Called as `x.name()`; the value it is called on does not count.
    pub(super) member: Option<Arity>,
}

/// The fewest and the most arguments.
pub(super) type Arity = (usize, usize);

/// Lists of functions, one beside the other.
pub(super) type Tables = &'static [&'static [Function]];

const fn global(name: &'static str, fewest: usize, most: usize) -> Function {
    Function { name, global: Some((fewest, most)), member: None }
}

const fn member(name: &'static str, fewest: usize, most: usize) -> Function {
    Function { name, global: None, member: Some((fewest, most)) }
}

/// CEL's standard definitions, its macros, and the extensions for strings and math.
/// <https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions>
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "size", global: Some((1, 1)), member: Some((0, 0)) },
    Function { name: "matches", global: Some((2, 2)), member: Some((1, 1)) },
    // Conversions and types.
    global("bool", 1, 1),
    global("bytes", 1, 1),
    global("double", 1, 1),
    global("duration", 1, 1),
    global("dyn", 1, 1),
    global("int", 1, 1),
    global("string", 1, 1),
    global("timestamp", 1, 1),
    global("type", 1, 1),
    global("uint", 1, 1),
    // Macros: those called as they should be are gone before anybody looks.
    global("has", 1, 1),
    member("all", 2, 2),
    member("exists", 2, 2),
    member("exists_one", 2, 2),
    member("existsOne", 2, 2),
    member("filter", 2, 2),
    member("map", 2, 3),
    member("optFlatMap", 2, 2),
    member("optMap", 2, 2),
    // Optional values.
    global("optional.none", 0, 0),
    global("optional.of", 1, 1),
    global("optional.ofNonZeroValue", 1, 1),
    member("hasValue", 0, 0),
    member("or", 1, 1),
    member("orValue", 1, 1),
    member("value", 0, 0),
    // Texts.
    member("contains", 1, 1),
    member("endsWith", 1, 1),
    member("startsWith", 1, 1),
    member("charAt", 1, 1),
    member("format", 1, 1),
    member("indexOf", 1, 2),
    member("join", 0, 1),
    member("lastIndexOf", 1, 2),
    member("lowerAscii", 0, 0),
    member("replace", 2, 3),
    member("reverse", 0, 0),
    member("split", 1, 2),
    member("substring", 1, 2),
    member("trim", 0, 0),
    member("upperAscii", 0, 0),
    global("strings.quote", 1, 1),
    // Times and durations; the argument is a time zone.
    member("getDate", 0, 1),
    member("getDayOfMonth", 0, 1),
    member("getDayOfWeek", 0, 1),
    member("getDayOfYear", 0, 1),
    member("getFullYear", 0, 1),
    member("getHours", 0, 1),
    member("getMilliseconds", 0, 1),
    member("getMinutes", 0, 1),
    member("getMonth", 0, 1),
    member("getSeconds", 0, 1),
    // Numbers.
    global("math.abs", 1, 1),
    global("math.bitAnd", 2, 2),
    global("math.bitNot", 1, 1),
    global("math.bitOr", 2, 2),
    global("math.bitShiftLeft", 2, 2),
    global("math.bitShiftRight", 2, 2),
    global("math.bitXor", 2, 2),
    global("math.ceil", 1, 1),
    global("math.floor", 1, 1),
    global("math.greatest", 1, usize::MAX),
    global("math.isFinite", 1, 1),
    global("math.isInf", 1, 1),
    global("math.isNaN", 1, 1),
    global("math.least", 1, usize::MAX),
    global("math.round", 1, 1),
    global("math.sign", 1, 1),
    global("math.sqrt", 1, 1),
    global("math.trunc", 1, 1),
];

/// Refuses the first call, in the order of evaluation, of a function that there is not or that takes another number of arguments.
pub(super) fn check(program: &Program, tables: Tables) -> Result<(), CompileError> {
    Check { tables, source: program.source_info() }.visit(program.expression())
}

/// What every expression may call.
pub(super) const PLAIN: Tables = &[FUNCTIONS];

/// Whether `target` names the namespace of functions that `target.function()` calls into, rather than a value: a value may be called
/// like a namespace, and then has functions of its own.
pub(super) fn is_namespace(target: &IdedExpr, function: &str, tables: Tables) -> bool {
    let Expr::Ident(name) = &target.expr else { return false };
    let mut known = false;
    for entry in all(tables) {
        match entry.name.split_once('.') {
            Some((namespace, inner)) if namespace == name => {
                if inner == function {
                    return true;
                }
                known = true;
            }
            _ => {}
        }
    }
    known && !all(tables).any(|entry| entry.name == function && entry.member.is_some())
}

fn all(tables: Tables) -> impl Iterator<Item = &'static Function> {
    tables.iter().copied().flatten()
}

/// One look through an expression.
struct Check<'s> {
    tables: Tables,
    source: &'s SourceInfo,
}

impl Check<'_> {
    fn visit(&self, at: &IdedExpr) -> Result<(), CompileError> {
        match &at.expr {
            Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => Ok(()),
            Expr::Call(call) => {
                check_call(call, self.tables).map_err(|message| located(message, call, at.id, self.source))?;
                call.target.as_deref().into_iter().chain(&call.args).try_for_each(|part| self.visit(part))
            }
            Expr::Select(select) => self.visit(&select.operand),
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.visit(part)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.visit_entry(&entry.expr)),
            Expr::Struct(object) => object.entries.iter().try_for_each(|entry| self.visit_entry(&entry.expr)),
            Expr::Comprehension(inner) => [&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]
                .into_iter()
                .try_for_each(|part| self.visit(part)),
        }
    }

    fn visit_entry(&self, entry: &EntryExpr) -> Result<(), CompileError> {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => self.visit(&entry.key).and_then(|()| self.visit(&entry.value)),
        }
    }
}

/// What is wrong with a call, if anything. Operators, and what macros became, have names nobody can write.
fn check_call(call: &CallExpr, tables: Tables) -> Result<(), String> {
    let name = call.func_name.trim_start_matches('.');
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    let namespace = call.target.as_deref().filter(|target| is_namespace(target, name, tables)).and_then(|target| match &target.expr {
        Expr::Ident(namespace) => Some(format!("{namespace}.")),
        _ => None,
    });
    let as_member = call.target.is_some() && namespace.is_none();
    let written = format!("{}{name}", namespace.unwrap_or_default());
    // A function may be in several tables: as texts and lists have it, say.
    let called = |function: &Function| if as_member { function.member } else { function.global };
    let known = || all(tables).filter(|function| function.name == written);
    let fits = |arity: &Arity| (arity.0..=arity.1).contains(&call.args.len());
    if known().filter_map(called).any(|arity| fits(&arity)) {
        return check_pattern(&written, call);
    }
    match known().map(|function| (function, called(function))).max_by_key(|(_, arity)| arity.is_some()) {
        Some((_, Some(arity))) => Err(format!("{written}() takes {}; here it has {}", arguments(arity), call.args.len())),
        Some((_, None)) if as_member => Err(format!("{written}() is not called on a value: write {written}(...)")),
        Some((_, None)) => Err(format!("{written}() is called on a value: write value.{written}(...)")),
        None => {
            let near = nearest(&written, all(tables).map(|function| function.name));
            let near = near.map(|near| format!("; did you mean {near}()?")).unwrap_or_default();
            Err(format!("there is no function {written}(){near}"))
        }
    }
}

/// A pattern is written out in the expression, so whether it is one is known before anything is matched.
fn check_pattern(function: &str, call: &CallExpr) -> Result<(), String> {
    let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|argument| &argument.expr).filter(|_| function == "matches") else {
        return Ok(());
    };
    regex::Regex::new(pattern.inner()).map(drop).map_err(|error| {
        // The library draws the pattern over several lines; the last one says what is wrong with it.
        let told = error.to_string();
        let reason = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("matches() takes a regular expression, and this is none: {reason}")
    })
}

/// `1 argument`, `1 or 2 arguments`, `1 argument or more`.
fn arguments((fewest, most): Arity) -> String {
    let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
    match most {
        0 => "no arguments".to_owned(),
        usize::MAX => format!("{fewest} {} or more", plural(fewest)),
        _ if fewest == most => format!("{most} {}", plural(most)),
        _ => format!("{fewest} or {most} arguments"),
    }
}

/// The error at the function's name: what is known of a call is where its parenthesis opens.
fn located(message: String, call: &CallExpr, id: u64, source: &SourceInfo) -> CompileError {
    let open = source.offset_for(id).and_then(|(start, _)| usize::try_from(start).ok()).unwrap_or(0);
    let before = source.source.get(..open).unwrap_or("");
    let name = before.rfind(call.func_name.trim_start_matches('.')).unwrap_or(0);
    let (line, column) = super::line_and_column(&source.source, name);
    CompileError { message, line, column }
}
