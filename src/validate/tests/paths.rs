//! Where a file may lie.

use super::*;

fn path_rules(path: &str, base: &FakeTree, rules: &Rules) -> Vec<String> {
    findings(change(&[(path, NAMESPACE)]), base, rules).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn a_file_outside_the_directory_is_refused() {
    let within = Rules { within: "clusters/a".parse().expect("a directory"), ..rules() };
    assert_eq!(path_rules("clusters/a/x.yaml", &FakeTree::new(), &within), Vec::<String>::new());
    for path in ["clusters/b/x.yaml", "clusters/ab/x.yaml", "x.yaml"] {
        assert_eq!(path_rules(path, &FakeTree::new(), &within), ["path.outside"]);
    }
}

#[test]
fn a_path_through_anything_but_directories_is_refused() {
    for (kind, rule) in [
        (EntryKind::Symlink, "path.symlink"),
        (EntryKind::Submodule, "path.submodule"),
        (EntryKind::File, "path.file"),
        (EntryKind::Executable, "path.file"),
    ] {
        assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().special("a", kind), &rules()), [rule]);
        assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().special("a/b", kind), &rules()), [rule]);
    }
    for (kind, rule) in [(EntryKind::Symlink, "path.symlink"), (EntryKind::Submodule, "path.submodule")] {
        assert_eq!(path_rules("a/b.yaml", &FakeTree::new().special("a/b.yaml", kind), &rules()), [rule]);
        let mut removal = ChangeSet::default();
        removal.files.insert("a/b.yaml".parse().expect("a path"), FileChange::Remove);
        assert_eq!(findings(removal, &FakeTree::new().special("a/b.yaml", kind), &rules())[0].rule, rule);
    }
    assert_eq!(path_rules("a.yaml", &FakeTree::new().file("a.yaml/b.yaml", ""), &rules()), ["path.directory"]);
    assert_eq!(path_rules("a.yaml", &FakeTree::new().special("a.yaml", EntryKind::Executable), &rules()), Vec::<String>::new());
}

#[test]
fn another_spelling_of_a_name_is_refused_at_every_level() {
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("A/x.yaml", ""), &rules()), ["path.case"]);
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("a/B/x.yaml", ""), &rules()), ["path.case"]);
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("a/b/C.yaml", ""), &rules()), ["path.case"]);
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("a/b/c.yaml", ""), &rules()), Vec::<String>::new());
    // Within the change: files, directories, and a file where another needs a directory.
    let two = |a, b| findings(change(&[(a, NAMESPACE), (b, "apiVersion: v1\nkind: Namespace\nmetadata: { name: b }\n")]), &FakeTree::new(), &rules());
    assert_eq!(two("a/x.yaml", "a/X.yaml")[0].rule, "path.case");
    assert_eq!(two("a/x.yaml", "A/y.yaml")[0].rule, "path.case");
    assert_eq!(two("a.yaml", "a.yaml/b.yaml")[0].rule, "path.case");
    assert!(two("a/x.yaml", "a/y.yaml").is_empty());
    // A rename to another spelling leaves one.
    let mut rename = change(&[("a.yaml", NAMESPACE)]);
    rename.files.insert("A.yaml".parse().expect("a path"), FileChange::Remove);
    assert!(validate(rename, &FakeTree::new().file("A.yaml", NAMESPACE), &rules()).is_ok());
}
