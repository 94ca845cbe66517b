//! What takes a change back: on the base it was made on, and on one that went on.

use super::*;
use crate::types::DirectoryPath;

const WEB: &str = "# web\nkind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  replicas: 2 # two\n  template:\n    spec:\n      containers:\n      - name: web\n        image: web:1.4\n        args: [--fast]\n      - name: side\n        image: side:1\n";
const PATH: &str = "clusters/prod/apps/web.yaml";
const KUSTOMIZATION: &str = "resources:\n- apps/web.yaml\n";

fn base() -> Files {
    Files::of(&[
        (PATH, WEB),
        ("clusters/prod/kustomization.yaml", KUSTOMIZATION),
        ("clusters/prod/old.yaml", "kind: Namespace\napiVersion: v1\nmetadata: {name: old}\n"),
    ])
}

fn within() -> DirectoryPath {
    "clusters/prod".parse().expect("a directory")
}

fn set(files: &[(&str, Option<&str>)]) -> ChangeSet {
    let change = |text: &Option<&str>| text.map_or(FileChange::Remove, |text| FileChange::Write(text.as_bytes().to_vec()));
    ChangeSet { files: files.iter().map(|(path, text)| (path.parse().expect("a path"), change(text))).collect(), ..ChangeSet::default() }
}

/// The tree after a change.
fn after(base: &Files, change: &ChangeSet) -> Files {
    let mut files = base.1.clone();
    for (path, file) in &change.files {
        match file {
            FileChange::Write(bytes) => drop(files.insert(path.to_string(), String::from_utf8(bytes.clone()).expect("UTF-8"))),
            FileChange::Remove => drop(files.remove(path.as_str())),
        }
    }
    Files(base.0.clone(), files)
}

/// Through the store and back.
fn kept(inverse: &Inverse) -> Inverse {
    serde_json::from_str(&serde_json::to_string(inverse).expect("JSON")).expect("an inverse")
}

#[test]
fn a_change_nobody_touched_goes_back_byte_for_byte() {
    let change = set(&[
        (PATH, Some(&WEB.replace("replicas: 2", "replicas: 6"))),
        ("clusters/prod/new.yaml", Some("kind: Namespace\napiVersion: v1\nmetadata: {name: new}\n")),
        ("clusters/prod/old.yaml", None),
        ("clusters/prod/kustomization.yaml", Some("resources:\n- apps/web.yaml\n- new.yaml\n")),
    ]);
    let inverse = kept(&Inverse::of(&change, &base()).expect("an inverse"));
    let undone = inverse.apply(&after(&base(), &change), &within()).expect("undone");
    assert_eq!(undone.left, Vec::<String>::new());
    assert_eq!(after(&after(&base(), &change), &undone.change).1, base().1);
    // On the tree it was made on there is nothing to do.
    assert!(inverse.apply(&base(), &within()).expect("undone").change.files.is_empty());
}

#[test]
fn in_a_file_that_went_on_only_what_the_change_made_goes_back() {
    let changed = WEB
        .replace("replicas: 2", "replicas: 6")
        .replace("image: web:1.4", "image: web:1.5")
        .replace("args: [--fast]", "args: [--fast, --more]")
        .replace("  namespace: shop\n", "  namespace: shop\n  labels: {team: shop}\n")
        .replace("      - name: side\n        image: side:1\n", "      - name: debug\n        image: debug:1\n");
    let change = set(&[(PATH, Some(&changed))]);
    let inverse = kept(&Inverse::of(&change, &base()).expect("an inverse"));
    // Somebody wrote a comment, another image, and another label since.
    let today =
        changed.replace("# web", "# web of today").replace("image: web:1.5", "image: web:2.0").replace("{team: shop}", "{team: shop, tier: a}");
    let undone = inverse.apply(&Files::of(&[(PATH, &today)]), &within()).expect("undone");
    let text = &after(&Files::of(&[]), &undone.change).1[PATH];
    assert!(text.contains("# web of today") && text.contains("replicas: 2 # two") && text.contains("image: web:2.0"), "{text}");
    assert!(text.contains("args: [--fast]") && !text.contains("debug") && text.contains("side:1"), "{text}");
    assert_eq!(undone.left.len(), 2, "{:?}", undone.left);
    assert!(undone.left.iter().any(|left| left.contains("image` says something else by now")), "{:?}", undone.left);
    assert!(undone.left.iter().any(|left| left.contains("`metadata.labels` says something else by now")), "{:?}", undone.left);
}

