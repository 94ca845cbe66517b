//! `kubeops edit` and `kubeops diff` on files of this machine.

use super::world::World;

const WEB: &str = "# the shop\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n    replicas: 2   # two\n    selector: {matchLabels: {app: web}}\n    template:\n        metadata: {labels: {app: web}}\n        spec:\n            containers:\n            -   name: web\n                image: web:1.4\n                resources: {limits: {memory: 512Mi}}\n";
const MEMORY: &str = "spec.template.spec.containers[name=web].resources.limits.memory";

fn world() -> World {
    let world = World::new();
    world.write("repo/apps/web.yaml", WEB);
    world.write("repo/kustomization.yaml", "resources: [apps/web.yaml]\n");
    world
}

fn text(world: &World, path: &str) -> String {
    std::fs::read_to_string(world.path(path)).expect("read")
}

#[test]
fn a_dry_run_shows_the_lines_and_writes_none() {
    let world = world();
    let told = world
        .run(&[
            "edit",
            "-C",
            "repo",
            "--object",
            "Deployment/shop/web",
            "--set",
            "spec.replicas=4",
            "--multiply",
            &format!("{MEMORY}=1.5"),
            "--dry-run",
        ])
        .ok();
    for part in ["-    replicas: 2   # two\n+    replicas: 4   # two\n", "memory: 768Mi", "spec.replicas 2 -> 4", "would be written: apps/web.yaml"] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert_eq!(text(&world, "repo/apps/web.yaml"), WEB);
}

#[test]
fn what_grows_stays_within_the_bounds_given_and_never_goes_below_zero_unasked() {
    let world = world();
    let edit = |arguments: &[&str]| world.run(&[&["edit", "-C", "repo", "--object", "Deployment/shop/web"], arguments].concat());
    edit(&["--increase", "spec.replicas=5", "--max", "4"]).ok();
    assert_eq!(text(&world, "repo/apps/web.yaml"), WEB.replace("replicas: 2", "replicas: 4"));
    let told = edit(&["--increase", "spec.replicas=-9"]).fails(3);
    assert!(told.contains("-5 would be below zero; give it a lower bound"), "{told}");
    edit(&["--increase", "spec.replicas=-9", "--min", "1"]).ok();
    assert_eq!(text(&world, "repo/apps/web.yaml"), WEB.replace("replicas: 2", "replicas: 1"));
    assert!(edit(&["--set", "spec.replicas=2", "--max", "4"]).fails(1).contains("--min and --max are for what --increase"));
}

#[test]
fn an_edit_is_held_against_the_shipped_policies_unless_they_are_off() {
    let world = world();
    let field = "spec.template.spec.containers[name=web].securityContext";
    let edit = |more: &[&str]| {
        world.run(&[&["edit", "-C", "repo", "-f", "apps/web.yaml", "--set", &format!("{field}={{privileged: true}}"), "--dry-run"], more].concat())
    };
    let told = edit(&[]).fails(3);
    assert!(told.contains("a privileged container owns its node"), "{told}");
    edit(&["--policy-baseline", "off"]).ok();
}

#[test]
fn an_edit_changes_its_bytes_alone_and_an_object_goes_with_its_place_in_the_kustomization() {
    let world = world();
    let edit = |arguments: &[&str]| world.run(&[&["edit", "-C", "repo"], arguments].concat());
    edit(&["--file", "apps/web.yaml", "--set", "spec.replicas=4", "--merge", "metadata.labels={team: shop}"]).ok();
    assert_eq!(
        text(&world, "repo/apps/web.yaml"),
        WEB.replace("replicas: 2", "replicas: 4").replace("namespace: shop}", "namespace: shop, labels: {team: shop}}")
    );
    edit(&["--object", "Deployment/shop/web", "--remove", "metadata.labels", "--set", "spec.replicas=2"]).ok();
    assert_eq!(text(&world, "repo/apps/web.yaml"), WEB);
    assert!(edit(&["--object", "Deployment/shop/web", "--set", "spec.replicas=2"]).ok().contains("nothing differs"));
    edit(&["--object", "Deployment/shop/web", "--delete"]).ok();
    assert!(!world.path("repo/apps/web.yaml").exists());
    assert_eq!(text(&world, "repo/kustomization.yaml"), "resources: []\n");
    let told = edit(&["--object", "Deployment/shop/web", "--delete"]).fails(3);
    assert!(told.contains("there is no Deployment/shop/web"), "{told}");
}

