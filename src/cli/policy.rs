//! `kubeops policy`: run policies against test cases of their own, and list what is in force. No server and no cluster is asked.

use super::local::{Resources, files_in, read};
use super::output::{self, Colour, OutputFormat, paint, printable, table};
use crate::manifest::{Limits, parse};
use crate::resources::check_test;
use crate::validate::policy::{Binding, Policies, Policy, PolicyTest, TestCase, TestedPolicies, ValidationAction, run_case, shipped_tests};
use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kubeops policy list\n  kubeops policy test\n  kubeops policy test policies/tests/replicas.yaml --output json")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run policies against the cases of test files
    #[command(
        after_help = "A test file is YAML:\n\n  apiVersion: kubeops.dev/v1alpha1\n  kind: PolicyTest\n  metadata: { name: replicas }\n  spec:\n    policies: [../replicas.yaml]     # relative to this file; without it the shipped policies\n    policy: replica-limit            # the one that is meant; without it all of them\n    cases:\n      - name: too many\n        object: { apiVersion: apps/v1, kind: Deployment, metadata: { name: web }, spec: { replicas: 9 } }\n        expect: deny                 # allow, deny, warn or error\n        message: at most 5           # a part of what is said\n\nA case may also have objectFile, oldObject, params and namespaceObject. With oldObject alone the object goes.\nPolicies without a binding in their files deny. Without params those of the policies' files count.\n\nExit code: 0 when every case is as expected, 3 when one is not, 1 when the test cannot be run.\n\nExamples:\n  kubeops policy test\n  kubeops policy test policies/tests"
    )]
    Test {
        /// Test files, or directories of them; without any those of the shipped policies are run.
        #[arg(value_name = "PATH")]
        files: Vec<PathBuf>,
    },
    /// List the policies in force: shipped ones and, where there are resources, theirs
    #[command(after_help = "Examples:\n  kubeops policy list\n  kubeops policy list --policy-baseline off --output json")]
    List {
        #[command(flatten)]
        resources: Resources,
    },
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Test { files } => test(files, format),
        Command::List { resources } => list(resources, format),
    }
}

/// A document of kind `PolicyTest` and where it is from; no directory for a shipped one.
struct Test {
    file: String,
    directory: Option<PathBuf>,
    spec: PolicyTest,
}

fn test(files: &[PathBuf], format: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut tests = Vec::new();
    for path in &files_in(files, "PolicyTest")? {
        let text = String::from_utf8(read(path)?).with_context(|| format!("{} is not UTF-8", path.display()))?;
        tests.extend(tests_of(&path.display().to_string(), &text, Some(path.parent().unwrap_or(Path::new("")).to_owned()))?);
    }
    if files.is_empty() {
        for (path, text) in shipped_tests() {
            tests.extend(tests_of(&path, &text, None)?);
        }
    }
    let (mut lines, mut results, mut failed) = (Vec::new(), Vec::new(), 0);
    for test in &tests {
        for case in &test.spec.cases {
            let outcome = one(test, case)?;
            failed += usize::from(!outcome.passed);
            let word = if outcome.passed { paint(Colour::Green, "ok    ") } else { paint(Colour::Red, "FAILED") };
            lines.push(format!("{word} {}: {}", test.file, printable(&case.name)));
            if !outcome.passed {
                let expected = format!("{:?}", case.expect).to_lowercase();
                let message = case.message.as_ref().map(|part| format!(" with {part:?}")).unwrap_or_default();
                lines.push(format!("       expected: {expected}{message}"));
                let said = if outcome.said.is_empty() { "nothing".to_owned() } else { outcome.said.join("\n                 ") };
                lines.push(format!("       was said: {said}"));
            }
            results.push(json!({ "file": test.file, "case": case.name, "passed": outcome.passed, "said": outcome.said }));
        }
    }
    if results.is_empty() {
        bail!("there is no case in these files\n  hint: `kubeops policy test --help` shows what a test file looks like");
    }
    let passed = results.len() - failed;
    lines.push(format!("{passed} passed, {failed} failed"));
    output::value(format, &json!({ "passed": passed, "failed": failed, "cases": results }), || lines.join("\n"))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_REFUSED) })
}

