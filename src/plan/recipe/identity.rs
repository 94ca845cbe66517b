//! What makes an object the one it is: `apiVersion`, `kind`, name and namespace. An edit never changes it: it would be another object.

use crate::manifest::{FieldPath, ObjectAddress, ObjectRef, Step, flatten};
use crate::plan::PlanError;
use crate::plan::staged::{Aim, Found, Staged, failed};
use crate::types::ManifestPath;

/// The objects of the file that is edited, in their order; none for a document that is no object, or where the file is none.
pub(super) fn of(staged: &mut Staged<'_>, aim: &Aim) -> Vec<Option<ObjectRef>> {
    let Aim::Field { path, .. } = aim else { return Vec::new() };
    // What cannot be read cannot be edited either, and that says why.
    let Ok(editor) = staged.reader(path) else { return Vec::new() };
    let objects = editor.documents().iter().flat_map(|document| flatten(&document.value)).map(|(_, value)| ObjectRef::of(value).ok());
    objects.collect()
}

/// Refuses a field of an object that says which object it is.
pub(super) fn keep(found: &Found, field: &FieldPath) -> Result<(), PlanError> {
    let names = match field.steps() {
        [Step::Key(key)] => matches!(key.as_str(), "apiVersion" | "kind"),
        [Step::Key(metadata), Step::Key(key)] => metadata == "metadata" && matches!(key.as_str(), "name" | "namespace"),
        _ => false,
    };
    if names { Err(refused(&found.path, field, &found.object)) } else { Ok(()) }
}

/// Refuses what made another object of one there was.
pub(super) fn compare(aim: &Aim, field: &FieldPath, before: &[Option<ObjectRef>], staged: &mut Staged<'_>) -> Result<(), PlanError> {
    let after = of(staged, aim);
    if before.len() != after.len() {
        return Ok(());
    }
    let is = |one: &ObjectRef, other: &ObjectRef| one.api_version == other.api_version && one.is_same(other);
    let other = before.iter().zip(&after).find_map(|(before, after)| {
        let before = before.as_ref()?;
        (!after.as_ref().is_some_and(|after| is(before, after))).then_some(before)
    });
    other.map_or(Ok(()), |object| Err(refused(aim.path(), field, object)))
}

fn refused(path: &ManifestPath, field: &FieldPath, object: &ObjectRef) -> PlanError {
    let message = format!(
        "`{field}` says which object {} is; with another `apiVersion`, `kind`, `metadata.name` or `metadata.namespace` it is another one: write that, and remove this one",
        ObjectAddress::of(object)
    );
    failed(path, message)
}
