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
fn a_demo_that_ends_by_itself_leaves_what_it_made_and_says_where() {
    let world = World::new();
    std::fs::create_dir(world.path("tmp")).expect("a directory");
    let ran = super::world::Ran::of(world.kubeops(&["demo", "--once", "--port", "0"]).env("TMPDIR", world.path("tmp")));
    let told = ran.ok();
    let left: Vec<_> = std::fs::read_dir(world.path("tmp")).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    let [left] = left.as_slice() else { panic!("one directory: {left:?}") };
    let command = format!("git --git-dir {}/gitops.git log --patch --all --not main", left.display());
    assert!(told.contains(&command), "{told}");
    let shown = std::process::Command::new("sh").args(["-c", &command]).output().expect("git");
    assert_eq!(String::from_utf8_lossy(&shown.stdout).matches("\ncommit ").count() + 1, 2, "two commits to look at");
}
