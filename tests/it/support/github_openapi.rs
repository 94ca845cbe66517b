//! GitHub's own OpenAPI description (npm `@octokit/openapi`, fetched by `scripts/setup.sh test`): every request the fake
//! receives is held against it, and the fake's answers begin with its examples.

use super::loopback::Request;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/contracts/api.github.com.json");

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}; `make setup` fetches it"));
    serde_json::from_slice(&text).expect("GitHub's description is JSON")
});

/// Compiled schemas by where they stand.
static COMPILED: LazyLock<Mutex<HashMap<String, Arc<jsonschema::Validator>>>> = LazyLock::new(Mutex::default);

/// GitHub's own example of an answer.
pub fn example(name: &str) -> Value {
    let value = &DESCRIPTION["components"]["examples"][name]["value"];
    assert!(!value.is_null(), "GitHub's description has no example {name}");
    value.clone()
}

/// Whether GitHub says that people are notified of this call, so that it must not be made too quickly.
pub fn notifies(method: &str, path: &str) -> bool {
    operation(method, path).is_some_and(|(_, operation)| operation.pointer("/x-github/triggersNotification") == Some(&Value::Bool(true)))
}

/// What is wrong with a request by GitHub's description; nothing when it is as described. `path` is the part below the API's
/// address.
pub fn violations(request: &Request, path: &str) -> Vec<String> {
    let mut wrong = header_violations(request);
    let Some((template, operation)) = operation(&request.method, path) else {
        wrong.push(format!("there is no operation {} {path}", request.method));
        return wrong;
    };
    let at = format!("{} {template}", request.method);
    let parameters: Vec<Value> = operation["parameters"].as_array().into_iter().flatten().map(resolved).collect();
    let place = format!("/paths/{}/{}", escape(&template), request.method.to_lowercase());
    for (given, wanted) in path.split('/').zip(template.split('/')) {
        if let Some(name) = wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            wrong.extend(parameter_violations(&at, &parameters, "path", name, given));
        }
    }
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        wrong.extend(parameter_violations(&at, &parameters, "query", name, value));
    }
    wrong.extend(body_violations(request, operation, &place).into_iter().map(|error| format!("{at}: {error}")));
    wrong
}

/// What GitHub wants in the head of every request.
/// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#headers>
pub fn header_violations(request: &Request) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut want = |name: &str, fits: &dyn Fn(&str) -> bool| match request.headers.get(name) {
        Some(value) if fits(value) => {}
        value => wrong.push(format!("{} {}: the header {name} is {value:?}", request.method, request.path)),
    };
    want("user-agent", &|value| value.starts_with("kubeops/"));
    want("accept", &|value| value == "application/vnd.github+json");
    want("authorization", &|value| value.starts_with("Bearer "));
    want("x-github-api-version", &|value| value == "2022-11-28");
    if !request.body.is_empty() {
        want("content-type", &|value| value == "application/json");
    }
    wrong
}

fn parameter_violations(at: &str, parameters: &[Value], place: &str, name: &str, given: &str) -> Vec<String> {
    let Some(parameter) = parameters.iter().find(|parameter| parameter["in"] == place && parameter["name"] == name) else {
        return vec![format!("{at} has no {place} parameter {name}")];
    };
    let value = match parameter["schema"]["type"].as_str() {
        Some("integer" | "number") => given.parse::<i64>().map_or_else(|_| json!(given), |number| json!(number)),
        Some("boolean") => given.parse::<bool>().map_or_else(|_| json!(given), |word| json!(word)),
        _ => json!(given),
    };
    let validator = compiled(&format!("{at} {place} {name}"), &parameter["schema"]);
    validator.iter_errors(&value).map(|error| format!("{at}: {name}={given}: {error}")).collect()
}

