//! The variables as CEL wants them: a field that an expression reads is converted when it is read, and lent where it can be.
//! Whatever is asked for as a whole is converted as a whole, once. It must give what converting everything beforehand would give.

use super::{ENVIRONMENT, Variable, Variables, cost};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, IdedExpr};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The variables an expression may read. Built once per event and shared by every expression.
#[derive(Default)]
pub struct Scope<'v> {
    converted: Vec<(String, Box<dyn Val + 'v>)>,
    lent: Variables<'v>,
    /// The lent variables as wholes, in their order, once somebody asked.
    wholes: Vec<OnceLock<Box<dyn Val + 'v>>>,
    widest: u64,
    widest_lent: OnceLock<u64>,
}

impl<'v> Scope<'v> {
    /// A scope that holds `variables`, each a name and its value.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut scope = Self::default();
        for (name, value) in variables {
            scope.insert(name, value);
        }
        scope
    }

    /// A scope over variables that it borrows: only what an expression reads of them is converted.
    pub fn lending(variables: Variables<'v>) -> Self {
        let wholes = variables.iter().map(|_| OnceLock::new()).collect();
        Self { lent: variables, wholes, ..Self::default() }
    }

    /// Adds or replaces one variable.
    pub fn insert(&mut self, name: &str, value: &Value) {
        self.widest = self.widest.max(cost::widest(value));
        let value = convert(value, &|text| CelString::from(text.to_owned()));
        match self.converted.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.converted.push((name.to_owned(), value)),
        }
    }

    /// The variables that were lent.
    pub fn variables(&self) -> &Variables<'v> {
        &self.lent
    }

    /// The number of entries of the largest list or map anywhere in the variables.
    pub(super) fn widest(&self) -> u64 {
        let of_lent = || {
            self.lent.iter().fold(0, |widest, (_, variable)| {
                let (mut fields, mut most) = (0, widest);
                for (_, value) in variable.fields() {
                    fields += 1;
                    most = most.max(cost::widest(&value));
                }
                most.max(fields)
            })
        };
        self.widest.max(*self.widest_lent.get_or_init(of_lent)).max(1)
    }

    /// The value of an expression, or of a part of one.
    pub(super) fn resolve(&self, expression: &IdedExpr) -> Result<cel::Value, ExecutionError> {
        let reader = Reader(self);
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&reader);
        cel::Value::resolve(expression, &context)
    }

    /// A variable as a whole.
    fn whole(&self, name: &str) -> Option<&(dyn Val + 'v)> {
        if let Some((_, value)) = self.converted.iter().find(|(known, _)| known == name) {
            return Some(value.as_ref());
        }
        let (whole, (_, variable)) = self.wholes.iter().zip(self.lent.iter()).find(|(_, (known, _))| *known == name)?;
        let convert_all = || -> Box<dyn Val + 'v> {
            if let Variable::Value(value) = variable {
                return lend(value);
            }
            let fields = variable.fields().map(|(name, value)| match value {
                Cow::Borrowed(value) => (CelMapKey::from(name), lend(value)),
                Cow::Owned(value) => (CelMapKey::from(name), convert(&value, &|text| CelString::from(text.to_owned()))),
            });
            Box::new(CelMap::from(fields.collect::<HashMap<_, _>>()))
        };
        Some(whole.get_or_init(convert_all).as_ref())
    }
}

/// Answers the interpreter, which asks for `event.data.issue.key`, then for `event.data.issue`, and so on down to `event`, and selects from
/// the first that it gets what was left out.
struct Reader<'s, 'v>(&'s Scope<'v>);

impl VariableResolver for Reader<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if !variable.contains('.') {
            return self.0.whole(variable).map(CowVal::Borrowed);
        }
        match self.0.lent.find(variable.split('.'))? {
            // Lists and maps come with the whole variable, which is converted once however often it is asked for.
            Cow::Borrowed(Value::Array(_) | Value::Object(_)) => None,
            Cow::Borrowed(value) => Some(CowVal::Owned(lend(value))),
            Cow::Owned(value) => Some(CowVal::Owned(convert(&value, &|text| CelString::from(text.to_owned())))),
        }
    }
}

/// A value with its texts borrowed.
pub(super) fn lend<'v>(value: &'v Value) -> Box<dyn Val + 'v> {
    convert(value, &|text| CelString::from(text))
}

/// JSON as CEL has it: integers stay integers, other numbers are doubles.
pub(super) fn convert<'j, 'v>(value: &'j Value, text: &impl Fn(&'j str) -> CelString<'v>) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => Box::new(CelUInt::from(uint)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(string) => Box::new(text(string)),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(|item| convert(item, text)).collect::<Vec<_>>())),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (CelMapKey::String(text(key)), convert(value, text)));
            Box::new(CelMap::from(fields.collect::<HashMap<_, _>>()))
        }
    }
}
