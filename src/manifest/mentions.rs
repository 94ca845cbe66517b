//! Which kinds and names a text may give its objects, told without reading it as YAML: every value of a key `kind` or `name`, whatever
//! stands around it. It may name more than there are and never fewer: what it cannot tell, it says may be anything.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Values that are kept of one text, at most; a text with more may hold anything.
const MAX_VALUES: usize = 4_096;

/// The kinds and names in a text, as digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentions(Option<Box<[u32]>>);

impl Mentions {
    /// What a text may hold.
    pub fn of(text: &str) -> Self {
        // Letters may be written as escapes, and a quoted text may go on behind a line break.
        let hides = ["\\x", "\\u", "\\U", "\\\n", "\\\r"].iter().any(|escape| text.contains(escape));
        if hides || text.contains("? ") || text.contains("?\n") {
            return Self::anything();
        }
        let mut found = Vec::new();
        for key in ["kind", "name"] {
            for (at, _) in text.match_indices(key) {
                let Some(behind) = behind_colon(&text[at + key.len()..]) else { continue };
                match value(behind) {
                    Value::Hidden => return Self::anything(),
                    Value::None => {}
                    Value::Scalar(value) => {
                        found.push(digest(key, value));
                        // Within braces it ends sooner.
                        found.extend(value.find([',', '}', ']']).map(|end| digest(key, &value[..end])));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        if found.len() > MAX_VALUES { Self::anything() } else { Self(Some(found.into())) }
    }

    /// Of a text nobody looked into.
    pub fn anything() -> Self {
        Self(None)
    }

    /// Whether an object of the kind, and of the name where one is given, may stand in it.
    pub fn may_hold(&self, kind: &str, name: Option<&str>) -> bool {
        let Some(values) = &self.0 else { return true };
        let has = |key: &str, value: &str| values.binary_search(&digest(key, value)).is_ok();
        has("kind", kind) && name.is_none_or(|name| has("name", name))
    }

    /// Whether anything of the name may stand in it, for sure: of a text nobody could tell of, nothing may.
    pub fn names(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|values| values.binary_search(&digest("name", name)).is_ok())
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.as_ref().map_or(0, |values| size_of_val::<[u32]>(values))
    }
}

fn digest(key: &str, value: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    let digest = hasher.finish();
    #[expect(clippy::cast_possible_truncation, reason = "two of them that meet cost one look into a file")]
    let short = (digest ^ (digest >> 32)) as u32;
    short
}

/// What follows the colon of a key that ends here; none where it is no key.
fn behind_colon(text: &str) -> Option<&str> {
    let text = text.strip_prefix(['"', '\'']).unwrap_or(text);
    text.trim_start_matches([' ', '\t']).strip_prefix(':')
}

enum Value<'t> {
    /// There is none that names anything.
    None,
    Scalar(&'t str),
    /// It cannot be told from these lines.
    Hidden,
}

fn value(behind: &str) -> Value<'_> {
    let line_end = |text: &str| text.find(['\n', '\r']).unwrap_or(text.len());
    let own = behind[..line_end(behind)].trim();
    if !own.is_empty() && !own.starts_with('#') {
        return scalar(own);
    }
    // On a later line; a mapping or list there names nothing by itself, its own keys are found for themselves.
    let mut lines = behind[line_end(behind)..].lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(line) = lines.next() else { return Value::None };
    let is_collection = line.starts_with("- ") || line == "-" || line.ends_with(':') || line.contains(": ") || line.starts_with("---");
    if is_collection { Value::None } else { scalar(line) }
}

fn scalar(text: &str) -> Value<'_> {
    let quoted = |quote: char| {
        let inner = &text[1..];
        // One that goes on in the next line is no name of Kubernetes.
        match inner.find(quote) {
            // A quote that is doubled stands for itself.
            Some(end) if inner[end + 1..].starts_with(quote) => Value::Hidden,
            Some(end) => Value::Scalar(&inner[..end]),
            None => Value::None,
        }
    };
    match text.as_bytes().first() {
        None => Value::None,
        Some(b'"') => quoted('"'),
        Some(b'\'') => quoted('\''),
        Some(b'*' | b'&' | b'!' | b'|' | b'>') => Value::Hidden,
        Some(b'{' | b'[') => Value::None,
        Some(_) => {
            let end = text.find([' ', '\t']).unwrap_or(text.len());
            Value::Scalar(&text[..end])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::edits_at_random::{document, habits, written};
    use crate::manifest::{Limits, ObjectRef, flatten, parse};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_a_text_may_hold_is_told_from_its_keys_wherever_they_stand() {
        let text = "kind: Deployment # x\nmetadata: {name: web, namespace: shop}\nspec:\n  template: {\"name\":\"inner\"}\n  'name': 'quoted'\n  name:\n    # below\n    later\n";
        let mentions = Mentions::of(text);
        for name in ["web", "inner", "quoted", "later"] {
            assert!(mentions.may_hold("Deployment", Some(name)), "{name}");
        }
        assert!(mentions.may_hold("Deployment", None));
        assert!(!mentions.may_hold("Deployment", Some("shop")) && !mentions.may_hold("Service", Some("web")) && !mentions.may_hold("web", None));
        for hidden in ["kind: A\nname: *x\n", "kind: &k A\n", "name: |-\n  a\n", "\"n\\u0061me\": a\n", "? name\n: a\n", "name: !!str a\n"] {
            assert!(Mentions::of(hidden).may_hold("Whatever", Some("it-is")), "{hidden}");
        }
        // The schemas of a CustomResourceDefinition have fields of these names.
        assert!(!Mentions::of("kind: X\nname: y\nproperties:\n  kind:\n    type: string\n  name:\n  - a\n").may_hold("Y", None));
    }

    proptest! {
        #[test]
        fn no_object_is_ever_missed(
            body in document(), habits in habits(), dice in prop::collection::vec(any::<u8>(), 40), kind in "[A-Z][a-z]{0,6}", name in "[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?",
        ) {
            let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
            value["spec"] = body;
            let text = written(&value, &habits, dice).out;
            let mentions = Mentions::of(&text);
            for document in parse(&text, Limits::default()).unwrap_or_default() {
                for object in flatten(&document.value).into_iter().filter_map(|(_, value)| ObjectRef::of(value).ok()) {
                    prop_assert!(mentions.may_hold(&object.kind, Some(&object.name)), "{object} in {text}");
                }
            }
        }
    }
}
