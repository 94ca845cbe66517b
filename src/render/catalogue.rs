//! The template catalogue: folders of files, checked as a whole, compiled once.
//! A catalogue either holds nothing wrong or does not exist. It is given its files; it never looks for them.

use super::engine::Engine;
use super::folder::{Origin, Template, check_sources, engine_error, error_at, file_of, located, read_template, template_names};
use super::graph::Graph;
use super::{Example, RenderError, RenderJob, Renderer, TemplateError};
use crate::types::TemplateName;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

/// The largest file of a catalogue, in bytes.
const MAX_FILE: usize = 256 * 1024;
/// The folder of what templates share.
const SHARED: &str = "_shared";

#[derive(rust_embed::RustEmbed)]
#[folder = "templates/manifests"]
struct Shipped;

/// A set of templates that passed every check.
pub struct Catalogue {
    files: BTreeMap<String, String>,
    templates: BTreeMap<TemplateName, Template>,
    translated: Vec<(String, String)>,
    /// Compiled again when something is first rendered in this process: a server has it done by others.
    engine: OnceLock<Engine>,
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
        Self::build(texts(files)?, &BTreeMap::new())
    }

    /// The catalogue that is compiled in.
    ///
    /// # Errors
    /// None for a tested build; everything wrong in it otherwise.
    pub fn embedded() -> Result<Self, Vec<TemplateError>> {
        Self::from_files(Shipped::iter().filter_map(|path| Shipped::get(&path).map(|file| (path.into_owned(), file.data.into_owned()))))
    }

    /// This catalogue with the files of another one over it: a template of theirs replaces the whole folder of the same name, a shared file the
    /// one of the same name, and they may use what is shared here. They are checked together, so that they need not stand by themselves.
    ///
    /// # Errors
    /// What is wrong in them together, such as a shared component a replaced file no longer defines.
    pub fn with(self, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, Vec<TemplateError>> {
        let over = texts(files)?;
        let folders: BTreeSet<String> = over.keys().filter_map(|path| path.split_once('/')).map(|(folder, _)| folder.to_owned()).collect();
        let mut files = self.files;
        // What replaced files defined: whoever misses one of these components is told who took it away.
        let replaced = files.iter().filter(|(path, _)| path.ends_with(".tera") && over.contains_key(*path));
        let lost: BTreeMap<String, String> =
            replaced.flat_map(|(path, text)| components_of(text).into_iter().map(move |name| (name, path.clone()))).collect();
        files.retain(|path, _| path.split_once('/').is_none_or(|(folder, _)| folder == SHARED || !folders.contains(folder)));
        files.extend(over);
        let mut both = Self::build(files, &lost)?;
        for template in both.templates.values_mut() {
            let name = &template.name;
            template.origin = match (folders.contains(name.as_str()), self.templates.get(name)) {
                (true, Some(_)) => Origin::Replaced,
                (true, None) => Origin::Own,
                (false, Some(before)) if before.digest != template.digest => Origin::Affected,
                (false, before) => before.map_or(Origin::BuiltIn, |before| before.origin),
            };
        }
        Ok(both)
    }

    /// The template of that name.
    pub fn get(&self, name: &TemplateName) -> Option<&Template> {
        self.templates.get(name)
    }

    /// All templates, by name.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.values()
    }

    /// The template's source as its author wrote it.
    ///
    /// # Errors
    /// [`RenderError::UnknownTemplate`].
    pub fn source(&self, template: &TemplateName) -> Result<&str, RenderError> {
        self.known(template)?;
        Ok(self.files.get(&file_of(template)).map_or("", String::as_str))
    }

    /// Every file a template is made of: those of its folder, and the shared ones it uses; paths within the catalogue, and texts.
    ///
    /// # Errors
    /// [`RenderError::UnknownTemplate`].
    pub fn files_of(&self, template: &TemplateName) -> Result<Vec<(&str, &str)>, RenderError> {
        let shared = &self.known(template)?.shared;
        let folder = format!("{template}/");
        let wanted = self.files.iter().filter(|(path, _)| path.starts_with(&folder) || shared.contains(*path));
        Ok(wanted.map(|(path, text)| (path.as_str(), text.as_str())).collect())
    }

    /// What an example gives.
    ///
    /// # Errors
    /// As of [`Catalogue::render_direct`].
    pub fn render_example(&self, template: &TemplateName, example: &Example) -> Result<String, RenderError> {
        let parameters = self.with_defaults(template, &example.parameters)?;
        let job = RenderJob { template: template.clone(), context: serde_json::json!({ "parameters": parameters }) };
        Ok(String::from_utf8_lossy(&self.render_direct(&job)?).into_owned())
    }

    /// The parameters with the schema's defaults for what is missing. It does not validate.
    ///
    /// # Errors
    /// [`RenderError::UnknownTemplate`].
    pub fn with_defaults(&self, template: &TemplateName, parameters: &Map<String, Value>) -> Result<Map<String, Value>, RenderError> {
        Ok(self.known(template)?.schema.with_defaults(parameters))
    }

    /// Of an automation's parameters those the template's schema names, with the schema's defaults for what is missing: an automation may have
    /// parameters that only choose the target. It does not validate.
    ///
    /// # Errors
    /// [`RenderError::UnknownTemplate`].
    pub fn select(&self, template: &TemplateName, parameters: &Map<String, Value>) -> Result<Map<String, Value>, RenderError> {
        let schema = &self.known(template)?.schema;
        let named = |name: &String| schema.document.get("properties").and_then(|properties| properties.get(name)).is_some();
        let chosen = parameters.iter().filter(|(name, _)| named(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(schema.with_defaults(&chosen))
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
        self.engine().render(job.template.as_str(), &file_of(&job.template), &context)
    }

    /// Renders each example and compares: one error for each that differs or fails.
    pub fn check_examples(&self) -> Vec<TemplateError> {
        let mut errors = Vec::new();
        for template in self.templates.values() {
            for example in &template.examples {
                let file = format!("{}/examples/{}/expected.yaml", template.name, example.name);
                match self.render_example(&template.name, example) {
                    Ok(text) if text == example.expected => {}
                    Ok(text) => {
                        let line = 1 + text.lines().zip(example.expected.lines()).take_while(|(a, b)| a == b).count();
                        let hint = format!("the template gives there: {}", text.lines().nth(line - 1).unwrap_or("(the end)"));
                        let line = u32::try_from(line).unwrap_or(u32::MAX);
                        errors.push(TemplateError { file, line, column: 1, message: "the template gives something else".into(), hint });
                    }
                    Err(error) => errors.push(error_at(&file, error.to_string(), "")),
                }
            }
        }
        errors
    }

    /// The checked parameters, and of the context only what the template reads.
    pub(crate) fn prepare<'j>(&self, job: &'j RenderJob) -> Result<Cow<'j, Value>, RenderError> {
        let template = self.known(&job.template)?;
        let empty = Value::Object(Map::new());
        self.validate(&job.template, job.context.get("parameters").unwrap_or(&empty))?;
        let Value::Object(given) = &job.context else { return Ok(Cow::Owned(empty)) };
        if given.keys().all(|name| template.reads(name)) {
            return Ok(Cow::Borrowed(&job.context));
        }
        let read = given.iter().filter(|(name, _)| template.reads(name)).map(|(name, value)| (name.clone(), value.clone()));
        Ok(Cow::Owned(Value::Object(read.collect())))
    }

    /// The translated sources, by name: what a process needs to render.
    pub(crate) fn translated(&self) -> &[(String, String)] {
        &self.translated
    }

    fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| match compile(&self.translated) {
            Ok(engine) => engine,
            Err(error) => unreachable!("these sources were compiled when the catalogue was made: {error}"),
        })
    }

    fn known(&self, name: &TemplateName) -> Result<&Template, RenderError> {
        self.templates.get(name).ok_or_else(|| RenderError::UnknownTemplate(name.to_string()))
    }

    fn build(files: BTreeMap<String, String>, lost: &BTreeMap<String, String>) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let checked = check_sources(&files, &mut errors);
        let names = template_names(&files, &mut errors);
        if !errors.is_empty() {
            errors.sort();
            return Err(errors);
        }
        let translated: Vec<(String, String)> = checked.iter().map(|(name, file)| (name.clone(), file.translated.clone())).collect();
        let graph = Graph::new(&checked, lost).map_err(|faults| faults.into_iter().map(|(file, fault)| located(&file, fault)).collect::<Vec<_>>())?;
        errors.extend(graph.check().into_iter().map(|(file, fault)| located(&file, fault)));
        if !errors.is_empty() {
            errors.sort();
            return Err(errors);
        }
        let engine = compile(&translated).map_err(|error| vec![engine_error("", &error)])?;
        let mut templates = BTreeMap::new();
        for name in names {
            match read_template(&name, &files, &graph, &engine) {
                Ok(template) => drop(templates.insert(name, template)),
                Err(more) => errors.extend(more),
            }
        }
        errors.sort();
        if errors.is_empty() { Ok(Self { files, templates, translated, engine: OnceLock::new() }) } else { Err(errors) }
    }
}

/// The components that a shared file defines.
fn components_of(text: &str) -> Vec<String> {
    super::manifest::check(text, true).map(|checked| checked.units.into_iter().filter_map(|unit| unit.component).collect()).unwrap_or_default()
}

/// The files as text.
fn texts(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<BTreeMap<String, String>, Vec<TemplateError>> {
    let mut texts = BTreeMap::new();
    let mut errors = Vec::new();
    for (path, bytes) in files {
        match String::from_utf8(bytes) {
            Ok(text) if text.len() > MAX_FILE => errors.push(error_at(&path, format!("the file has more than {MAX_FILE} bytes"), "")),
            Ok(text) => drop(texts.insert(path, text)),
            Err(_) => errors.push(error_at(&path, "the file is not UTF-8".into(), "")),
        }
    }
    if errors.is_empty() { Ok(texts) } else { Err(errors) }
}

fn compile(translated: &[(String, String)]) -> tera::TeraResult<Engine> {
    Engine::new(translated.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

impl Renderer for Catalogue {
    fn render(&self, jobs: &[RenderJob]) -> Result<Vec<Vec<u8>>, RenderError> {
        jobs.iter().map(|job| self.render_direct(job)).collect()
    }
}
