//! CEL expressions: compiled once at load, evaluated many times, explained when they are false.
//! Pure. An expression's cost is bounded before it runs, because the interpreter has no cost limit of its own.
//! <https://github.com/google/cel-spec>

mod cost;
mod explain;
mod functions;
mod required;
#[cfg(test)]
mod tests;

pub use explain::{Explanation, Operand, Predicate};
pub use required::Equality;

use cel::{Context, Env, Program, Value};
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
        let program = ENVIRONMENT.compile(source).map_err(|errors| {
            errors.errors.first().map_or_else(
                || whole("not a CEL expression".to_owned()),
                |error| CompileError {
                    message: error.msg.clone(),
                    line: u32::try_from(error.pos.0).unwrap_or(1).max(1),
                    column: u32::try_from(error.pos.1).unwrap_or(1).max(1),
                },
            )
        })?;
        functions::check(&program)?;
        let cost = cost::Cost::of(program.expression()).map_err(whole)?;
        let unknown = cost.free_variables.iter().find(|(name, _)| !variables.contains(&name.as_str()));
        if let Some((name, id)) = unknown {
            let start = program.source_info().offset_for(*id).and_then(|(start, _)| usize::try_from(start).ok()).unwrap_or(0);
            let (line, column) = line_and_column(source, start);
            return Err(CompileError { message: format!("there is no variable `{name}` here; known are: {}", variables.join(", ")), line, column });
        }
        Ok(Self { source: source.to_owned(), program, cost })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value of the expression as JSON.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn evaluate(&self, scope: &Scope) -> Result<serde_json::Value, EvaluationError> {
        to_json(&self.run(scope)?)
    }

    /// Whether the condition holds: true only for the value `true`; a missing field, an error or another type is
    /// "does not hold", told by [`Self::explain`].
    pub fn holds(&self, scope: &Scope) -> bool {
        matches!(self.run(scope), Ok(Value::Bool(true)))
    }

    /// Why the condition holds or does not: every predicate with its value and the values it looked at.
    pub fn explain(&self, scope: &Scope) -> Explanation {
        explain::explain(self, scope)
    }

    /// Equalities of a field with a text that must hold for the condition to hold: what an index over many conditions can use.
    pub fn required_equalities(&self) -> Vec<Equality> {
        required::equalities(self.program.expression())
    }

    fn run(&self, scope: &Scope) -> Result<Value, EvaluationError> {
        self.cost.check(scope.widest)?;
        self.program.execute(&scope.context).map_err(|error| failure(&error))
    }
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

/// The variables an expression may read. Built once per event and shared by every expression.
pub struct Scope {
    context: Context<'static, 'static>,
    widest: u64,
}

impl Scope {
    /// A scope that holds `variables`, each a name and its value.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a serde_json::Value)>) -> Self {
        let mut scope = Self { context: Context::with_env(Arc::clone(&ENVIRONMENT)), widest: 1 };
        for (name, value) in variables {
            scope.insert(name, value);
        }
        scope
    }

    /// Adds or replaces one variable.
    pub fn insert(&mut self, name: &str, value: &serde_json::Value) {
        self.widest = self.widest.max(cost::widest(value));
        self.context.add_variable_from_value(name, to_cel(value));
    }
}

/// JSON as CEL has it: integers stay integers, other numbers are doubles.
fn to_cel(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(uint)) => Value::UInt(uint),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::String(Arc::new(text.clone())),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.iter().map(to_cel).collect())),
        serde_json::Value::Object(fields) => {
            let map: std::collections::HashMap<cel::objects::Key, Value> =
                fields.iter().map(|(key, value)| (key.clone().into(), to_cel(value))).collect();
            Value::Map(map.into())
        }
    }
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
