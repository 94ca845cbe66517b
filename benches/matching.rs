//! One event, a thousand automations that listen to its source and type.

use crate::Setting;
use crate::plan::{approved, load};
use crate::report::{Reference, Report, Sorted};
use crate::server::RESOURCES;
use kubeops::event::Event;
use kubeops::resources::{ResourceFile, ResourceSet};
use std::fmt::Write;
use std::time::Instant;

/// Automations loaded.
const MANY: usize = 1000;

/// Measures `match.1000_p99_ms`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let event = approved()?;
    let count = setting.effort.pick(3000, 100);
    let few = times(&loaded(1, mixed)?, &event, count);
    let many = times(&loaded(MANY, mixed)?, &event, count);
    report.figure("match.1000_p99_ms", many.millis(99.0), "ms", Reference { value: few.millis(99.0), what: "one automation loaded" })?;
    report.note(&format!("a mix of conditions:              {}", many.told()));
    let worst = times(&loaded(MANY, unindexed)?, &event, count / 3);
    report.note(&format!("none that an index could help:    {}", worst.told()));
    Ok(())
}

fn times(set: &ResourceSet, event: &Event, count: usize) -> Sorted {
    for _ in 0..count / 10 {
        std::hint::black_box(set.automations.matching(event));
    }
    let time = |_| {
        let begun = Instant::now();
        std::hint::black_box(set.automations.matching(event));
        begun.elapsed()
    };
    Sorted::new((0..count).map(time).collect())
}

/// What a large company's rules look like: most name the kind of ticket, some the project or a label's text; every tenth has
/// nothing that could be indexed.
fn mixed(number: usize) -> String {
    match number % 10 {
        0..=5 => format!("event.data.issue.fields.issuetype.name == \"Request {number}\" && event.data.transition.to == \"Approved\""),
        6..=7 => format!(
            "event.data.issue.fields.project.key == \"TEAM{number}\" && event.data.issue.fields.summary.startsWith(\"Scale\") && event.data.transition.to == \"Approved\""
        ),
        8 => format!("event.data.transition.to == \"Approved\" && event.data.issue.fields.priority.name == \"High {number}\""),
        _ => unindexed(number),
    }
}

/// A condition that has to be evaluated to be known.
fn unindexed(number: usize) -> String {
    format!("event.data.issue.fields.summary.contains(\"team {number}\") && event.data.issue.key.startsWith(\"OPS-\")")
}

/// The shipped resources with `count` automations more.
fn loaded(count: usize, condition: fn(usize) -> String) -> anyhow::Result<ResourceSet> {
    let mut files: Vec<ResourceFile> =
        RESOURCES.iter().map(|(name, text)| ResourceFile { path: (*name).to_owned(), text: (*text).to_owned() }).collect();
    let mut text = String::new();
    for number in 0..count {
        write!(
            text,
            "---\napiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: {{ name: rule-{number} }}\nspec:\n  on: {{ source: service-desk, types: [jira.issue.transitioned] }}\n  when: >-\n    {}\n  parameters:\n    team: {{ from: event.data.issue.fields.customfield_10050, schema: {{ type: string }} }}\n    cpu: {{ default: \"4\", schema: {{ type: string }} }}\n  target: {{ cluster: prod-eu }}\n  render:\n    - {{ template: namespace, path: \"namespaces/{{{{ parameters.team }}}}.yaml\" }}\n  pullRequest: {{ title: \"Rule {number}\" }}\n",
            condition(number)
        )?;
    }
    files.push(ResourceFile { path: "rules.yaml".to_owned(), text });
    load(files)
}
