//! The language model of a run: for each ticket it looks around first, then answers with what is not allowed, and then with what was asked for.
//! It keeps no count: what it says follows from the conversation alone, so whoever asks again after a crash hears the same.

use crate::support::fake_llm::{Asked, FakeLlm, Said};
use serde_json::{Value, json};

/// The automation whose changes it drafts.
pub const AUTOMATION: &str = "apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: draft-request }
spec:
  on: { source: service-desk, types: [jira.issue.transitioned] }
  when: event.data.issue.fields.issuetype.name == \"Draft\" && event.data.transition.to == \"Approved\"
  correlate: event.subject
  parameters:
    team: { from: event.data.issue.fields.customfield_10050, schema: { type: string, pattern: '^team-[0-9]+$' } }
    order: { from: event.data.issue.fields.customfield_10051, schema: { type: string, pattern: '^[0-9]+$' } }
  target: { repository: gitops, path: clusters/prod-eu }
  limits: { loop: { changes: 0 } }
  draft:
    instructions: Note the order of the team that asks.
    write: ['drafts/**/*.yaml']
    allow:
      - { kinds: [ConfigMap], fields: [data], add: true }
    # Each kill in the middle of a call counts for what it may have cost.
    budget: { tokens: 100000000 }
  pullRequest:
    title: \"Draft {{ parameters.team }} ({{ event.subject }})\"
    labels: [drafted]
    reviewers: [platform-team]
";

/// It, running.
pub fn start() -> FakeLlm {
    let model = FakeLlm::start();
    model.answers(says);
    model
}

fn says(asked: &Asked) -> Said {
    let messages = asked.body["messages"].as_array().cloned().unwrap_or_default();
    match messages.iter().filter(|message| message["role"] == "assistant").count() {
        0 => Said::calls("list_files", json!({ "directory": "drafts" })),
        1 => Said::calls("propose_change", change("secrets", "1", "1")),
        _ => {
            let told: String = messages.iter().map(|message| text(&message["content"])).collect();
            let [team, order] = ["customfield_10050", "customfield_10051"].map(|field| value(&told, field));
            Said::calls("propose_change", change("drafts", &team, &order))
        }
    }
}

fn change(directory: &str, team: &str, order: &str) -> Value {
    let manifest = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {team}\n  namespace: drafts\ndata:\n  order: \"{order}\"\n");
    let file = format!("clusters/prod-eu/{directory}/{team}.yaml");
    json!({ "operations": [{ "file": { "file": file, "content": manifest } }], "explanation": "The order is noted." })
}

fn text(content: &Value) -> String {
    match content {
        Value::Array(parts) => parts.iter().map(|part| text(&part["text"])).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// The text of a field of the event, which is shown as JSON.
fn value(told: &str, field: &str) -> String {
    let after = told.split(field).nth(1).unwrap_or_else(|| panic!("{field} in {told}"));
    after.split('"').nth(2).unwrap_or_default().trim_end_matches('\\').to_owned()
}
