//! What of a `draft` comes to nothing is warned of at its place, and what may fit is not.

use super::*;
use crate::automation::{KnownModels, Provider};

/// What a server knows whose model is this one.
fn server(priced: bool) -> Defaults {
    let names = [(Provider::Local, "qwen3".to_owned())].into();
    let models = KnownModels { given: true, provider: Some(Provider::Local), names, priced, max_tokens: Some(4096) };
    Defaults { models, ..KubernetesVersion::default().into() }
}

const DRAFT: &str = r#"  target: { cluster: prod }
  draft:
    instructions: Do it.
    jobs: true
    write: ["apps/**/*.yaml"]
    runbooks: ["/docs/**/*.md"]
    allow:
      - kinds: [Deployment, HorizontalPodAutoscaler]
        fields: [spec.replicas, spec.maxReplicas, "metadata.labels.*"]
    budget: { tokens: 100000 }
  pullRequest: { title: x }
"#;

fn told(text: &str, defaults: Defaults) -> Vec<String> {
    let set = load_with(&[("a.yaml", BASICS), ("b.yaml", &automation(text))], defaults).unwrap_or_else(|found| panic!("{found:?}"));
    set.with_schemas(Arc::default()).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_fits_nothing_is_warned_of_at_its_place_with_what_was_meant() {
    assert_eq!(told(DRAFT, server(true)), Vec::<String>::new());
    for (from, to, place, says, hint) in [
        ("\"apps/**/*.yaml\"", "\"clusters/prod/apps/**/*.yaml\"", "9:13", "says the path of the cluster prod again", "write `apps/**/*.yaml`"),
        ("apps/**/*.yaml", "apps/**/*.tf", "9:13", "no such file is ever written", ".json, or is called Kustomization"),
        ("/docs/**/*.md", "/docs/**/*.txt", "10:16", "no such file is ever searched", "they end with .md"),
        ("[Deployment, Hor", "[Deploymnet, Hor", "12:17", "Kubernetes has no kind `Deploymnet`", "did you mean `Deployment`?"),
        ("[Deployment, Hor", "[deployment, Hor", "12:17", "Kubernetes has no kind `deployment`", "did you mean `Deployment`?"),
        ("[Deployment, Hor", "[Deploymen.apps, Hor", "12:17", "Kubernetes has no kind `Deploymen`", "did you mean `Deployment`?"),
        ("[spec.replicas", "[spec.replcas", "13:18", "has the field `spec.replcas`", "did you mean `replicas`?"),
        ("[spec.replicas", "[spec.template.spec.containers.image", "13:18", "has the field", "its elements are written `containers[*]`"),
        ("tokens: 100000", "tokens: 1000", "14:15", "no call has room in 1000 tokens", "raise it"),
        ("tokens: 100000", "tokens: 100000, perDay: { tokens: 50000 }", "14:41", "less than one request may use (`budget.tokens`)", "lower"),
    ] {
        let text = DRAFT.replacen(from, to, 1);
        assert_ne!(text, DRAFT, "{from}");
        let warnings = told(&text, server(true));
        assert_eq!(warnings.len(), 1, "{to}: {warnings:#?}");
        assert!(warnings[0].starts_with(&format!("b.yaml:{place}: warning: Automation/namespace-request: ")), "{to}: {}", warnings[0]);
        assert!(warnings[0].contains(says) && warnings[0].contains(hint), "{to}: {}", warnings[0]);
    }
}

#[test]
fn what_may_fit_is_not_warned_of() {
    for (from, to) in [
        // Kinds of others, and what they may have in common with Kubernetes' own.
        ("[Deployment, Hor", "[Rollout, Hor"),
        ("[Deployment, Hor", "[CronTab, Hor"),
        ("[Deployment, Hor", "[Deploymnet.apps.example.com, Hor"),
        ("kinds: [Deployment, HorizontalPodAutoscaler]", "kinds: [Service]"),
        ("kinds: [Deployment, HorizontalPodAutoscaler]", "kinds: ['*']"),
        ("kinds: [Deployment, HorizontalPodAutoscaler]", "kinds: [Deployment, none]"),
        // Below mappings whose fields have any names.
        ("spec.replicas, spec.maxReplicas", "metadata.annotations.x, spec.template.spec.nodeSelector.x"),
        // A day's budget below what a request may use where nobody said so.
        ("tokens: 100000", "perDay: { tokens: 50000 }"),
        ("\"apps/**/*.yaml\"", "\"**/*\", \"apps/*.{yaml,md}\""),
    ] {
        let text =
            DRAFT.replacen(from, to, 1).replace(", spec.maxReplicas", if to.contains("Service") { ", spec.template" } else { ", spec.maxReplicas" });
        let text = if to.contains("Service") { text.replace("[spec.replicas, ", "[") } else { text };
        assert_ne!(text, DRAFT, "{from}");
        assert_eq!(told(&text, server(true)), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn a_kind_that_a_definition_brings_is_no_slip() {
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: deploymnets.example.com }\nspec:\n  group: example.com\n  names: { kind: Deploymnet, plural: deploymnets }\n  scope: Namespaced\n  versions: [{ name: v1, served: true, storage: true, schema: { openAPIV3Schema: { type: object } } }]\n";
    let (schemas, problems) = crate::validate::SchemaSet::read([("crd.yaml", crd.as_bytes())]);
    assert!(problems.is_empty(), "{problems:?}");
    let text = DRAFT.replacen("[Deployment,", "[Deploymnet,", 1);
    let set = load_with(&[("a.yaml", BASICS), ("b.yaml", &automation(&text))], server(true)).unwrap_or_else(|found| panic!("{found:?}"));
    assert!(set.with_schemas(Arc::new(schemas)).warnings.is_empty());
}

#[test]
fn a_target_that_follows_from_parameters_may_be_every_cluster() {
    let text = DRAFT
        .replace(
            "{ cluster: prod }",
            "{ cluster: \"{{ parameters.cluster }}\" }\n  parameters: { cluster: { from: event.data.c, schema: { type: string } } }",
        )
        .replace("\"apps/", "\"clusters/prod/apps/");
    assert_eq!(told(&text, server(true)).len(), 1);
    assert!(told(&text.replace("clusters/prod/", "clusters/other/"), server(true)).is_empty());
}

#[test]
fn a_cost_without_a_price_is_refused_where_the_settings_are_known_and_warned_of_where_they_are_not() {
    let text = DRAFT.replacen("tokens: 100000", "cost: 1.5", 1);
    let found = load_with(&[("a.yaml", BASICS), ("b.yaml", &automation(&text))], server(false)).err().expect("refused");
    assert!(found.len() == 1 && found[0].to_string().starts_with("b.yaml:14:15: error: "), "{found:?}");
    assert_eq!(told(&text, server(true)), Vec::<String>::new());
    let unknown = told(&text, KubernetesVersion::default().into());
    assert_eq!(unknown.len(), 2, "and no model is set here: {unknown:#?}");
    assert!(unknown[0].starts_with("b.yaml:6:3: warning: ") && unknown[0].contains("no language model is set here"), "{unknown:#?}");
    assert!(unknown[1].starts_with("b.yaml:14:15: warning: ") && unknown[1].contains("where the server knows no price"), "{unknown:#?}");
}
