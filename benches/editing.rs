//! One field of a large file set in place, a Deployment held against its schema, and a file that is a bomb refused.

use crate::Setting;
use crate::report::{Reference, Report, Sorted};
use anyhow::{anyhow, ensure};
use kubeops::manifest::{Editor, FieldPath, Limits, parse};
use kubeops::plan::{ChangeSet, EmptyTree, FileChange};
use kubeops::types::{DirectoryPath, KubernetesVersion, UnknownKinds};
use kubeops::validate::{Rules, validate};
use serde_json::{Value, json};
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Lines of the file that is edited.
const LINES: usize = 5_000;

/// Measures `edit.*` and `validate.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let count = setting.effort.pick(500, 10);
    one_edit(count, report)?;
    a_deployment(count * 10, report)?;
    a_bomb(count, report)
}

fn one_edit(count: usize, report: &mut Report) -> anyhow::Result<()> {
    let text = values(LINES)?;
    let path: FieldPath = "services.service-250.image".parse()?;
    let (mut edits, mut reads, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count + count / 10 {
        let image = json!(format!("registry.example.com/acme/service-250:2.{number}.0"));
        let begun = Instant::now();
        let mut editor = Editor::open(text.clone(), false)?;
        ensure!(editor.set(None, &path, &image)?, "nothing was edited");
        black_box(editor.text());
        edits.push(begun.elapsed());
        reads.push(timed(|| parse(&text, Limits::default()))?);
        others.push(timed(|| serde_saphyr::from_str::<Value>(&text))?);
    }
    let [edits, reads, others] = [edits, reads, others].map(|times| Sorted::new(times.into_iter().skip(count / 10).collect()));
    let reference = Reference { value: reads.millis(50.0), what: "reading the same text once" };
    report.figure("edit.5000_lines_ms", edits.millis(50.0), "ms", reference)?;
    report.note(&format!("opened, one field set, the text taken: {}", edits.told()));
    report.note(&format!("read once by serde-saphyr:             {}", others.told()));
    Ok(())
}

/// What a shared values file of many services looks like.
fn values(lines: usize) -> anyhow::Result<String> {
    let mut text = "# Values of all services.\nservices:\n".to_owned();
    for number in 0..lines / 10 {
        write!(
            text,
            "  service-{number}:\n    # Set by the release pipeline.\n    image: registry.example.com/acme/service-{number}:1.{number}.0\n    replicas: 3\n    env:\n      - name: LOG_LEVEL\n        value: info\n      - {{name: PORT, value: \"8080\"}}\n    resources:\n      limits: {{cpu: 500m, memory: 512Mi}}\n"
        )?;
    }
    Ok(text)
}

fn timed<T, E: std::error::Error + Send + Sync + 'static>(run: impl FnOnce() -> Result<T, E>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    black_box(run()?);
    Ok(begun.elapsed())
}

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: api\n  namespace: shop\n  labels: {app: api}\nspec:\n  replicas: 3\n  selector:\n    matchLabels: {app: api}\n  template:\n    metadata:\n      labels: {app: api}\n    spec:\n      securityContext: {runAsNonRoot: true}\n      containers:\n        - name: api\n          image: registry.example.com/acme/api:1.4.2\n          args: [serve, --port, \"8080\"]\n          ports:\n            - {name: http, containerPort: 8080}\n          env:\n            - name: LOG_LEVEL\n              value: info\n          readinessProbe:\n            httpGet: {path: /healthz, port: http}\n          resources:\n            requests: {cpu: 100m, memory: 128Mi}\n            limits: {memory: 256Mi}\n";

/// The whole gate on one file: paths, reading, schema, secrets, summary. Its schema is compiled by the first.
fn a_deployment(count: usize, report: &mut Report) -> anyhow::Result<()> {
    let (base, rules) = (EmptyTree::default(), Rules::new(KubernetesVersion::default(), DirectoryPath::root(), UnknownKinds::Allow));
    let (mut gates, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..count + count / 10 {
        let mut change = ChangeSet::default();
        change.files.insert("api.yaml".parse()?, FileChange::Write(DEPLOYMENT.as_bytes().to_vec()));
        let begun = Instant::now();
        let change = validate(change, &base, &rules).map_err(|error| anyhow!("{error}"))?;
        gates.push(begun.elapsed());
        ensure!(!change.evidence().schemas.is_empty(), "no schema was applied");
        reads.push(timed(|| parse(DEPLOYMENT, Limits::default()))?);
    }
    let [gates, reads] = [gates, reads].map(|times| Sorted::new(times.into_iter().skip(count / 10).collect()));
    let reference = Reference { value: reads.millis(50.0) * 1000.0, what: "reading it" };
    report.figure("validate.deployment_us", gates.millis(50.0) * 1000.0, "us", reference)?;
    report.note(&format!("through the whole gate: {}", gates.told()));
    Ok(())
}

/// Aliases of aliases: eleven short lines that would be a hundred thousand million values.
fn a_bomb(count: usize, report: &mut Report) -> anyhow::Result<()> {
    let mut bomb = "a0: &a0 x\n".to_owned();
    for level in 1..12 {
        let names = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{names}]")?;
    }
    let harmless = values(LINES)?;
    let (mut bombs, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let begun = Instant::now();
        ensure!(parse(&bomb, Limits::default()).is_err(), "the bomb was read");
        bombs.push(begun.elapsed());
        reads.push(timed(|| parse(&harmless, Limits::default()))?);
    }
    let [bombs, reads] = [bombs, reads].map(Sorted::new);
    let reference = Reference { value: reads.millis(99.0), what: "reading 5,000 harmless lines" };
    report.figure("edit.bomb_ms", bombs.millis(99.0), "ms", reference)
}
