//! What of a server's tools is shown to a model, and what is refused.

use super::super::{Redactor, Tool};
use super::offer::{OfferedTool, fit};
use crate::inventory::McpToolSpec;
use secrecy::SecretString;
use serde_json::{Value, json};

fn offered(name: &str, schema: Value) -> OfferedTool {
    OfferedTool { name: name.to_owned(), description: "Asks.".to_owned(), schema, reads_only: None, destroys: None }
}

fn fitting(tools: &[OfferedTool]) -> Result<Tool, String> {
    let wanted = McpToolSpec { name: "query".to_owned(), short: Some("ask".to_owned()) };
    fit(&"prometheus".parse().expect("a name"), &wanted, tools).map_err(|error| error.to_string())
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({ "type": "object" }), |inner, _| json!({ "type": "object", "properties": { "a": inner } }))
}

#[test]
fn a_tool_is_shown_under_its_servers_name_and_in_its_words() {
    let schema = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "title": "Query", "type": "object", "properties": { "query": { "type": "string" } } });
    let tool = fitting(&[offered("other", json!({})), offered("query", schema)]).expect("a tool");
    assert_eq!((tool.name.as_str(), tool.description.as_str()), ("prometheus__ask", "A tool of the server prometheus, in its words: Asks."));
    assert_eq!(tool.parameters, json!({ "type": "object", "properties": { "query": { "type": "string" } } }));
    assert_eq!(fitting(&[offered("query", json!({}))]).expect("a tool").parameters, json!({ "type": "object", "properties": {} }));
}

#[test]
fn a_tool_that_is_not_there_does_not_only_read_or_has_no_plain_schema_is_refused() {
    let query = || offered("query", json!({ "type": "object" }));
    for (tools, says) in [
        (vec![offered("quer", json!({}))], "no tool of this name"),
        (vec![query(), query()], "two tools of this name"),
        (vec![OfferedTool { reads_only: Some(false), ..query() }], "does not only read"),
        (vec![OfferedTool { reads_only: Some(true), destroys: Some(true), ..query() }], "does not only read"),
        (vec![offered("query", json!({ "type": "array" }))], "no object"),
        (vec![offered("query", nested(20))], "nested too deeply"),
        (vec![offered("query", json!({ "description": "x".repeat(20_000) }))], "too large"),
    ] {
        let error = fitting(&tools).expect_err(says);
        assert!(error.starts_with("the tool query of the MCP server prometheus cannot be used: ") && error.contains(says), "{error}");
    }
    assert!(fitting(&[OfferedTool { reads_only: Some(true), destroys: Some(false), ..query() }]).is_ok());
    assert!(fitting(&[offered("query", nested(5))]).is_ok());
}

#[test]
fn a_description_is_freed_of_secrets_and_cut_and_doing_so_again_changes_nothing() {
    let mut redactor = Redactor::new("salt", Vec::new(), &[SecretString::from("hunter2-of-old")]);
    let schema =
        json!({ "type": "object", "properties": { "hunter2-of-old": { "description": "not hunter2-of-old", "default": ["hunter2-of-old", 1] } } });
    let tool = Tool { name: "a__b".to_owned(), description: format!("hunter2-of-old {}", "word ".repeat(2_000)), parameters: schema };
    let shown = redactor.redact_tool(&tool);
    let text = format!("{}{}", shown.description, shown.parameters);
    assert!(!text.contains("hunter2") && text.matches("⟦withheld:").count() == 4, "{text}");
    assert!(shown.description.ends_with(" (cut here)") && shown.description.chars().count() < 4_100);
    assert_eq!(redactor.redact_tool(&shown), shown);
}
