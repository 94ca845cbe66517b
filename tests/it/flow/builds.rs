//! What Kustomize builds of a change, with the real program.

use super::edits::{DEPLOYMENT, PATH, body, replicas};
use crate::support::server::TestServer;
use kubeops::manifest::{Limits, ObjectRef, parse};
use kubeops::plan::{BuildError, Builder, EmptyTree, FileChange, overlaid};
use kubeops::sandbox::KustomizeProgram;
use kubeops::types::DirectoryPath;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const OVERLAY: &str = "clusters/prod-eu/kustomization.yaml";

#[test]
fn a_pull_request_says_what_the_overlay_builds_differently() {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.upstream.write("main", OVERLAY, "namePrefix: eu-\nresources:\n- apps/shop/web.yaml\n");
    server.set("KUSTOMIZE_PROGRAM", "kubectl").run();
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let proposed = server.at().settled("OPS-1", "proposed");
    let builds = &proposed["changes"]["evidence"]["builds"];
    assert_eq!(builds, &json!([{ "directory": "clusters/prod-eu", "changes": ["Deployment shop/eu-web: spec.replicas 2 -> 6"] }]));
    let body = body(&server, &proposed);
    assert!(body.contains("- Built by Kustomize, `clusters/prod-eu`:\n  - `Deployment shop/eu-web: spec.replicas 2 -> 6`"), "{body}");
}

#[test]
fn a_change_that_breaks_the_build_is_rejected() {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.upstream.write("main", OVERLAY, "resources:\n- apps/shop/web.yaml\n- apps/shop/again.yaml\n");
    server.upstream.write("main", "clusters/prod-eu/apps/shop/again.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x, namespace: shop}\n");
    server.edit_resource("replicas-request.yaml", |text| {
        let (before, edits) = text.split_once("  edit:").expect("edits");
        let (_, behind) = edits.split_once("  pullRequest:").expect("what follows");
        format!(
            "{before}  edit:\n    - file: kustomization.yaml\n      append: {{ resources: \"'./apps/shop/again.yaml'\" }}\n  pullRequest:{behind}"
        )
    });
    server.set("KUSTOMIZE_PROGRAM", "kubectl").run();
    // The same object twice: Kustomize refuses what no single file shows.
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let rejected = server.at().settled("OPS-1", "rejected");
    let finding = &rejected["findings"][0];
    assert_eq!((&finding["rule"], &finding["path"]), (&json!("kustomize.build"), &json!("clusters/prod-eu")), "{rejected:#}");
    let message = finding["message"].as_str().expect("a message");
    assert!(message.contains("can be built before this change and not after it") && !message.contains("/build-"), "{message}");
}

fn program(text: &str) -> (tempfile::TempDir, KustomizeProgram) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("kustomize");
    std::fs::write(&program, text).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let executable = env!("CARGO_BIN_EXE_kubeops").into();
    let program = KustomizeProgram { executable, program, scratch: directory.path().join("scratch"), time: Duration::from_millis(500) };
    (directory, program)
}

#[test]
fn a_build_that_takes_too_long_or_too_much_is_ended_and_leaves_nothing() {
    let files = BTreeMap::from([("a/kustomization.yaml".to_owned(), b"resources: []\n".to_vec())]);
    let (directory, slow) = program("#!/bin/sh\nsleep 60 &\nwait\n");
    let begun = Instant::now();
    let error = slow.build(&files, "a").expect_err("ended");
    assert!(matches!(&error, BuildError::Failed(message) if message.contains("took more than 0.5 s")), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(std::fs::read_dir(directory.path().join("scratch")).expect("scratch").count(), 0);

    let (_directory, says) = program("#!/bin/sh\nls \"$2\"; env | grep -c SECRET_OF_THE_TEST >&2; exit 1\n");
    let error = says.build(&files, "a").expect_err("refused");
    assert!(matches!(&error, BuildError::Refused(message) if message == "0"), "no variable of ours is seen: {error}");

    let (_directory, gives) = program("#!/bin/sh\ncat \"$2/kustomization.yaml\"\n");
    assert_eq!(gives.build(&files, "a").as_deref(), Ok("resources: []\n"));
}

const APP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers:
      - {name: init, image: 'registry.example.com:5000/init:1@sha256:0123456789012345678901234567890123456789012345678901234567890123'}
      containers:
      - name: web
        image: nginx
        ports: [{containerPort: 80}, {containerPort: 53}]
        env: [{name: A, value: '1'}, {name: B, value: '2'}]
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, emptyDir: {}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tidy}
spec:
  schedule: '@daily'
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: tidy, image: 'busybox:1.0'}]}}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {template: {spec: {containers: [{name: a, image: nginx}]}}, env: [{name: A, value: '1'}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}, {port: 443, name: https}], selector: {app: web}}
";