#[test]
fn what_is_refused_writes_nothing_and_says_why() {
    let world = world();
    for (arguments, says) in [
        (&["--object", "Deployment/shop/wbe", "--set", "spec.replicas=4"][..], "did you mean Deployment/shop/web?"),
        (&["--object", "Deployment/shop/web", "--set", "spec.replcas=4"], "has no field `replcas`"),
        (&["--object", "Deployment/shop/web", "--set", "spec.replicas=four"], "expected a whole number"),
        (&["--object", "Deployment/shop/web", "--increase", "spec.template=1"], "neither a number nor a quantity"),
        (&["--object", "Deployment", "--set", "a=1"], "--object: \"Deployment\" names no object"),
        (&["--object", "Deployment/shop/web", "--set", "a[0]=1"], "--set a[0]: not the path of a field"),
        (&["--object", "Deployment/shop/web", "--remove", "a..b"], "--remove a..b: not the path of a field"),
        (&["--object", "Deployment/shop/web", "--set", "metadata.namespace=y"], "says which object Deployment/shop/web is"),
        (&["--file", "../outside.yaml", "--set", "a=1"], "can never be a path"),
    ] {
        let told = world.run(&[&["edit", "-C", "repo"], arguments].concat()).fails(3);
        assert!(told.contains(says), "{says:?} in {told}");
    }
    assert!(world.run(&["edit", "-C", "repo", "--file", "apps/web.yaml"]).fails(1).contains("what is to be done?"));
    let told = world.run(&["edit", "-C", "repo", "--file", "apps/web.yaml", "--increase", "spec.replicas=lots"]).fails(1);
    assert!(told.contains("--increase spec.replicas: \"lots\" is no amount") && !told.contains("variable"), "{told}");
    let told = world.run(&["edit", "-C", "repo", "--file", "apps/web.yaml", "--set", "a=1", "--increase", &format!("{MEMORY}=256Mi..1Gi")]).fails(1);
    assert!(told.contains(&format!("--increase {MEMORY}: \"256Mi..1Gi\" is no amount")) && !told.contains("CEL"), "{told}");
    assert!(world.run(&["edit", "-C", "repo", "--set", "a=b"]).fails(2).contains("<--file <FILE>|--object <OBJECT>>"));
    assert_eq!(text(&world, "repo/apps/web.yaml"), WEB);
}

#[test]
fn a_difference_is_told_by_object_wherever_it_stands() {
    let world = world();
    world.write("after/moved.yaml", &WEB.replace("replicas: 2", "replicas: 5").replace("# the shop\n", ""));
    world.write("after/secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: hunter2}\n");
    world.write("after/broken.yaml", "a: [\n");
    let told = world.run(&["diff", "repo/apps", "after"]).ok();
    assert!(told.contains("changed Deployment shop/web  moved.yaml\n    spec.replicas: 2 -> 5\n"), "{told}");
    assert!(told.contains("added Secret s") && !told.contains("hunter2"), "{told}");
    assert!(told.contains("not read: after/broken.yaml: line"), "{told}");
    world.run(&["diff", "repo/apps", "after", "--exit-code"]).fails(3);
    assert!(world.run(&["diff", "repo", "repo", "--exit-code"]).ok().contains("nothing differs"));
    let report = world.run(&["-o", "json", "diff", "repo/apps/web.yaml", "after/moved.yaml"]).json();
    assert_eq!(report["changes"][0]["fields"][0]["path"], "spec.replicas");
}

#[test]
fn a_difference_may_be_read_from_a_pipe_or_the_standard_input() {
    let world = world();
    world.write("new.yaml", &WEB.replace("replicas: 2", "replicas: 5"));
    let kubeops = env!("CARGO_BIN_EXE_kubeops");
    for script in ["\"$0\" diff <(cat repo/apps/web.yaml) <(cat new.yaml)", "cat new.yaml | \"$0\" diff repo/apps/web.yaml -"] {
        let output = std::process::Command::new("bash").args(["-c", script, kubeops]).current_dir(world.path(".")).output().expect("run");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("spec.replicas: 2 -> 5"), "{script}: {told}{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(world.run(&["diff", "-", "-"]).fails(1).contains("the standard input can be read once"));
}

#[test]
fn a_kustomization_is_called_one_and_an_element_by_its_key() {
    let world = world();
    world.write("before/kustomization.yaml", "resources: []\n");
    world.write("after/kustomization.yaml", "resources: []\nnamespace: shop\n");
    let ports = |last: &str| format!("{}                ports: [{{containerPort: 80}}, {{containerPort: {last}}}]\n", WEB);
    world.write("before/web.yaml", &ports("81"));
    world.write("after/web.yaml", &ports("81, protocol: UDP"));
    let told = world.run(&["diff", "before", "after"]).ok();
    assert!(told.contains("changed Kustomization  kustomization.yaml"), "{told}");
    assert!(told.contains("containers[name=web].ports[containerPort=81].protocol"), "{told}");
}

#[test]
fn the_examples_of_the_help_can_be_copied() {
    let told = World::new().run(&["edit", "--help"]).ok();
    let examples = told.split("Examples:").nth(1).expect("examples");
    let commands = examples.replace("\\\n", " ");
    assert!(examples.lines().all(|line| line.len() <= 92), "{examples}");
    assert!(commands.lines().filter(|line| !line.trim().is_empty()).all(|line| line.trim().starts_with("kubeops edit ")), "{examples}");
}
