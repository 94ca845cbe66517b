//! What a kustomization decides with an entry: the count of a workload (`replicas`) and the image of a container (`images`).
//! An entry is written only where Kustomize then builds exactly what was asked for; it never brings back what nobody asked for.

use super::kustomize::field as path_of;
use super::{Aim, Found, Staged, failed};
use crate::manifest::{FieldPath, Step, is_kustomization, split_image, transformed_image};
use crate::plan::PlanError;
use crate::types::ManifestPath;
use serde_json::{Map, Value};

/// The kinds whose count `replicas` of a kustomization gives.
pub(super) const COUNTED: [&str; 4] = ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

impl Staged<'_> {
    /// Gives the entry of an image, which may have to be made, what makes the image `value` of `base`.
    pub(super) fn set_image(&mut self, path: &ManifestPath, entry: Option<&[Step]>, base: &str, value: &Value) -> Result<bool, PlanError> {
        let Value::String(image) = value else { return Err(failed(path, "an image is text".to_owned())) };
        let ((name, tag, digest), (original, ..)) = (split_image(image), split_image(base));
        let mut wanted = Map::new();
        let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        wanted.insert("newName".to_owned(), text(Some(name).filter(|name| *name != original)));
        wanted.insert("newTag".to_owned(), text(tag));
        wanted.insert("digest".to_owned(), text(digest));
        let there = match entry {
            Some(steps) => self.reader(path)?.get(None, &path_of(steps)).map_err(|error| failed(path, error.to_string()))?.cloned(),
            None if image == base => return Ok(false),
            None => None,
        };
        let mut after = there.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        after.extend(wanted.clone());
        let built = transformed_image(base, &Value::Object(after));
        if built != *image {
            let message = format!(
                "Kustomize would build {built} of the image {image}: one without tag and digest keeps those of the object's own file; name a tag or a digest"
            );
            return Err(failed(path, message));
        }
        match entry {
            Some(steps) => self.edit(path, |editor| editor.merge(None, &path_of(steps), &Value::Object(wanted))),
            None => {
                wanted.retain(|_, value| !value.is_null());
                let mut entry = Map::from_iter([("name".to_owned(), Value::from(original))]);
                entry.extend(wanted);
                self.edit(path, |editor| editor.append(None, &path_of(&[Step::key("images")]), &Value::Object(entry)))
            }
        }
    }
}

/// Holds a value against the field it is for, wherever it is going to be written: an entry of a kustomization has no schema of the field.
///
/// # Errors
/// When the field cannot have the value.
pub(in crate::plan) fn hold(aim: &Aim, found: Option<&Found>, field: &FieldPath, value: &Value) -> Result<(), PlanError> {
    let shown = || value.to_string().chars().take(SHOWN).collect::<String>();
    if is_image(field.steps())
        && let Value::String(image) = value
        && !is_well_formed(image)
    {
        let message = format!("{} is no image: `registry.example.com/team/name:tag` or `name@sha256:...` is, in lower case up to the tag", shown());
        return Err(failed(aim.path(), message));
    }
    let counted = matches!(aim, Aim::Count { .. }) || found.is_some_and(|found| is_count(found, field.steps()));
    // In a file of its own the schema says more; it knows nothing of what is below zero.
    let has_schema = matches!(aim, Aim::Field { path, .. } if !is_kustomization(path)) && !value.is_i64();
    if counted && !has_schema && value.as_i64().is_none_or(|count| !(0..=i64::from(i32::MAX)).contains(&count)) {
        let message = format!("`{field}` is a whole number from 0 on, and {} is none", shown());
        return Err(failed(aim.path(), message));
    }
    Ok(())
}

/// The entry of `replicas` that gives a count, where that is what decides it. A count without an entry is 0 to Kustomize, so that the
/// entry goes as a whole.
pub(super) fn entry_of_count(aim: &Aim) -> Option<FieldPath> {
    let Aim::Field { path, field, .. } = aim else { return None };
    match field.steps() {
        [list @ Step::Key(name), entry @ Step::Place(_), Step::Key(count)] if is_kustomization(path) && name == "replicas" && count == "count" => {
            Some(path_of(&[list.clone(), entry.clone()]))
        }
        _ => None,
    }
}

/// `spec.replicas` of a kind for which `replicas` of a kustomization decides it.
pub(super) fn is_count(found: &Found, steps: &[Step]) -> bool {
    COUNTED.contains(&found.object.kind.as_str())
        && matches!(steps, [Step::Key(spec), Step::Key(replicas)] if spec == "spec" && replicas == "replicas")
}

/// The image of a container, which `images` of a kustomization decides.
pub(super) fn is_image(steps: &[Step]) -> bool {
    let containers = |name: &str| matches!(name, "containers" | "initContainers");
    matches!(steps, [.., Step::Key(list), Step::Element { .. }, Step::Key(image)] if containers(list) && image == "image")
}

/// Whether a text has the form of an image's name (<https://github.com/distribution/reference>). What another program fills in first
/// (`$(params.image)`) nobody can say it of.
fn is_well_formed(image: &str) -> bool {
    if image.contains('$') {
        return true;
    }
    let (name, tag, digest) = split_image(image);
    let word = |text: &str, more: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    let part = |text: &str| {
        word(text, "._-")
            && !text.contains(|c: char| c.is_ascii_uppercase())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let host = |text: &str| word(text, ".-:[]") && (text.contains(['.', ':']) || text.eq_ignore_ascii_case("localhost"));
    let parts: Vec<&str> = name.split('/').collect();
    let named = match parts.as_slice() {
        [] => false,
        [first, rest @ ..] => (part(first) || (!rest.is_empty() && host(first))) && rest.iter().all(|rest| part(rest)),
    };
    let tagged = tag.is_none_or(|tag| word(tag, "_.-") && tag.len() <= 128 && !tag.starts_with(['.', '-']));
    let hashed = digest
        .is_none_or(|digest| digest.split_once(':').is_some_and(|(algorithm, hash)| word(algorithm, "+._-") && hash.len() >= 32 && word(hash, "")));
    named && tagged && hashed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_has_the_form_of_one() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for image in
            ["nginx", "nginx:1.2", "registry.example.com:5000/team/a_b:V1.2-x", "localhost/web", "$(params.image)", &format!("a/b:1@{digest}")]
        {
            assert!(is_well_formed(image), "{image}");
        }
        for image in ["bad image", "", "Web:1", "web:", "web:.1", "a//b", "/web", "web@sha256", "web@sha256:12", "web:1:2", "http://a/b"] {
            assert!(!is_well_formed(image), "{image}");
        }
    }

    #[test]
    fn an_entry_leaves_an_image_as_kustomize_does() {
        for (entry, expected) in [
            (json!({"newTag": "2"}), "web:2"),
            (json!({"newName": "x"}), "x:1"),
            (json!({"newTag": ""}), "web:1"),
            (json!({"digest": "sha256:ab"}), "web@sha256:ab"),
            (json!({"tagSuffix": "-a"}), "web:1-a"),
            (json!({"newTag": "2", "tagSuffix": "-a"}), "web:2"),
        ] {
            assert_eq!(transformed_image("web:1", &entry), expected, "{entry}");
        }
    }
}
