//! Expressions of policies: CEL with Kubernetes' functions, over whole objects, each evaluation within a [`Budget`].
//! What an object is in CEL is worked out once and lent to every expression.

use super::library::{self, Kube};
use super::meter::{METER, Rewriter, size, tables};
use super::{Budget, CompileError, EvaluationError, Expression, failure, functions, line_and_column, scope};
use cel::common::ast::{Expr, LiteralValue, operators};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelTimestamp, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, IdedExpr};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The name of the object whose fields are a policy's own variables.
pub(super) const VARIABLES: &str = "variables";

/// What an expression must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// True or false.
    Bool,
    /// A text.
    Text,
    /// Anything.
    Any,
}

/// A compiled expression of a policy.
#[derive(Debug)]
pub struct Metered {
    source: String,
    expression: IdedExpr,
    /// The variables it reads.
    variables: Vec<String>,
    /// The names it reads.
    names: Vec<String>,
}

impl Metered {
    /// Compiles `source`, which may read the names `known` and, below `variables`, those of `declared`.
    ///
    /// # Errors
    /// See [`Expression::compile`]; and where it can be seen that it never comes to what is `wanted`.
    pub fn compile(source: &str, known: &[&str], declared: &[&str], wanted: Wanted) -> Result<Self, CompileError> {
        let whole = |message: String| CompileError { message, line: 1, column: 1 };
        if source.len() > Expression::MAX_BYTES {
            return Err(whole(format!("an expression has {} bytes at most", Expression::MAX_BYTES)));
        }
        let program = library::ENVIRONMENT.compile(source).map_err(|errors| super::syntax(&errors, source))?;
        let start = |id: u64| program.source_info().offset_for(id).and_then(|(start, _)| usize::try_from(start).ok()).unwrap_or(0);
        let at = |id: u64, message: String| {
            let (line, column) = line_and_column(source, start(id));
            CompileError { message, line, column }
        };
        let mut expression = program.expression().clone();
        if let Some(never) = never(&expression, wanted) {
            return Err(at(expression.id, never));
        }
        let mut rewriter = Rewriter::new(tables(), declared);
        rewriter.visit(&mut expression);
        if let Some(id) = rewriter.free.get("authorizer") {
            let message = "`authorizer` asks a cluster who may do what, and here is none: leave this check to the cluster's own policy";
            return Err(at(*id, message.to_owned()));
        }
        functions::check(&program, tables())?;
        if let Some((name, id)) = rewriter.free.iter().find(|(name, _)| !known.contains(&name.as_str()) && *name != VARIABLES) {
            let near = crate::types::nearest(name, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
            let hint = near.unwrap_or_else(|| format!("; known are: {}", known.join(", ")));
            return Err(at(*id, format!("there is no variable `{name}` here{hint}")));
        }
        if let Some((id, message)) = rewriter.fault {
            return Err(at(id, message));
        }
        Ok(Self {
            source: source.to_owned(),
            expression,
            variables: rewriter.variables.into_iter().collect(),
            names: rewriter.free.into_keys().collect(),
        })
    }

    /// Whether it reads that name itself.
    pub fn reads(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Why an expression can never come to what is wanted, as far as its outermost part shows.
fn never(expression: &IdedExpr, wanted: Wanted) -> Option<String> {
    let comes_to = match &expression.expr {
        Expr::Literal(LiteralValue::String(_)) => "a text",
        Expr::Literal(LiteralValue::Boolean(_)) => "true or false",
        Expr::Literal(LiteralValue::Null) if wanted == Wanted::Text => return None,
        Expr::Literal(_) => "a constant of another type",
        Expr::List(_) => "a list",
        Expr::Map(_) => "a map",
        Expr::Call(call) => match call.func_name.as_str() {
            operators::EQUALS | operators::NOT_EQUALS | operators::LESS | operators::LESS_EQUALS | operators::GREATER => "true or false",
            operators::GREATER_EQUALS | operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::IN => "true or false",
            operators::MULTIPLY | operators::DIVIDE | operators::MODULO | operators::NEGATE => "a number",
            _ => return None,
        },
        Expr::Select(select) if select.test => "true or false",
        _ => return None,
    };
    let wanted = match wanted {
        Wanted::Bool => "true or false",
        Wanted::Text => "a text",
        Wanted::Any => return None,
    };
    (comes_to != wanted).then(|| format!("this comes to {comes_to}, and {wanted} is wanted"))
}

/// A value as expressions see it, made once and lent to any number of them.
#[derive(Debug)]
pub struct Converted<'v>(Box<dyn Val + 'v>);

impl<'v> Converted<'v> {
    /// A value whose texts are borrowed.
    pub fn lend(value: &'v Value) -> Self {
        Self(scope::lend(value))
    }

    /// A value of its own.
    pub fn own(value: &Value) -> Converted<'static> {
        Converted(scope::convert(value, &|text| CelString::from(text.to_owned())))
    }

    /// Nothing.
    pub fn null() -> Converted<'static> {
        Converted(Box::new(CelNull))
    }
}

