//! Files and objects an automation removes.

use super::edits::Address;
use crate::automation::{IfMissing, RemoveSpec};
use crate::expression::Variables;
use crate::inventory::Target;
use crate::plan::PlanError;
use crate::plan::staged::{Staged, failed};
use crate::types::SpecError;

/// The most entries of `remove`.
const MAX_REMOVALS: usize = 50;

/// One file or object that goes.
pub(super) struct Removal {
    place: Address,
    if_missing: IfMissing,
}

pub(super) fn compile(specs: &[RemoveSpec], rendered: &[&str], names: &[&str], errors: &mut Vec<SpecError>) -> Vec<Removal> {
    if specs.len() > MAX_REMOVALS {
        let message = format!("an automation removes at most {MAX_REMOVALS} files or objects, and this one {}", specs.len());
        errors.push(SpecError::new("/remove", message));
    }
    let mut removals = Vec::new();
    for (number, spec) in specs.iter().take(MAX_REMOVALS).enumerate() {
        let at = format!("/remove/{number}");
        if spec.file.as_deref().is_some_and(|file| rendered.contains(&file)) {
            errors.push(SpecError::new(format!("{at}/file"), "the automation writes this file from a template, and removes it as well"));
        }
        let place = Address::compile(spec.file.as_deref(), spec.object.as_deref(), &at, names, errors);
        removals.extend(place.map(|place| Removal { place, if_missing: spec.if_missing }));
    }
    removals
}

pub(super) fn apply(removals: &[Removal], context: &Variables<'_>, target: &Target, staged: &mut Staged<'_>) -> Result<(), PlanError> {
    for removal in removals {
        let gone = match removal.place.fill(context, target, "remove")? {
            (Some(file), None) => staged.remove(&file)?.then_some(()).ok_or_else(|| failed(&file, "there is no such file to remove".to_owned())),
            (Some(file), Some(object)) => match staged.find_in(&file, &object)? {
                Some(found) => Ok(staged.remove_object(&found)?),
                None => Err(failed(&file, format!("there is no {object} in it to remove"))),
            },
            (None, Some(object)) => match staged.find(&object)? {
                Some(found) => Ok(staged.remove_object(&found)?),
                None => Err(staged.not_found(&object)?),
            },
            (None, None) => Ok(()),
        };
        match gone {
            Err(error) if removal.if_missing == IfMissing::Refuse => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
