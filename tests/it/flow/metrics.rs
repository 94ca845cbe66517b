//! What is shipped for Prometheus and Grafana speaks of what a running server really tells.

use super::github::World;
use crate::support::fake_github::FakeGithub;
use crate::support::nats::NatsServer;
use crate::support::server::{eventually, ticket};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(deploy("prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus: scripts/setup.sh test");
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("it ended")
}

fn passes(arguments: &[&str], input: &str) {
    let output = promtool(arguments, input);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

/// The names of the samples a server tells, each with the labels it has somewhere.
fn told(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let label = Regex::new(r#"([a-z_]+)="#).expect("a pattern");
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).expect("a sample");
        let labels = told.entry(line[..end].to_owned()).or_default();
        let rest = &line[end..];
        labels.extend(label.captures_iter(rest.rsplit_once(' ').map_or("", |(labels, _)| labels)).map(|found| found[1].to_owned()));
    }
    told
}

/// The expressions of the rules, and those of the dashboard.
fn expressions() -> Vec<String> {
    let rules: Value = serde_norway::from_str(&read(&deploy("prometheus/kubeops.rules.yaml"))).expect("YAML");
    let of_rules = rules["groups"].as_array().expect("groups").iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    let board: Value = serde_json::from_str(&read(&deploy("grafana/kubeops.json"))).expect("JSON");
    let of_board = board["panels"].as_array().expect("panels").iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let all: Vec<String> = of_rules.chain(of_board).filter_map(|with| with["expr"].as_str().map(str::to_owned)).collect();
    assert!(all.len() > 50, "{}", all.len());
    all
}

/// `docs/telemetry.md` has a row with the whole name of each of them, and names none that nobody tells.
fn the_page_lists(text: &str) {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/telemetry.md"));
    let (_, metrics) = page.split_once("\n## Metrics\n").expect("a chapter about metrics");
    let name = Regex::new(r"`(kubeops_[a-z_]+)").expect("a pattern");
    let listed: BTreeSet<&str> = metrics
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|row| name.captures_iter(row))
        .filter_map(|found| Some(found.get(1)?.as_str()))
        .collect();
    let told: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(told.len() > 30, "{told:?}");
    assert_eq!(told.difference(&listed).collect::<Vec<_>>(), [] as [&&str; 0], "docs/telemetry.md does not list these");
    assert_eq!(listed.difference(&told).collect::<Vec<_>>(), [] as [&&str; 0], "nobody tells these");
}

#[test]
fn every_metric_that_the_rules_and_the_dashboard_ask_for_is_told_by_a_running_server_with_its_labels() {
    let mut world = World::prepare(FakeGithub::start());
    let nats = NatsServer::start();
    nats.stream("ops", &["ops.>"]);
    world.server.edit_resource("stream.yaml", |_| {
        let kind = "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata: { name: ops }\n";
        format!("{kind}spec: {{ kind: nats, nats: {{ servers: [\"{}\"], stream: ops }} }}\n", nats.url())
    });
    world.server.run();
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    world.server.at().settled("OPS-1", "proposed");
    eventually("how the consumer stands is told", || world.server.at().plain("/metrics").text().contains("kubeops_stream_pending{").then_some(()));
    let text = world.server.at().plain("/metrics").text();
    passes(&["check", "metrics"], &text);
    let told = told(&text);
    the_page_lists(&text);
    let recorded = read(&deploy("prometheus/kubeops.rules.yaml"));
    let name = Regex::new(r"\bkubeops[a-z_:0-9]*").expect("a pattern");
    let selector = Regex::new(r#"(kubeops[a-z_:0-9]*)\{([^}]*)\}"#).expect("a pattern");
    let label = Regex::new(r#"([a-z_]+)\s*(?:=~|!=|!~|=)"#).expect("a pattern");
    for expression in expressions() {
        for found in name.find_iter(&expression).map(|found| found.as_str()) {
            let is_recorded = found.contains(':') && recorded.contains(&format!("record: {found}\n"));
            assert!(is_recorded || told.contains_key(found), "nobody tells {found}, which is asked for in {expression}");
        }
        for found in selector.captures_iter(&expression) {
            // Prometheus adds the job itself.
            for wanted in label.captures_iter(&found[2]).map(|wanted| wanted[1].to_owned()).filter(|wanted| wanted != "job") {
                assert!(told[&found[1]].contains(&wanted), "{} has no label {wanted}: {expression}", &found[1]);
            }
        }
    }
}

#[test]
fn every_alert_fires_when_it_should_and_is_silent_when_it_should_be() {
    passes(&["check", "rules", "kubeops.rules.yaml"], "");
    passes(&["test", "rules", "kubeops.rules.test.yaml"], "");
    let (rules, tests) = (read(&deploy("prometheus/kubeops.rules.yaml")), read(&deploy("prometheus/kubeops.rules.test.yaml")));
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerts.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        for how in ["fires", "is silent"] {
            assert!(tests.contains(&format!("- name: {alert} {how}\n")), "no test says when {alert} {how}");
        }
        // A heading's anchor is its text in lower case.
        assert!(page.contains(&format!("\n## {alert}\n")), "docs/alerts.md says nothing of {alert}");
        assert!(rules.contains(&format!("docs/alerts.md#{}\n", alert.to_lowercase())), "{alert} leads to no page");
    }
}
