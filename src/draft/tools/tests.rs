//! What a model is told of a repository: no more than its reach, and no secret.

use super::*;
use crate::plan::EntryKind;
use crate::types::CommitSha;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A tree in memory.
pub(in crate::draft) struct Files(CommitSha, BTreeMap<String, String>);

impl Files {
    pub(in crate::draft) fn of(files: &[(&str, &str)]) -> Self {
        Self(CommitSha::from_bytes(&[1; 20]), files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

impl BaseTree for Files {
    fn commit(&self) -> &CommitSha {
        &self.0
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        Ok(self.1.get(path).map(|_| EntryKind::File))
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(self.1.get(path).map(|text| text.clone().into_bytes()))
    }

    fn spellings(&self, _: &str) -> Result<Vec<String>, TreeError> {
        Ok(Vec::new())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        let inside = |path: &String| {
            let rest = if directory.is_empty() { path.as_str() } else { path.strip_prefix(directory)?.strip_prefix('/')? };
            Some(rest.split_once('/').map_or(rest.to_owned(), |(name, _)| format!("{name}/")))
        };
        let mut names: Vec<String> = self.1.keys().filter_map(inside).collect();
        names.dedup();
        Ok(names)
    }
}

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  replicas: 2 # two are enough\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\n";

fn base() -> Files {
    Files::of(&[
        ("apps/web/web.yaml", WEB),
        ("apps/web/secret.yaml", "kind: Secret\napiVersion: v1\nmetadata: {name: web}\nstringData:\n  user: canaryuser\n"),
        ("apps/README.md", "# Apps\n\nreplicas are counted\n"),
        ("other/web.yaml", WEB),
    ])
}

/// What a model is told that may read everything but `other/`.
fn told(base: &Files, name: &str, arguments: Value) -> String {
    let mut redactor = Redactor::new("00", Vec::new(), &[]);
    let may_read = |path: &str| !path.starts_with("other/");
    let call = Call { id: "1".to_owned(), name: name.to_owned(), arguments: Arguments::Read(arguments) };
    Tools::new(base, &may_read, &mut redactor).answer(&call).expect("a tool").expect("an answer")
}

#[test]
fn files_are_listed_below_a_directory_and_by_a_glob() {
    let base = base();
    let all = "apps/README.md\napps/web/secret.yaml\napps/web/web.yaml\n";
    assert_eq!(told(&base, "list_files", json!({})), all);
    assert_eq!(told(&base, "list_files", json!(null)), all);
    assert_eq!(told(&base, "list_files", json!({ "directory": "./apps/web/" })), "apps/web/secret.yaml\napps/web/web.yaml\n");
    assert_eq!(told(&base, "list_files", json!({ "glob": "*.md" })), "apps/README.md\n");
    assert_eq!(told(&base, "list_files", json!({ "glob": "apps/*.yaml" })), "there are no such files");
    assert_eq!(told(&base, "list_files", json!({ "glob": "apps/**/w*.yaml" })), "apps/web/web.yaml\n");
    let many: Vec<(String, &str)> = (0..600).map(|n| (format!("a/{n:03}.yaml"), "")).collect();
    let many = Files::of(&many.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>());
    assert!(told(&many, "list_files", json!({})).ends_with("a/499.yaml\n(100 more; ask for a directory or a glob)\n"));
}

#[test]
fn a_file_is_read_as_it_stands_by_lines_and_goes_on() {
    let base = base();
    assert_eq!(told(&base, "read_file", json!({ "file": "apps/web/web.yaml" })), format!("apps/web/web.yaml, lines 1 to 13 of 13:\n{WEB}"));
    let part = told(&base, "read_file", json!({ "file": "/apps/web/web.yaml", "from_line": 6, "to_line": 7 }));
    assert_eq!(part, "apps/web/web.yaml, lines 6 to 7 of 13:\nspec:\n  replicas: 2 # two are enough\n");
    let beyond = told(&base, "read_file", json!({ "file": "apps/web/web.yaml", "from_line": 99 }));
    assert_eq!(beyond, "apps/web/web.yaml has 13 lines: there are none from 99 to 13");
    let long = "0123456789\n".repeat(10_000);
    let base = Files::of(&[("a.txt", &long), ("b.txt", &"ä".repeat(40_000)), ("c.txt", "")]);
    let first = told(&base, "read_file", json!({ "file": "a.txt" }));
    assert!(first.starts_with("a.txt, lines 1 to 2978 of 10000; go on with from_line 2979:\n0123456789\n"), "{}", &first[..80]);
    let second = told(&base, "read_file", json!({ "file": "a.txt", "from_line": 2979, "to_line": 2980 }));
    assert_eq!(second, "a.txt, lines 2979 to 2980 of 10000:\n0123456789\n0123456789\n");
    assert!(told(&base, "read_file", json!({ "file": "b.txt" })).starts_with("b.txt, the begin of line 1 of 1, which is too long"));
    assert_eq!(told(&base, "read_file", json!({ "file": "c.txt" })), "c.txt, lines 1 to 0 of 0:\n");
}

#[test]
fn lines_are_searched_for_a_text_or_a_pattern() {
    let base = base();
    let found = "apps/README.md:3: replicas are counted\napps/web/web.yaml:7:   replicas: 2 # two are enough\n";
    assert_eq!(told(&base, "search", json!({ "text": "replicas" })), found);
    assert_eq!(
        told(&base, "search", json!({ "regex": r"^\s+replicas: \d", "glob": "*.yaml" })),
        found.lines().last().expect("a line").to_owned() + "\n"
    );
    assert_eq!(told(&base, "search", json!({ "text": "replicas: ." })), "no line matches", "a text is no pattern");
    assert_eq!(told(&base, "search", json!({ "text": "a", "regex": "b" })), "search takes either `text` or `regex`");
    assert!(told(&base, "search", json!({ "regex": "(" })).starts_with("`regex` is none: "));
    assert!(told(&base, "search", json!({ "regex": r"\w{1000}{1000}" })).starts_with("`regex` is none: "), "it would take too much");
    let many = Files::of(&[("a.yaml", &"replicas: 1\n".repeat(900))]);
    assert!(told(&many, "search", json!({ "text": "replicas" })).ends_with("a.yaml:200: replicas: 1\n(there may be more; ask more narrowly)\n"));
}

#[test]
fn objects_are_found_by_kind_name_and_namespace() {
    let base = base();
    assert_eq!(told(&base, "find_object", json!({ "kind": "Deployment" })), "apps/web/web.yaml:1: document 0: Deployment/shop/web\n");
    let named = "apps/web/secret.yaml:1: document 0: Secret//web\napps/web/web.yaml:1: document 0: Deployment/shop/web\napps/web/web.yaml:9: document 1: Service/shop/web\n";
    assert_eq!(told(&base, "find_object", json!({ "name": "web" })), named);
    assert_eq!(told(&base, "find_object", json!({ "name": "web", "namespace": "elsewhere" })), "there is no such object");
    assert_eq!(told(&base, "find_object", json!({ "namespace": "shop" })), "find_object takes at least `kind` or `name`");
}

#[test]
fn what_is_out_of_reach_is_answered_as_what_is_not_there() {
    let base = base();
    for (name, hidden, missing) in [
        ("read_file", json!({ "file": "other/web.yaml" }), json!({ "file": "nowhere/web.yaml" })),
        ("read_file", json!({ "file": "apps/../other/web.yaml" }), json!({ "file": "apps/../nowhere/web.yaml" })),
        ("list_files", json!({ "directory": "other" }), json!({ "directory": "nowhere" })),
        ("list_files", json!({ "glob": "other/**" }), json!({ "glob": "nowhere/**" })),
        ("search", json!({ "text": "replicas", "glob": "other/*" }), json!({ "text": "replicas", "glob": "nowhere/*" })),
    ] {
        let (hidden, missing) = (told(&base, name, hidden), told(&base, name, missing));
        assert_eq!(hidden.replace("other", "nowhere"), missing);
    }
}

#[test]
fn no_secret_leaves_by_a_tool_and_no_search_tells_what_it_is() {
    let base = base();
    let read = told(&base, "read_file", json!({ "file": "apps/web/secret.yaml" }));
    assert!(read.contains("  user: ⟦withheld:") && !read.contains("canary"), "{read}");
    let line = told(&base, "read_file", json!({ "file": "apps/web/secret.yaml", "from_line": 5 }));
    assert!(line.ends_with("⟧\n") && !line.contains("canary"), "a line by itself as well: {line}");
    for pattern in ["user: canary", "user: c", "canaryuser", "user: [a-m]"] {
        assert_eq!(told(&base, "search", json!({ "regex": pattern })), "no line matches", "{pattern}");
    }
}

#[test]
fn wrong_arguments_are_answered_with_what_is_wrong() {
    let base = base();
    assert!(
        told(&base, "read_file", json!({ "path": "a" })).starts_with("the arguments of read_file are wrong: unknown field `path`, expected one of")
    );
    assert!(told(&base, "read_file", json!({})).contains("missing field `file`"));
    assert!(told(&base, "read_file", json!({ "file": "a", "from_line": "1" })).contains("invalid type"));
    assert!(told(&base, "list_files", json!({ "glob": "[" })).starts_with("`glob` is none: "));
    let mut redactor = Redactor::new("00", Vec::new(), &[]);
    let mut tools = Tools::new(&base, &|_| true, &mut redactor);
    let arguments = Arguments::Unreadable { text: "{".to_owned(), reason: "EOF".to_owned() };
    let call = |name: &str| Call { id: "1".to_owned(), name: name.to_owned(), arguments: arguments.clone() };
    assert_eq!(tools.answer(&call("search")).expect("a tool").expect("an answer"), "the arguments of search are no JSON: EOF");
    assert!(tools.answer(&call("delete_file")).is_none());
}

#[test]
fn each_tool_says_what_it_takes() {
    let tools = Tools::declarations();
    assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["list_files", "read_file", "search", "find_object"]);
    let read = &tools[1].parameters;
    assert_eq!(read["required"], json!(["file"]));
    assert_eq!(read["additionalProperties"], json!(false));
    assert_eq!(read["properties"]["from_line"]["type"], "integer");
    for tool in &tools {
        assert!(tool.parameters.get("$schema").is_none());
        for (name, property) in tool.parameters["properties"].as_object().expect("properties") {
            assert!(property["type"].is_string() && property["description"].is_string(), "{}.{name}: {property}", tool.name);
        }
    }
}
