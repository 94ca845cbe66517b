//! The template catalogue: folders of files, checked as a whole, compiled once.
//! A catalogue either holds nothing wrong or does not exist. It is given its files; it never looks for them.

use super::engine::Engine;
use super::graph::Graph;
use super::manifest::{self, Checked};
use super::schema::ParameterSchema;
use super::source::{Fault, Place};
use super::{RenderError, RenderJob, Renderer, TemplateError};
use crate::types::TemplateName;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

const SOURCE: &str = "manifest.yaml.tera";
const SCHEMA: &str = "params.schema.json";
const README: &str = "README.md";
/// The folder of what templates share.
const SHARED: &str = "_shared/";
/// The largest file of a catalogue, in bytes.
const MAX_FILE: usize = 256 * 1024;

#[derive(rust_embed::RustEmbed)]
#[folder = "templates/manifests"]
struct Shipped;

/// A set of templates that passed every check.
pub struct Catalogue {
    files: BTreeMap<String, String>,
    templates: BTreeMap<TemplateName, Template>,
    translated: Vec<(String, String)>,
    engine: Engine,
}

/// One template: a folder of the catalogue.
pub struct Template {
    name: TemplateName,
    purpose: String,
    readme: String,
    digest: String,
    schema: ParameterSchema,
    variables: BTreeSet<String>,
    examples: Vec<Example>,
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
    /// The names of its parameters.
    pub fn property_names(&self) -> impl Iterator<Item = &str> {
        self.schema.document.get("properties").and_then(Value::as_object).into_iter().flat_map(|properties| properties.keys().map(String::as_str))
    }
    /// The names of the parameters it cannot do without.
    pub fn required_names(&self) -> impl Iterator<Item = &str> {
        let required = self.schema.document.get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str).filter(|name| {
            self.schema.document.pointer(&format!("/properties/{name}/default")).is_none()
        })
    }
    /// Its examples, by name.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("templates", &self.templates.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Catalogue {
    /// Reads a catalogue from files: paths relative to its root, `/`-separated, and their bytes.
    ///
    /// # Errors
    /// Everything wrong in it, by file and place.
    pub fn from_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, Vec<TemplateError>> {
        let mut texts = BTreeMap::new();
        let mut errors = Vec::new();
        for (path, bytes) in files {
            match String::from_utf8(bytes) {
                Ok(text) if text.len() > MAX_FILE => errors.push(error_at(&path, format!("the file has more than {MAX_FILE} bytes"), "")),
                Ok(text) => drop(texts.insert(path, text)),
                Err(_) => errors.push(error_at(&path, "the file is not UTF-8".into(), "")),
            }
        }
        if errors.is_empty() { Self::build(texts) } else { Err(errors) }
    }

    /// The catalogue that is compiled in.
    ///
    /// # Errors
    /// None for a tested build; everything wrong in it otherwise.
    pub fn embedded() -> Result<Self, Vec<TemplateError>> {
        Self::from_files(Shipped::iter().filter_map(|path| Shipped::get(&path).map(|file| (path.into_owned(), file.data.into_owned()))))
    }

    /// Several catalogues as one: a later one's template replaces the whole folder of the same name, and its shared files those of the same name.
    ///
    /// # Errors
    /// What is wrong in them together, such as a shared component a replaced file no longer defines.
    pub fn layered(layers: Vec<Catalogue>) -> Result<Self, Vec<TemplateError>> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for layer in layers {
            let replaced: Vec<String> = layer.templates.keys().map(|name| format!("{name}/")).collect();
            files.retain(|path, _| !replaced.iter().any(|folder| path.starts_with(folder.as_str())));
            files.extend(layer.files);
        }
        Self::build(files)
    }

    /// The template of that name.
    pub fn get(&self, name: &TemplateName) -> Option<&Template> {
        self.templates.get(name)
    }

    /// All templates, by name.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.values()
    }

    /// The parameters with the schema's defaults for what is missing. It does not validate.
    ///
    /// # Errors
    /// [`RenderError::UnknownTemplate`].
    pub fn with_defaults(&self, template: &TemplateName, parameters: &Map<String, Value>) -> Result<Map<String, Value>, RenderError> {
        Ok(self.known(template)?.schema.with_defaults(parameters))
    }

    /// Whether the parameters, defaults applied, fit the template's schema.
    ///
    /// # Errors
    /// [`RenderError::UnknownTemplate`]; [`RenderError::Parameters`] with every violation.
    pub fn validate(&self, template: &TemplateName, parameters: &Value) -> Result<(), RenderError> {
        let violations = self.known(template)?.schema.violations(parameters);
        if violations.is_empty() { Ok(()) } else { Err(RenderError::Parameters { template: template.to_string(), violations }) }
    }

    /// Renders in this process: bounded in output, not in time or memory. For checks, the command line and tests; the server renders in `sandbox`.
    ///
    /// # Errors
    /// Any but those of a process.
    pub fn render_direct(&self, job: &RenderJob) -> Result<Vec<u8>, RenderError> {
        let context = self.prepare(job)?;
        self.engine.render(job.template.as_str(), &file_of(&job.template), &context)
    }

    /// Renders each example and compares: one error for each that differs or fails.
    pub fn check_examples(&self) -> Vec<TemplateError> {
        let mut errors = Vec::new();
        for template in self.templates.values() {
            for example in &template.examples {
                let file = format!("{}/examples/{}/expected.yaml", template.name, example.name);
                let parameters = template.schema.with_defaults(&example.parameters);
                let job = RenderJob { template: template.name.clone(), context: serde_json::json!({ "parameters": parameters }) };
                match self.render_direct(&job).map(String::from_utf8) {
                    Ok(Ok(text)) if text == example.expected => {}
                    Ok(Ok(text)) => {
                        let line = 1 + text.lines().zip(example.expected.lines()).take_while(|(a, b)| a == b).count();
                        let hint = format!("the template gives there: {}", text.lines().nth(line - 1).unwrap_or("(the end)"));
                        let line = u32::try_from(line).unwrap_or(u32::MAX);
                        errors.push(TemplateError { file, line, column: 1, message: "the template gives something else".into(), hint });
                    }
                    Ok(Err(_)) => errors.push(error_at(&file, "the template gives bytes that are not UTF-8".into(), "")),
                    Err(error) => errors.push(error_at(&file, error.to_string(), "")),
                }
            }
        }
        errors
    }

    /// The checked parameters, and of the context only what the template reads.
    pub(crate) fn prepare(&self, job: &RenderJob) -> Result<Value, RenderError> {
        let template = self.known(&job.template)?;
        let empty = Value::Object(Map::new());
        self.validate(&job.template, job.context.get("parameters").unwrap_or(&empty))?;
        let read = |(name, value): (&String, &Value)| template.variables.contains(name).then(|| (name.clone(), value.clone()));
        Ok(Value::Object(job.context.as_object().into_iter().flatten().filter_map(read).collect()))
    }

    /// The translated sources, by name: what a process needs to render.
    pub(crate) fn translated(&self) -> &[(String, String)] {
        &self.translated
    }

    fn known(&self, name: &TemplateName) -> Result<&Template, RenderError> {
        self.templates.get(name).ok_or_else(|| RenderError::UnknownTemplate(name.to_string()))
    }

    fn build(files: BTreeMap<String, String>) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let checked = check_sources(&files, &mut errors);
        let names = template_names(&files, &mut errors);
        if !errors.is_empty() {
            errors.sort();
            return Err(errors);
        }
        let translated: Vec<(String, String)> = checked.iter().map(|(name, file)| (name.clone(), file.translated.clone())).collect();
        let graph = Graph::new(&checked).map_err(|faults| faults.into_iter().map(|(file, fault)| located(&file, fault)).collect::<Vec<_>>())?;
        errors.extend(graph.check().into_iter().map(|(file, fault)| located(&file, fault)));
        if !errors.is_empty() {
            errors.sort();
            return Err(errors);
        }
        let engine =
            Engine::new(translated.iter().map(|(name, text)| (name.as_str(), text.as_str()))).map_err(|error| vec![engine_error("", &error)])?;
        let mut templates = BTreeMap::new();
        for name in names {
            match read_template(&name, &files, &graph, &engine) {
                Ok(template) => drop(templates.insert(name, template)),
                Err(more) => errors.extend(more),
            }
        }
        errors.sort();
        if errors.is_empty() { Ok(Self { files, templates, translated, engine }) } else { Err(errors) }
    }
}

