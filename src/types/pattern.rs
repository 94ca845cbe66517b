//! Patterns of JSON Schemas: they are Rust's, which run in linear time and look neither ahead nor behind.

use serde_json::Value;

/// What a pattern looks around with.
const LOOKS: [&str; 4] = ["(?=", "(?!", "(?<=", "(?<!"];

/// What to say of the first pattern in a schema that looks around, which no engine in linear time can do.
pub(crate) fn look_around(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value.as_str() {
            Some(pattern) if name == "pattern" => {
                let look = LOOKS.into_iter().find(|look| pattern.contains(look))?;
                Some(format!("the pattern {pattern} looks around with `{look}`, and patterns here run in linear time, which look-around cannot: say what is refused with `not: {{ pattern: ... }}`"))
            }
            _ => look_around(value),
        }),
        Value::Array(items) => items.iter().find_map(look_around),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn look_around_is_named_wherever_it_stands() {
        let told = look_around(&json!({"items": {"allOf": [{"pattern": "^(?!kube-)a"}]}})).expect("found");
        assert!(told.contains("^(?!kube-)a") && told.contains("`(?!`"), "{told}");
        assert_eq!(look_around(&json!({"pattern": "^(?:a|b)(?i)c$"})), None);
    }
}
