//! One folder of a catalogue: what it must hold, and how it is read.
//! It is handed the files of the whole catalogue as text; it never looks for them.

use super::TemplateError;
use super::engine::Engine;
use super::graph::Graph;
use super::manifest::{self, Checked};
use super::reads;
use super::schema::ParameterSchema;
use super::source::{Fault, Place};
use crate::manifest::{Limits, parse};
use crate::types::TemplateName;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const SOURCE: &str = "manifest.yaml.tera";
const SCHEMA: &str = "params.schema.json";
const README: &str = "README.md";
/// The folder of what templates share.
const SHARED: &str = "_shared/";
/// One template: a folder of the catalogue.
pub struct Template {
    pub(super) name: TemplateName,
    pub(super) purpose: String,
    pub(super) readme: String,
    pub(super) digest: String,
    pub(super) schema: ParameterSchema,
    pub(super) variables: BTreeSet<String>,
    pub(super) examples: Vec<Example>,
    pub(super) kinds: Vec<String>,
    pub(super) origin: Origin,
    /// The shared files it uses.
    pub(super) shared: BTreeSet<String>,
}

/// Which catalogue a template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It is compiled in.
    BuiltIn,
    /// It is compiled in, and uses shared files of one's own.
    Affected,
    /// It is one's own.
    Own,
    /// It is one's own, in place of one that is compiled in.
    Replaced,
}

/// Parameters and what they give: documentation that is tested.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The folder's name below `examples/`.
    pub name: String,
    /// The parameters, before defaults.
    pub parameters: Map<String, Value>,
    /// The manifest they give, byte for byte.
    pub expected: String,
}

impl Template {
    /// The folder's name.
    pub fn name(&self) -> &TemplateName {
        &self.name
    }
    /// What it is for, in a line.
    pub fn purpose(&self) -> &str {
        &self.purpose
    }
    /// The whole README, Markdown.
    pub fn readme(&self) -> &str {
        &self.readme
    }
    /// SHA-256 over its files and the shared files it uses, hex: the evidence in a commit's trailers.
    pub fn digest(&self) -> &str {
        &self.digest
    }
    /// The parameter schema, JSON Schema 2020-12.
    pub fn schema(&self) -> &Value {
        &self.schema.document
    }
    /// Whether it reads that variable: `parameters`, `event`, `target`.
    pub fn reads(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }
    /// The names of its parameters.
    pub fn property_names(&self) -> impl Iterator<Item = &str> {
        self.schema.document.get("properties").and_then(Value::as_object).into_iter().flat_map(|properties| properties.keys().map(String::as_str))
    }
    /// The names of the parameters it cannot do without.
    pub fn required_names(&self) -> impl Iterator<Item = &str> {
        let required = self.schema.document.get("required").and_then(Value::as_array);
        let has_default = |name: &str| self.schema.document.pointer(&format!("/properties/{name}/default")).is_some();
        required.into_iter().flatten().filter_map(Value::as_str).filter(move |name| !has_default(name))
    }
    /// The kinds of the objects it makes, in their order, as far as its source says them outright.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }
    /// Which catalogue it comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }
    /// Its examples, by name.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }
}

/// The name of a template's source, for the engine.
pub(crate) fn file_of(template: &TemplateName) -> String {
    format!("{template}/{SOURCE}")
}

/// Checks and translates every `.tera` file.
pub(super) fn check_sources(files: &BTreeMap<String, String>, errors: &mut Vec<TemplateError>) -> BTreeMap<String, Checked> {
    let mut checked = BTreeMap::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".tera")) {
        match manifest::check(text, path.starts_with(SHARED)) {
            Ok(file) => {
                // The file by itself as its author wrote it: what it lacks of others is not looked at here, its syntax is.
                let alone = tera::Tera::new().add_raw_template(path, text);
                match alone {
                    Err(error) if matches!(error.kind(), tera::ErrorKind::SyntaxError(_)) => errors.push(engine_error(path, &error)),
                    _ => drop(checked.insert(path.clone(), file)),
                }
            }
            Err(faults) => errors.extend(faults.into_iter().map(|fault| located(path, fault))),
        }
    }
    checked
}