#[test]
fn objects_come_and_go_with_their_documents() {
    let service = "kind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80}]} # plain\n";
    let both = format!("{WEB}---\n{service}");
    for (was, is) in [(WEB.to_owned(), both.clone()), (both, WEB.to_owned())] {
        let base = Files::of(&[(PATH, &was)]);
        let inverse = Inverse::of(&set(&[(PATH, Some(&is))]), &base).expect("an inverse");
        let today = is.replace("# web", "# the web");
        let undone = inverse.apply(&Files::of(&[(PATH, &today)]), &within()).expect("undone");
        assert_eq!(after(&Files::of(&[]), &undone.change).1[PATH], was.replace("# web", "# the web"), "{is}");
        assert!(undone.left.is_empty(), "{:?}", undone.left);
    }
}

#[test]
fn a_file_of_the_change_that_says_something_else_stays() {
    let change =
        set(&[("clusters/prod/new.yaml", Some("kind: Namespace\napiVersion: v1\nmetadata: {name: new}\n")), (PATH, Some(&WEB.replace("2", "3")))]);
    let inverse = Inverse::of(&change, &base()).expect("an inverse");
    let today = Files::of(&[("clusters/prod/new.yaml", "kind: Namespace\napiVersion: v1\nmetadata: {name: other}\n")]);
    let undone = inverse.apply(&today, &within()).expect("undone");
    assert!(undone.change.files.is_empty());
    assert_eq!(undone.left.len(), 2, "{:?}", undone.left);
    assert!(undone.left[0].contains("is gone by now") && undone.left[1].contains("says something else by now: it stays"), "{:?}", undone.left);
}

#[test]
fn a_new_file_that_goes_is_taken_out_of_the_kustomization_that_names_it() {
    let change = set(&[("clusters/prod/new.yaml", Some("kind: Namespace\napiVersion: v1\nmetadata: {name: new}\n"))]);
    let inverse = Inverse::of(&change, &base()).expect("an inverse");
    let mut today = after(&base(), &change);
    today.1.insert("clusters/prod/kustomization.yaml".to_owned(), format!("# ours\n{KUSTOMIZATION}- new.yaml\n"));
    let undone = inverse.apply(&today, &within()).expect("undone");
    assert_eq!(after(&today, &undone.change).1["clusters/prod/kustomization.yaml"], format!("# ours\n{KUSTOMIZATION}"));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let secret = "kind: Secret\napiVersion: v1\nmetadata: {name: s}\nstringData: {token: hunter2}\n";
    let error = Inverse::of(&set(&[(PATH, Some(WEB))]), &Files::of(&[(PATH, secret)])).expect_err("refused").to_string();
    assert!(error.contains("the values of Secrets are not kept") && !error.contains("hunter2"), "{error}");
    let error = Inverse::of(&set(&[(PATH, Some(WEB))]), &Files::of(&[(PATH, "a: {{ token }} hunter2\n")])).expect_err("refused").to_string();
    assert!(error.contains("nobody knows whether it holds a Secret"), "{error}");
    let large = format!("{WEB}# {}\n", "x".repeat(600_000));
    let error = Inverse::of(&set(&[(PATH, Some(WEB))]), &Files::of(&[(PATH, &large)])).expect_err("refused").to_string();
    assert!(error.contains("make several requests"), "{error}");
}
