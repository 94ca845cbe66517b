//! The schemas of a `CustomResourceDefinition`, as JSON Schema that is as strict as an API server that prunes.
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>

use serde_json::{Map, Value, json};

/// One version of a kind that a definition brings.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// Whether the API server takes it.
    pub(super) served: bool,
    /// Its schema, translated.
    pub(super) schema: Value,
}

/// Whether a document is a definition.
pub(super) fn is_definition(document: &Value) -> bool {
    document.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition")
        && document.get("apiVersion").and_then(Value::as_str).is_some_and(|version| version.starts_with("apiextensions.k8s.io/"))
}

/// The versions of a definition that have a schema.
pub(super) fn versions(document: &Value) -> Vec<Version> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else { return Vec::new() };
    // v1beta1 has one schema for every version.
    let shared = document.pointer("/spec/validation/openAPIV3Schema");
    let versions = document.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    versions
        .filter_map(|version| {
            let schema = version.pointer("/schema/openAPIV3Schema").or(shared)?;
            Some(Version {
                group: group.clone(),
                kind: kind.clone(),
                name: version.get("name")?.as_str()?.to_owned(),
                served: version.get("served").and_then(Value::as_bool).unwrap_or(true),
                schema: whole(schema),
            })
        })
        .collect()
}

/// The schema of a whole object: every object has a type and metadata, whatever the definition says of them.
fn whole(schema: &Value) -> Value {
    let mut schema = structural(schema);
    if let Value::Object(fields) = &mut schema {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.insert("apiVersion".to_owned(), json!({ "type": "string" }));
            properties.insert("kind".to_owned(), json!({ "type": "string" }));
            // What the definition asks of a name stays beside what Kubernetes asks of metadata.
            let own = properties.get("metadata").and_then(|metadata| metadata.pointer("/properties/name")).cloned();
            let mut metadata = vec![json!({ "$ref": "#/$defs/ObjectMeta" })];
            metadata.extend(own.map(|name| json!({ "properties": { "name": name } })));
            properties.insert("metadata".to_owned(), json!({ "allOf": metadata }));
        }
        fields.shift_remove("maxProperties");
        if fields.get("x-open").is_none() {
            fields.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        fields.insert("type".to_owned(), Value::from("object"));
    }
    schema
}

/// A structural schema: what it specifies is closed to fields it does not name, unless it says that unknown fields are kept.
fn structural(schema: &Value) -> Value {
    let Value::Object(source) = schema else { return schema.clone() };
    let flag = |name: &str| source.get(name) == Some(&Value::Bool(true));
    let mut out = values(source);
    if let Some(properties) = source.get("properties").and_then(Value::as_object) {
        out.insert("properties".to_owned(), properties.iter().map(|(name, schema)| (name.clone(), structural(schema))).collect());
    }
    if let Some(items) = source.get("items") {
        out.insert("items".to_owned(), structural(items));
    }
    let additional = source.get("additionalProperties");
    if let Some(schema @ Value::Object(_)) = additional {
        out.insert("additionalProperties".to_owned(), structural(schema));
    }
    let is_object = source.get("type").and_then(Value::as_str) == Some("object") || source.contains_key("properties");
    let open = flag("x-kubernetes-preserve-unknown-fields") || additional == Some(&Value::Bool(true));
    if flag("x-kubernetes-embedded-resource") {
        let properties = out.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            for name in ["apiVersion", "kind", "metadata"] {
                properties.entry(name).or_insert(Value::Bool(true));
            }
        }
    }
    if is_object && !open && !out.contains_key("additionalProperties") {
        // A mapping of which nothing is specified loses whatever is put into it.
        match out.contains_key("properties") {
            true => out.insert("additionalProperties".to_owned(), Value::Bool(false)),
            false => out.insert("maxProperties".to_owned(), Value::from(0)),
        };
    }
    if open {
        out.insert("x-open".to_owned(), Value::Bool(true));
    }
    out.into()
}

/// What a schema says of values: types, bounds, patterns, required fields. Defaults are given before validation, so a field that has one is
/// never missing.
fn values(source: &Map<String, Value>) -> Map<String, Value> {
    const KEPT: [&str; 11] = [
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "multipleOf",
        "required",
    ];
    let mut out: Map<String, Value> = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), source.get(*key)?.clone()))).collect();
    if out.get("pattern").and_then(Value::as_str).is_some_and(|pattern| regex::Regex::new(pattern).is_err()) {
        // A pattern of a dialect that is not known here: the API server will say what it thinks of the value.
        out.shift_remove("pattern");
    }
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        let Some(value) = source.get(bound) else { continue };
        // OpenAPI 3.0 says by a truth value that a bound is exclusive.
        let name = if source.get(exclusive) == Some(&Value::Bool(true)) { exclusive } else { bound };
        out.insert(name.to_owned(), value.clone());
    }
    let nullable = source.get("nullable") == Some(&Value::Bool(true));
    if source.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        out.insert("type".to_owned(), if nullable { json!(["integer", "string", "null"]) } else { json!(["integer", "string"]) });
    } else if let Some(kind) = source.get("type").and_then(Value::as_str) {
        out.insert("type".to_owned(), if nullable { json!([kind, "null"]) } else { Value::from(kind) });
    }
    if nullable && let Some(Value::Array(options)) = out.get_mut("enum") {
        options.push(Value::Null);
    }
    if let Some(Value::Array(required)) = out.get_mut("required") {
        let has_default = |name: &Value| {
            let property = name.as_str().and_then(|name| source.get("properties")?.get(name));
            property.is_some_and(|property| property.get("default").is_some())
        };
        required.retain(|name| !has_default(name));
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        // Where a number or a text is taken, `type` above says so already.
        if junctor == "anyOf" && source.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            continue;
        }
        if let Some(parts) = source.get(junctor).and_then(Value::as_array) {
            out.insert(junctor.to_owned(), parts.iter().map(validation).collect());
        }
    }
    if let Some(not) = source.get("not") {
        out.insert("not".to_owned(), validation(not));
    }
    out
}

/// A schema within a junctor: it only says more of what is specified outside, and closes nothing.
fn validation(schema: &Value) -> Value {
    let Value::Object(source) = schema else { return schema.clone() };
    let mut out = values(source);
    if let Some(properties) = source.get("properties").and_then(Value::as_object) {
        out.insert("properties".to_owned(), properties.iter().map(|(name, schema)| (name.clone(), validation(schema))).collect());
    }
    for key in ["items", "additionalProperties"] {
        if let Some(schema @ Value::Object(_)) = source.get(key) {
            out.insert(key.to_owned(), validation(schema));
        }
    }
    out.into()
}
