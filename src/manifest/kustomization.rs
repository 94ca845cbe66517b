//! What a kustomization names: resources, patches, and the transformers that decide a field of the objects it builds.
//! Only the local file system layout of Kustomize is known here; what it would build is not computed.
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use super::{ObjectRef, Step};
use crate::types::ManifestPath;
use serde_json::Value;

/// The names under which Kustomize reads a kustomization, in its order.
pub const KUSTOMIZATION_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Whether a file of this name is read by Kustomize as a kustomization.
pub fn is_kustomization(path: &ManifestPath) -> bool {
    path.components().last().is_some_and(|name| KUSTOMIZATION_NAMES.contains(&name))
}

/// The fields that list files and directories of objects.
const LISTS: [&str; 3] = ["resources", "bases", "components"];

/// A kustomization that was read.
#[derive(Debug, Clone, Copy)]
pub struct Kustomization<'v>(&'v Value);

/// One patch of a kustomization.
#[derive(Debug, Clone)]
pub struct Patch<'v> {
    /// The way to the entry within the kustomization.
    pub steps: Vec<Step>,
    /// The patch itself, or the file it stands in.
    pub content: PatchContent<'v>,
    /// Whom it is for, where it says so.
    pub target: Option<&'v Value>,
}

/// Where a patch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchContent<'v> {
    /// In the kustomization.
    Inline(&'v str),
    /// In a file, relative to the kustomization's directory.
    File(&'v str),
}

impl<'v> Kustomization<'v> {
    /// The kustomization or component that a document is.
    pub fn of(document: &'v Value) -> Self {
        Self(document)
    }

    /// The entries of a list.
    fn list(self, field: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
        self.0.get(field).and_then(Value::as_array).into_iter().flatten()
    }

    /// A text.
    fn text(self, field: &str) -> Option<&'v str> {
        self.0.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The files and directories it builds from, as they are written, each with the list it stands in.
    pub fn resources(self) -> impl Iterator<Item = (&'static str, &'v str)> {
        LISTS.into_iter().flat_map(move |field| self.list(field).filter_map(move |entry| Some((field, entry.as_str()?))))
    }

    /// The namespace it puts its objects in.
    pub fn namespace(self) -> Option<&'v str> {
        self.text("namespace")
    }

    /// What an object's name becomes.
    pub fn renamed(self, name: &str) -> String {
        format!("{}{name}{}", self.text("namePrefix").unwrap_or_default(), self.text("nameSuffix").unwrap_or_default())
    }

    /// The way to the count it gives a workload, by the name the workload has in its file.
    pub fn replicas(self, name: &str) -> Option<Vec<Step>> {
        let place = self.place("replicas", |entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
        Some(vec![Step::key("replicas"), Step::Place(place), Step::key("count")])
    }

    /// The way to the entry that changes an image, by the image's name without tag and digest.
    pub fn image(self, name: &str) -> Option<(Vec<Step>, &'v Value)> {
        let place = self.place("images", |entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
        Some((vec![Step::key("images"), Step::Place(place)], self.list("images").nth(place)?))
    }

    fn place(self, field: &str, is: impl Fn(&Value) -> bool) -> Option<usize> {
        self.list(field).position(is)
    }

    /// Its patches, in the order they are applied.
    pub fn patches(self) -> Vec<Patch<'v>> {
        let mut patches = Vec::new();
        for (number, entry) in self.list("patchesStrategicMerge").enumerate() {
            let Some(text) = entry.as_str() else { continue };
            // What has several lines is the patch itself.
            let content = if text.contains('\n') { PatchContent::Inline(text) } else { PatchContent::File(text) };
            patches.push(Patch { steps: vec![Step::key("patchesStrategicMerge"), Step::Place(number)], content, target: None });
        }
        for field in ["patches", "patchesJson6902"] {
            for (number, entry) in self.list(field).enumerate() {
                let text = |name: &str| entry.get(name).and_then(Value::as_str);
                let content = match (text("patch"), text("path")) {
                    (Some(patch), _) => PatchContent::Inline(patch),
                    (None, Some(path)) => PatchContent::File(path),
                    (None, None) => continue,
                };
                let mut steps = vec![Step::key(field), Step::Place(number)];
                if matches!(content, PatchContent::Inline(_)) {
                    steps.push(Step::key("patch"));
                }
                patches.push(Patch { steps, content, target: entry.get("target") });
            }
        }
        patches
    }

    /// The generators of ConfigMaps, or of Secrets, with the way to each.
    pub fn generators(self, field: &'static str) -> impl Iterator<Item = (Vec<Step>, &'v Value)> {
        self.list(field).enumerate().map(move |(number, entry)| (vec![Step::key(field), Step::Place(number)], entry))
    }

    /// The ConfigMaps and Secrets that its generators make, by the names they have there, without the hash that Kustomize puts behind them.
    /// A generator that adds to another's makes none.
    pub fn generated(self) -> Vec<ObjectRef> {
        let made = |kind: &str, generator: &Value| {
            let text = |field: &str| generator.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
            let makes = matches!(text("behavior"), None | Some("create" | "unspecified"));
            let name = text("name").filter(|_| makes)?.to_owned();
            Some(ObjectRef { api_version: "v1".to_owned(), kind: kind.to_owned(), namespace: text("namespace").map(str::to_owned), name })
        };
        let lists = [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")];
        lists.into_iter().flat_map(|(field, kind)| self.generators(field).filter_map(move |(_, generator)| made(kind, generator))).collect()
    }

    /// Every text in it that may name a local file, of whatever kind.
    pub fn files(self) -> Vec<&'v str> {
        fn search<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
            match value {
                // `key=path` in the files of a generator.
                Value::String(text) if text.len() <= 1024 && !text.contains('\n') => {
                    into.push(text.rsplit_once('=').map_or(text.as_str(), |(_, path)| path))
                }
                Value::Array(items) => items.iter().for_each(|item| search(item, into)),
                Value::Object(fields) => fields.values().for_each(|value| search(value, into)),
                _ => {}
            }
        }
        let mut files = Vec::new();
        search(self.0, &mut files);
        files
    }

    /// Whether it names a file, whose path is relative to its directory.
    pub fn names_file(self, file: &str) -> bool {
        self.files().into_iter().any(|named| named.trim_start_matches("./") == file)
    }
}

