//! Who may import whom, read off the sources: the rules of `docs/ARCHITECTURE.md`, enforced.

use crate::support::sources;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::visit::Visit;

/// Pure modules in flow order: each may import those before it, and nothing that does I/O.
const PURE: &[&str] =
    &["types", "event", "expression", "ingress", "automation", "manifest", "seal", "inventory", "render", "plan", "validate", "request", "resources"];
/// Adapters: the pure modules, `clock` and `lease`, never each other.
const ADAPTERS: &[&str] = &["draft", "git", "forge", "feedback", "store", "stream", "sandbox", "secrets"];
/// What a pure module may not name.
const IMPURE_PATHS: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net", "TcpStream"],
    &["std", "net", "TcpListener"],
    &["std", "net", "UdpSocket"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "os"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["tokio"],
    &["reqwest"],
    &["git2"],
    &["sqlx"],
    &["actix_web"],
    &["octocrab"],
    &["async_nats"],
    &["rand"],
];

fn allowed(module: &str) -> Option<BTreeSet<&'static str>> {
    let pure = || PURE.iter().copied();
    let set: Vec<&str> = match module {
        "ingress" => vec!["types", "event", "expression"],
        _ if PURE.contains(&module) => pure().take_while(|name| *name != module).filter(|name| *name != "ingress" || module == "resources").collect(),
        "clock" => vec!["types"],
        "lease" => vec!["clock"],
        "tls" => vec![],
        "failpoint" => vec![],
        "spans" => vec!["types"],
        // Gauges show what the store counts.
        "telemetry" => pure().chain(["clock", "store"]).collect(),
        // It brings its own schema up to date and copies itself, both of which must bear to be killed anywhere.
        "store" => pure().chain(["clock", "failpoint", "lease", "spans"]).collect(),
        _ if ADAPTERS.contains(&module) => pure().chain(["clock", "lease", "spans"]).collect(),
        "pipeline" => pure().chain(ADAPTERS.iter().copied()).chain(["clock", "lease", "failpoint", "spans", "telemetry"]).collect(),
        "worker" => vec!["types", "request", "pipeline", "store", "clock", "lease", "failpoint", "spans", "telemetry"],
        "api" => pure().chain(["store", "pipeline", "clock", "spans", "telemetry"]).collect(),
        "dashboard" => pure().chain(["store", "clock", "telemetry"]).collect(),
        // The roots: they put everything together.
        // Settings are read into the types of what they set.
        "config" => pure().chain(["api", "telemetry"]).collect(),
        "app" | "cli" => return None,
        other => panic!("src/{other} is on no rule: add it to docs/ARCHITECTURE.md and to tests/it/arch.rs"),
    };
    Some(set.into_iter().collect())
}

#[derive(Default)]
struct Imports {
    ours: BTreeMap<String, usize>,
    impure: Vec<(String, usize)>,
    depth_in_tests: usize,
}

impl Imports {
    fn path(&mut self, segments: &[String], line: usize) {
        if self.depth_in_tests > 0 {
            return;
        }
        if let [first, second, ..] = segments
            && first == "crate"
        {
            self.ours.entry(second.clone()).or_insert(line);
        }
        for impure in IMPURE_PATHS {
            if segments.len() >= impure.len() && segments.iter().zip(*impure).all(|(found, wanted)| found == wanted) {
                self.impure.push((segments.join("::"), line));
            }
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>, line: usize) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.tree(&path.tree, prefix, line);
                prefix.pop();
            }
            syn::UseTree::Name(name) => {
                prefix.push(name.ident.to_string());
                self.path(prefix, line);
                prefix.pop();
            }
            syn::UseTree::Rename(name) => {
                prefix.push(name.ident.to_string());
                self.path(prefix, line);
                prefix.pop();
            }
            syn::UseTree::Glob(_) => self.path(prefix, line),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, prefix, line)),
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test") || (attribute.path().is_ident("cfg") && quote_tokens(attribute).replace(' ', "").contains("(test"))
    })
}

fn quote_tokens(attribute: &syn::Attribute) -> String {
    match &attribute.meta {
        syn::Meta::List(list) => format!("({}", list.tokens),
        _ => String::new(),
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            let line = item.use_token.span.start().line;
            self.tree(&item.tree, &mut Vec::new(), line);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let test = is_test(&item.attrs);
        self.depth_in_tests += usize::from(test);
        syn::visit::visit_item_mod(self, item);
        self.depth_in_tests -= usize::from(test);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.path(&segments, line);
        syn::visit::visit_path(self, path);
    }
}

/// Whether the file is a test module of its own (`tests.rs`, or below `tests/`), declared under `#[cfg(test)]`.
fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name == "tests.rs" || name.ends_with("_tests.rs") || name == "tests"
    })
}

#[test]
fn modules_import_only_what_the_architecture_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&src);
    assert!(files.len() > 30, "the sources were found");
    let mut broken = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).expect("below src");
        let module = relative.components().next().expect("a component").as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" || is_test_file(relative) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file");
        let mut imports = Imports::default();
        imports.visit_file(&syn::parse_file(&text).expect("Rust"));
        let Some(allowed) = allowed(&module) else { continue };
        for (name, line) in &imports.ours {
            if *name != module && !allowed.contains(name.as_str()) {
                broken.push(format!("src/{}:{line}: {module} must not import {name}", relative.display()));
            }
        }
        if PURE.contains(&module.as_str()) {
            broken.extend(
                imports.impure.iter().map(|(path, line)| format!("src/{}:{line}: {module} is pure and must not use {path}", relative.display())),
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_the_edges_know_the_settings_and_the_application() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let relative = file.strip_prefix(&src).expect("below src").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a source file");
        let mut imports = Imports::default();
        imports.visit_file(&syn::parse_file(&text).expect("Rust"));
        let module = relative.split(['/', '.']).next().unwrap_or_default();
        if imports.ours.contains_key("config") {
            assert!(matches!(module, "app" | "cli" | "config"), "{relative} imports config");
        }
        if imports.ours.contains_key("app") {
            assert!(matches!(module, "app" | "cli"), "{relative} imports app");
        }
    }
}

#[test]
fn the_rules_notice_a_broken_import() {
    let mut imports = Imports::default();
    imports.visit_file(
        &syn::parse_file("use crate::git::Mirror; fn f() { std::fs::read(\"x\"); } #[cfg(test)] mod tests { use crate::store::Store; }")
            .expect("Rust"),
    );
    assert!(imports.ours.contains_key("git"));
    assert!(!imports.ours.contains_key("store"));
    assert_eq!(imports.impure.len(), 1);
    assert!(!allowed("render").expect("a rule").contains("git"));
    assert!(!allowed("api").expect("a rule").contains("git"));
}

#[test]
fn every_point_to_die_at_is_listed() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // Where every kind of task is settled the name is made of its kind.
    let mut passed: BTreeSet<String> = kubeops::store::TaskKind::ALL.iter().map(|kind| format!("{}.settling", kind.as_str())).collect();
    for file in sources(&src) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        passed.extend(text.split("failpoint::hit(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    assert!(passed.len() > 20, "they are found: {passed:?}");
    let listed = |name: &str| kubeops::failpoint::ALL.contains(&name) || kubeops::failpoint::ROUNDS.contains(&name);
    passed.retain(|name| !listed(name));
    assert!(passed.is_empty(), "a step that passes one of these panics in builds with failpoints: {passed:?}");
}
