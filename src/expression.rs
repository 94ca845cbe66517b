//! CEL expressions: compiled once at load, evaluated many times, explained when they are false.
//! Pure. An expression's cost is bounded before it runs, because the interpreter has no cost limit of its own.
//! <https://github.com/google/cel-spec>

mod cost;
mod explain;
mod functions;
mod library;
mod meter;
mod metered;
mod required;
mod scope;
mod syntax;
#[cfg(test)]
mod tests;
mod variables;

pub use explain::{Explanation, Operand, Predicate};
pub use meter::Budget;
pub use metered::{Activation, Converted, Metered, Wanted};
pub use required::Equality;
pub use scope::Scope;
pub use variables::{Variable, Variables};

use crate::event::Event;
use crate::types::nearest;
use cel::{Env, Program, Value};
use std::sync::{Arc, LazyLock};

/// The environment of every expression: CEL's standard library, with its string and math extensions.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    for extension in [cel::extensions::strings, cel::extensions::math] {
        if let Err(error) = env.add_extension(extension) {
            unreachable!("the shipped CEL extensions do not overlap: {error}");
        }
    }
    Arc::new(env)
});

/// Why a text is not an expression. `line` and `column` count from 1 within the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong, in a line.
    pub message: String,
    /// Line within the expression, from 1.
    pub line: u32,
    /// Column within the expression, from 1.
    pub column: u32,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// It reads a field the event does not have.
    #[error("there is no field `{0}`")]
    Missing(String),
    /// It would take too many steps on this event.
    #[error("it would take up to {steps} steps on this event; {limit} are allowed")]
    TooCostly {
        /// The bound computed from the expression and the sizes of the event's lists and maps.
        steps: u64,
        /// The limit.
        limit: u64,
    },
    /// Anything else: types that do not fit, division by zero, an index out of bounds.
    #[error("{0}")]
    Failed(String),
}

/// A compiled CEL expression.
pub struct Expression {
    source: String,
    program: Program,
    cost: cost::Cost,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl Expression {
    /// The longest text that is compiled, in bytes.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Compiles `source`. `variables` are the names it may use; another name is an error that lists them.
    ///
    /// # Errors
    /// A syntax error, an unknown variable or function, a number of arguments that a function does not take, a text over [`Self::MAX_BYTES`], or macros nested too deeply to be bounded.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, CompileError> {
        let whole = |message: String| CompileError { message, line: 1, column: 1 };
        if source.len() > Self::MAX_BYTES {
            return Err(whole(format!("an expression has {} bytes at most", Self::MAX_BYTES)));
        }
        let program = ENVIRONMENT.compile(source).map_err(|errors| syntax(&errors, source))?;
        functions::check(&program, functions::PLAIN)?;
        let cost = cost::Cost::of(program.expression()).map_err(whole)?;
        let start = |id: u64| program.source_info().offset_for(id).and_then(|(start, _)| usize::try_from(start).ok()).unwrap_or(0);
        let unknown = cost.free_variables.iter().find(|(name, _)| !variables.contains(&name.as_str()));
        if let Some((name, id)) = unknown {
            let (line, column) = line_and_column(source, start(*id));
            return Err(CompileError { message: format!("there is no variable `{name}` here; known are: {}", variables.join(", ")), line, column });
        }
        if let Some((field, id)) = &cost.unknown_field {
            return Err(no_such_field(source, start(*id), field));
        }
        Ok(Self { source: source.to_owned(), program, cost })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The fields it reads of the variable `parameters`, whatever it makes of them.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.cost.parameters.iter().map(String::as_str)
    }

