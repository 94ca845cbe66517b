//! Images as Kustomize takes them apart, finds them and writes them anew.
//! The name in an entry of `images` is a pattern there, by no intention of anybody's; what it fits is changed all the same.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// The size of a compiled pattern, in bytes.
const MAX_COMPILED: usize = 64 * 1024;

/// An image split as Kustomize splits it: name, tag, digest.
pub fn split_image(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = image.split_once('@').map_or((image, None), |(rest, digest)| (rest, Some(digest)));
    let name_begins = rest.rfind('/').map_or(0, |slash| slash + 1);
    match rest[name_begins..].find(':') {
        Some(colon) => (&rest[..name_begins + colon], Some(&rest[name_begins + colon + 1..]), digest),
        None => (rest, None, digest),
    }
}

/// The pattern of the images that an entry of this name is for; none where it is no pattern, or too large a one.
pub fn image_pattern(name: &str) -> Option<Regex> {
    whole_pattern(&format!("{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?"))
}

/// A pattern that has to fit a whole text.
pub fn whole_pattern(pattern: &str) -> Option<Regex> {
    (pattern.len() <= 1024).then(|| RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_COMPILED).build().ok()).flatten()
}

/// An image as an entry of `images` leaves it.
pub fn transformed_image(base: &str, entry: &Value) -> String {
    let text = |field: &str| match entry.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let (name, tag, digest) = split_image(base);
    let mut image = text("newName").unwrap_or_else(|| name.to_owned());
    let (new_tag, new_digest, suffix) = (text("newTag"), text("digest"), text("tagSuffix"));
    let keeps = new_tag.is_none() && new_digest.is_none();
    let (tag, digest) = match (keeps, suffix) {
        (false, _) => (new_tag, new_digest),
        (true, None) => (tag.map(str::to_owned), digest.map(str::to_owned)),
        (true, Some(suffix)) => (Some(format!("{}{suffix}", tag.unwrap_or_default())), None),
    };
    if let Some(tag) = tag {
        image.push_str(&format!(":{tag}"));
    }
    if let Some(digest) = digest {
        image.push_str(&format!("@{digest}"));
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_has_a_name_a_tag_and_a_digest() {
        assert_eq!(split_image("nginx"), ("nginx", None, None));
        assert_eq!(split_image("registry.example.com:5000/team/api"), ("registry.example.com:5000/team/api", None, None));
        assert_eq!(
            split_image("registry.example.com:5000/team/api:1.4@sha256:ab"),
            ("registry.example.com:5000/team/api", Some("1.4"), Some("sha256:ab"))
        );
    }

    #[test]
    fn an_entry_changes_what_its_name_fits() {
        let fits = |name: &str, image: &str| image_pattern(name).is_some_and(|pattern| pattern.is_match(image));
        assert!(fits("nginx", "nginx") && fits("nginx", "nginx:1.2") && fits("nginx", "nginx@sha256:ab") && fits(".*", "a/b:1"));
        assert!(!fits("nginx", "other/nginx") && !fits("nginx", "nginx2") && !fits("(", "nginx"));
        assert_eq!(transformed_image("a/b:1@sha256:x", &json!({"newTag": 2})), "a/b:2");
        assert_eq!(transformed_image("a/b:1@sha256:x", &json!({"newName": "c"})), "c:1@sha256:x");
        assert_eq!(transformed_image("a/b:1@sha256:x", &json!({"tagSuffix": "-eu"})), "a/b:1-eu");
    }
}
