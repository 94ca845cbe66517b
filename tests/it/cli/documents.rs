//! What the documents say is true: their YAML loads, the README works when it is typed, the tests they name exist.

use super::world::{PROGRAM, World, project};
use kubeops::automation::{KnownModels, Provider};
use kubeops::render::Catalogue;
use kubeops::resources::{Defaults, ResourceFile, ResourceSet};
use kubeops::types::KubernetesVersion;
use serde_yaml_ng::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// README and every page of `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![project().join("README.md"), project().join("CHANGELOG.md")];
    let docs = std::fs::read_dir(project().join("docs")).expect("docs");
    pages.extend(docs.map(|entry| entry.expect("a page").path()).filter(|path| path.extension().is_some_and(|end| end == "md")));
    pages.sort();
    pages
}

/// Fenced blocks of one language, each with its first line's number in the page.
fn blocks(page: &Path, language: &str) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(page).expect("a page");
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == format!("```{language}") => open = Some((index + 2, String::new())),
            Some(_) if line == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    found
}

/// Kind and name of each document.
fn names(text: &str) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| {
            let value: Value = serde::Deserialize::deserialize(document).expect("YAML");
            (word(&value["kind"]), word(&value["metadata"]["name"]))
        })
        .collect()
}

/// The shipped resources without those of these names: what a block leans on.
fn shipped_without(taken: &[(String, String)]) -> Vec<ResourceFile> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(project().join("config/resources")).expect("the shipped resources") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        for (index, document) in text.split("\n---\n").enumerate() {
            if !taken.contains(&names(document)[0]) {
                files.push(ResourceFile { path: format!("{}/{index}", path.display()), text: document.to_owned() });
            }
        }
    }
    files
}

/// Whether a block is a document of the resources directory; what `kubeops test` reads is not.
fn is_resource(block: &str) -> bool {
    let starts = ["apiVersion: kubeops.dev/", "apiVersion: admissionregistration.k8s.io/"];
    starts.iter().any(|start| block.starts_with(start)) && !block.contains("\nkind: AutomationTest\n")
}

#[test]
fn every_resource_in_the_documents_loads_without_a_diagnostic() {
    let catalogue = Arc::new(Catalogue::embedded().map_err(|errors| format!("{errors:?}")).expect("the catalogue"));
    let programs = "/usr/local/bin/catalogue-mcp".parse().expect("the program in docs/drafts.md");
    let models = KnownModels { provider: Some(Provider::Local), ..KnownModels::default() };
    let defaults = Defaults { programs, models, ..KubernetesVersion::default().into() };
    let mut kinds = BTreeSet::new();
    for page in pages() {
        for (line, block) in blocks(&page, "yaml").into_iter().filter(|(_, block)| is_resource(block)) {
            let place = format!("{}:{line}", page.display());
            let taken = names(&block);
            kinds.extend(taken.iter().map(|(kind, _)| kind.clone()));
            let mut files = shipped_without(&taken);
            files.push(ResourceFile { path: place.clone(), text: block });
            let said = match ResourceSet::load(&files, Arc::clone(&catalogue), defaults.clone()) {
                Ok(set) => set.warnings,
                Err(diagnostics) => diagnostics,
            };
            assert!(said.is_empty(), "{place}: {}", said.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
    }
    let shown = [
        "Automation",
        "Calendar",
        "Channel",
        "Cluster",
        "ConfigMap",
        "McpServer",
        "PolicyParameters",
        "Repository",
        "Source",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), shown, "each kind is shown");
}

#[test]
fn other_yaml_in_the_documents_is_yaml() {
    for page in pages().into_iter().filter(|page| !page.ends_with("templates.md")) {
        for (line, block) in blocks(&page, "yaml") {
            for document in serde_yaml_ng::Deserializer::from_str(&block) {
                let read: Result<Value, _> = serde::Deserialize::deserialize(document);
                assert!(read.is_ok(), "{}:{line}: {read:?}", page.display());
            }
        }
    }
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let link = regex::Regex::new(r"\]\(([A-Za-z][A-Za-z0-9/._-]*)(#[^)]*)?\)").expect("a pattern");
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        for found in link.captures_iter(&text) {
            let target = page.parent().expect("a directory").join(&found[1]);
            assert!(target.exists(), "{} links to {}", page.display(), &found[1]);
        }
    }
}

