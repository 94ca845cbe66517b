//! Where a field of an object is decided: in the object's own file, or in the overlay that has the last word about it.
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use super::entries::{is_count, is_image};
use super::kustomize::{directory_of, field as path_of};
use super::selection::{Patterns, fits_target, is_by_names};
use super::transform::Passing;
use super::{Found, Staged, failed};
use crate::manifest::{
    EditError, Editor, FieldPath, Kustomization, ObjectAddress, ObjectRef, Patch, PatchContent, Step, is_kustomization, resolve_reference,
    split_image, transformed_image,
};
use crate::plan::PlanError;
use crate::types::{ManifestPath, listed};
use serde_json::{Map, Value};

/// Something done to a field of an object.
pub(in crate::plan) type Operation<'o> = &'o mut dyn FnMut(&mut Editor, Option<&ObjectAddress>, &FieldPath) -> Result<bool, EditError>;

/// An object that was found, and how it is called where a patch comes to it.
type Known<'k> = (&'k Found, &'k Passing);

/// What has to be changed for a field to have another value.
#[derive(Debug, Clone)]
pub(in crate::plan) enum Aim {
    /// A field of a file.
    Field { path: ManifestPath, object: Option<ObjectAddress>, field: FieldPath },
    /// A field within a text that stands in a kustomization: a patch.
    Inline { path: ManifestPath, text: FieldPath, field: FieldPath },
    /// An entry of `images`, which changes the image `base` of the object; without steps there is none yet.
    Image { path: ManifestPath, entry: Option<Vec<Step>>, base: String, object: ObjectRef },
    /// An entry of `replicas` that is not there yet; a base says `base`.
    Count { path: ManifestPath, name: String, base: Option<Value> },
    /// A literal of a generator; without a place it is not there yet.
    Literal { path: ManifestPath, generator: Vec<Step>, name: String, place: Option<usize> },
}

impl Aim {
    /// The file that is changed.
    pub(in crate::plan) fn path(&self) -> &ManifestPath {
        match self {
            Self::Field { path, .. }
            | Self::Inline { path, .. }
            | Self::Image { path, .. }
            | Self::Count { path, .. }
            | Self::Literal { path, .. } => path,
        }
    }
}

