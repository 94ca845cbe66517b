//! The images a change brings in: wherever a field holds one by its name, in containers of any kind, entries of `images` and values of charts.

use super::compare::Step;
use crate::manifest::split_image;
use crate::types::wildcard;
use serde_json::Value;

/// Fields below a mapping called `image` or `images` that say where an image comes from, in lower case.
const PARTS: [&str; 6] = ["repository", "repo", "registry", "reference", "newname", "name"];
/// Fields that say so wherever they stand, in lower case.
const WHEREVER: [&str; 4] = ["newname", "imagename", "imageregistry", "imagerepository"];

/// An image a change brings in, and the path that leads to it.
#[derive(Debug)]
pub(super) struct Brought<'v> {
    pub(super) path: Vec<Step<'v>>,
    pub(super) image: &'v Value,
}

/// The images that `new` brings, where `old` stood, or nothing.
pub(super) fn brought<'v>(path: &[Step<'v>], old: Option<&'v Value>, new: &'v Value) -> Vec<Brought<'v>> {
    let mut found = Vec::new();
    walk(&mut path.to_vec(), old, new, &mut found);
    found
}

fn walk<'v>(path: &mut Vec<Step<'v>>, old: Option<&'v Value>, new: &'v Value, found: &mut Vec<Brought<'v>>) {
    if Some(new) == old {
        return;
    }
    match new {
        Value::Object(fields) => {
            for (key, value) in fields {
                path.push(Step::Key(key));
                walk(path, old.and_then(|old| old.get(key)), value, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                path.push(Step::Element { old: None, new: Some(item), place });
                walk(path, None, item, found);
                path.pop();
            }
        }
        Value::Null => {}
        image if holds_one(path) && !is_of_the_same(old, image) => found.push(Brought { path: path.clone(), image }),
        _ => {}
    }
}

/// Whether a field of this path holds an image, or where one comes from.
fn holds_one(path: &[Step<'_>]) -> bool {
    let mut keys = path.iter().rev().filter_map(|step| match step {
        Step::Key(key) => Some(key.to_ascii_lowercase()),
        Step::Element { .. } => None,
    });
    let Some(last) = keys.next() else { return false };
    let above = keys.next().unwrap_or_default();
    let in_image = above.ends_with("image") || above == "images";
    // The name of an entry of Kustomize's `images` only says which image it changes.
    let selects = last == "name" && above == "images";
    last.ends_with("image") || WHEREVER.contains(&last.as_str()) || (in_image && !selects && PARTS.contains(&last.as_str()))
}

/// Whether two images come from the same repository.
fn is_of_the_same(old: Option<&Value>, new: &Value) -> bool {
    matches!((old, new), (Some(Value::String(old)), Value::String(new)) if split_image(old).0 == split_image(new).0 && is_one(new))
}

/// Whether an image fits one of the patterns, which are for repository and tag, or for a repository with any tag.
pub(super) fn fits(patterns: &[String], image: &Value) -> bool {
    let Value::String(image) = image else { return false };
    is_one(image) && patterns.iter().any(|pattern| wildcard::matches(pattern, image) || wildcard::matches(pattern, split_image(image).0))
}

/// Whether a text can be an image: nothing in it means another thing to another reader.
fn is_one(image: &str) -> bool {
    let plain = image.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b));
    // `algorithm:digits`, as the OCI image specification writes a digest; anything else behind `@` could be read as another place.
    let is_digest = |digest: &str| !digest.contains(['/', '@', '.']) && digest.matches(':').count() == 1;
    plain && !image.contains("..") && !image.contains("//") && image.split_once('@').is_none_or(|(_, digest)| is_digest(digest))
}
