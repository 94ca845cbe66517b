//! Fields an automation sets in files there are.

use super::texts::{check_path, compile_text, compile_value, filled, text};
use crate::automation::{EditSpec, escape_pointer};
use crate::expression::{Expression, Scope, Variables};
use crate::inventory::Target;
use crate::manifest::{Editor, FieldPath, ObjectAddress};
use crate::plan::{BaseTree, EntryKind, PlanError};
use crate::render::{TextKind, TextTemplate};
use crate::types::{ManifestPath, SpecError, nearest};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most entries of `edit`, and the most fields of one: each reads its file once more.
const MAX_EDITS: usize = 50;
/// Whole numbers that a double holds exactly (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Names that a message lists.
const LISTED: usize = 20;

/// What is done to one object of one file.
pub(super) struct Edit {
    file: TextTemplate,
    object: Option<TextTemplate>,
    operations: Vec<Operation>,
}

/// One thing done to one field.
enum Operation {
    /// It gets the value of an expression; `null` leaves it as it is.
    Set { field: FieldPath, value: Expression },
}

/// Compiles `edit`; `rendered` are the paths of `render` as they are written.
pub(super) fn compile(specs: &[EditSpec], rendered: &[&str], names: &[&str], errors: &mut Vec<SpecError>) -> Vec<Edit> {
    if specs.len() > MAX_EDITS {
        let message = format!("an automation has at most {MAX_EDITS} edits, and this one has {}; make several automations of it", specs.len());
        errors.push(SpecError::new("/edit", message));
    }
    let edits = specs.iter().take(MAX_EDITS).enumerate();
    edits.filter_map(|(number, spec)| compile_one(spec, &format!("/edit/{number}"), rendered, names, errors)).collect()
}

fn compile_one(spec: &EditSpec, at: &str, rendered: &[&str], names: &[&str], errors: &mut Vec<SpecError>) -> Option<Edit> {
    let place = format!("{at}/file");
    let file = compile_text(&spec.file, TextKind::Path, &place, names, errors);
    check_path(&spec.file, &place, errors);
    if rendered.contains(&spec.file.as_str()) {
        errors.push(
            SpecError::new(&place, "the automation writes this file from a template, and edits it as well")
                .hint("give the template the value, or edit another file"),
        );
    }
    let object = spec.object.as_deref().map(|object| {
        let place = format!("{at}/object");
        if let Some(Err(error)) = filled(object).map(|tried| tried.parse::<ObjectAddress>()) {
            errors.push(SpecError::new(&place, error.to_string()));
        }
        compile_text(object, TextKind::Path, &place, names, errors)
    });
    if spec.set.is_empty() {
        errors.push(SpecError::new(at, "an edit sets at least one field").hint("set: { spec.replicas: parameters.replicas }"));
    }
    if spec.set.len() > MAX_EDITS {
        errors.push(SpecError::new(format!("{at}/set"), format!("an edit sets at most {MAX_EDITS} fields, and this one has {}", spec.set.len())));
    }
    let operations = compile_set(&spec.set, &format!("{at}/set"), names, errors);
    let object = match object {
        Some(object) => Some(object?),
        None => None,
    };
    Some(Edit { file: file?, object, operations })
}

fn compile_set(set: &BTreeMap<String, String>, at: &str, names: &[&str], errors: &mut Vec<SpecError>) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for (field, value) in set.iter().take(MAX_EDITS) {
        let place = format!("{at}/{}", escape_pointer(field));
        let value = compile_value(value, &place, names, errors);
        let field = match field.parse::<FieldPath>() {
            Ok(field) => field,
            Err(error) => {
                errors.push(SpecError::new(&place, format!("not the path of a field: {error}")));
                continue;
            }
        };
        let other = operations.iter().find(|Operation::Set { field: other, .. }| other.overlaps(&field));
        if let Some(Operation::Set { field: other, .. }) = other {
            let message = format!("`{other}` and `{field}` are the same field, or one is a part of the other");
            errors.push(SpecError::new(&place, message).hint("put one of them into another entry of `edit`: they are done in order"));
        }
        if let Some(value) = value {
            operations.push(Operation::Set { field, value });
        }
    }
    operations
}