#[test]
fn every_test_the_architecture_names_exists() {
    let page = std::fs::read_to_string(project().join("docs/ARCHITECTURE.md")).expect("the page");
    let held = page.split("## What always holds").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the chapter");
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        gather(&project().join(directory), &mut sources);
    }
    let name = regex::Regex::new(r"`([a-z]+(?:_[a-z0-9]+){3,})`").expect("a pattern");
    let named: Vec<&str> = name.captures_iter(held).filter_map(|found| found.get(1)).map(|found| found.as_str()).collect();
    assert!(named.len() > 20, "{named:?}");
    for test in named {
        assert!(sources.contains(&format!("fn {test}(")), "docs/ARCHITECTURE.md names a test that is not there: {test}");
    }
}

#[test]
fn the_architecture_maps_every_module() {
    let page = std::fs::read_to_string(project().join("docs/ARCHITECTURE.md")).expect("the page");
    let library = std::fs::read_to_string(project().join("src/lib.rs")).expect("src/lib.rs");
    for module in library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(page.contains(&format!("\n| `{module}` |")), "{module} is not in the code map");
    }
}

fn gather(directory: &Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// The chapter is typed into a shell block by block, in a directory, at a port and with a program of the test's own. Where a
/// person would look before typing on, the script looks.
#[test]
fn the_first_automation_in_the_readme_works_when_it_is_typed() {
    let world = World::new();
    let readme = project().join("README.md");
    let typed: Vec<String> = blocks(&readme, "sh").into_iter().map(|(_, block)| block).collect();
    assert!(typed.len() >= 8 && typed[0].contains("mktemp -d"), "{typed:?}");
    // Below the ports the system gives to connections: nobody else takes it between this look and the server's start.
    let begin = 20_000 + u16::try_from(std::process::id() % 10_000).expect("a small number");
    let port = (begin..32_000).find(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok()).expect("a free port");
    let mut script = format!(
        "set -euo pipefail\nexport PORT={port} KUBEOPS_SERVER=http://localhost:{port}\ntrap 'kill %1 2>/dev/null; wait' EXIT\nwait_for() {{ for _ in $(seq 600); do \"$@\" >/dev/null 2>&1 && return; sleep 0.05; done; echo \"waited in vain: $*\" >&2; exit 1; }}\n"
    );
    for block in &typed[1..] {
        if block.contains("/api/v1/webhooks/") {
            script.push_str("wait_for kubeops health\n");
        }
        if block.contains("pulls diff") {
            script.push_str("pulled() { kubeops pulls list | grep open; }\nwait_for pulled\n");
        }
        script.push_str(&block.replace("8080", &port.to_string()));
        script.push_str("\necho\n");
    }
    let bin = Path::new(PROGRAM).parent().expect("a directory");
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .env_clear()
        .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()))
        .env("HOME", world.path("home"))
        .current_dir(world.path("home"))
        .output()
        .expect("bash");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    for part in [
        "valid: 1 source, 1 repository, 1 cluster, 0 channels, 0 calendars, 1 automation; 0 warnings",
        "volume matches",
        "+  name: ledger",
        "\"status\":\"accepted\"",
        "gitops#1 is merged, approved by me",
        "Merge pull request 1",
        " merged ",
    ] {
        assert!(out.contains(part), "{part:?} in\n{out}\n{error}");
    }
}

#[test]
fn no_document_holds_the_marks_of_an_unfinished_merge() {
    let mut documents = vec![project().join("README.md"), project().join("CHANGELOG.md")];
    documents.extend(std::fs::read_dir(project().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path()));
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document");
        let mark = text.lines().find(|line| ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)));
        assert_eq!(mark, None, "{}", document.display());
    }
}
