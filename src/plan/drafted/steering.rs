//! Files whose name alone steers a tool, whatever they say they are: what such a tool fetches or runs for them passes every limit, so a
//! draft brings none, and leaves alone what in them steers.

use super::texts::Text;
use super::violation::Violation;
use crate::plan::{BaseTree, TreeError};
use crate::types::{ManifestPath, below, listed};
use serde_json::Value;

/// Names without their ending, in lower case, that steer delivery tools, fetch what is built from, or run pipelines. Tools differ on the
/// case of names; some read theirs in YAML and in JSON.
const NAMES: [&str; 16] = [
    "atlantis",
    "azure-pipelines",
    "bitbucket-pipelines",
    "cloudbuild",
    "devspace",
    "fleet",
    "helmfile",
    "jsonnetfile",
    "jsonnetfile.lock",
    "okteto",
    "renovate",
    "requirements",
    "skaffold",
    "vendir",
    "vendir.lock",
    "werf",
];
/// The directory whose every file helmfile reads.
const HELMFILES: &str = "helmfile.d";
/// A chart's own file, in lower case.
const CHART: &str = "chart";
/// The fields of a chart that only describe it.
const DESCRIBES: [&str; 9] = ["annotations", "appVersion", "description", "home", "icon", "keywords", "maintainers", "sources", "version"];

fn stem(path: &ManifestPath) -> String {
    let name = path.components().last().unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_ascii_lowercase()
}

/// Why a file may not be touched because of its name or its place; none where it may.
///
/// # Errors
/// When the base cannot be read.
pub(super) fn beyond(path: &ManifestPath, base: &dyn BaseTree) -> Result<Option<&'static str>, TreeError> {
    let stem = stem(path);
    if NAMES.contains(&stem.as_str()) || path.ancestors().any(|directory| is_called(directory, HELMFILES)) {
        return Ok(Some("a file of this name steers a tool, which a draft may not do"));
    }
    if stem == CHART && base.entry(path.as_str())?.is_none() {
        return Ok(Some("a file of this name makes its directory a chart, which a draft may not do"));
    }
    for directory in path.ancestors().filter(|directory| is_called(directory, "templates")) {
        let chart = directory.rsplit_once('/').map_or("", |(chart, _)| chart);
        if base.entry(&below(chart, "Chart.yaml"))?.is_some() {
            return Ok(Some("it is a template of a chart, of which nobody can say what it renders"));
        }
    }
    Ok(None)
}

fn is_called(directory: &str, name: &str) -> bool {
    directory.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name))
}

/// Notes what changes of a chart and does more than describe it.
pub(super) fn judge(path: &ManifestPath, before: &Text, after: &Text, into: &mut Vec<Violation>) {
    if stem(path) != CHART {
        return;
    }
    let mut refuse = |message: String| into.push(Violation::grave("draft.path", Some(path.as_str()), message));
    let ([old], [new]) = (before.documents.as_slice(), after.documents.as_slice()) else {
        return refuse("the file of a chart stays, and has one document".to_owned());
    };
    let (Value::Object(old), Value::Object(new)) = (&old.value, &new.value) else {
        return refuse("the file of a chart is a mapping".to_owned());
    };
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
    keys.retain(|key| !DESCRIBES.contains(&key.as_str()));
    keys.sort_unstable();
    keys.dedup();
    if !keys.is_empty() {
        refuse(format!("it changes {} of a chart, which steers Helm", listed(&keys, 5)));
    }
}
