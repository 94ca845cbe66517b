//! An MCP server whose tools models may use, as its author writes it: how it is reached, and which of its tools are let through, by name.
//! Secrets stand here only as names; nothing here connects to anything or starts anything.

use super::{McpPrograms, address};
use crate::types::{McpServerName, SecretName, SpecDuration, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What stands between the server's name and the tool's in what a model calls.
const BETWEEN: &str = "__";
/// The longest name that every provider of models takes for a tool.
const MOST_SHOWN: usize = 64;
/// The longest name of a tool at its server (MCP 2025-11-25, tools: tool names).
const MOST_NAME: usize = 128;
/// The most tools one server's document lets through.
const MOST_TOOLS: usize = 50;
/// The longest a call may take: the calls of one reply share a step with the model's answer.
const LONGEST: Duration = Duration::from_secs(120);
/// Entries of `args`, `env` and `headers`.
const MOST_ENTRIES: usize = 64;
/// The longest text among them, in bytes.
const MAX_TEXT: usize = 8 * 1024;
/// Headers of the protocol.
const OF_THE_PROTOCOL: [&str; 4] = ["accept", "last-event-id", "mcp-protocol-version", "mcp-session-id"];

/// The `spec:` of a document of kind `McpServer`: `http` or `stdio`, and the tools that are let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpServerSpec {
    /// What it is, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A server that is reached over streamable HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<McpHttpSpec>,
    /// A program that KubeOps starts and speaks with over its standard input and output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdio: Option<McpStdioSpec>,
    /// The tools that automations may name, each by its exact name. No other is ever called.
    pub tools: Vec<McpToolSpec>,
    /// How long the greeting, and each call, may take: a second to two minutes.
    #[serde(default = "thirty_seconds")]
    pub timeout: SpecDuration,
}

/// A server that is reached over streamable HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpHttpSpec {
    /// Its endpoint, such as `https://mcp.example/mcp`.
    pub url: String,
    /// Name of the secret that holds its token, sent as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretName>,
    /// Headers sent besides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, McpValueSpec>,
    /// Whether the address may be plain `http://` on another machine: then whoever is on the way reads the token and everything that is said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_http: bool,
}

/// A program that speaks over its standard input and output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpStdioSpec {
    /// Its absolute path, one of those that the server's `MCP_PROGRAMS` allows.
    pub command: String,
    /// Its arguments. Every user of the machine may see them: nothing secret belongs into them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment, all of it: nothing of the server's own is handed on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, McpValueSpec>,
}

/// A value, or the name of a secret that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum McpValueSpec {
    /// The value itself, for everybody to read.
    Value(String),
    /// Name of the secret that holds it.
    Secret(SecretName),
}

/// A tool that is let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpToolSpec {
    /// Its exact name at the server.
    pub name: String,
    /// What it is called in what models see, behind the server's name and `__`; by default its name.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub short: Option<String>,
}

impl McpToolSpec {
    /// What models call it: with the server's name before it, no tool of a server is ever taken for one of ours or of another server.
    pub fn shown(&self, server: &McpServerName) -> String {
        format!("{server}{BETWEEN}{}", self.short.as_deref().unwrap_or(&self.name))
    }

    /// Whether a name that a model calls can be that of a server's tool.
    pub fn is_shown(name: &str) -> bool {
        name.contains(BETWEEN)
    }
}