const PROD: &str = "namespace: shop
namePrefix: eu-
nameSuffix: -v2
resources: [../base]
components: [../component]
commonAnnotations: {team: shop}
labels:
- pairs: {tier: front}
  includeTemplates: true
replicas: [{name: web, count: 4}]
images:
- {name: nginx, newName: registry.example.com/nginx, newTag: '1.27'}
- {name: registry.example.com/nginx, digest: 'sha256:0123456789012345678901234567890123456789012345678901234567890123'}
- {name: 'registry.example.com:5000/init', newTag: '2'}
- {name: 'busy.*', newTag: '2.0'}
patches:
- path: patch.yaml
- target: {kind: Deployment|CronJob, name: 'w.*'}
  patch: '[{\"op\": \"add\", \"path\": \"/metadata/labels/x\", \"value\": \"y\"}, {\"op\": \"remove\", \"path\": \"/spec/template/spec/containers/0/image\"}, {\"op\": \"add\", \"path\": \"/spec/template/spec/containers/-\", \"value\": {\"name\": \"z\", \"image\": \"nginx:3\"}}]'
- target: {labelSelector: 'app=web'}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: any}
    spec: {minReadySeconds: 5}
patchesStrategicMerge:
- |
  apiVersion: example.com/v1
  kind: Widget
  metadata: {name: w}
  spec: {env: [{name: B, value: '2'}]}
patchesJson6902:
- target: {group: '', version: v1, kind: Service, name: web}
  patch: |-
    - op: replace
      path: /spec/ports/0/port
      value: 8080
";

const PATCH: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {a: b}}
spec:
  template:
    spec:
      containers:
      - {name: side, image: nginx}
      - name: web
        securityContext: {privileged: true}
        env: [{name: A, $patch: delete}, {name: C, value: '3'}, {name: B, value: two}, {name: D, value: '4'}]
        ports: [{containerPort: 53, name: dns}]
        volumeMounts: [{mountPath: /more, name: data}]
      volumes: [{name: data, emptyDir: null, hostPath: {path: /x}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 443, targetPort: 8443}], type: NodePort}
";

/// What the policies judge without Kustomize at hand is what Kustomize makes of it.
#[test]
fn what_is_worked_out_of_an_overlay_is_what_kustomize_builds() {
    let files: BTreeMap<String, Vec<u8>> = [
        ("base/kustomization.yaml", "resources: [app.yaml]\nnamespace: before\n"),
        ("base/app.yaml", APP),
        ("component/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [more.yaml]\npatches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: add\n      path: /spec/paused\n      value: true\n"),
        ("component/more.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: more}\n"),
        ("prod/kustomization.yaml", PROD),
        ("prod/patch.yaml", PATCH),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
    .collect();
    let directory = tempfile::tempdir().expect("a directory");
    let executable = env!("CARGO_BIN_EXE_kubeops").into();
    let program = KustomizeProgram { executable, program: "kubectl".into(), scratch: directory.path().to_owned(), time: KustomizeProgram::TIME };
    let built = program.build(&files, "prod").expect("built");
    let documents = parse(&built, Limits::default()).expect("YAML");
    let by_name = |value: &serde_json::Value| (ObjectRef::of(value).expect("an object").to_string(), value.clone());
    let built: BTreeMap<_, _> = documents.iter().map(|document| by_name(&document.value)).collect();

    let change = files.into_iter().map(|(path, bytes)| (path.parse().expect("a path"), FileChange::Write(bytes))).collect();
    let base = EmptyTree::default();
    let overlays = overlaid(&base, &change, &DirectoryPath::root()).expect("worked out");
    assert!(overlays.left_out.is_empty(), "{:?}", overlays.left_out);
    let worked_out: BTreeMap<_, _> = overlays.after.iter().filter(|object| object.overlay == "prod").map(|object| by_name(&object.value)).collect();
    assert_eq!(worked_out.keys().collect::<Vec<_>>(), built.keys().collect::<Vec<_>>());
    let differing: Vec<String> = built
        .iter()
        .filter(|(name, value)| worked_out[*name] != **value)
        .map(|(name, value)| format!("{name}: {}\nand built: {value}", worked_out[name]))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
