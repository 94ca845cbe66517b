//! `kubeops demo --once`: what the README promises first.

use super::world::World;

#[test]
fn the_demo_ends_by_itself_with_both_pull_requests_and_their_diffs() {
    let world = World::new();
    let told = world.run(&["demo", "--once", "--port", "0", "--directory", "demo"]).ok();
    for part in [
        "gitops#1  ",
        "gitops#2  ",
        "Namespace payments (OPS-42)",
        "+++ b/clusters/prod-eu/namespaces/payments.yaml",
        "+kind: ResourceQuota",
        "-  maxReplicas: 6",
        "+  maxReplicas: 9",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert!(!told.contains('\x1b') && !told.contains("kops_"), "no colours and no token: {told}");
    let branches = std::process::Command::new("git").arg("--git-dir").arg(world.path("demo/gitops.git")).arg("branch").output().expect("git");
    assert_eq!(String::from_utf8_lossy(&branches.stdout).lines().count(), 3, "main and a branch for each");
}

#[test]
fn the_demo_leaves_nothing_behind_when_it_is_not_told_where_to() {
    let world = World::new();
    std::fs::create_dir(world.path("tmp")).expect("a directory");
    let ran = super::world::Ran::of(world.kubeops(&["demo", "--once", "--port", "0"]).env("TMPDIR", world.path("tmp")));
    ran.ok();
    assert_eq!(std::fs::read_dir(world.path("tmp")).expect("a directory").count(), 0);
}
