//! MCP servers: what is taken, what is wrong and where, the secrets they name, and the tools that automations name.

use super::*;

const SERVER: &str = "apiVersion: kubeops.dev/v1alpha1
kind: McpServer
metadata: { name: prometheus }
spec:
  http:
    url: https://mcp.example/mcp
    token: MCP_TOKEN
    headers: { X-Scope-OrgID: { value: shop }, X-Key: { secret: MCP_KEY } }
  tools:
    - name: execute_query
      as: query
    - name: list_metrics
";

const PROGRAM: &str = "apiVersion: kubeops.dev/v1alpha1
kind: McpServer
metadata: { name: owners }
spec:
  stdio: { command: /bin/owners, env: { TOKEN: { secret: OWNERS_TOKEN } } }
  tools: [{ name: owner_of }]
";

/// What holds where these programs may be run.
fn allowing(programs: &str) -> Defaults {
    Defaults { programs: programs.parse().expect("programs"), ..KubernetesVersion::default().into() }
}

#[test]
fn a_program_is_refused_unless_whoever_runs_the_server_allows_it() {
    for programs in ["", "/bin/owner", "/bin", "/usr/bin/owners"] {
        let found = load_with(&[("a.yaml", PROGRAM)], allowing(programs)).err().expect("refused");
        let told = found[0].to_string();
        assert!(found.len() == 1 && told.starts_with("a.yaml:5:12: error: McpServer/owners: this program is not among"), "{programs:?}: {told}");
        assert!(told.contains("MCP_PROGRAMS") && told.contains("hint: whoever runs the server"), "{told}");
    }
    assert!(load_with(&[("a.yaml", PROGRAM)], allowing("/opt/x,/bin/owners")).is_ok());
}

#[test]
fn a_server_is_taken_with_the_secrets_it_names() {
    let set = load_with(&[("a.yaml", &format!("{SERVER}---\n{PROGRAM}"))], allowing("/bin/owners")).unwrap_or_else(|found| panic!("{found:?}"));
    let kinds: Vec<(&str, &str)> = set.inventory.mcp_servers.iter().map(|(name, server)| (name.as_str(), server.spec.kind())).collect();
    assert_eq!(kinds, [("owners", "stdio"), ("prometheus", "http")]);
    let names: Vec<&str> = set.secret_names().map(|name| name.as_str()).collect();
    assert_eq!(names, ["MCP_KEY", "MCP_TOKEN", "OWNERS_TOKEN"]);
    let told = set.secret_problem(&"MCP_TOKEN".parse().expect("a name"), "the secret MCP_TOKEN is not there");
    assert_eq!((told[0].line, told[0].resource.as_deref()), (7, Some("McpServer/prometheus")));
}

#[test]
fn what_is_wrong_with_a_server_is_told_at_its_place_with_a_hint() {
    for (from, to, place, message, hint) in [
        ("https://mcp", "http://mcp", "a.yaml:6:5", "in the clear", "plainHttp: true"),
        ("    token:", "    tokn:", "a.yaml:7:5", "there is no field `tokn` here", "did you mean `token`?"),
        ("token: MCP_TOKEN", "token: ghp_x/Fake==", "a.yaml:7:12", "a secret's name is wanted here", "take another one"),
        ("name: list_metrics", "name: list_*", "a.yaml:12:7", "a tool's name has", "there are no patterns"),
        ("name: list_metrics", "name: execute_query", "a.yaml:12:7", "is named twice", ""),
        ("as: query", "as: list_metrics", "a.yaml:12:7", "another tool of this server has this name", "`as`"),
        ("  tools:", "  timeout: 1h\n  tools:", "a.yaml:9:3", "a second to two minutes", ""),
        ("X-Key", "Authorization", "a.yaml:8:48", "cannot be set here", "`token:"),
    ] {
        let text = SERVER.replacen(from, to, 1);
        assert_ne!(text, SERVER, "{from}");
        let found = errors(&[("a.yaml", &text)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(place) && found[0].contains(message) && found[0].contains(hint), "{to}: {}", found[0]);
        assert!(!found[0].contains("Fake"), "{}", found[0]);
    }
}
