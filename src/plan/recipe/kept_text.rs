//! Text that stays text: a parameter that is a number does not make a number of `tag: "1.0"`, where 1.10 would be 1.1.
//! What a field is for is told from its name and from what it says now; a port's name and a percentage may become numbers.
//! Pure, and never a guess about text: only numbers and truth values are written otherwise than they came.

use crate::manifest::{FieldPath, Step};
use crate::plan::staged::{Aim, Staged};
use serde_json::Value;

/// Fields that are text wherever they stand.
const FIELDS: [&str; 8] = ["tag", "newTag", "version", "appVersion", "targetRevision", "image", "digest", "value"];
/// Mappings of which every field is text.
const MAPPINGS: [&str; 8] = ["annotations", "labels", "matchLabels", "nodeSelector", "data", "stringData", "commonAnnotations", "commonLabels"];

/// The value as it is to be written in the place of what stands there.
pub(super) fn of(staged: &mut Staged<'_>, aim: &Aim, field: &FieldPath, new: Value) -> Value {
    if !matches!(new, Value::Number(_) | Value::Bool(_) | Value::Object(_)) {
        return new;
    }
    // What cannot be read cannot be set either, and that says why.
    let Some(old) = staged.get(aim).ok().flatten() else { return new };
    let key = |steps: &[Step]| match steps.last() {
        Some(Step::Key(key)) => key.clone(),
        _ => String::new(),
    };
    let (last, above) = field.steps().split_last().map_or((&[][..], &[][..]), |(_, above)| (field.steps(), above));
    kept(&old, new, &key(last), &key(above))
}

/// The same of an element that is merged into the one whose field `key` is its own.
pub(super) fn of_element(staged: &mut Staged<'_>, aim: &Aim, field: &FieldPath, new: Value, key: Option<&str>) -> Value {
    let Some((key, wanted)) = key.and_then(|key| Some((key, new.get(key)?))) else { return new };
    let Some(Value::Array(items)) = staged.get(aim).ok().flatten() else { return new };
    let mapping = match field.steps().last() {
        Some(Step::Key(mapping)) => mapping.as_str(),
        _ => "",
    };
    match items.iter().find(|item| item.get(key) == Some(wanted)) {
        Some(old) => kept(old, new, mapping, ""),
        None => new,
    }
}

fn kept(old: &Value, new: Value, key: &str, mapping: &str) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let field = |(name, value): (String, Value)| {
                let value = match old.get(&name) {
                    Some(old) => kept(old, value, &name, key),
                    None => value,
                };
                (name, value)
            };
            Value::Object(new.into_iter().map(field).collect())
        }
        (Value::String(old), new @ (Value::Number(_) | Value::Bool(_)))
            if FIELDS.contains(&key) || MAPPINGS.contains(&mapping) || reads_as_one(old) =>
        {
            Value::from(new.to_string())
        }
        (_, new) => new,
    }
}

/// Whether a text is a number, a truth value or a version: it is text because somebody wants it to be.
fn reads_as_one(text: &str) -> bool {
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let digits = digits.strip_prefix(['+', '-', '.']).unwrap_or(digits);
    let version = digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
    version || ["true", "false", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_takes_the_form_of_the_text_it_replaces() {
        for (old, new, key, mapping, expected) in [
            (json!("1.0"), json!(1.1), "x", "", json!("1.1")),
            (json!("v1.4.2"), json!(2), "x", "", json!("2")),
            (json!("true"), json!(false), "x", "", json!("false")),
            (json!("latest"), json!(1.1), "tag", "image", json!("1.1")),
            (json!("someone"), json!(7), "example.com/owner", "annotations", json!("7")),
            (json!("http"), json!(8080), "targetPort", "", json!(8080)),
            (json!("25%"), json!(1), "maxUnavailable", "rollingUpdate", json!(1)),
            (json!(1.0), json!(1.1), "tag", "", json!(1.1)),
            (json!("1.0"), json!("1.1"), "tag", "", json!("1.1")),
            (
                json!({"tag": "1.0", "pull": true}),
                json!({"tag": 1.1, "pull": false, "new": 1}),
                "image",
                "",
                json!({"tag": "1.1", "pull": false, "new": 1}),
            ),
            (json!({"a": "x"}), json!({"a": 1}), "labels", "metadata", json!({"a": "1"})),
        ] {
            assert_eq!(kept(&old, new.clone(), key, mapping), expected, "{old} {new} {key}");
        }
    }
}
