//! What Atlassian's document schema allows, for the nodes we know: held against whatever claims to be a document. Any other node, field
//! or mark is refused. <https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/>

use serde_json::Value;

/// Everything about `document` that the schema does not allow.
pub fn violations(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let fields = only(document, &["version", "type", "content"], &mut found);
    if !fields || document["version"] != 1 || document["type"] != "doc" {
        found.push(format!("no document: {document}"));
    }
    let top = ["paragraph", "heading", "codeBlock", "bulletList", "orderedList", "blockquote", "table", "rule"];
    children(document, &top, &mut found);
    found
}

/// The text of a document, pieces of one block together, blocks on lines.
pub fn text_of(node: &Value) -> String {
    let content = || node["content"].as_array().into_iter().flatten().map(text_of).collect::<String>();
    match node["type"].as_str() {
        Some("text") => node["text"].as_str().unwrap_or_default().to_owned(),
        Some("hardBreak") => "\n".to_owned(),
        Some("paragraph" | "heading" | "codeBlock") => format!("{}\n", content()),
        _ => content(),
    }
}

fn node(node: &Value, found: &mut Vec<String>) {
    match node["type"].as_str().unwrap_or_default() {
        "paragraph" => {
            only(node, &["type", "content"], found);
            inline(node, found);
        }
        "heading" => {
            only(node, &["type", "attrs", "content"], found);
            if !only(&node["attrs"], &["level"], found) || !matches!(node["attrs"]["level"].as_u64(), Some(1..=6)) {
                found.push(format!("a heading's level: {node}"));
            }
            inline(node, found);
        }
        "codeBlock" => {
            only(node, &["type", "attrs", "content"], found);
            only(&node["attrs"], &["language"], found);
            for child in content(node) {
                only(child, &["type", "text"], found);
                if child["type"] != "text" || child["text"].as_str().is_none_or(str::is_empty) {
                    found.push(format!("code holds text alone: {child}"));
                }
            }
        }
        "bulletList" | "orderedList" => {
            only(node, &["type", "attrs", "content"], found);
            only(&node["attrs"], &["order"], found);
            filled(node, found);
            children(node, &["listItem"], found);
        }
        "listItem" => {
            only(node, &["type", "content"], found);
            filled(node, found);
            if content(node).next().is_some_and(|first| !matches!(first["type"].as_str(), Some("paragraph" | "codeBlock"))) {
                found.push(format!("a list item begins with text: {node}"));
            }
            children(node, &["paragraph", "bulletList", "orderedList", "codeBlock"], found);
        }
        "blockquote" => {
            only(node, &["type", "content"], found);
            filled(node, found);
            children(node, &["paragraph", "bulletList", "orderedList", "codeBlock"], found);
        }
        "table" => {
            only(node, &["type", "content"], found);
            filled(node, found);
            children(node, &["tableRow"], found);
        }
        "tableRow" => {
            only(node, &["type", "content"], found);
            filled(node, found);
            children(node, &["tableCell", "tableHeader"], found);
        }
        "tableCell" | "tableHeader" => {
            only(node, &["type", "attrs", "content"], found);
            filled(node, found);
            children(node, &["paragraph"], found);
        }
        "rule" => drop(only(node, &["type"], found)),
        _ => found.push(format!("no node of ours: {node}")),
    }
}

fn inline(node: &Value, found: &mut Vec<String>) {
    for child in content(node) {
        match child["type"].as_str() {
            Some("hardBreak") => drop(only(child, &["type"], found)),
            Some("text") => {
                only(child, &["type", "text", "marks"], found);
                if child["text"].as_str().is_none_or(|text| text.is_empty() || text.contains('\n')) {
                    found.push(format!("a text is on one line and not empty: {child}"));
                }
                marks(child, found);
            }
            _ => found.push(format!("no piece of a line: {child}")),
        }
    }
}

fn marks(text: &Value, found: &mut Vec<String>) {
    let Some(marks) = text.get("marks") else { return };
    let marks = marks.as_array().filter(|marks| !marks.is_empty()).cloned().unwrap_or_default();
    let kinds: Vec<&str> = marks.iter().filter_map(|mark| mark["type"].as_str()).collect();
    let mut once = kinds.clone();
    once.sort_unstable();
    once.dedup();
    if kinds.is_empty() || once.len() != marks.len() {
        found.push(format!("marks are there once each: {text}"));
    }
    for mark in &marks {
        match mark["type"].as_str() {
            Some("strong" | "em" | "strike" | "code") => drop(only(mark, &["type"], found)),
            Some("link") => {
                only(mark, &["type", "attrs"], found);
                only(&mark["attrs"], &["href"], found);
                let href = mark["attrs"]["href"].as_str().unwrap_or_default();
                if !href.starts_with("https://") && !href.starts_with("http://") {
                    found.push(format!("a link leads to the web: {mark}"));
                }
            }
            _ => found.push(format!("no mark of ours: {mark}")),
        }
    }
    if kinds.contains(&"code") && kinds.iter().any(|kind| !matches!(*kind, "code" | "link")) {
        found.push(format!("code may be a link and nothing else: {text}"));
    }
}

fn content(node: &Value) -> impl Iterator<Item = &Value> {
    node["content"].as_array().into_iter().flatten()
}

fn filled(node: &Value, found: &mut Vec<String>) {
    if content(node).next().is_none() {
        found.push(format!("nothing in it: {node}"));
    }
}

fn children(of: &Value, allowed: &[&str], found: &mut Vec<String>) {
    for child in content(of) {
        if !child["type"].as_str().is_some_and(|kind| allowed.contains(&kind)) {
            found.push(format!("may not stand in {}: {child}", of["type"]));
        }
        node(child, found);
    }
}

/// Whether the value has these fields alone; one that is missing is no object's at all.
fn only(value: &Value, fields: &[&str], found: &mut Vec<String>) -> bool {
    let strange: Vec<&String> =
        value.as_object().into_iter().flatten().map(|(name, _)| name).filter(|name| !fields.contains(&name.as_str())).collect();
    if !strange.is_empty() {
        found.push(format!("fields that are not known, {strange:?}: {value}"));
    }
    strange.is_empty()
}
