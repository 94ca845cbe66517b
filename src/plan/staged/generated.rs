//! The ConfigMaps that a kustomization's generators make, without the hash that Kustomize puts behind their names.
//! A generator that adds to another's ConfigMap is no object of its own: what it does is noted.

use super::aim::{file_key, literal_value};
use super::kustomize::directory_of;
use super::transform::{Passage, Stopped, pointer_of};
use super::{PlanError, Staged};
use crate::manifest::{Kustomization, resolve_reference};
use crate::types::ManifestPath;
use serde_json::{Map, Value, json};

impl Staged<'_> {
    /// What the generators of a kustomization make, each with its place.
    pub(in crate::plan) fn generated(&mut self, path: &ManifestPath, passage: &mut Passage) -> Result<Vec<(String, Value)>, Stopped> {
        let Some(value) = self.kustomization(path)? else { return Ok(Vec::new()) };
        let mut made = Vec::new();
        for (steps, generator) in Kustomization::of(&value).generators("configMapGenerator") {
            let at = pointer_of(&steps);
            if generator.get("behavior").and_then(Value::as_str).is_some_and(|behavior| behavior != "create") {
                passage.notes.insert((path.clone(), at, "a generator that adds to another's ConfigMap".to_owned()));
                continue;
            }
            let Some(object) = self.config_map(path, &value, generator)? else { continue };
            passage.room.weigh(&object).map_err(|_| Stopped::TooMuch)?;
            made.push((at, object));
        }
        Ok(made)
    }

    fn config_map(&self, path: &ManifestPath, kustomization: &Value, generator: &Value) -> Result<Option<Value>, PlanError> {
        let Some(name) = generator.get("name").and_then(Value::as_str) else { return Ok(None) };
        let list = |field: &str| generator.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let content = |file: &str| -> Result<String, PlanError> {
            let local = resolve_reference(directory_of(path), file);
            let bytes = local.map_or(Ok(None), |local| self.content(&local))?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
        };
        let mut data = Map::new();
        for file in list("files") {
            let text = content(file.split_once('=').map_or(file, |(_, file)| file))?;
            data.insert(file_key(file).to_owned(), Value::from(text));
        }
        let env = generator.get("env").and_then(Value::as_str);
        let mut lines: Vec<String> = Vec::new();
        for file in list("envs").chain(env) {
            let text = content(file)?;
            lines.extend(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
        }
        lines.extend(list("literals").map(str::to_owned));
        for line in &lines {
            let key = line.split('=').next().unwrap_or_default();
            if let Some(value) = literal_value(line, key) {
                data.insert(key.to_owned(), Value::from(value));
            }
        }
        let mut metadata = Map::from_iter([("name".to_owned(), Value::from(name))]);
        metadata.extend(generator.get("namespace").map(|namespace| ("namespace".to_owned(), namespace.clone())));
        for field in ["labels", "annotations"] {
            let options = [kustomization.get("generatorOptions"), generator.get("options")];
            let pairs: Map<String, Value> =
                options.into_iter().flatten().filter_map(|options| options.get(field)?.as_object()).flat_map(Clone::clone).collect();
            if !pairs.is_empty() {
                metadata.insert(field.to_owned(), Value::Object(pairs));
            }
        }
        Ok(Some(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data })))
    }
}
