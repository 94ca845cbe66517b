//! Channels: a Jira in the cloud and a Data Center against a fake with state and faults, webhooks and Slack against a plain server.

mod faults;
mod jira;
mod notify;
mod reading;

use crate::forge::Hand;
use crate::support::fake_jira::{EMAIL, FakeJira, NAME, TOKEN};
use kubeops::clock::Clock;
use kubeops::feedback::{Act, Jira, Makings, SecretSource};
use kubeops::inventory::JiraSpec;
use kubeops::types::LinkIcon;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "OPS-42";

fn secret(text: &str) -> SecretSource {
    let text = text.to_owned();
    Arc::new(move || Ok(text.clone().into()))
}

fn makings(secret: SecretSource, clock: &Arc<Hand>) -> Makings {
    kubeops::tls::install_provider();
    Makings { secret, clock: Arc::clone(clock) as Arc<dyn Clock>, timeout: Duration::from_secs(10) }
}

fn spec(fake: &FakeJira) -> JiraSpec {
    let (deployment, user) = if fake.is_cloud() { ("cloud", EMAIL) } else { ("dataCenter", NAME) };
    let authentication = json!({ "basic": { "user": user, "secret": "JIRA_TOKEN" } });
    serde_json::from_value(json!({ "url": fake.url(), "deployment": deployment, "authentication": authentication })).expect("a Jira")
}

fn made(spec: &JiraSpec, makings: Makings) -> Jira {
    Jira::new(&"service-desk".parse().expect("a name"), spec, makings).expect("a client")
}

fn jira(fake: &FakeJira) -> Jira {
    made(&spec(fake), makings(secret(TOKEN), &Arc::default()))
}

fn says(text: &str) -> Act {
    Act::Comment { marker: "req_1/1".to_owned(), text: text.to_owned(), public: None }
}

fn moves(to: &str, resolution: Option<&str>) -> Act {
    Act::Transition { to: to.to_owned(), fields: Map::new(), resolution: resolution.map(str::to_owned) }
}

fn links(icon: LinkIcon, resolved: bool) -> Act {
    Act::Link {
        global_id: "kubeops=req_1".to_owned(),
        url: "https://github.com/acme/gitops/pull/7".to_owned(),
        title: "acme/gitops#7".to_owned(),
        summary: Some("Namespace web".to_owned()),
        relationship: Some("pull request".to_owned()),
        icon,
        resolved,
    }
}

fn labels(add: &[&str], remove: &[&str]) -> Act {
    let owned = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    Act::Labels { add: owned(add), remove: owned(remove) }
}

fn fields(fields: Value) -> Act {
    Act::Fields { fields: fields.as_object().expect("fields").clone() }
}

fn assigns(account: Option<&str>) -> Act {
    Act::Assignee { account: account.map(str::to_owned) }
}
