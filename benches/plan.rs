//! From an event to a validated change: the shipped `namespace-request` automation on a ticket, with everything compiled.
//! Once with the template rendered by a child process, as the server does, and once in this process.

use crate::Setting;
use crate::report::{Reference, Report, Sorted};
use crate::server::RESOURCES;
use anyhow::{Context, anyhow};
use kubeops::app::resources_dir;
use kubeops::automation::scope_of;
use kubeops::event::Event;
use kubeops::plan::{EmptyTree, Inputs, Placeholders, Sealer};
use kubeops::render::Renderer;
use kubeops::resources::{ResourceFile, ResourceSet};
use kubeops::sandbox::{Limits, ProcessRenderer};
use kubeops::types::{EventId, KubernetesVersion, Timestamp};
use kubeops::validate::{self, ValidatedChange};
use std::sync::Arc;
use std::time::Instant;

/// Measures `plan.namespace_ms`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let files = RESOURCES.iter().map(|(name, text)| ResourceFile { path: (*name).to_owned(), text: (*text).to_owned() }).collect();
    let set = load(files)?;
    let child = ProcessRenderer::new(setting.kubeops.clone(), Arc::clone(&set.catalogue), Limits::default());
    let event = approved()?;
    // What reading a real base costs is git's figure.
    let base = EmptyTree::default();
    let (mut through_child, mut direct) = (Vec::new(), Vec::new());
    let (warm_up, count) = setting.effort.pick((200, 3000), (20, 100));
    for number in 0..warm_up + count {
        for (renderer, times) in [(&child as &dyn Renderer, &mut through_child), (set.catalogue.as_ref(), &mut direct)] {
            let begun = Instant::now();
            let change = plan(&set, &event, &base, renderer, &Placeholders)?;
            let took = begun.elapsed();
            anyhow::ensure!(!change.is_empty(), "nothing was planned");
            if number >= warm_up {
                times.push(took);
            }
        }
    }
    let (through_child, direct) = (Sorted::new(through_child), Sorted::new(direct));
    let reference = Reference { value: direct.millis(50.0), what: "rendered in this process" };
    report.figure("plan.namespace_ms", through_child.millis(50.0), "ms", reference)?;
    report.note(&format!("rendered by a child process: {}", through_child.told()));
    report.note(&format!("rendered in this process:    {}", direct.told()));
    Ok(())
}

/// Resources as the server loads them.
pub fn load(files: Vec<ResourceFile>) -> anyhow::Result<ResourceSet> {
    let catalogue = resources_dir::catalogue(None).map_err(|message| anyhow!(message))?;
    ResourceSet::load(&files, Arc::new(catalogue), KubernetesVersion::default())
        .map_err(|found| anyhow!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// What the server does between an event and a commit.
fn plan(set: &ResourceSet, event: &Event, base: &EmptyTree, renderer: &dyn Renderer, sealer: &dyn Sealer) -> anyhow::Result<ValidatedChange> {
    let (matched, _) = set.automations.matching(event);
    let automation = matched.first().context("no automation takes the event")?;
    let rule = set.rules.get(&automation.name).context("an automation without a rule")?;
    // Planning is a step of its own, which may run in another process than matching did: it reads the event again.
    let parameters = automation.parameters().read(&scope_of(event)).map_err(|errors| anyhow!("{errors:?}"))?;
    let inputs = Inputs { event, parameters: &parameters };
    let target = rule.recipe.target(inputs, &set.inventory)?;
    let change = rule.recipe.change(inputs, &target, base, renderer, sealer)?;
    let gate = validate::Rules {
        policies: set.policies.for_cluster(target.cluster.as_ref()),
        limits: target.limits,
        ..validate::Rules::new(target.kubernetes, target.path.clone(), target.unknown_kinds)
    };
    let change = validate::validate(change, base, &gate)?;
    rule.recipe.pull_text(inputs)?;
    Ok(change)
}

/// The ticket of the demo: a team asks for a namespace, and it was approved.
pub fn approved() -> anyhow::Result<Event> {
    let mut data: serde_json::Value = serde_json::from_str(include_str!("../src/cli/demo/ticket.json"))?;
    data["transition"] = serde_json::json!({ "from": "Waiting for approval", "to": "Approved", "fromId": "10202", "toId": "10203" });
    let time = Timestamp::from_unix_millis(1_795_262_400_250);
    Ok(Event {
        id: EventId::from_parts(time, 1),
        delivery: None,
        source: Some("service-desk".parse()?),
        traceparent: None,
        kind: "jira.issue.transitioned".parse()?,
        subject: "OPS-42".to_owned(),
        time,
        data,
    })
}
