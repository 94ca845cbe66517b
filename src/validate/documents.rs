//! What a file says: UTF-8, strict YAML, whole objects with names, no plaintext Secret, valid by Kubernetes' schemas.

use super::schema::{self, Fault, Kind, Lookup, Schemas};
use super::{Finding, Rules, Severity, UnknownKinds, kustomize, secrets, values};
use crate::manifest::{Document, IdentityError, Limits, ObjectRef, Positions, flatten, parse};
use crate::plan::MAX_FILE_BYTES;
use crate::types::ManifestPath;
use serde_json::Value;
use std::collections::BTreeSet;

/// A file that was looked into.
#[derive(Default)]
pub(super) struct Contents {
    /// Its documents; empty when it could not be read.
    pub(super) documents: Vec<Document>,
    /// Its objects, each with document, line and name.
    pub(super) objects: Vec<(usize, u32, ObjectRef)>,
    /// What is wrong or worth a word.
    pub(super) findings: Vec<Finding>,
    /// The types whose schemas its objects were held against.
    pub(super) schemas: BTreeSet<String>,
    /// The types that have none.
    pub(super) unchecked: BTreeSet<String>,
}

/// Looks into the bytes that a change writes to `path`.
pub(super) fn inspect(path: &ManifestPath, bytes: &[u8], rules: &Rules, schemas: &Schemas<'_>) -> Contents {
    let mut contents = Contents::default();
    match read(path, bytes) {
        Err(finding) => contents.findings.push(*finding),
        Ok((text, documents)) => {
            contents.findings.extend(hidden_characters(path, text));
            for document in &documents {
                let mut inspector = Inspector { path, rules, schemas, document, contents: &mut contents };
                inspector.document();
            }
            contents.documents = documents;
        }
    }
    contents
}

fn read<'b>(path: &ManifestPath, bytes: &'b [u8]) -> Result<(&'b str, Vec<Document>), Box<Finding>> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes; {MAX_FILE_BYTES} are allowed", bytes.len());
        return Err(Finding::error("file.size", path, message).into());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Finding::error("file.encoding", path, "the file is not UTF-8").line(u32::try_from(line).unwrap_or(u32::MAX))
    })?;
    if path.as_str().ends_with(".json") {
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| {
            let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
            Finding::error("json.syntax", path, format!("the file is not JSON: {error}")).line(line)
        })?;
    }
    let documents = parse(text, Limits { bytes: MAX_FILE_BYTES, ..Limits::default() })
        .map_err(|error| Finding::error("yaml.syntax", path, format!("{} (column {})", error.message, error.column)).line(error.line))?;
    if documents.is_empty() {
        return Err(Finding::error("file.empty", path, "the file holds no document").hint("remove the file instead").into());
    }
    Ok((text, documents))
}

/// Characters that make a reviewer see something else than what is there.
fn hidden_characters(path: &ManifestPath, text: &str) -> Option<Finding> {
    if text.is_ascii() {
        return None;
    }
    let hidden = |c: char| matches!(u32::from(c), 0xad | 0x061c | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2069 | 0xe_0000..=0xe_007f);
    let (at, c) = text.char_indices().find(|(_, c)| hidden(*c))?;
    let line = text[..at].matches('\n').count() + 1;
    let message = format!("the invisible character U+{:04X} can make the text look like another", u32::from(c));
    Some(Finding::warning("yaml.hidden", path, message).hint("write it as an escape in double quotes").line(u32::try_from(line).unwrap_or(u32::MAX)))
}

/// Whether the file's name says that it holds Helm's input, which are no objects: `Chart.yaml`, `values.yaml`,
/// `values-prod.yaml`, `prod.values.yaml`, `prod-values.yaml`.
fn is_helm_input(path: &ManifestPath) -> bool {
    let name = path.components().last().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    is_chart(path)
        || stem == "values"
        || ["values-", "values."].iter().any(|start| stem.starts_with(start))
        || ["-values", ".values"].iter().any(|end| stem.ends_with(end))
}

/// Whether it is the file of a chart itself.
fn is_chart(path: &ManifestPath) -> bool {
    path.components().last() == Some("Chart.yaml")
}

struct Inspector<'a> {
    path: &'a ManifestPath,
    rules: &'a Rules,
    schemas: &'a Schemas<'a>,
    document: &'a Document,
    contents: &'a mut Contents,
}

