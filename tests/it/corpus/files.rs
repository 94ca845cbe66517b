//! The files of the mock repository, and the same files as other people write them.

use super::habits::{self, HABITS};
use kubeops::manifest::{Document, Limits, parse};
use serde_json::Value;
use std::path::Path;

/// One file.
pub struct File {
    /// Its path in the mock repository.
    pub path: String,
    /// The habit it was written anew with; `original` for none.
    pub habit: &'static str,
    /// What it holds.
    pub text: String,
}

impl File {
    /// Whether it is JSON and has to stay so.
    pub fn json(&self) -> bool {
        self.path.ends_with(".json")
    }

    /// Which file it is, for a message.
    pub fn name(&self) -> String {
        format!("{} ({})", self.path, self.habit)
    }
}

/// What a text says.
pub fn documents(text: &str, name: &str) -> Vec<Document> {
    parse(text, Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"))
}

/// The values of its documents.
pub fn values(text: &str, name: &str) -> Vec<Value> {
    documents(text, name).into_iter().map(|document| document.value).collect()
}

/// The files written by hand.
pub fn originals() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/corpus/files");
    let (mut found, mut directories) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let path = path.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
            found.push(File { path, habit: "original", text });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// All of them, with every habit that changes their text.
pub fn corpus() -> Vec<File> {
    let mut files = Vec::new();
    for file in originals() {
        let read = documents(&file.text, &file.path);
        let whole: Vec<Value> = read.iter().map(|document| document.value.clone()).collect();
        for (habit, rewrite) in HABITS {
            if file.json() && !habits::keeps_json(habit) {
                continue;
            }
            let text = rewrite(&file.text, &read);
            let varied = File { path: file.path.clone(), habit, text };
            if varied.text == file.text || files.iter().any(|other: &File| other.text == varied.text) {
                continue;
            }
            assert_eq!(values(&varied.text, &varied.name()), whole, "{}\n{}", varied.name(), varied.text);
            files.push(varied);
        }
        files.push(file);
    }
    files
}
