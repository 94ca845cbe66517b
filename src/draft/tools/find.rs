//! `find_object`: in which file an object of Kubernetes stands.

use super::files::{Effort, Files};
use super::{Lines, Refused, arguments};
use crate::draft::Tool;
use crate::manifest::{Limits, ObjectAddress, ObjectRef, flatten, parse};
use crate::plan::{Surveyed, TreeError};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const NAME: &str = "find_object";
/// Objects that one answer names, at most.
const MAX_OBJECTS: usize = 100;
/// Files that are asked for at once.
const MAX_SURVEYED: usize = 20_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The kind, such as Deployment.
    #[serde(default)]
    #[schemars(with = "String")]
    kind: Option<String>,
    /// The name of the object.
    #[serde(default)]
    #[schemars(with = "String")]
    name: Option<String>,
    /// The namespace its manifest says.
    #[serde(default)]
    #[schemars(with = "String")]
    namespace: Option<String>,
}

impl Wanted {
    fn is_meant(&self, object: &ObjectRef) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == object.kind)
            && self.name.as_ref().is_none_or(|name| *name == object.name)
            && (self.namespace.is_none() || self.namespace == object.namespace)
    }
}

pub(super) fn tool() -> Tool {
    arguments::tool::<Wanted>(
        NAME,
        "Finds objects of Kubernetes by kind, name and namespace; at least a kind or a name is given. Each line of the answer is a file, the line on \
         which the object's document begins, which document of the file it is (from 0), and its address kind/namespace/name.",
    )
}

pub(super) fn answer(files: &mut Files<'_>, wanted: &Wanted) -> Result<String, Refused> {
    if wanted.kind.is_none() && wanted.name.is_none() {
        return Err(Refused::Told("find_object takes at least `kind` or `name`".to_owned()));
    }
    let (candidates, cut) = candidates(files, wanted)?;
    files.prefetch(&candidates)?;
    let (mut lines, mut effort, mut unread) = (Lines::new(MAX_OBJECTS), Effort::new(), 0);
    for path in &candidates {
        if lines.is_full() || !effort.is_left() {
            unread += 1;
            continue;
        }
        let Some(raw) = files.raw(path, &mut effort)? else { continue };
        if [&wanted.kind, &wanted.name].iter().any(|word| word.as_ref().is_some_and(|word| !raw.contains(word.as_str()) && !raw.contains('\\'))) {
            continue;
        }
        for document in parse(&raw, Limits::default()).unwrap_or_default() {
            for (_, value) in flatten(&document.value) {
                if let Some(object) = ObjectRef::of(value).ok().filter(|object| wanted.is_meant(object)) {
                    let found = format!("{path}:{}: document {}: {}", document.start_line, document.index, ObjectAddress::of(&object));
                    lines.push(&files.cleared(&found));
                }
            }
        }
    }
    let mut notes = Vec::new();
    if lines.is_full() {
        notes.push("there may be more; ask more narrowly".to_owned());
    } else if unread > 0 || cut {
        notes.push("not every file was looked at; give a kind and a name".to_owned());
    }
    Ok(lines.end("there is no such object", &notes))
}

/// The files within reach that may hold such an object, and whether there may be others.
fn candidates(files: &Files<'_>, wanted: &Wanted) -> Result<(Vec<String>, bool), TreeError> {
    let is_manifest = |path: &str| [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end));
    let Some(surveyed) = files.base.survey("", MAX_SURVEYED)? else {
        let listed = files.list("", None)?;
        return Ok((listed.paths.into_iter().filter(|path| is_manifest(path)).collect(), listed.cut));
    };
    let cut = surveyed.len() > MAX_SURVEYED;
    let may_hold = |file: &Surveyed| wanted.kind.as_ref().is_none_or(|kind| file.mentions.may_hold(kind, wanted.name.as_deref()));
    let mut paths: Vec<String> =
        surveyed.into_iter().filter(|file| may_hold(file) && files.is_there(file.path.as_str())).map(|file| file.path.as_str().to_owned()).collect();
    paths.sort_unstable();
    Ok((paths, cut))
}