impl Staged<'_> {
    /// What decides a field of an object.
    pub(in crate::plan) fn aim(&mut self, found: &Found, field: &FieldPath) -> Result<Aim, PlanError> {
        let aim = self.aim_from(found, field, 0)?;
        if self.within.contains(aim.path()) {
            return Ok(aim);
        }
        // It stands in a base that others build on as well: the overlay gets the last word.
        let outermost = found.chain.iter().find(|path| self.within.contains(path)).cloned();
        let Some(overlay) = outermost else { return Err(self.outside(&aim, found, field)?) };
        match field.steps() {
            steps if is_count(found, steps) => Ok(Aim::Count { path: overlay, name: found.object.name.clone(), base: self.get(&aim)? }),
            steps if is_image(steps) => match self.get(&aim)? {
                Some(Value::String(base)) => Ok(Aim::Image { path: overlay, entry: None, base, object: found.object.clone() }),
                _ => Err(self.outside(&aim, found, field)?),
            },
            _ => Err(self.outside(&aim, found, field)?),
        }
    }

    /// What decides a field, wherever that is.
    pub(super) fn decider(&mut self, found: &Found, field: &FieldPath) -> Result<Aim, PlanError> {
        self.aim_from(found, field, 0)
    }

    /// What decides it among the kustomizations from `at` inwards, and the file itself.
    fn aim_from(&mut self, found: &Found, field: &FieldPath, at: usize) -> Result<Aim, PlanError> {
        let Some(path) = found.chain.get(at).cloned() else {
            return Ok(Aim::Field { path: found.path.clone(), object: Some(found.address()), field: field.clone() });
        };
        let Some(value) = self.kustomization(&path)? else { return self.aim_from(found, field, at + 1) };
        let kustomization = Kustomization::of(&value);
        if is_count(found, field.steps())
            && let Some(steps) = kustomization.replicas(&found.object.name)
        {
            return Ok(Aim::Field { path, object: None, field: path_of(&steps) });
        }
        let below = self.aim_at_patches(found, field, at, kustomization)?;
        if is_image(field.steps())
            && let Some(Value::String(base)) = self.get(&below)?
            && let Some((steps, _)) = kustomization.image(split_image(&base).0)
        {
            return Ok(Aim::Image { path, entry: Some(steps), base, object: found.object.clone() });
        }
        Ok(below)
    }

    fn aim_at_patches(&mut self, found: &Found, field: &FieldPath, at: usize, kustomization: Kustomization<'_>) -> Result<Aim, PlanError> {
        let path = found.chain[at].clone();
        let passing = self.called_within(found, at)?;
        let found = (found, &passing);
        // The last patch has the last word.
        for patch in kustomization.patches().into_iter().rev() {
            let aim = match patch.content {
                PatchContent::Inline(text) => self.in_inline(&path, &patch, text, found, field)?,
                PatchContent::File(file) => self.in_file(&path, &patch, file, found, field)?,
            };
            if let Some(aim) = aim {
                return Ok(aim);
            }
        }
        self.aim_from(found.0, field, at + 1)
    }

    /// The object under each name it has in the kustomizations within the one at `at`.
    fn called_within(&mut self, found: &Found, at: usize) -> Result<Passing, PlanError> {
        let mut passing = Passing::new(Value::Null, found.object.clone());
        for inner in (at + 1..found.chain.len()).rev() {
            passing.known_as.push(self.as_built(&found.chain[inner..], &found.object)?);
        }
        Ok(passing)
    }

    fn in_inline(
        &mut self,
        path: &ManifestPath,
        patch: &Patch<'_>,
        text: &str,
        found: Known<'_>,
        field: &FieldPath,
    ) -> Result<Option<Aim>, PlanError> {
        let Ok(editor) = Editor::open(text.to_owned(), false) else { return Ok(None) };
        let field = self.in_patch(&editor, patch, found, field)?.map(|(_, field)| field);
        Ok(field.map(|field| Aim::Inline { path: path.clone(), text: path_of(&patch.steps), field }))
    }

    fn in_file(&mut self, path: &ManifestPath, patch: &Patch<'_>, file: &str, found: Known<'_>, field: &FieldPath) -> Result<Option<Aim>, PlanError> {
        let Some(file) = resolve_reference(directory_of(path), file).and_then(|file| file.parse::<ManifestPath>().ok()) else { return Ok(None) };
        let Some(text) = self.text(&file)? else { return Ok(None) };
        let Ok(editor) = Editor::open(text, file.as_str().ends_with(".json")) else { return Ok(None) };
        let field = self.in_patch(&editor, patch, found, field)?;
        Ok(field.map(|(object, field)| Aim::Field { path: file, object, field }))
    }

    /// Where a patch decides the field, if it does.
    fn in_patch(
        &mut self,
        editor: &Editor,
        patch: &Patch<'_>,
        (found, passing): Known<'_>,
        field: &FieldPath,
    ) -> Result<Option<(Option<ObjectAddress>, FieldPath)>, PlanError> {
        let selected = patch.target.map(|target| is_by_names(target) && fits_target(target, passing, &mut Patterns::default()) == Some(true));
        if selected == Some(false) {
            return Ok(None);
        }
        if let [document] = editor.documents()
            && let Value::Array(operations) = &document.value
        {
            if selected.is_none() {
                return Ok(None);
            }
            let Some(pointer) = self.pointer(found, field)? else { return Ok(None) };
            let decides = |operation: &Value| {
                let is = |field: &str, wanted: &[&str]| operation.get(field).and_then(Value::as_str).is_some_and(|text| wanted.contains(&text));
                is("op", &["add", "replace"]) && is("path", &[&pointer])
            };
            let place = operations.iter().rposition(decides);
            return Ok(place.map(|place| (None, path_of(&[Step::Place(place), Step::key("value")]))));
        }
        for document in editor.documents() {
            let written = ObjectRef::of(&document.value).ok();
            if selected.is_none() && !written.as_ref().is_some_and(|written| passing.is_named(written)) {
                continue;
            }
            let address = written.filter(|_| editor.documents().len() > 1).map(|written| ObjectAddress::exactly(&written));
            if let Ok(Some(_)) = editor.get(address.as_ref(), field) {
                return Ok(Some((address, field.clone())));
            }
        }
        Ok(None)
    }

    /// The JSON pointer of a field in the object's own file, as JSON patches name it.
    fn pointer(&mut self, found: &Found, field: &FieldPath) -> Result<Option<String>, PlanError> {
        let address = found.address();
        let editor = self.reader(&found.path)?;
        Ok(editor.pointer(Some(&address), field).ok())
    }

    /// The value a field has; none where it has none.
    pub(in crate::plan) fn get(&mut self, aim: &Aim) -> Result<Option<Value>, PlanError> {
        let refused = |path: &ManifestPath, error: EditError| failed(path, error.to_string());
        match aim {
            Aim::Field { path, object, field } => {
                self.reader(path)?.get(object.as_ref(), field).map(Option::<&Value>::cloned).map_err(|error| told(path, object.as_ref(), &error))
            }
            Aim::Inline { path, text, field } => {
                let Some(Value::String(text)) = self.reader(path)?.get(None, text).map_err(|error| refused(path, error))?.cloned() else {
                    return Ok(None);
                };
                let editor = Editor::open(text, false).map_err(|error| failed(path, format!("its patch cannot be read: {error}")))?;
                editor.get(None, field).map(Option::<&Value>::cloned).map_err(|error| refused(path, error))
            }
            Aim::Image { path, entry, base, .. } => {
                let Some(steps) = entry else { return Ok(Some(Value::from(base.as_str()))) };
                let entry = self.reader(path)?.get(None, &path_of(steps)).map_err(|error| refused(path, error))?;
                Ok(Some(Value::from(transformed_image(base, entry.unwrap_or(&Value::Null)))))
            }
            Aim::Count { base, .. } => Ok(base.clone()),
            Aim::Literal { path, generator, name, place } => {
                let Some(place) = place else { return Ok(None) };
                let field = path_of(&[generator.as_slice(), &[Step::key("literals"), Step::Place(*place)]].concat());
                let literal = self.reader(path)?.get(None, &field).map_err(|error| refused(path, error))?;
                Ok(literal.and_then(Value::as_str).and_then(|text| literal_value(text, name)).map(Value::from))
            }
        }
    }

    /// Gives the field a value; tells whether that changed anything.
    pub(in crate::plan) fn set(&mut self, aim: &Aim, value: &Value) -> Result<bool, PlanError> {
        match aim {
            Aim::Field { .. } | Aim::Inline { .. } => self.modify(aim, "set", &mut |editor, object, field| editor.set(object, field, value)),
            Aim::Image { path, entry, base, object } => {
                let changed = self.set_image(path, entry.as_deref(), base, value)?;
                if changed {
                    self.note_image(path, base, object)?;
                }
                Ok(changed)
            }
            Aim::Count { path, name, .. } => {
                let entry = Value::Object(Map::from_iter([("name".to_owned(), Value::from(name.as_str())), ("count".to_owned(), value.clone())]));
                self.edit(path, |editor| editor.append(None, &path_of(&[Step::key("replicas")]), &entry))
            }
            Aim::Literal { path, generator, name, place } => {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => return Err(failed(path, format!("a ConfigMap holds text, and the value for {name:?} is none"))),
                };
                // Kustomize takes a pair of quotes off.
                let quoted = text.len() > 1 && ['"', '\''].into_iter().any(|quote| text.starts_with(quote) && text.ends_with(quote));
                let literal = Value::from(if quoted { format!("{name}='{text}'") } else { format!("{name}={text}") });
                let list = [generator.as_slice(), &[Step::key("literals")]].concat();
                match place {
                    Some(place) => self.edit(path, |editor| editor.set(None, &path_of(&list).with(Step::Place(*place)), &literal)),
                    None => self.edit(path, |editor| editor.append(None, &path_of(&list), &literal)),
                }
            }
        }
    }

    /// Does something to the field where it stands, which only a file or a patch allows.
    pub(in crate::plan) fn modify(&mut self, aim: &Aim, verb: &str, operation: Operation<'_>) -> Result<bool, PlanError> {
        match aim {
            Aim::Field { path, object, field } => {
                let mut refusal = None;
                let changed = self.edit(path, |editor| {
                    operation(editor, object.as_ref(), field).or_else(|error| {
                        refusal = Some(told(path, object.as_ref(), &error));
                        Ok(false)
                    })
                })?;
                refusal.map_or(Ok(changed), Err)
            }
            Aim::Inline { path, text, field } => {
                let held = self.reader(path)?.get(None, text).map_err(|error| failed(path, error.to_string()))?.cloned();
                let Some(Value::String(patch)) = held else { return Err(failed(path, format!("`{text}` is no text"))) };
                let mut inner = Editor::open(patch, false).map_err(|error| failed(path, format!("its patch cannot be read: {error}")))?;
                if !operation(&mut inner, None, field).map_err(|error| failed(path, format!("in the patch `{text}`: {error}")))? {
                    return Ok(false);
                }
                self.edit(path, |editor| editor.set(None, text, &Value::from(inner.text())))
            }
            other => {
                Err(failed(other.path(), format!("what the kustomization decides is `set`, `increase`d or `multiply`d; {verb} does not fit it")))
            }
        }
    }

    /// The literal of a generator below the target that makes a field of a ConfigMap; none when there is no such generator.
    pub(in crate::plan) fn literal(&mut self, address: &ObjectAddress, field: &FieldPath) -> Result<Option<Aim>, PlanError> {
        let [Step::Key(data), Step::Key(name)] = field.steps() else { return Ok(None) };
        if address.kind() != "ConfigMap" || data != "data" {
            return Ok(None);
        }
        let mut aims = Vec::new();
        for path in self.manifests()? {
            if !is_kustomization(&path) {
                continue;
            }
            let Some(value) = self.kustomization(&path)? else { continue };
            let kustomization = Kustomization::of(&value);
            for (steps, generator) in kustomization.generators("configMapGenerator") {
                let text = |field: &str| generator.get(field).and_then(Value::as_str);
                let namespace = kustomization.namespace().or(text("namespace"));
                if text("name") != Some(address.name()) || (address.namespace().is_some() && namespace.is_some() && address.namespace() != namespace)
                {
                    continue;
                }
                let list = |field: &str| generator.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
                if let Some(file) = list("files").find(|file| file_key(file) == name) {
                    let message = format!("`{field}` is the content of the file {file:?}: write or edit that file");
                    return Err(failed(&path, message));
                }
                let place = list("literals").position(|literal| literal_value(literal, name).is_some());
                aims.push(Aim::Literal { path: path.clone(), generator: steps, name: name.clone(), place });
            }
        }
        match aims.len() {
            0 | 1 => Ok(aims.pop()),
            _ => {
                let places: Vec<String> = aims.iter().map(|aim| aim.path().to_string()).collect();
                Err(PlanError::Object(format!(
                    "{address} is made by several generators, in {}; name a target that is narrower",
                    listed(&places, super::LISTED)
                )))
            }
        }
    }
}

fn told(path: &ManifestPath, object: Option<&ObjectAddress>, error: &EditError) -> PlanError {
    match object {
        Some(object) => failed(path, format!("{}: {error}", object.without_group())),
        None => failed(path, error.to_string()),
    }
}

/// The value of a literal `name=value`, quotes around the value taken off as Kustomize does.
pub(super) fn literal_value(literal: &str, name: &str) -> Option<String> {
    let (key, value) = literal.split_once('=')?;
    let unquoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    (key == name).then(|| unquoted.unwrap_or(value).to_owned())
}

/// The key under which a generator keeps a file.
pub(super) fn file_key(file: &str) -> &str {
    file.split_once('=').map_or_else(|| file.rsplit('/').next().unwrap_or(file), |(key, _)| key)
}