/// The path that a reference in a kustomization means, from the repository's root; none for what is not local, or leaves the repository.
pub fn resolve_reference(directory: &str, reference: &str) -> Option<String> {
    if reference.contains("://") || reference.contains('?') || reference.starts_with('/') || reference.contains(':') {
        return None;
    }
    let mut steps: Vec<&str> = directory.split('/').filter(|step| !step.is_empty()).collect();
    for step in reference.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()?),
            step => steps.push(step),
        }
    }
    Some(steps.join("/"))
}

/// How `path` is written in a kustomization of `directory`.
pub fn reference_from(directory: &str, path: &str) -> String {
    let steps = |text: &str| text.split('/').filter(|step| !step.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (steps(directory), steps(path));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - common);
    up.chain(to[common..].iter().cloned()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reference_is_a_path_from_the_root_and_back() {
        for (directory, reference, path) in [
            ("apps/web/overlays/prod", "../../base", Some("apps/web/base")),
            ("", "./a.yaml", Some("a.yaml")),
            ("apps", "../../x", None),
            ("apps", "https://example.com/x", None),
            ("apps", "github.com/org/repo?ref=v1", None),
            ("apps", "git@github.com:org/repo", None),
            ("apps", "/etc/passwd", None),
        ] {
            assert_eq!(resolve_reference(directory, reference).as_deref(), path, "{reference}");
        }
        assert_eq!(reference_from("apps/web/overlays/prod", "apps/web/base/a.yaml"), "../../base/a.yaml");
        assert_eq!(reference_from("", "a/b.yaml"), "a/b.yaml");
        assert_eq!(reference_from("a", "a/b/c.yaml"), "b/c.yaml");
    }

    #[test]
    fn what_a_kustomization_names_is_found_in_every_form() {
        let value = json!({
            "resources": ["a.yaml", "../base"],
            "patches": [{"path": "p.yaml", "target": {"kind": "Deployment", "name": "web"}}, {"patch": "kind: X\n"}],
            "patchesStrategicMerge": ["s.yaml", "kind: Y\nmetadata: {}\n"],
            "configMapGenerator": [{"name": "c", "files": ["key=data/x.conf"]}],
            "replicas": [{"name": "web", "count": 3}],
        });
        let kustomization = Kustomization::of(&value);
        assert_eq!(kustomization.resources().map(|(_, name)| name).collect::<Vec<_>>(), ["a.yaml", "../base"]);
        let contents: Vec<PatchContent<'_>> = kustomization.patches().into_iter().map(|patch| patch.content).collect();
        assert_eq!(
            contents,
            [
                PatchContent::File("s.yaml"),
                PatchContent::Inline("kind: Y\nmetadata: {}\n"),
                PatchContent::File("p.yaml"),
                PatchContent::Inline("kind: X\n")
            ]
        );
        assert!(kustomization.names_file("data/x.conf") && kustomization.names_file("p.yaml") && !kustomization.names_file("q.yaml"));
        assert_eq!(kustomization.replicas("web"), Some(vec![Step::key("replicas"), Step::Place(0), Step::key("count")]));
        assert!(kustomization.replicas("api").is_none());
    }
}