/// The folders, and an error for every file that belongs nowhere.
pub(super) fn template_names(files: &BTreeMap<String, String>, errors: &mut Vec<TemplateError>) -> BTreeSet<TemplateName> {
    let mut names = BTreeSet::new();
    for path in files.keys() {
        let Some((folder, rest)) = path.split_once('/') else {
            if path != README {
                errors.push(error_at(path, "a file outside of a template's folder".into(), "put it into <template>/ or _shared/"));
            }
            continue;
        };
        if folder == "_shared" {
            if !rest.ends_with(".tera") && rest != README {
                errors.push(error_at(path, "`_shared` holds `.tera` files".into(), "rename it to *.tera"));
            }
            continue;
        }
        let example =
            |rest: &str| matches!(rest.split('/').collect::<Vec<_>>()[..], ["examples", _, "parameters.json" | "parameters.yaml" | "expected.yaml"]);
        if !matches!(rest, SOURCE | SCHEMA | README) && !example(rest) {
            let hint =
                "a template's folder holds manifest.yaml.tera, params.schema.json, README.md and examples/<case>/{parameters.yaml,expected.yaml}";
            errors.push(error_at(path, "a file with no meaning here".into(), hint));
        }
        match folder.parse::<TemplateName>() {
            Ok(name) => drop(names.insert(name)),
            Err(error) => errors.push(error_at(path, error.to_string(), "")),
        }
    }
    names
}

pub(super) fn read_template(
    name: &TemplateName,
    files: &BTreeMap<String, String>,
    graph: &Graph<'_>,
    engine: &Engine,
) -> Result<Template, Vec<TemplateError>> {
    let path = |file: &str| format!("{name}/{file}");
    let mut errors: Vec<TemplateError> = [SOURCE, SCHEMA, README]
        .into_iter()
        .filter(|file| !files.contains_key(&path(file)))
        .map(|file| error_at(&path(file), "the file is missing".into(), "every template has one"))
        .collect();
    let text = |file: &str| files.get(&path(file)).map_or("", String::as_str);
    let purpose = purpose(text(README)).unwrap_or_default();
    if purpose.is_empty() && errors.is_empty() {
        errors.push(error_at(
            &path(README),
            "the README does not say what the template is for".into(),
            "a title, an empty line, and one line that says it",
        ));
    }
    let schema = if files.contains_key(&path(SCHEMA)) { read_schema(&path(SCHEMA), text(SCHEMA)) } else { Err(Vec::new()) };
    let examples = read_examples(name, files, schema.as_ref().ok());
    let (schema, examples) = match (schema, examples) {
        (Ok(schema), Ok(examples)) if errors.is_empty() => (schema, examples),
        (schema, examples) => {
            errors.extend(schema.err().into_iter().chain(examples.err()).flatten());
            return Err(errors);
        }
    };
    let faults = reads::check(text(SOURCE), &schema.document);
    if !faults.is_empty() {
        return Err(faults.into_iter().map(|fault| located(&path(SOURCE), fault)).collect());
    }
    let mut hash = Sha256::new();
    let folder = path("");
    let shared = graph.dependencies(&path(SOURCE));
    for (file, text) in files.iter().filter(|(file, _)| file.starts_with(&folder) || shared.contains(*file)) {
        // Lengths go in too, so that no two catalogues run together to the same bytes.
        for part in [file, text] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    let variables = engine.variables(&path(SOURCE));
    let digest = hex::encode(hash.finalize());
    let (readme, schema, kinds) = (text(README).to_owned(), schema.at_rest(), kinds(text(SOURCE)));
    Ok(Template { name: name.clone(), purpose, readme, digest, schema, variables, examples, kinds, origin: Origin::BuiltIn, shared })
}

/// The kinds that stand at the root of a source's documents. One that is an expression is not known before it is rendered.
fn kinds(source: &str) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for kind in source.lines().filter_map(|line| line.strip_prefix("kind:")).map(str::trim).filter(|kind| !kind.contains("{{")) {
        if !kinds.iter().any(|known| known == kind) {
            kinds.push(kind.to_owned());
        }
    }
    kinds
}

