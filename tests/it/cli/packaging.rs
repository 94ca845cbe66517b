//! The image's recipe, as far as it can be held against the project without a container engine.

use super::world::project;
use crate::support::sources;
use kubeops::plan::{ChangeSet, EmptyTree, FileChange};
use kubeops::types::{DirectoryPath, KubernetesVersion, UnknownKinds};
use kubeops::validate::{Rules, validate};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What the build stage copies, without `Cargo.toml` and its companions' flags: source and destination are the same there.
fn copied() -> Vec<String> {
    let recipe = std::fs::read_to_string(project().join("Dockerfile")).expect("the Dockerfile");
    let stage = recipe.split("\nFROM ").nth(1).expect("a build stage");
    let lines = stage.lines().filter_map(|line| line.strip_prefix("COPY "));
    lines.flat_map(|line| line.split_whitespace().collect::<Vec<_>>().split_last().expect("a destination").1.to_vec()).map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
    if !from.is_dir() {
        std::fs::copy(from, to).expect("copied");
        return;
    }
    for entry in std::fs::read_dir(from).expect("a directory") {
        let name = entry.expect("an entry").file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}

#[test]
fn the_image_is_built_from_all_that_the_program_is_made_of_and_nothing_is_ignored_that_is_copied() {
    let allowed = std::fs::read_to_string(project().join(".dockerignore")).expect(".dockerignore");
    let context = tempfile::tempdir().expect("a directory");
    let copied = copied();
    assert!(copied.iter().any(|name| name == "src"), "{copied:?}");
    for name in &copied {
        assert!(allowed.lines().any(|line| line == format!("!{name}")), "{name} is ignored");
        copy(&project().join(name), &context.path().join(name));
    }
    // Cargo is content without them, and builds another program.
    assert!(context.path().join("build.rs").exists() && context.path().join("linker/start.ld").exists());
    // Cargo reads the manifest there: a target whose file is missing and not named by its path is an error.
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(context.path())
        .output()
        .expect("cargo");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    // And every file that a source takes in is there.
    let include = regex::Regex::new(r#"include_(?:str|bytes)!\("([^"]+)"\)"#).expect("a pattern");
    let mut seen = 0;
    for file in sources(&context.path().join("src")) {
        let text = std::fs::read_to_string(&file).expect("a source");
        for found in include.captures_iter(&text) {
            let wanted = file.parent().expect("a directory").join(&found[1]);
            assert!(wanted.exists(), "{} takes in {}, which the image's build does not have", file.display(), &found[1]);
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn the_compose_file_locks_the_container_down() {
    let text = std::fs::read_to_string(project().join("docker-compose.yml")).expect("the compose file");
    let compose: serde_json::Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let app = &compose["services"]["app"];
    assert_eq!(app["read_only"], true);
    assert_eq!(app["cap_drop"], serde_json::json!(["ALL"]));
    assert_eq!(app["security_opt"], serde_json::json!(["no-new-privileges:true"]));
    assert_eq!(app["user"], "10001:10001");
    assert_eq!(app["healthcheck"]["test"], serde_json::json!(["CMD", "kubeops", "health"]));
    // Every setting in it is one.
    let known: Vec<&str> = kubeops::config::table().iter().map(|row| row.name).collect();
    for name in app["environment"].as_object().expect("settings").keys() {
        assert!(known.contains(&name.as_str()), "{name} is no setting");
    }
    // Every secret the shipped resources need is there.
    let sources = std::fs::read_to_string(project().join("config/resources/sources.yaml")).expect("the sources");
    for secret in compose["secrets"].as_object().expect("secrets").keys() {
        assert!(sources.contains(secret.as_str()), "{secret} is named by no source");
    }
}

/// The objects of a manifest, in order.
fn objects(file: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(project().join(file)).expect("the manifest");
    serde_yaml_ng::Deserializer::from_str(&text).map(|document| serde::Deserialize::deserialize(document).expect("YAML")).collect()
}

fn kinds(objects: &[serde_json::Value]) -> Vec<&str> {
    objects.iter().filter_map(|object| object["kind"].as_str()).collect()
}

fn of_kind<'o>(objects: &'o [serde_json::Value], kind: &str) -> &'o serde_json::Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("a {kind}"))
}

/// The settings of a workload, which there are; its pods are locked down, and have what they mount and the time that a shutdown takes.
fn settings_of<'o>(workload: &'o serde_json::Value, claimed: &[&str]) -> Vec<(&'o str, &'o str)> {
    let pod = &workload["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsUser"], 10001);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let known: Vec<&str> = kubeops::config::table().iter().map(|row| row.name).collect();
    let settings: Vec<(&str, &str)> = container["env"]
        .as_array()
        .expect("settings")
        .iter()
        .map(|setting| (setting["name"].as_str().expect("a name"), setting["value"].as_str().expect("a text")))
        .collect();
    for (name, _) in &settings {
        assert!(known.contains(name), "{name} is no setting");
    }
    let graceful: u64 = settings.iter().find(|(name, _)| *name == "GRACEFUL_TIMEOUT").and_then(|(_, value)| value.parse().ok()).expect("a number");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().is_some_and(|seconds| seconds > graceful));
    let volumes = pod["volumes"].as_array().expect("volumes").iter().filter_map(|volume| volume["name"].as_str());
    let volumes: Vec<&str> = volumes.chain(claimed.iter().copied()).collect();
    for mount in container["volumeMounts"].as_array().expect("mounts") {
        assert!(mount["name"].as_str().is_some_and(|name| volumes.contains(&name)), "{mount}");
    }
    settings
}

