//! The shape of what each call may hold, since nobody publishes a description for both: a field that is not known is refused.

use crate::support::adf;
use serde_json::Value;

/// What a value has to be.
pub(super) enum Shape {
    Text,
    Bool,
    Count,
    Any,
    /// A document, or text where it is not of version 3.
    Body,
    Null(&'static Shape),
    List(&'static Shape),
    /// Fields, each with whether it has to be there.
    Object(&'static [(&'static str, bool, Shape)]),
    /// Anything by name.
    Map,
}

use Shape::{Any, Body, Bool, Count, List, Map, Null, Object, Text};

static PROPERTY: Shape = Object(&[("key", true, Text), ("value", true, Any)]);
static COMMENT: Shape = Object(&[("body", true, Body), ("properties", false, List(&PROPERTY))]);
static TRANSITION: Shape = Object(&[("transition", true, Object(&[("id", true, Text)])), ("fields", false, Map)]);
static LABEL: Shape = Object(&[("add", false, Text), ("remove", false, Text)]);
static EDIT: Shape = Object(&[("fields", false, Map), ("update", false, Object(&[("labels", true, List(&LABEL))]))]);
static LINK: Shape = Object(&[
    ("globalId", true, Text),
    ("application", false, Object(&[("type", true, Text), ("name", true, Text)])),
    ("relationship", false, Text),
    (
        "object",
        true,
        Object(&[
            ("url", true, Text),
            ("title", true, Text),
            ("summary", false, Text),
            ("icon", false, Object(&[("title", true, Text), ("url16x16", false, Text)])),
            (
                "status",
                false,
                Object(&[
                    ("resolved", true, Bool),
                    ("icon", false, Object(&[("title", true, Text), ("link", false, Text), ("url16x16", false, Text)])),
                ]),
            ),
        ]),
    ),
]);
static ASSIGN_CLOUD: Shape = Object(&[("accountId", true, Null(&Text))]);
static ASSIGN_SERVER: Shape = Object(&[("name", true, Null(&Text))]);
static SEARCH_CLOUD: Shape = Object(&[
    ("jql", true, Text),
    ("maxResults", true, Count),
    ("fields", true, List(&Text)),
    ("expand", false, Text),
    ("nextPageToken", false, Text),
]);
static SEARCH_SERVER: Shape = Object(&[
    ("jql", true, Text),
    ("maxResults", true, Count),
    ("fields", true, List(&Text)),
    ("expand", false, List(&Text)),
    ("startAt", true, Count),
]);

/// What is wrong with a call: `below` is the path below the version, `version` 2 or 3.
pub(super) fn violations(method: &str, below: &str, query: &str, version: &str, cloud: bool, body: &Value) -> Vec<String> {
    let parts: Vec<&str> = below.trim_matches('/').split('/').collect();
    let (shape, queries): (Option<&Shape>, &[&str]) = match (method, parts.as_slice()) {
        ("GET", ["myself"]) => (None, &[]),
        ("GET", ["issue", _]) => (None, &["fields"]),
        ("GET", ["issue", _, "comment"]) => (None, &["orderBy", "expand", "startAt", "maxResults"]),
        ("GET", ["issue", _, "transitions"]) => (None, &["expand"]),
        ("GET", ["comment", _, "properties", _]) => (None, &[]),
        ("POST", ["issue", _, "comment"]) => (Some(&COMMENT), &[]),
        ("POST", ["issue", _, "transitions"]) => (Some(&TRANSITION), &[]),
        ("POST", ["issue", _, "remotelink"]) => (Some(&LINK), &[]),
        ("PUT", ["issue", _]) => (Some(&EDIT), &[]),
        ("PUT", ["issue", _, "assignee"]) => (Some(if cloud { &ASSIGN_CLOUD } else { &ASSIGN_SERVER }), &[]),
        ("POST", ["search", "jql"]) if cloud => (Some(&SEARCH_CLOUD), &[]),
        ("POST", ["search"]) if !cloud => (Some(&SEARCH_SERVER), &[]),
        _ => return vec![format!("{method} /rest/api/{version}{below}: there is no such call")],
    };
    let mut found = Vec::new();
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        if !queries.contains(&name.as_ref()) {
            found.push(format!("{method} {below}: no parameter {name}"));
        }
    }
    match shape {
        Some(shape) => check(shape, body, version, below, &mut found),
        None if *body != Value::Null => found.push(format!("{method} {below}: a body")),
        None => {}
    }
    found
}

fn check(shape: &Shape, value: &Value, version: &str, at: &str, found: &mut Vec<String>) {
    let fits = match shape {
        Text => value.is_string(),
        Bool => value.is_boolean(),
        Count => value.is_u64(),
        Any => true,
        Map => value.is_object(),
        Null(_) if value.is_null() => true,
        Null(within) => return check(within, value, version, at, found),
        Body if version == "3" => {
            found.extend(adf::violations(value).into_iter().map(|wrong| format!("{at}: {wrong}")));
            value.to_string().encode_utf16().count() <= 32_767
        }
        Body => value.as_str().is_some_and(|text| !text.trim().is_empty() && text.encode_utf16().count() <= 32_767),
        List(within) => {
            value.as_array().into_iter().flatten().for_each(|item| check(within, item, version, at, found));
            value.is_array()
        }
        Object(fields) => {
            for (name, required, within) in *fields {
                match value.get(name) {
                    Some(field) => check(within, field, version, &format!("{at}.{name}"), found),
                    None if *required => found.push(format!("{at}.{name} is missing")),
                    None => {}
                }
            }
            let known = |name: &String| fields.iter().any(|(field, ..)| field == name);
            found.extend(
                value.as_object().into_iter().flatten().filter(|(name, _)| !known(name)).map(|(name, _)| format!("{at}.{name} is not known")),
            );
            value.is_object()
        }
    };
    if !fits {
        found.push(format!("{at}: {value} is not what is wanted"));
    }
}
