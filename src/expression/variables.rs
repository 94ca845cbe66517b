//! What expressions and texts are evaluated on: an event, parameters, lent and never copied as a whole.
//! A payload can be large, and an expression reads a few fields of it: what is not read is not converted.

use crate::event::Event;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A variable: something with fields, or one value.
#[derive(Debug, Clone, Copy)]
pub enum Variable<'v> {
    /// An event, with the fields [`Event::FIELDS`].
    Event(&'v Event),
    /// A map, such as a request's parameters.
    Fields(&'v Map<String, Value>),
    /// A value of any type.
    Value(&'v Value),
}

impl<'v> Variable<'v> {
    /// The field of that name.
    pub fn field(self, name: &str) -> Option<Cow<'v, Value>> {
        match self {
            Self::Event(event) => event.field(name),
            Self::Fields(fields) => fields.get(name).map(Cow::Borrowed),
            Self::Value(value) => value.as_object()?.get(name).map(Cow::Borrowed),
        }
    }

    /// Every field with its name, in order.
    pub fn fields(self) -> impl Iterator<Item = (&'v str, Cow<'v, Value>)> {
        let (event, fields) = match self {
            Self::Event(event) => (Some(event), None),
            Self::Fields(fields) => (None, Some(fields)),
            Self::Value(value) => (None, value.as_object()),
        };
        let of_event = event.into_iter().flat_map(|event| Event::FIELDS.iter().filter_map(|name| Some((*name, event.field(name)?))));
        of_event.chain(fields.into_iter().flatten().map(|(name, value)| (name.as_str(), Cow::Borrowed(value))))
    }

    /// A copy of the whole.
    pub fn to_value(self) -> Value {
        if let Self::Value(value) = self {
            return value.clone();
        }
        Value::Object(self.fields().map(|(name, value)| (name.to_owned(), value.into_owned())).collect())
    }
}

impl Serialize for Variable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Self::Value(value) = self {
            return value.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.fields() {
            map.serialize_entry(name, value.as_ref())?;
        }
        map.end()
    }
}

/// Variables by name.
#[derive(Debug, Clone, Default)]
pub struct Variables<'v>(Vec<(&'v str, Variable<'v>)>);

impl<'v> Variables<'v> {
    /// The variables given, each with its name.
    pub fn new(variables: impl IntoIterator<Item = (&'v str, Variable<'v>)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The variable of that name.
    pub fn get(&self, name: &str) -> Option<Variable<'v>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, variable)| variable)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'v str, Variable<'v>)> + '_ {
        self.0.iter().copied()
    }

    /// What stands at a path of field names below a variable, variable first: at least two names. None when nothing does, and for what
    /// only an index or a key in brackets reaches.
    pub fn find<'p>(&self, mut path: impl Iterator<Item = &'p str>) -> Option<Cow<'v, Value>> {
        let found = self.get(path.next()?)?.field(path.next()?)?;
        match found {
            Cow::Borrowed(value) => path.try_fold(value, |at, name| at.as_object()?.get(name)).map(Cow::Borrowed),
            // What an event makes anew are texts: nothing is below them.
            Cow::Owned(value) => path.next().is_none().then_some(Cow::Owned(value)),
        }
    }
}

/// The fields of an object that are objects themselves, as variables; of any other value none.
impl<'v> From<&'v Value> for Variables<'v> {
    fn from(value: &'v Value) -> Self {
        let variables = value.as_object().into_iter().flatten();
        Self(variables.filter_map(|(name, value)| Some((name.as_str(), Variable::Fields(value.as_object()?)))).collect())
    }
}
