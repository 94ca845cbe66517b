//! GitHub's own OpenAPI description (npm `@octokit/openapi`, fetched by `scripts/setup.sh test`): what we send is held against it.

use super::fake_github::Seen;
use serde_json::Value;
use std::sync::LazyLock;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/contracts/api.github.com.json");

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}; `make setup` fetches it"));
    serde_json::from_slice(&text).expect("GitHub's description is JSON")
});

/// What is wrong with a request by GitHub's description; nothing when it is as described.
pub fn violations(seen: &Seen) -> Vec<String> {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let Some((template, operation)) = operation(&seen.method, path) else {
        return vec![format!("there is no operation {} {path}", seen.method)];
    };
    let mut wrong = Vec::new();
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        let known = parameters.iter().map(resolved).any(|parameter| parameter["in"] == "query" && parameter["name"] == name);
        if !known {
            wrong.push(format!("{} {template} has no query parameter {name}", seen.method));
        }
    }
    let body = format!("/paths/{}/{}/requestBody/content/application~1json/schema", escape(&template), seen.method.to_lowercase());
    match (DESCRIPTION.pointer(&body), seen.body.is_null()) {
        (None, false) => wrong.push(format!("{} {template} takes no body", seen.method)),
        (Some(_), true) if operation.pointer("/requestBody/required") == Some(&Value::Bool(true)) => wrong.push(format!("{template} wants a body")),
        (Some(described), false) => {
            // The body's schema with the components it refers to beside it.
            let mut schema = described.clone();
            schema["components"] = DESCRIPTION["components"].clone();
            let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).expect("GitHub's schema compiles");
            wrong.extend(validator.iter_errors(&seen.body).map(|error| format!("{template}{}: {error}", error.instance_path())));
            // Their schemas leave objects open: a field they do not name would go unnoticed.
            if let Some(known) = DESCRIPTION.pointer(&format!("{body}/properties")).and_then(Value::as_object) {
                let unknown = seen.body.as_object().into_iter().flat_map(|fields| fields.keys()).filter(|name| !known.contains_key(*name));
                wrong.extend(unknown.map(|name| format!("{template} has no field {name}")));
            }
        }
        _ => {}
    }
    wrong
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