impl McpServerSpec {
    /// `http` or `stdio`.
    pub fn kind(&self) -> &'static str {
        if self.stdio.is_some() { "stdio" } else { "http" }
    }

    /// The tool of this exact name, where it is let through.
    pub fn tool(&self, name: &str) -> Option<&McpToolSpec> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Every secret it names.
    pub fn secret_names(&self) -> impl Iterator<Item = &SecretName> {
        let headers = self.http.iter().flat_map(|http| http.headers.values());
        let values = headers.chain(self.stdio.iter().flat_map(|stdio| stdio.env.values()));
        let values = values.filter_map(|value| if let McpValueSpec::Secret(name) = value { Some(name) } else { None });
        self.http.iter().filter_map(|http| http.token.as_ref()).chain(values)
    }

    /// What is wrong beyond the types, where these programs may be run: pointers into the spec.
    pub fn check(&self, name: &McpServerName, programs: &McpPrograms) -> Vec<SpecError> {
        let mut errors = match (&self.http, &self.stdio) {
            (Some(http), None) => http.check(),
            (None, Some(stdio)) => stdio.check(programs),
            _ => {
                let hint = "http: { url: https://mcp.example/mcp }, or stdio: { command: /usr/local/bin/mcp-server }";
                vec![SpecError::new("", "a server is reached in one way: exactly one of `http` and `stdio` is wanted").hint(hint)]
            }
        };
        let timeout = self.timeout.get();
        if timeout < Duration::from_secs(1) || timeout > LONGEST {
            errors.push(SpecError::new("/timeout", format!("a call may take a second to two minutes, and this says {}", self.timeout)));
        }
        errors.extend(self.check_tools(name));
        errors
    }

    fn check_tools(&self, server: &McpServerName) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.tools.is_empty() {
            errors.push(SpecError::new("/tools", "no tool is let through that is not named here: there is at least one"));
        }
        if self.tools.len() > MOST_TOOLS {
            errors.push(SpecError::new("/tools", format!("{} tools; {MOST_TOOLS} are allowed", self.tools.len())));
        }
        let (mut names, mut shown) = (BTreeSet::new(), BTreeSet::new());
        for (index, tool) in self.tools.iter().enumerate() {
            let form = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
            if tool.name.is_empty() || tool.name.len() > MOST_NAME || !tool.name.chars().all(form) {
                let message = format!("a tool's name has 1 to {MOST_NAME} letters, digits, `_`, `-`, `.` and `/`");
                let hint = "each tool is let through by its exact name: there are no patterns";
                errors.push(SpecError::new(format!("/tools/{index}/name"), message).hint(hint));
                continue;
            }
            if !names.insert(&tool.name) {
                errors.push(SpecError::new(format!("/tools/{index}/name"), format!("the tool {:?} is named twice", tool.name)));
                continue;
            }
            let field = if tool.short.is_some() { "as" } else { "name" };
            let pointer = format!("/tools/{index}/{field}");
            let called = tool.shown(server);
            let taken = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if called.len() > MOST_SHOWN || !called.chars().all(taken) || tool.short.as_deref() == Some("") {
                let message = format!(
                    "models would call it {called:?}, and providers take {MOST_SHOWN} letters, digits, `_` and `-` at most for the name of a tool"
                );
                errors.push(SpecError::new(pointer, message).hint("give it a shorter, plainer name: `as: query`"));
            } else if !shown.insert(called) {
                errors.push(SpecError::new(pointer, "another tool of this server has this name in what models see").hint("give one of them `as`"));
            }
        }
        errors
    }
}

impl McpHttpSpec {
    fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if let Err(message) = address::endpoint(&self.url, "a server's endpoint", self.plain_http) {
            let hint = "https://<host>/<path>; inside of a cluster, where nobody else is on the way, http:// with `plainHttp: true`";
            errors.push(SpecError::new("/http/url", message).hint(hint));
        }
        if self.headers.len() > MOST_ENTRIES {
            errors.push(SpecError::new("/http/headers", format!("{} headers; {MOST_ENTRIES} are allowed", self.headers.len())));
        }
        for (name, value) in &self.headers {
            let value = if let McpValueSpec::Value(value) = value { value.as_str() } else { "" };
            if let Some(message) = address::wrong_header(name, value, &OF_THE_PROTOCOL) {
                errors.push(
                    SpecError::new(format!("/http/headers/{}", escaped(name)), message).hint("the server's token is `token: <name of a secret>`"),
                );
            }
        }
        errors
    }
}

impl McpStdioSpec {
    fn check(&self, programs: &McpPrograms) -> Vec<SpecError> {
        let mut errors = Vec::new();
        let plain = |text: &str| text.len() <= MAX_TEXT && !text.contains('\0');
        if !self.command.starts_with('/') || !plain(&self.command) {
            let hint = "there is no PATH to look it up in: command: /usr/local/bin/mcp-server";
            errors.push(SpecError::new("/stdio/command", "the program's absolute path is wanted").hint(hint));
        } else if !programs.contains(&self.command) {
            let message = "this program is not among those that MCP_PROGRAMS allows: it would run as the server's own user";
            let hint = "whoever runs the server names its exact path in MCP_PROGRAMS; a server that is reached over `http` needs none";
            errors.push(SpecError::new("/stdio/command", message).hint(hint));
        }
        if self.args.len() > MOST_ENTRIES || !self.args.iter().all(|text| plain(text)) {
            let message = format!("{MOST_ENTRIES} arguments of {MAX_TEXT} bytes at most, without zero bytes");
            errors.push(SpecError::new("/stdio/args", message));
        }
        if self.env.len() > MOST_ENTRIES {
            errors.push(SpecError::new("/stdio/env", format!("{} variables; {MOST_ENTRIES} are allowed", self.env.len())));
        }
        for (name, value) in &self.env {
            let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let form = starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !form || matches!(value, McpValueSpec::Value(value) if !plain(value)) {
                let message = format!("a variable's name has letters, digits and `_`, its value {MAX_TEXT} bytes at most and no zero byte");
                errors.push(SpecError::new(format!("/stdio/env/{}", escaped(name)), message));
            }
        }
        errors
    }
}

