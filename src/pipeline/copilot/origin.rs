//! Where a value that a model filled in comes from: so that whoever confirms looks twice at what they did not say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a parameter's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It stands in the sentence.
    Said,
    /// The model read it out of the sentence, or made it up.
    Inferred,
    /// Nobody said anything: it is the automation's default.
    Default,
}

impl Origin {
    /// The origin of a value, of which `given` is what the model gave.
    pub(super) fn of(value: &Value, given: Option<&Value>, sentence: &str) -> Self {
        match given {
            None | Some(Value::Null) => Self::Default,
            Some(_) if stands_in(value, &sentence.to_lowercase()) => Self::Said,
            Some(_) => Self::Inferred,
        }
    }
}

/// Whether each text and number of a value is in a sentence, as a word of its own. `true` and `false` are no words anybody says.
fn stands_in(value: &Value, sentence: &str) -> bool {
    match value {
        Value::String(text) => is_word(&text.to_lowercase(), sentence),
        Value::Number(number) => is_word(&number.to_string(), sentence),
        Value::Array(items) => !items.is_empty() && items.iter().all(|item| stands_in(item, sentence)),
        Value::Object(fields) => !fields.is_empty() && fields.values().all(|field| stands_in(field, sentence)),
        Value::Bool(_) | Value::Null => false,
    }
}

fn is_word(word: &str, sentence: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    !word.is_empty()
        && sentence.match_indices(word).any(|(at, found)| {
            let before = sentence[..at].chars().next_back();
            let after = sentence[at + found.len()..].chars().next();
            !before.is_some_and(joins) && !after.is_some_and(joins)
        })
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use serde_json::{Value, json};

    #[test]
    fn what_stands_in_the_sentence_is_said_and_everything_else_is_not() {
        let sentence = "Open a namespace for Payments on prod-eu, with 3 replicas and 512Mi for checkout.";
        for said in
            [json!("payments"), json!("prod-eu"), json!(3), json!("512Mi"), json!("checkout"), json!(["payments", 3]), json!({ "a": "prod-eu" })]
        {
            assert_eq!(Origin::of(&said, Some(&said), sentence), Origin::Said, "{said}");
        }
        // A part of a word is not said, nor is what a model makes of nothing.
        for inferred in
            [json!("prod"), json!("eu"), json!("pay"), json!(51), json!("staging"), json!(true), json!(""), json!([]), json!(["payments", "x"])]
        {
            assert_eq!(Origin::of(&inferred, Some(&inferred), sentence), Origin::Inferred, "{inferred}");
        }
        for given in [None, Some(&Value::Null)] {
            assert_eq!(Origin::of(&json!("prod-eu"), given, sentence), Origin::Default);
        }
    }
}
