//! Resource and template files, read from their directories.

use crate::render::Catalogue;
use crate::resources::{Diagnostic, Level, ResourceFile};
use crate::validate::{SchemaProblem, SchemaSet};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// Directories below the one named that are looked into, at most.
const MAX_DEPTH: u32 = 8;
/// Files read, at most, and the size of one in bytes.
const MAX_FILES: usize = 20_000;
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The size of a file of schemas: definitions are long.
const MAX_SCHEMA_BYTES: u64 = 16 * 1024 * 1024;

/// Every `.yaml` and `.yml` file below `directory`, in the order of their paths. Names that begin with a dot are passed
/// over: that is how Kubernetes keeps the versions of a mounted ConfigMap.
///
/// # Errors
/// When something cannot be read, with its path.
pub fn read(directory: &Path) -> io::Result<Vec<ResourceFile>> {
    let mut files = Vec::new();
    for path in list(directory, &|name| name.ends_with(".yaml") || name.ends_with(".yml"))? {
        let text = std::fs::read_to_string(&path).map_err(|error| at(&path, &error))?;
        files.push(ResourceFile { path: path.display().to_string(), text });
    }
    Ok(files)
}

/// The shipped templates, and over them those of `own`.
///
/// # Errors
/// When a directory cannot be read or a template is broken: a sentence for each.
pub fn catalogue(own: Option<&Path>) -> Result<Catalogue, String> {
    with_own(own.map(template_files).transpose().map_err(|error| error.to_string())?)
}

/// The shipped templates, and over them those of the files.
///
/// # Errors
/// When a template is broken: a sentence for each.
pub fn with_own(files: Option<Vec<(String, Vec<u8>)>>) -> Result<Catalogue, String> {
    let sentence = |errors: Vec<crate::render::TemplateError>| errors.iter().map(crate::render::TemplateError::told).collect::<Vec<_>>().join("\n");
    let shipped = Catalogue::embedded().map_err(sentence)?;
    match files {
        None => Ok(shipped),
        Some(files) => shipped.with(files).map_err(sentence),
    }
}

/// Every file of a directory of templates: its path within, and its bytes.
///
/// # Errors
/// When something cannot be read, with its path.
pub fn template_files(directory: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for path in list(directory, &|_| true)? {
        let bytes = std::fs::read(&path).map_err(|error| at(&path, &error))?;
        files.push((path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned(), bytes));
    }
    Ok(files)
}

/// The schemas in a directory of one's own.
///
/// # Errors
/// A diagnostic for the directory, or for each file in it that is of no use.
pub fn schemas(directory: Option<&Path>) -> Result<SchemaSet, Vec<Diagnostic>> {
    let Some(directory) = directory else { return Ok(SchemaSet::default()) };
    let wanted = |name: &str| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    let read = || -> io::Result<Vec<(String, Vec<u8>)>> {
        let paths = list_of(directory, &wanted, MAX_SCHEMA_BYTES)?;
        paths.into_iter().map(|path| Ok((path.display().to_string(), std::fs::read(&path).map_err(|error| at(&path, &error))?))).collect()
    };
    let files = read().map_err(|error| vec![whole(directory, error.to_string())])?;
    let (set, problems) = SchemaSet::read(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let told = |problem: SchemaProblem| Diagnostic {
        line: problem.line,
        column: problem.column,
        hint: problem.hint,
        ..whole(Path::new(&problem.path), problem.message)
    };
    if problems.is_empty() { Ok(set) } else { Err(problems.into_iter().map(told).collect()) }
}

/// A diagnostic about a whole file or directory.
pub fn whole(path: &Path, message: String) -> Diagnostic {
    Diagnostic { level: Level::Error, file: path.display().to_string(), line: 0, column: 0, resource: None, pointer: None, message, hint: None }
}

/// A digest of what the directories hold, by names, sizes and times of change: equal digests need no reading.
pub fn fingerprint(directories: &[&Path]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for directory in directories {
        match list_of(directory, &|_| true, u64::MAX) {
            Ok(paths) => {
                for path in paths {
                    hasher.update(path.as_os_str().as_encoded_bytes());
                    if let Ok(metadata) = std::fs::metadata(&path) {
                        hasher.update(metadata.len().to_be_bytes());
                        let changed = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
                        hasher.update(changed.as_nanos().to_be_bytes());
                    }
                }
            }
            Err(error) => hasher.update(error.to_string()),
        }
    }
    hasher.finalize().into()
}

fn list(directory: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    list_of(directory, wanted, MAX_FILE_BYTES)
}

fn list_of(directory: &Path, wanted: &dyn Fn(&str) -> bool, most_bytes: u64) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(directory, wanted, most_bytes, 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(directory: &Path, wanted: &dyn Fn(&str) -> bool, most_bytes: u64, depth: u32, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory).map_err(|error| at(directory, &error))? {
        let path = entry.map_err(|error| at(directory, &error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        let metadata = std::fs::metadata(&path).map_err(|error| at(&path, &error))?;
        if metadata.is_dir() && depth < MAX_DEPTH {
            walk(&path, wanted, most_bytes, depth + 1, found)?;
        } else if metadata.is_file() && wanted(&name) {
            if metadata.len() > most_bytes || found.len() >= MAX_FILES {
                return Err(io::Error::other(format!("{}: more than {MAX_FILES} files, or one of more than {most_bytes} bytes", path.display())));
            }
            found.push(path);
        }
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_below_and_hidden_ones_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(directory.path().join("a/..data")).expect("made");
        for (name, text) in [("b.yaml", "1"), ("a/c.yml", "2"), ("a/.hidden.yaml", "3"), ("a/..data/d.yaml", "4"), ("notes.md", "5")] {
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        let texts: Vec<String> = read(directory.path()).expect("read").into_iter().map(|file| file.text).collect();
        assert_eq!(texts, ["2", "1"]);
        let before = fingerprint(&[directory.path()]);
        assert_eq!(before, fingerprint(&[directory.path()]));
        std::fs::write(directory.path().join("b.yaml"), "10").expect("written");
        assert_ne!(before, fingerprint(&[directory.path()]));
    }

    #[test]
    fn an_error_names_the_file() {
        let error = read(Path::new("/nonexistent/resources")).expect_err("nothing there");
        assert!(error.to_string().contains("/nonexistent/resources"), "{error}");
    }
}