impl Renderer for Catalogue {
    fn render(&self, jobs: &[RenderJob]) -> Result<Vec<Vec<u8>>, RenderError> {
        jobs.iter().map(|job| self.render_direct(job)).collect()
    }
}

pub(crate) fn file_of(template: &TemplateName) -> String {
    format!("{template}/{SOURCE}")
}

/// Checks and translates every `.tera` file.
fn check_sources(files: &BTreeMap<String, String>, errors: &mut Vec<TemplateError>) -> BTreeMap<String, Checked> {
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
fn template_names(files: &BTreeMap<String, String>, errors: &mut Vec<TemplateError>) -> BTreeSet<TemplateName> {
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

fn read_template(name: &TemplateName, files: &BTreeMap<String, String>, graph: &Graph<'_>, engine: &Engine) -> Result<Template, Vec<TemplateError>> {
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
    Ok(Template { name: name.clone(), purpose, readme: text(README).to_owned(), digest, schema, variables, examples })
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
        let Some(((path, text), expected)) = given.zip(files.get(&file("expected.yaml"))) else {
            errors.push(error_at(&file(""), "an example has parameters.yaml (or .json) and expected.yaml".into(), ""));
            continue;
        };
        match serde_saphyr::from_str::<Map<String, Value>>(text) {
            Ok(parameters) => {
                let filled = schema.map(|schema| schema.violations(&Value::Object(schema.with_defaults(&parameters)))).unwrap_or_default();
                errors.extend(
                    filled.into_iter().map(|v| error_at(&path, format!("{}: {}", v.pointer, v.message), "the example breaks params.schema.json")),
                );
                examples.push(Example { name: case.to_owned(), parameters, expected: expected.clone() });
            }
            Err(error) => errors.push(error_at(&path, error.to_string(), "")),
        }
    }
    if errors.is_empty() { Ok(examples) } else { Err(errors) }
}

fn error_at(file: &str, message: String, hint: &str) -> TemplateError {
    TemplateError { file: file.to_owned(), line: 1, column: 1, message, hint: hint.to_owned() }
}

fn located(file: &str, fault: Fault) -> TemplateError {
    let Place { line, column } = fault.at;
    TemplateError { file: file.to_owned(), line, column, message: fault.message, hint: fault.hint.unwrap_or_default() }
}

fn engine_error(file: &str, error: &tera::Error) -> TemplateError {
    match error.kind() {
        tera::ErrorKind::SyntaxError(report) | tera::ErrorKind::RenderingError(report) => {
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let (line, column) = (count(report.span().start_line), count(report.span().start_col + 1));
            TemplateError { file: report.filename().to_owned(), line, column, message: report.message().to_owned(), hint: String::new() }
        }
        other => error_at(file, other.to_string(), ""),
    }
}