fn tests_of(file: &str, text: &str, directory: Option<PathBuf>) -> anyhow::Result<Vec<Test>> {
    let documents = parse(text, Limits::default()).map_err(|error| anyhow!("{file}:{}:{}: {}", error.line, error.column, error.message))?;
    let mut tests = Vec::new();
    for document in documents {
        let place = format!("{file}:{}", document.start_line);
        if document.value.get("kind").and_then(Value::as_str) != Some("PolicyTest") {
            bail!("{place}: a document of kind PolicyTest is wanted here\n  hint: `kubeops policy test --help` shows what one looks like");
        }
        let problems = check_test::<PolicyTest>(file, &document);
        if !problems.is_empty() {
            bail!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
        let spec = document.value.get("spec").cloned().unwrap_or_default();
        let spec = serde_json::from_value(spec).with_context(|| place)?;
        tests.push(Test { file: file.to_owned(), directory: directory.clone(), spec });
    }
    Ok(tests)
}

fn one(test: &Test, case: &TestCase) -> anyhow::Result<crate::validate::policy::CaseOutcome> {
    let beside = |name: &str| test.directory.as_deref().map_or_else(|| PathBuf::from(name), |directory| directory.join(name));
    let text = |name: &str| -> anyhow::Result<String> {
        let path = beside(name);
        std::fs::read_to_string(&path).with_context(|| format!("{}: {} cannot be read", test.file, path.display()))
    };
    let tested = if test.spec.policies.is_empty() {
        TestedPolicies::shipped().map_err(|error| anyhow!(error))?
    } else {
        let mut tested = TestedPolicies::default();
        for name in &test.spec.policies {
            tested.read(&beside(name).display().to_string(), &text(name)?).map_err(|error| anyhow!(error))?;
        }
        tested
    };
    let object = case.object_file.as_deref().map(|name| -> anyhow::Result<Value> {
        let documents = parse(&text(name)?, Limits::default()).map_err(|error| anyhow!("{name}:{}: {}", error.line, error.message))?;
        documents.into_iter().next().map(|document| document.value).with_context(|| format!("{name} holds no object"))
    });
    Ok(run_case(tested, case, object.transpose()?.as_ref(), test.spec.policy.as_deref()))
}

fn list(resources: &Resources, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let all = |policies: &Policies| policies.iter().map(|(policy, binding)| told(policy, binding)).collect();
    // Without any resources the shipped policies are what is in force.
    let listed: Vec<Value> =
        if resources.are_none() { all(&resources.policy_baseline.policies()?) } else { all(&resources.in_force()?.current().set.policies) };
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|one| {
            let words = |field: &str| one[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            let plain = |field: &str| printable(one[field].as_str().unwrap_or_default());
            // A line for people stays one line.
            let matches = one["matches"].as_array().map_or(0, Vec::len);
            let first = one["matches"].as_array().into_iter().flatten().take(3).filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            let matches = if matches > 3 { format!("{first}, +{}", matches - 3) } else { first };
            let actions =
                if one["in_force"] == false { format!("{} (nothing yet: it has no parameters)", words("actions")) } else { words("actions") };
            vec![plain("policy"), plain("binding"), actions, words("clusters"), matches, plain("from")]
        })
        .collect();
    output::value(format, &listed, || table(&["policy", "binding", "actions", "clusters", "matches", "from"], &rows))?;
    Ok(ExitCode::SUCCESS)
}

fn told(policy: &Policy, binding: &Binding) -> Value {
    let actions: Vec<&str> = binding
        .spec
        .validation_actions
        .iter()
        .map(|action| match action {
            ValidationAction::Deny => "Deny",
            ValidationAction::Warn => "Warn",
            ValidationAction::Audit => "Audit",
        })
        .collect();
    let mut matches: Vec<&str> =
        policy.spec.match_constraints.resource_rules.iter().flat_map(|rule| rule.resources.iter().map(String::as_str)).collect();
    if matches.is_empty() {
        matches.push("*");
    }
    matches.dedup();
    let clusters = binding.clusters.clone().unwrap_or_else(|| vec!["*".to_owned()]);
    let in_force = !binding.lacks_parameters(policy);
    json!({ "policy": policy.name, "binding": binding.name, "in_force": in_force, "actions": actions, "clusters": clusters, "matches": matches, "from": binding.place })
}
