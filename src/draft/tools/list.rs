//! `list_files`: what files there are.

use super::files::{self, Files};
use super::{Lines, Refused, arguments};
use crate::draft::Tool;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const NAME: &str = "list_files";
/// Files that one answer names, at most.
const MAX_FILES: usize = 500;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only below this directory, such as apps/web; everywhere when it is left out.
    #[serde(default)]
    #[schemars(with = "String")]
    directory: Option<String>,
    /// Only files that match: *.yaml, apps/**/deployment.yaml. `*` stays within a directory, `**` does not.
    #[serde(default)]
    #[schemars(with = "String")]
    glob: Option<String>,
}

pub(super) fn tool() -> Tool {
    arguments::tool::<Wanted>(NAME, "Lists the paths of the files in the repository, one a line.")
}

pub(super) fn answer(files: &mut Files<'_>, wanted: &Wanted) -> Result<String, Refused> {
    let directory = files::path(wanted.directory.as_deref().unwrap_or_default());
    let listed = files.list(&directory, files::glob(wanted.glob.as_deref())?.as_ref())?;
    let mut lines = Lines::new(MAX_FILES);
    listed.paths.iter().for_each(|path| lines.push(path));
    let more = listed.paths.len() - lines.count;
    let mut notes = Vec::new();
    if more > 0 {
        notes.push(format!("{more} more; ask for a directory or a glob"));
    }
    if listed.cut {
        notes.push("not every directory was looked at; ask for one".to_owned());
    }
    Ok(lines.end("there are no such files", &notes))
}