fn body_violations(request: &Request, operation: &Value, place: &str) -> Vec<String> {
    let schema = operation.pointer("/requestBody/content/application~1json/schema");
    if request.body.is_empty() {
        let wanted = operation.pointer("/requestBody/required") == Some(&Value::Bool(true));
        return if wanted { vec!["it wants a body".to_owned()] } else { Vec::new() };
    }
    let Some(schema) = schema else { return vec!["it takes no body".to_owned()] };
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => return vec![format!("the body is no JSON: {error}")],
    };
    let mut wrong: Vec<String> = compiled(place, schema).iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    // Their schemas leave objects open: a field they do not name would go unnoticed.
    if let Some(known) = schema["properties"].as_object() {
        let unknown = body.as_object().into_iter().flat_map(|fields| fields.keys()).filter(|name| !known.contains_key(*name));
        wrong.extend(unknown.map(|name| format!("there is no field {name}")));
    }
    wrong
}

/// What is wrong with an answer to an operation by its description.
pub fn answer_violations(method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
    let Some((template, operation)) = operation(method, path) else { return Vec::new() };
    let answer = &operation["responses"][status.to_string().as_str()];
    let Some(schema) = answer.pointer("/content/application~1json/schema") else { return Vec::new() };
    let place = format!("{method} {template} {status}");
    compiled(&place, schema).iter_errors(body).map(|error| format!("{place} {}: {error}", error.instance_path())).collect()
}

fn compiled(place: &str, schema: &Value) -> Arc<jsonschema::Validator> {
    let mut known = COMPILED.lock().expect("the schemas");
    if let Some(known) = known.get(place) {
        return Arc::clone(known);
    }
    let mut whole = schema.clone();
    let mut components = BTreeMap::new();
    reach(schema, &mut components);
    for (reference, component) in components {
        // `#/components/<kind>/<name>`, as deep as it stands there.
        let mut parts = reference.split('/').skip(1);
        let (Some(_), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else { continue };
        whole["components"][kind][name] = component;
    }
    allow_null(&mut whole);
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&whole).expect("GitHub's schema compiles");
    let validator = Arc::new(validator);
    known.insert(place.to_owned(), Arc::clone(&validator));
    validator
}

/// OpenAPI 3.0 says `nullable` where JSON Schema says that null is one of the types.
fn allow_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(allow_null);
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                let rest = Value::Object(std::mem::take(fields));
                fields.insert("anyOf".to_owned(), json!([{ "type": "null" }, rest]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(allow_null),
        _ => {}
    }
}

/// The components a schema refers to, and those they refer to.
fn reach(schema: &Value, found: &mut BTreeMap<String, Value>) {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str)
                && !found.contains_key(reference)
            {
                let component = DESCRIPTION.pointer(reference.trim_start_matches('#')).cloned().unwrap_or_default();
                found.insert(reference.to_owned(), component.clone());
                reach(&component, found);
            }
            fields.values().for_each(|value| reach(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| reach(item, found)),
        _ => {}
    }
}

fn operation(method: &str, path: &str) -> Option<(String, &'static Value)> {
    let paths = DESCRIPTION["paths"].as_object().expect("paths");
    // Of several templates that fit, the one with the fewest variables is meant.
    let mut fitting: Vec<&String> = paths.keys().filter(|template| fits(template, path)).collect();
    fitting.sort_by_key(|template| template.matches('{').count());
    fitting.into_iter().find_map(|template| Some((template.clone(), paths[template].get(method.to_lowercase())?)))
}

fn fits(template: &str, path: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    wanted.len() == given.len() && wanted.iter().zip(&given).all(|(wanted, given)| wanted == given || (wanted.starts_with('{') && !given.is_empty()))
}

fn resolved(parameter: &Value) -> Value {
    match parameter["$ref"].as_str() {
        Some(reference) => DESCRIPTION.pointer(reference.trim_start_matches('#')).cloned().unwrap_or_default(),
        None => parameter.clone(),
    }
}

fn escape(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1")
}

/// An example with some of its fields replaced.
pub fn example_with(name: &str, fields: Value) -> Value {
    let mut whole = example(name);
    let Value::Object(fields) = fields else { panic!("fields") };
    overlay(&mut whole, fields);
    whole
}

fn overlay(whole: &mut Value, fields: Map<String, Value>) {
    for (name, value) in fields {
        match (whole.get_mut(&name), value) {
            (Some(Value::Object(_)), Value::Object(inner)) if !inner.is_empty() => overlay(&mut whole[&name], inner),
            (_, value) => whole[name] = value,
        }
    }
}