/// What the world may reach is not the API.
fn is_closed(ingress: &serde_json::Value) {
    let paths = ingress["spec"]["rules"][0]["http"]["paths"].as_array().expect("paths");
    let paths: Vec<&str> = paths.iter().filter_map(|path| path["path"].as_str()).collect();
    assert_eq!(paths, ["/api/v1/webhooks", "/icons"]);
}

#[test]
fn the_manifest_for_a_cluster_has_settings_there_are_and_is_as_locked_down_as_the_compose_file() {
    let objects = objects("deploy/kubernetes.yaml");
    assert_eq!(kinds(&objects), ["PersistentVolumeClaim", "Deployment", "Service", "Ingress"]);
    let deployment = of_kind(&objects, "Deployment");
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    settings_of(deployment, &[]);
    is_closed(of_kind(&objects, "Ingress"));
}

#[test]
fn the_manifest_for_several_replicas_gives_each_a_volume_and_all_one_database() {
    let objects = objects("deploy/kubernetes-replicas.yaml");
    assert_eq!(kinds(&objects), ["StatefulSet", "PodDisruptionBudget", "Service", "Service", "Ingress"]);
    let set = of_kind(&objects, "StatefulSet");
    let replicas = set["spec"]["replicas"].as_u64().expect("a number");
    assert!(replicas > 1);
    // A volume of its own for each: no volume of the pod is one claim that all would share.
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(set["spec"]["volumeClaimTemplates"].as_array().map(Vec::len), Some(1));
    assert_eq!((&claim["metadata"]["name"], &claim["spec"]["accessModes"]), (&"data".into(), &serde_json::json!(["ReadWriteOnce"])));
    let pod = &set["spec"]["template"]["spec"];
    assert!(pod["volumes"].as_array().expect("volumes").iter().all(|volume| volume["persistentVolumeClaim"].is_null()));
    let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts");
    assert!(mounts.contains(&serde_json::json!({ "name": "data", "mountPath": "/data" })), "{mounts:?}");
    let settings = settings_of(set, &["data"]);
    let store = settings.iter().find(|(name, _)| *name == "STORE_URL").expect("a database").1;
    assert!(store.starts_with("postgres://") && !store.contains("sslmode"), "{store}: verify-full, which is what is not written");
    assert!(url::Url::parse(store).expect("an address").password().is_none(), "its password is a secret");
    // All selectors are of the pods, and nobody takes the last one away.
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    let budget = of_kind(&objects, "PodDisruptionBudget");
    assert_eq!((&budget["spec"]["selector"]["matchLabels"], &budget["spec"]["maxUnavailable"]), (labels, &1.into()));
    let spread = &pod["topologySpreadConstraints"][0];
    assert_eq!((&spread["labelSelector"]["matchLabels"], &spread["topologyKey"]), (labels, &"kubernetes.io/hostname".into()));
    let services: Vec<_> = objects.iter().filter(|object| object["kind"] == "Service").collect();
    assert!(services.iter().all(|service| service["spec"]["selector"] == *labels));
    let headless = services.iter().find(|service| service["spec"]["clusterIP"] == "None").expect("names for the pods");
    assert_eq!(set["spec"]["serviceName"], headless["metadata"]["name"]);
    is_closed(of_kind(&objects, "Ingress"));
}

#[test]
fn the_manifests_for_a_cluster_fit_every_version_of_kubernetes_there_is_a_schema_of() {
    for file in ["deploy/kubernetes.yaml", "deploy/kubernetes-replicas.yaml"] {
        let text = std::fs::read(project().join(file)).expect("the manifest");
        for kubernetes in KubernetesVersion::supported() {
            let files = BTreeMap::from([(file.parse().expect("a path"), FileChange::Write(text.clone()))]);
            let rules = Rules::new(kubernetes, DirectoryPath::root(), UnknownKinds::Deny);
            let valid = validate(ChangeSet { files, ..ChangeSet::default() }, &EmptyTree::default(), &rules);
            let valid = valid.unwrap_or_else(|error| panic!("{file}, {kubernetes}: {error}"));
            assert!(valid.warnings().is_empty(), "{file}, {kubernetes}: {:?}", valid.warnings());
        }
    }
}