/// The first line after the title that says something.
fn purpose(readme: &str) -> Option<String> {
    readme.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

fn read_schema(path: &str, text: &str) -> Result<ParameterSchema, Vec<TemplateError>> {
    let document: Value = serde_json::from_str(text).map_err(|error| {
        let count = |n: usize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        vec![TemplateError {
            file: path.to_owned(),
            line: count(error.line()),
            column: count(error.column()),
            message: error.to_string(),
            hint: String::new(),
        }]
    })?;
    ParameterSchema::compile(document).map_err(|faults| {
        let one = |(pointer, message, hint): (String, String, String)| {
            let name = pointer.strip_prefix("/properties/").map(|rest| rest.split('/').next().unwrap_or(rest));
            let line = name.and_then(|name| text.lines().position(|line| line.contains(&format!("\"{name}\":")))).unwrap_or(0);
            let message = if pointer.is_empty() { message } else { format!("{pointer}: {message}") };
            TemplateError { file: path.to_owned(), line: u32::try_from(line + 1).unwrap_or(u32::MAX), column: 1, message, hint }
        };
        faults.into_iter().map(one).collect()
    })
}

fn read_examples(
    name: &TemplateName,
    files: &BTreeMap<String, String>,
    schema: Option<&ParameterSchema>,
) -> Result<Vec<Example>, Vec<TemplateError>> {
    let folder = format!("{name}/examples/");
    let cases: BTreeSet<&str> = files.keys().filter_map(|path| path.strip_prefix(&folder)).filter_map(|rest| Some(rest.split_once('/')?.0)).collect();
    let mut examples = Vec::new();
    let mut errors = Vec::new();
    for case in cases {
        let file = |end: &str| format!("{folder}{case}/{end}");
        let given = ["parameters.yaml", "parameters.json"].into_iter().map(file).find_map(|path| files.get(&path).map(|text| (path, text)));
        let Some(((path, text), expected)) = given.clone().zip(files.get(&file("expected.yaml"))) else {
            let hint = match given {
                Some(_) => "`kubeops templates test DIR --update` writes expected.yaml as the template gives it now",
                None => "write its parameters; `kubeops templates test DIR --update` writes expected.yaml",
            };
            errors.push(error_at(&file(""), "an example has parameters.yaml (or .json) and expected.yaml".into(), hint));
            continue;
        };
        match one_mapping(text) {
            Ok(parameters) => {
                let filled = schema.map(|schema| schema.violations(&Value::Object(schema.with_defaults(&parameters)))).unwrap_or_default();
                errors.extend(filled.into_iter().map(|v| error_at(&path, v.to_string(), "the example breaks params.schema.json")));
                examples.push(Example { name: case.to_owned(), parameters, expected: expected.clone() });
            }
            Err(message) => errors.push(error_at(&path, message, "")),
        }
    }
    if errors.is_empty() { Ok(examples) } else { Err(errors) }
}

/// The one mapping a text holds.
fn one_mapping(text: &str) -> Result<Map<String, Value>, String> {
    let documents = parse(text, Limits::default()).map_err(|error| error.to_string())?;
    match documents.into_iter().next().map(|document| document.value) {
        None => Ok(Map::new()),
        Some(Value::Object(mapping)) => Ok(mapping),
        Some(_) => Err("parameters are one mapping".to_owned()),
    }
}

pub(super) fn error_at(file: &str, message: String, hint: &str) -> TemplateError {
    TemplateError { file: file.to_owned(), line: 1, column: 1, message, hint: hint.to_owned() }
}

pub(super) fn located(file: &str, fault: Fault) -> TemplateError {
    let Place { line, column } = fault.at;
    TemplateError { file: file.to_owned(), line, column, message: fault.message, hint: fault.hint.unwrap_or_default() }
}

pub(super) fn engine_error(file: &str, error: &tera::Error) -> TemplateError {
    match error.kind() {
        tera::ErrorKind::SyntaxError(report) | tera::ErrorKind::RenderingError(report) => {
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let (line, column) = (count(report.span().start_line), count(report.span().start_col + 1));
            TemplateError { file: report.filename().to_owned(), line, column, message: report.message().to_owned(), hint: String::new() }
        }
        other => error_at(file, other.to_string(), ""),
    }
}
