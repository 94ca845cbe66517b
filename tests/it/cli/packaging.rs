//! The image's recipe, as far as it can be held against the project without a container engine.

use super::world::project;
use crate::support::sources;
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

#[test]
fn the_manifest_for_a_cluster_has_settings_there_are_and_is_as_locked_down_as_the_compose_file() {
    let text = std::fs::read_to_string(project().join("deploy/kubernetes.yaml")).expect("the manifest");
    let mut documents: Vec<serde_json::Value> = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        documents.push(serde::Deserialize::deserialize(document).expect("YAML"));
    }
    let kinds: Vec<&str> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
    assert_eq!(kinds, ["PersistentVolumeClaim", "Deployment", "Service", "Ingress"]);
    let deployment = &documents[1]["spec"];
    assert_eq!(deployment["replicas"], 1);
    assert_eq!(deployment["strategy"]["type"], "Recreate");
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsUser"], 10001);
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
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
    // A shutdown has the time it is given.
    let graceful: u64 = settings.iter().find(|(name, _)| *name == "GRACEFUL_TIMEOUT").and_then(|(_, value)| value.parse().ok()).expect("a number");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().is_some_and(|seconds| seconds > graceful));
    // Every volume that is mounted is there, and what the world may reach is not the API.
    let volumes: Vec<&str> = pod["volumes"].as_array().expect("volumes").iter().filter_map(|volume| volume["name"].as_str()).collect();
    for mount in container["volumeMounts"].as_array().expect("mounts") {
        assert!(mount["name"].as_str().is_some_and(|name| volumes.contains(&name)), "{mount}");
    }
    let paths = documents[3]["spec"]["rules"][0]["http"]["paths"].as_array().expect("paths");
    let paths: Vec<&str> = paths.iter().filter_map(|path| path["path"].as_str()).collect();
    assert_eq!(paths, ["/api/v1/webhooks", "/icons"]);
}