/// A field's name in a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn thirty_seconds() -> SpecDuration {
    SpecDuration::from_millis(30_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wrong(spec: Value) -> Vec<String> {
        let spec: McpServerSpec = serde_json::from_value(spec).expect("a spec");
        spec.check(&"prometheus".parse().expect("a name"), &"/bin/x".parse().expect("a list")).into_iter().map(|error| error.pointer).collect()
    }

    fn http(http: Value) -> Value {
        json!({ "http": http, "tools": [{ "name": "query" }] })
    }

    #[test]
    fn what_is_said_in_the_clear_is_allowed_outright_or_stays_on_this_machine() {
        for (url, plain, good) in [
            ("https://mcp.example/mcp", false, true),
            ("http://127.0.0.1:8080/mcp", false, true),
            ("http://mcp.monitoring.svc:8080/mcp", false, false),
            ("http://mcp.monitoring.svc:8080/mcp", true, true),
            ("https://me:hunter2@mcp.example", false, false),
            ("ftp://mcp.example", true, false),
            ("https://mcp.example/?token=x", false, false),
        ] {
            let found = wrong(http(json!({ "url": url, "plainHttp": plain })));
            assert_eq!(found.is_empty(), good, "{url}: {found:?}");
        }
    }

    #[test]
    fn tools_are_named_exactly_once_and_as_every_provider_takes_them() {
        let tools = |tools: Value| wrong(json!({ "stdio": { "command": "/bin/x" }, "tools": tools }));
        assert!(tools(json!([{ "name": "query" }, { "name": "query_range", "as": "range" }, { "name": "a.b/c", "as": "c" }])).is_empty());
        assert_eq!(tools(json!([])), ["/tools"]);
        for (bad, place) in [
            (json!([{ "name": "*" }]), "/tools/0/name"),
            (json!([{ "name": "" }]), "/tools/0/name"),
            (json!([{ "name": "a.b" }]), "/tools/0/name"),
            (json!([{ "name": "a" }, { "name": "a" }]), "/tools/1/name"),
            (json!([{ "name": "a" }, { "name": "b", "as": "a" }]), "/tools/1/as"),
            (json!([{ "name": "b", "as": "" }]), "/tools/0/as"),
            (json!([{ "name": "b", "as": "x y" }]), "/tools/0/as"),
            (json!([{ "name": "b".repeat(60) }]), "/tools/0/name"),
        ] {
            assert_eq!(tools(bad.clone()), [place], "{bad}");
        }
    }

    #[test]
    fn a_program_has_a_path_of_its_own_and_plain_variables() {
        let stdio = |stdio: Value| wrong(json!({ "stdio": stdio, "tools": [{ "name": "query" }] }));
        assert!(
            stdio(json!({ "command": "/bin/x", "args": ["-v"], "env": { "URL": { "value": "http://x" }, "TOKEN": { "secret": "T" } } })).is_empty()
        );
        for command in ["npx", "/bin/y", "/bin/../bin/x", "/bin/x "] {
            assert_eq!(stdio(json!({ "command": command })), ["/stdio/command"], "{command}");
        }
        assert_eq!(stdio(json!({ "command": "/bin/x", "env": { "A=B": { "value": "" } } })), ["/stdio/env/A=B"]);
        assert_eq!(stdio(json!({ "command": "/bin/x", "args": ["a\0b"] })), ["/stdio/args"]);
    }

    #[test]
    fn a_server_is_reached_in_one_way_in_a_time_that_ends() {
        let both = json!({ "http": { "url": "https://x.example" }, "stdio": { "command": "/bin/x" }, "tools": [{ "name": "query" }] });
        assert_eq!(wrong(both), [""]);
        assert_eq!(wrong(json!({ "tools": [{ "name": "query" }] })), [""]);
        assert_eq!(wrong(json!({ "stdio": { "command": "/bin/x" }, "tools": [{ "name": "query" }], "timeout": "3m" })), ["/timeout"]);
        for name in ["Authorization", "mcp-session-id", "Cookie", "a b"] {
            let found = wrong(http(json!({ "url": "https://x.example", "headers": { name: { "value": "x" } } })));
            assert_eq!(found, [format!("/http/headers/{name}")]);
        }
    }

    #[test]
    fn no_name_a_model_sees_is_one_of_ours() {
        let tool = McpToolSpec { name: "propose_change".to_owned(), short: None };
        let shown = tool.shown(&"prometheus".parse().expect("a name"));
        assert_eq!(shown, "prometheus__propose_change");
        assert!(McpToolSpec::is_shown(&shown) && !McpToolSpec::is_shown("propose_change"));
    }
}
