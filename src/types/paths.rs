//! Paths inside a repository.

use super::{ParseError, text_type};
use std::str::FromStr;

const COMPONENT_RULE: &str =
    "a path is relative, `/`-separated, without `.` or `..`, of ASCII letters, digits and `._-+@=,`, and no part of it begins with `.git`";

text_type!(
    /// A file that holds manifests: a path relative to the root of the repository that cannot leave it, cannot name git's
    /// own files (`.git`, `.github`, `.gitmodules`, `.gitattributes`, ... in any case), has one spelling on every file
    /// system, and ends with `.yaml`, `.yml` or `.json`, or is named `Kustomization`, which Kustomize reads too.
    ManifestPath, "^([A-Za-z0-9._+@=,-]+(/[A-Za-z0-9._+@=,-]+)*\\.(yaml|yml|json)|([A-Za-z0-9._+@=,-]+/)*Kustomization)$");
text_type!(
    /// A directory of a repository, by the rules of [`ManifestPath`]; `.` is the root.
    DirectoryPath, "^(\\.|[A-Za-z0-9._+@=,-]+(/[A-Za-z0-9._+@=,-]+)*)$");

impl ManifestPath {
    /// The components, root first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Every directory above the file, root's child first; none for a file in the root.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl DirectoryPath {
    /// The root of the repository.
    pub fn root() -> Self {
        Self(".".to_owned())
    }

    /// The file `relative` under this directory.
    ///
    /// # Errors
    /// When `relative` is no manifest path, or the whole is too long.
    pub fn join(&self, relative: &str) -> Result<ManifestPath, ParseError> {
        let inner: ManifestPath = relative.parse()?;
        if self.0 == "." { Ok(inner) } else { format!("{}/{}", self.0, inner.0).parse() }
    }

    /// Whether `path` lies under this directory.
    pub fn contains(&self, path: &ManifestPath) -> bool {
        self.0 == "." || path.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for ManifestPath {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        check("manifest path", text)?;
        let name = text.rsplit('/').next().unwrap_or(text);
        let extension = name.rsplit_once('.').map(|(stem, extension)| (!stem.is_empty(), extension));
        if name != "Kustomization" && !matches!(extension, Some((true, "yaml" | "yml" | "json"))) {
            return Err(ParseError::new("manifest path", text, "it ends with .yaml, .yml or .json"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for DirectoryPath {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let trimmed = text.strip_prefix("./").unwrap_or(text);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        if text == "." || text == "./" {
            return Ok(Self::root());
        }
        check("directory path", trimmed)?;
        Ok(Self(trimmed.to_owned()))
    }
}

/// The path of what is called `name` in `directory`, whose empty path is the root's.
pub(crate) fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

fn check(what: &'static str, text: &str) -> Result<(), ParseError> {
    if text.is_empty() || text.len() > 1024 {
        return Err(ParseError::new(what, text, "it has 1 to 1024 characters"));
    }
    for part in text.split('/') {
        let plain = !part.is_empty() && part.len() <= 255 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+@=,".contains(&b));
        let dots = part == "." || part == ".." || part.ends_with('.');
        let option = part.starts_with('-');
        let git = part.len() >= 4 && part.as_bytes()[..4].eq_ignore_ascii_case(b".git");
        if !plain || dots || option || git {
            return Err(ParseError::new(what, text, format!("{COMPONENT_RULE}; {part:?} is refused")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_manifest_path_cannot_leave_the_repository_or_touch_gits_files() {
        for good in
            ["a.yaml", "Kustomization", "clusters/prod/Kustomization", "clusters/prod/namespaces/web.yml", ".config/x.json", "a/b+c@1=2,3.yaml"]
        {
            assert!(good.parse::<ManifestPath>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd.yaml",
            "../a.yaml",
            "a/../b.yaml",
            "./a.yaml",
            "a//b.yaml",
            "a\\b.yaml",
            "dir/sub\\..\\x.yaml",
            ".git/config.yaml",
            ".GIT/x.yaml",
            ".github/workflows/x.yaml",
            ".gitmodules",
            ".gitattributes",
            "a/.GitHub/x.yaml",
            "git~1/x.yaml",
            "-rf.yaml",
            "a/-o.yaml",
            "a\n.yaml",
            "a\0.yaml",
            ".g\u{200d}it/x.yaml",
            "a",
            "a.txt",
            ".yaml",
            "a/.yaml",
            "C:/x.yaml",
            "a /b.yaml",
            "con./x.yaml",
            "ä.yaml",
        ] {
            assert!(bad.parse::<ManifestPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_directory_joins_only_what_stays_below_it() {
        let directory: DirectoryPath = "clusters/prod/".parse().expect("a directory");
        assert_eq!(directory.join("ns/a.yaml").expect("a path").as_str(), "clusters/prod/ns/a.yaml");
        assert!(directory.join("../a.yaml").is_err());
        assert!(DirectoryPath::root().contains(&"a.yaml".parse().expect("a path")));
        assert!(!directory.contains(&"clusters/production/a.yaml".parse().expect("a path")));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_normalises_to_itself(text in "[a-zA-Z0-9./\\\\~ \u{200d}_-]{1,40}") {
            if let Ok(path) = text.parse::<ManifestPath>() {
                let normal: std::path::PathBuf = std::path::Path::new(path.as_str()).components()
                    .inspect(|c| assert!(matches!(c, std::path::Component::Normal(_))))
                    .collect();
                prop_assert_eq!(normal.to_str(), Some(path.as_str()));
                prop_assert!(!path.as_str().to_lowercase().split('/').any(|part| part.starts_with(".git")));
            }
        }
    }
}