/// What the expressions of one policy are evaluated on: values by name, and the policy's variables, each evaluated once, when
/// an expression is that reads it.
pub struct Activation<'a> {
    values: Vec<(&'a str, &'a Converted<'a>)>,
    variables: Vec<(&'a str, &'a Metered)>,
    evaluated: Vec<OnceLock<Result<Box<dyn Val>, EvaluationError>>>,
    budget: Budget,
    limit: u64,
}

impl<'a> Activation<'a> {
    /// `variables` in the order of their declaration: each reads only those before it.
    pub fn new(
        values: impl IntoIterator<Item = (&'a str, &'a Converted<'a>)>,
        variables: impl IntoIterator<Item = (&'a str, &'a Metered)>,
        budget: &Budget,
    ) -> Self {
        let variables: Vec<_> = variables.into_iter().collect();
        let evaluated = variables.iter().map(|_| OnceLock::new()).collect();
        Self { values: values.into_iter().collect(), variables, evaluated, budget: budget.clone(), limit: budget.left() }
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// See [`EvaluationError`]; what is neither true nor false is one.
    pub fn holds(&self, expression: &Metered) -> Result<bool, EvaluationError> {
        self.run(expression, |value| {
            let flag = value.downcast_ref::<CelBool>().map(|flag| *flag.inner());
            flag.ok_or_else(|| EvaluationError::Failed(format!("it comes to a {}, and true or false is wanted", value.get_type().name())))
        })
    }

    /// The text an expression comes to; none for null.
    ///
    /// # Errors
    /// See [`EvaluationError`]; what is neither a text nor null is one.
    pub fn text(&self, expression: &Metered) -> Result<Option<String>, EvaluationError> {
        self.run(expression, |value| {
            if value.downcast_ref::<CelNull>().is_some() {
                return Ok(None);
            }
            let text = value.downcast_ref::<CelString<'_>>().map(|text| Some(text.inner().to_owned()));
            text.ok_or_else(|| EvaluationError::Failed(format!("it comes to a {}, and a text is wanted", value.get_type().name())))
        })
    }

    /// Evaluates the variables that `expression` reads, and those that they read, in the order of their declaration: whatever depends on
    /// whatever, the interpreter's stack stays shallow. One that fails fails who reads it, and nobody else.
    fn prepare(&self, expression: &Metered) {
        let mut wanted = vec![false; self.variables.len()];
        let mark = |expression: &Metered, wanted: &mut Vec<bool>| {
            let places = expression.variables.iter().filter_map(|name| self.variables.iter().position(|(known, _)| known == name));
            places.for_each(|at| wanted[at] = true);
        };
        mark(expression, &mut wanted);
        for at in (0..self.variables.len()).rev() {
            if wanted[at] {
                mark(self.variables[at].1, &mut wanted);
            }
        }
        for (at, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            self.variable(at);
        }
    }

    fn run<T>(&self, expression: &Metered, read: impl FnOnce(&dyn Val) -> Result<T, EvaluationError>) -> Result<T, EvaluationError> {
        if !expression.variables.is_empty() {
            self.prepare(expression);
        }
        self.evaluate(expression, read)
    }

    fn evaluate<T>(&self, expression: &Metered, read: impl FnOnce(&dyn Val) -> Result<T, EvaluationError>) -> Result<T, EvaluationError> {
        let mut context = Context::with_env(Arc::clone(&library::ENVIRONMENT));
        context.set_variable_resolver(self);
        let found = cel::Value::resolve_val(&expression.expression, &context);
        if self.budget.left() == 0 {
            return Err(EvaluationError::Failed(format!("it takes more than the {} steps that are allowed", self.limit)));
        }
        match found {
            Ok(value) => read(value.as_ref()),
            Err(cel::ExecutionError::UndeclaredReference(name)) => {
                Err(self.variable_error(&name).unwrap_or_else(|| failure(&cel::ExecutionError::UndeclaredReference(name))))
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// Why a variable has no value.
    fn variable_error(&self, name: &str) -> Option<EvaluationError> {
        let name = name.strip_prefix(VARIABLES)?.strip_prefix('.')?;
        let at = self.variables.iter().position(|(known, _)| *known == name)?;
        match self.evaluated[at].get()? {
            Ok(_) => None,
            Err(EvaluationError::Missing(field)) => Some(EvaluationError::Failed(format!("variables.{name}: there is no field `{field}`"))),
            Err(error) => Some(EvaluationError::Failed(format!("variables.{name}: {error}"))),
        }
    }

    fn variable(&self, at: usize) -> Option<&dyn Val> {
        let (_, expression) = self.variables[at];
        let value = self.evaluated[at].get_or_init(|| {
            self.evaluate(expression, |value| {
                let most = self.budget.left();
                self.budget.pay(size(value, most));
                owned(value).ok_or_else(|| EvaluationError::Failed(format!("a {} cannot be kept in a variable", value.get_type().name())))
            })
        });
        value.as_ref().ok().map(AsRef::as_ref)
    }
}

impl VariableResolver for Activation<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if name == METER {
            return Some(CowVal::Borrowed(&self.budget));
        }
        if let Some(variable) = name.strip_prefix(VARIABLES).and_then(|rest| rest.strip_prefix('.')) {
            let at = self.variables.iter().position(|(known, _)| *known == variable)?;
            return self.variable(at).map(CowVal::Borrowed);
        }
        let (_, value) = self.values.iter().find(|(known, _)| *known == name)?;
        Some(CowVal::Borrowed(value.0.as_ref()))
    }
}

/// A copy that borrows nothing.
fn owned(value: &dyn Val) -> Option<Box<dyn Val>> {
    macro_rules! scalar {
        ($($kind:ty),*) => {
            $(if let Some(value) = value.downcast_ref::<$kind>() { return Some(Box::new(value.clone())); })*
        };
    }
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Some(Box::new(CelString::from(text.inner().to_owned())));
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut copy: HashMap<CelMapKey<'static>, Box<dyn Val>> = HashMap::with_capacity(map.inner().len());
        for (key, value) in map.inner() {
            let key = match key {
                CelMapKey::String(text) => CelMapKey::String(CelString::from(text.inner().to_owned())),
                CelMapKey::Bool(key) => CelMapKey::Bool(*key),
                CelMapKey::Int(key) => CelMapKey::Int(*key),
                CelMapKey::UInt(key) => CelMapKey::UInt(*key),
            };
            copy.insert(key, owned(value.as_ref())?);
        }
        return Some(Box::new(CelMap::from(copy)));
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return Some(Box::new(CelList::from(list.inner().iter().map(|item| owned(item.as_ref())).collect::<Option<Vec<_>>>()?)));
    }
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        return Some(Box::new(match optional.option() {
            Some(inner) => CelOptional::of(owned(inner)?),
            None => CelOptional::none(),
        }));
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        return Some(Box::new(CelBytes::from(bytes.inner().to_vec())));
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Some(Box::new(CelNull));
    }
    scalar!(CelBool, CelInt, CelUInt, CelDouble, CelDuration, CelTimestamp, Kube);
    None
}