    /// The value of the expression as JSON.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<serde_json::Value, EvaluationError> {
        to_json(&self.run(scope)?)
    }

    /// Whether the condition holds: true only for the value `true`; a missing field, an error or another type is
    /// "does not hold", told by [`Self::explain`].
    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        matches!(self.run(scope), Ok(Value::Bool(true)))
    }

    /// Why the condition holds or does not: every predicate with its value and the values it looked at.
    pub fn explain(&self, scope: &Scope<'_>) -> Explanation {
        explain::explain(self, scope)
    }

    /// Equalities of a field with a text that must hold for the condition to hold: what an index over many conditions can use.
    pub fn required_equalities(&self) -> Vec<Equality> {
        required::equalities(self.program.expression())
    }

    fn run(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.cost.check(|| scope.widest())?;
        scope.resolve(self.program.expression()).map_err(|error| failure(&error))
    }
}

/// The first of the parser's errors.
fn syntax(errors: &cel::ParseErrors, source: &str) -> CompileError {
    let place = |at: isize| u32::try_from(at).unwrap_or(1).max(1);
    match errors.errors.first() {
        Some(error) => CompileError { message: syntax::told(&error.msg, source), line: place(error.pos.0), column: place(error.pos.1) },
        None => CompileError { message: "not a CEL expression".to_owned(), line: 1, column: 1 },
    }
}

/// The error at a field that no event has; `event` stands at `start`, and the field's name follows it.
fn no_such_field(source: &str, start: usize, field: &str) -> CompileError {
    let after = start + "event".len();
    let at = source.get(after..).and_then(|rest| rest.find(field)).map_or(start, |found| after + found);
    let (line, column) = line_and_column(source, at);
    let near = nearest(field, Event::FIELDS.into_iter()).map(|near| format!("; did you mean event.{near}?"));
    let known = near.unwrap_or_else(|| format!("; its fields are {}, and what was sent is below event.data", Event::FIELDS.join(", ")));
    CompileError { message: format!("an event has no field `{field}`{known}"), line, column }
}

fn failure(error: &cel::ExecutionError) -> EvaluationError {
    match error {
        cel::ExecutionError::NoSuchKey(key) => EvaluationError::Missing(key.to_string()),
        // The library's texts hold the operands; a value may be long or private, so only the shape is told.
        cel::ExecutionError::NoSuchOverload(overload) => EvaluationError::Failed(overload.to_string()),
        cel::ExecutionError::UndeclaredReference(name) => EvaluationError::Failed(format!("unknown name `{name}`")),
        cel::ExecutionError::DivisionByZero(_) | cel::ExecutionError::RemainderByZero(_) => EvaluationError::Failed("division by zero".to_owned()),
        cel::ExecutionError::IndexOutOfBounds(_) => EvaluationError::Failed("index out of bounds".to_owned()),
        cel::ExecutionError::UnexpectedType { got, want } => EvaluationError::Failed(format!("a {got} stands where a {want} is wanted")),
        cel::ExecutionError::FunctionError { function, .. } => EvaluationError::Failed(format!("{function}() failed")),
        _ => EvaluationError::Failed("the types of its parts do not fit together".to_owned()),
    }
}

/// Line and column, from 1, of the byte `at` in `text`. A column counts characters.
fn line_and_column(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    (number(before.matches('\n').count() + 1), number(before[line_start..].chars().count() + 1))
}

/// A value of CEL as JSON. A map's keys are sorted: CEL keeps them in no order, and the same expression on the same event
/// must give the same bytes every time.
fn to_json(value: &Value) -> Result<serde_json::Value, EvaluationError> {
    match value {
        Value::List(items) => items.iter().map(to_json).collect::<Result<Vec<_>, _>>().map(Into::into),
        Value::Map(map) => {
            let fields: Result<std::collections::BTreeMap<String, serde_json::Value>, _> =
                map.map.iter().map(|(key, value)| Ok((key.to_string(), to_json(value)?))).collect();
            Ok(serde_json::Value::Object(fields?.into_iter().collect()))
        }
        other => other.json().map_err(|_| EvaluationError::Failed(format!("its value is a {}, which JSON cannot hold", other.type_of()))),
    }
}
