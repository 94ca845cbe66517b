//! What a model gives to a tool, read strictly.

use super::Refused;
use crate::draft::{Arguments, Tool};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The arguments of a call, or what is wrong with them in words that the model can act on.
pub(super) fn read<A: DeserializeOwned>(tool: &str, given: &Arguments) -> Result<A, Refused> {
    match given {
        Arguments::Read(value) => {
            // A tool without required arguments is called by some without any.
            let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value.clone() };
            serde_json::from_value(value).map_err(|error| Refused::Told(format!("the arguments of {tool} are wrong: {error}")))
        }
        Arguments::Unreadable { reason, .. } => Err(Refused::Told(format!("the arguments of {tool} are no JSON: {reason}"))),
    }
}

/// The declaration of a tool with these arguments.
pub(in crate::draft) fn tool<A: JsonSchema>(name: &str, description: &str) -> Tool {
    let mut parameters = schemars::schema_for!(A).to_value();
    plain(&mut parameters);
    Tool { name: name.to_owned(), description: description.to_owned(), parameters }
}

/// Leaves out what says nothing to a model and what some providers refuse.
fn plain(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    ["$schema", "title", "format", "default"].iter().for_each(|key| drop(fields.shift_remove(*key)));
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(plain);
    }
}