/// The files that differ after all edits, in order, each file's on what those before left; `rendered` are not to be touched.
pub(super) fn apply(
    edits: &[Edit],
    context: &Variables<'_>,
    scope: &Scope<'_>,
    target: &Target,
    base: &dyn BaseTree,
    rendered: &BTreeSet<ManifestPath>,
) -> Result<Vec<(ManifestPath, Vec<u8>)>, PlanError> {
    let mut files: BTreeMap<ManifestPath, (Editor, bool)> = BTreeMap::new();
    for edit in edits {
        let relative = text(&edit.file, context, "edit.file")?;
        let path = target.path.join(&relative).map_err(|error| PlanError::Path(error.to_string()))?;
        if rendered.contains(&path) {
            return Err(PlanError::Path(format!("the automation writes {path} from a template, and edits it as well")));
        }
        let object = edit.object.as_ref().map(|object| -> Result<ObjectAddress, PlanError> {
            let object = text(object, context, "edit.object")?;
            object.parse().map_err(|error: crate::manifest::AddressError| failed(&path, error.to_string()))
        });
        let object = object.transpose()?;
        if !files.contains_key(&path) {
            files.insert(path.clone(), (open(&path, base)?, false));
        }
        let Some((editor, changed)) = files.get_mut(&path) else { continue };
        for Operation::Set { field, value } in &edit.operations {
            let value = evaluate(value, field, scope)?;
            if value.is_null() {
                continue;
            }
            let set = editor.set(object.as_ref(), field, &value);
            *changed |= set.map_err(|error| match &object {
                Some(object) => failed(&path, format!("{object}: {error}")),
                None => failed(&path, error.to_string()),
            })?;
        }
    }
    let changed = files.into_iter().filter(|(_, (_, changed))| *changed);
    Ok(changed.map(|(path, (editor, _))| (path, editor.text().as_bytes().to_vec())).collect())
}

fn failed(path: &ManifestPath, message: String) -> PlanError {
    PlanError::Edit { path: path.clone(), message }
}

fn evaluate(expression: &Expression, field: &FieldPath, scope: &Scope<'_>) -> Result<Value, PlanError> {
    let value = expression.evaluate(scope).map_err(|error| PlanError::Text {
        place: format!("edit.set.{field}"),
        message: format!("`{}` has no value: {error}", expression.source()),
    })?;
    Ok(whole(value))
}

/// The value with whole numbers as such: CEL counts in doubles too, and a manifest says 4, not 4.0.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 2^53")]
            Some(double) if double.fract() == 0.0 && double.abs() <= EXACT => Value::from(double as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        value => value,
    }
}

/// The base's file, to be edited.
fn open(path: &ManifestPath, base: &dyn BaseTree) -> Result<Editor, PlanError> {
    let Some(bytes) = base.read(path)? else {
        return Err(match base.entry(path.as_str())? {
            None => failed(path, missing(path, base)?),
            Some(EntryKind::Symlink) => failed(path, "it is a symbolic link; edit the file it leads to".to_owned()),
            Some(_) => failed(path, "it is no regular file".to_owned()),
        });
    };
    let text = String::from_utf8(bytes).map_err(|_| failed(path, "it is not UTF-8".to_owned()))?;
    Editor::open(text, path.as_str().ends_with(".json")).map_err(|error| failed(path, format!("it cannot be read: {error}")))
}

/// What to say of a file that is not there: what stands in the nearest directory there is.
fn missing(path: &ManifestPath, base: &dyn BaseTree) -> Result<String, PlanError> {
    let mut directory = path.as_str();
    loop {
        let name = directory.rsplit('/').next().unwrap_or(directory);
        directory = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
        let names = base.names(directory)?;
        if names.is_empty() && !directory.is_empty() {
            continue;
        }
        let there = if directory.is_empty() { "the repository".to_owned() } else { directory.to_owned() };
        if names.is_empty() {
            return Ok("there is no such file: the repository is empty".to_owned());
        }
        let near = nearest(name, names.iter().map(|name| name.trim_end_matches('/')));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let more = names.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let listed = names.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
        return Ok(format!("there is no such file{near}; {there} has {listed}{more}"));
    }
}
