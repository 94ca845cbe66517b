//! Globs of `draft` that fit no file, as far as that can be told without a repository. It refuses nothing: what it tells is a warning, and
//! where a file might fit it tells nothing.

use crate::automation::DraftSpec;
use crate::types::{DirectoryPath, SpecError};

/// How the names of files end that hold manifests: see [`crate::types::ManifestPath`].
const MANIFESTS: [&str; 4] = [".yaml", ".yml", ".json", "Kustomization"];
/// How the names of runbooks end, in lower case.
const RUNBOOKS: [&str; 2] = [".md", ".markdown"];

/// A warning for each glob that says the target's path again, or whose files are never written or never searched. `targets` are the
/// directories that the target may be, by name.
pub(crate) fn idle_globs(draft: &DraftSpec, targets: &[(String, DirectoryPath)]) -> Vec<SpecError> {
    let mut warnings = Vec::new();
    for (list, globs) in [("write", &draft.write), ("read", &draft.read), ("runbooks", &draft.runbooks)] {
        for (number, glob) in globs.iter().enumerate() {
            let at = format!("/draft/{list}/{number}");
            if let Some((name, path, rest)) = targets.iter().find_map(|(name, path)| Some((name, path, below(glob, path)?))) {
                let from_root = if list == "write" { String::new() } else { format!(", or `/{glob}` from the repository's root") };
                let message = format!("`{glob}` says the path of {name} again ({path}): globs lie below it, so this fits no file there");
                warnings.push(SpecError::new(at, message).hint(format!("write `{rest}`{from_root}")));
                continue;
            }
            let fits = |endings: &[&str], tail: &str| endings.iter().any(|ending| tail.ends_with(ending) || ending.ends_with(tail));
            let warning = match list {
                "write" if !tails(glob).iter().any(|tail| fits(&MANIFESTS, tail)) => {
                    ("no such file is ever written", "what is written ends with .yaml, .yml or .json, or is called Kustomization")
                }
                "runbooks" if !tails(glob).iter().any(|tail| fits(&RUNBOOKS, &tail.to_ascii_lowercase())) => {
                    ("no such file is ever searched", "runbooks are Markdown: they end with .md or .markdown")
                }
                _ => continue,
            };
            warnings.push(SpecError::new(at, format!("`{glob}`: {}", warning.0)).hint(warning.1));
        }
    }
    warnings
}

/// What is left of a glob that begins with a path; none where it does not.
fn below(glob: &str, path: &DirectoryPath) -> Option<String> {
    let mut rest = glob.split('/');
    for (number, step) in path.as_str().split('/').enumerate() {
        // `*` may stand for a step, but not for the first: `*/*` begins with no path in particular.
        rest.next().filter(|given| *given == step || (number > 0 && *given == "*"))?;
    }
    Some(rest.collect::<Vec<_>>().join("/")).filter(|rest| !rest.is_empty())
}

/// How the names end that a glob fits: what stands behind its last `*` or `?`, for each of `{a,b}`. Empty where that may be anything.
fn tails(glob: &str) -> Vec<String> {
    let tail = |name: &str| name.rsplit(['*', '?']).next().unwrap_or_default().to_owned();
    let Some((before, rest)) = glob.split_once('{') else { return vec![tail(glob.rsplit('/').next().unwrap_or_default())] };
    match rest.split_once('}') {
        Some((words, after)) if !after.contains(['{', '/', '}']) && !words.contains(['{', '/']) => {
            let name = before.rsplit('/').next().unwrap_or_default();
            words.split(',').map(|word| tail(&format!("{name}{word}{after}"))).collect()
        }
        // Alternatives further up, or within each other.
        Some((_, after)) if !after.contains(['{', '}']) && after.contains('/') => vec![tail(after.rsplit('/').next().unwrap_or_default())],
        _ => vec![String::new()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(draft: Value) -> Vec<String> {
        let mut spec = json!({ "instructions": "x", "write": ["**"], "allow": [] });
        spec.as_object_mut().expect("a mapping").extend(draft.as_object().expect("a mapping").clone());
        let targets = [("the cluster prod-eu".to_owned(), "clusters/prod-eu".parse().expect("a path"))];
        let found = idle_globs(&serde_json::from_value(spec).expect("a draft"), &targets);
        found.into_iter().map(|warning| format!("{} {}", warning.pointer, warning.hint.unwrap_or_default())).collect()
    }

    #[test]
    fn a_glob_that_says_the_targets_path_again_is_warned_of() {
        assert_eq!(told(json!({ "write": ["clusters/prod-eu/apps/**/*.yaml"] })), ["/draft/write/0 write `apps/**/*.yaml`"]);
        assert_eq!(
            told(json!({ "read": ["apps/**", "clusters/*/apps/**"] })),
            ["/draft/read/1 write `apps/**`, or `/clusters/*/apps/**` from the repository's root"]
        );
        for fine in ["**/clusters/prod-eu/*.yaml", "*/*/x.yaml", "clusters/prod-eu.yaml", "clusters/prod/x.yaml", "clusters/**"] {
            assert!(told(json!({ "read": [fine] })).is_empty(), "{fine}");
        }
        assert!(told(json!({ "read": ["/clusters/prod-eu/**"] })).is_empty());
    }

    #[test]
    fn a_glob_of_files_that_are_never_written_or_never_searched_is_warned_of() {
        for idle in ["apps/**/*.tf", "apps/*.{tf,md}", "main.tf", "apps/*.YAML", "{a,b}/*.txt"] {
            assert_eq!(told(json!({ "write": [idle] })).len(), 1, "{idle}");
        }
        for fine in ["**", "apps/**", "*.{yaml,tf}", "apps/*", "x?.json", "base/Kustomization", "*aml", "{a,b}/*.yaml", "{a,{b,c}}.tf", "a.tf/*"] {
            assert!(told(json!({ "write": [fine] })).is_empty(), "{fine}");
        }
        assert_eq!(told(json!({ "runbooks": ["/docs/**/*.txt"] })).len(), 1);
        for fine in ["/docs/**", "README.MD", "*.{md,txt}", "docs/*.markdown"] {
            assert!(told(json!({ "runbooks": [fine] })).is_empty(), "{fine}");
        }
    }
}