impl Inspector<'_> {
    fn document(&mut self) {
        let document = self.document;
        let value = &document.value;
        for pointer in secrets::plaintext(value) {
            let hint = "keep the value in a secret store and name it in an ExternalSecret, or encrypt it as a SealedSecret";
            self.report(Severity::Error, "secret.plaintext", &pointer, "a Secret in plaintext must not be in git".to_owned(), Some(hint.to_owned()));
        }
        for disputed in &document.disputed {
            let what = if disputed.key { "the key" } else { "the value" };
            let message = format!("{what} `{}` is {} to kubectl and {} to YAML 1.2", disputed.text, disputed.kubectl, disputed.core);
            let hint = "quote it if it is text; write true or false, or the number in decimal, if it is not".to_owned();
            self.report(Severity::Warning, "yaml.ambiguous", &disputed.pointer, message, Some(hint));
            if let Some(last) = self.contents.findings.last_mut() {
                last.line = Some(disputed.place.line);
            }
        }
        if crate::manifest::is_kustomization(self.path) {
            if document.index > 0 {
                self.report(Severity::Error, "kustomization.type", "", "a kustomization has one document".to_owned(), None);
            }
            for (rule, pointer, message, hint) in kustomize::faults(value) {
                self.report(Severity::Error, rule, &pointer, message, hint);
            }
            self.inline_patches(value);
            return;
        }
        // A chart has an `apiVersion` of its own, and no kind.
        let of_objects: &[&str] = if is_chart(self.path) { &["kind"] } else { &["kind", "apiVersion"] };
        let is_object = of_objects.iter().any(|key| value.get(key).is_some());
        if is_helm_input(self.path) && value.is_object() && !is_object {
            return;
        }
        for (pointer, object) in flatten(value) {
            self.object(&pointer, object);
        }
    }

    /// Patches that stand in the kustomization itself: parts of objects, whose fields are held against the schemas of Kubernetes.
    fn inline_patches(&mut self, kustomization: &Value) {
        for (pointer, text) in kustomize::inline_patches(kustomization) {
            let first = self.document.positions.find(&pointer).value.start.line;
            let documents = match parse(text, Limits::default()) {
                Ok(documents) => documents,
                Err(error) => {
                    let message = format!("the patch cannot be read: {}", error.message);
                    self.report(Severity::Error, "kustomization.patch", &pointer, message, None);
                    continue;
                }
            };
            for document in &documents {
                let said = |field: &str| document.value.get(field).and_then(Value::as_str);
                let (Some(version), Some(kind)) = (said("apiVersion"), said("kind")) else { continue };
                let Kind::Known(schema) = schema::kind(self.rules.kubernetes, version, kind) else { continue };
                // A part is not the whole, `null` takes a field out, and `$patch` is Kustomize's own.
                let is_part = |fault: &Fault| {
                    fault.rule == "schema.required"
                        || document.value.pointer(&fault.pointer).is_some_and(Value::is_null)
                        || fault.pointer.rsplit('/').next().is_some_and(|last| last.starts_with('$'))
                };
                let group = version.split_once('/').map_or("", |(group, _)| group);
                let beyond = values::faults(group, kind, &document.value);
                for fault in schema.faults(&document.value).into_iter().filter(|fault| !is_part(fault)).chain(beyond) {
                    let line = first.saturating_add(document.positions.line(&fault.pointer)).saturating_sub(1);
                    self.report(Severity::Error, fault.rule, &pointer, format!("the patch of {kind}: {}", fault.message), fault.hint);
                    if let Some(last) = self.contents.findings.last_mut() {
                        last.line = Some(line);
                    }
                }
            }
        }
    }

    fn object(&mut self, at: &str, value: &Value) {
        let object = match ObjectRef::of(value) {
            Ok(object) => object,
            Err(error) => return self.identity(at, value, &error),
        };
        if value.get("items").is_some_and(Value::is_array) && object.kind.ends_with("List") {
            return self.typed_list(at, &object.kind);
        }
        self.names(at, &object);
        match schema::kind(self.rules.kubernetes, &object.api_version, &object.kind) {
            Kind::Known(schema) => {
                self.contents.schemas.insert(format!("{} {}", object.api_version, object.kind));
                let encrypted = value.as_object().filter(|fields| object.kind == "Secret" && secrets::is_sops(fields));
                let without_proof = encrypted.map(|fields| {
                    let mut fields = fields.clone();
                    fields.shift_remove("sops");
                    Value::Object(fields)
                });
                self.faults(at, &object, schema.faults(without_proof.as_ref().unwrap_or(value)));
                let (group, kind, ..) = object.key();
                self.faults(at, &object, values::faults(group, kind, value));
            }
            Kind::Wrong(near) => {
                let message = format!("Kubernetes {} has no `{}` in `{}`", self.rules.kubernetes, object.kind, object.api_version);
                let hint = near.map(|near| format!("there is {near}"));
                self.report(Severity::Error, "schema.kind", &format!("{at}/kind"), message, hint);
            }
            Kind::Foreign => self.foreign(at, &object, value),
        }
        let line = self.document.positions.line(at);
        self.contents.objects.push((self.document.index, line, object));
    }

    fn identity(&mut self, at: &str, value: &Value, error: &IdentityError) {
        if value.get("items").is_some_and(Value::is_array) && value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List")) {
            return self.typed_list(at, "list");
        }
        let hint = match error {
            IdentityError::GenerateName => Some("give it a name in `metadata.name`"),
            IdentityError::NotAMapping => {
                Some("every document is one object; a file of Helm values is called `values.yaml` or ends with `-values.yaml`")
            }
            IdentityError::Missing("/kind" | "/apiVersion") if value.get("kind").is_none() && value.get("apiVersion").is_none() => {
                Some("a file of Helm values is called `values.yaml`, begins with `values-` or ends with `-values.yaml`")
            }
            _ => None,
        };
        let rule = if *error == IdentityError::GenerateName { "object.generate_name" } else { "object.identity" };
        self.report(Severity::Error, rule, &format!("{at}{}", error.pointer()), error.to_string(), hint.map(str::to_owned));
    }

    /// The items of a typed list need not say what they are, so they would pass unseen.
    fn typed_list(&mut self, at: &str, kind: &str) {
        let message = format!("a `{kind}` is what the API server answers, not what is kept in git");
        self.report(Severity::Error, "object.list", at, message, Some("write each object as a document of its own, or use `kind: List`".to_owned()));
    }

    fn names(&mut self, at: &str, object: &ObjectRef) {
        let name = object.name.as_str();
        // What no kind allows, because a name is a part of a URL's path.
        if name.len() > 253 || name == "." || name == ".." || name.chars().any(|c| matches!(c, '/' | '%') || c.is_whitespace() || c.is_control()) {
            let message =
                format!("{:?} is no name: at most 253 characters, without white space, `/` or `%`", name.chars().take(60).collect::<String>());
            self.report(Severity::Error, "object.name", &format!("{at}/metadata/name"), message, None);
        }
        if let Some(namespace) = &object.namespace {
            let inner = namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !inner || namespace.len() > 63 || namespace.starts_with('-') || namespace.ends_with('-') {
                let message =
                    format!("{:?} is no namespace: at most 63 lower-case letters, digits and `-`", namespace.chars().take(60).collect::<String>());
                self.report(Severity::Error, "object.namespace", &format!("{at}/metadata/namespace"), message, None);
            }
        }
    }

    fn faults(&mut self, at: &str, object: &ObjectRef, faults: Vec<Fault>) {
        for fault in faults {
            let message = format!("{object}: {}", fault.message);
            self.report(Severity::Error, fault.rule, &format!("{at}{}", fault.pointer), message, fault.hint);
        }
    }

    /// An object of a kind that is not Kubernetes' own.
    fn foreign(&mut self, at: &str, object: &ObjectRef, value: &Value) {
        match self.schemas.find(&object.api_version, &object.kind) {
            Lookup::Found(schema) => match schema.faults(value) {
                Ok(faults) => {
                    self.contents.schemas.insert(format!("{} {}", object.api_version, object.kind));
                    return self.faults(at, object, faults);
                }
                Err(problem) => {
                    let message = format!("the schema for `{}` of `{}` cannot be used: {problem}", object.kind, object.api_version);
                    self.report(Severity::Warning, "schema.unusable", &format!("{at}/kind"), message, None);
                }
            },
            Lookup::Other(near) => {
                let message = format!("there is no `{}` in `{}`", object.kind, object.api_version);
                return self.report(Severity::Error, "schema.kind", &format!("{at}/kind"), message, Some(format!("there is {near}")));
            }
            Lookup::Unknown => {}
        }
        self.contents.unchecked.insert(format!("{} {}", object.api_version, object.kind));
        let severity = match self.rules.unknown_kinds {
            UnknownKinds::Deny => Severity::Error,
            UnknownKinds::Warn => Severity::Warning,
            UnknownKinds::Allow => return,
        };
        let message = format!("there is no schema for `{}` of `{}`, so its fields were not checked", object.kind, object.api_version);
        let hint = "put its CustomResourceDefinition into a directory that `schemas` of the Repository names, or into SCHEMAS_DIR; `unknownKinds: warn` of the Cluster lets it pass";
        let hint = (severity == Severity::Error).then(|| hint.to_owned());
        self.report(severity, "schema.unknown_kind", &format!("{at}/kind"), message, hint);
    }

    fn report(&mut self, severity: Severity, rule: &str, pointer: &str, message: String, hint: Option<String>) {
        let positions: &Positions = &self.document.positions;
        self.contents.findings.push(Finding {
            severity,
            document: Some(self.document.index),
            pointer: Some(pointer.to_owned()),
            line: Some(positions.line(pointer)),
            hint,
            ..Finding::error(rule, self.path, message)
        });
    }
}
