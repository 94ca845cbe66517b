//! What takes a change back: on the base it was made on, and on one that went on.

use super::*;
use crate::manifest::tests::edits_at_random::{document, habits, path_of, written};
use crate::manifest::{EditError, Editor, Limits, ObjectAddress, Step, parse};
use crate::types::DirectoryPath;
use proptest::prelude::*;

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

/// What is left to others, as it is told.
fn left(undone: &Undone) -> Vec<&str> {
    undone.left.iter().map(|left| left.message.as_str()).collect()
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
    assert_eq!(undone.left, []);
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
    assert!(undone.left.iter().any(|left| left.message.contains("image` says something else by now")), "{:?}", undone.left);
    assert!(undone.left.iter().any(|left| left.message.contains("`metadata.labels` says something else by now")), "{:?}", undone.left);
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
    assert!(
        undone.left[0].message.contains("is gone by now") && undone.left[1].message.contains("says something else by now: it stays"),
        "{:?}",
        undone.left
    );
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

const SERVICE: &str = "kind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80}]} # plain\n";

#[test]
fn an_object_of_the_change_that_somebody_changed_since_stays() {
    let base = Files::of(&[(PATH, WEB)]);
    let both = format!("{WEB}---\n{SERVICE}");
    let inverse = kept(&Inverse::of(&set(&[(PATH, Some(&both))]), &base).expect("an inverse"));
    let undone = inverse.apply(&Files::of(&[(PATH, &both.replace("port: 80", "port: 8080"))]), &within()).expect("undone");
    assert!(undone.change.files.is_empty(), "{:?}", undone.change);
    assert_eq!(left(&undone), ["Service/shop/web came with the change and says something else by now: it stays"]);
    // Another order of its fields, and a comment, are no other object.
    let today = both.replace("kind: Service\napiVersion: v1\n", "apiVersion: v1 # the first\nkind: Service\n");
    let undone = inverse.apply(&Files::of(&[(PATH, &today)]), &within()).expect("undone");
    assert_eq!(after(&Files::of(&[]), &undone.change).1[PATH], WEB);
}

#[test]
fn an_object_that_somebody_put_back_is_not_put_back_again() {
    let both = format!("{WEB}---\n{SERVICE}");
    let base = Files::of(&[(PATH, &both)]);
    let inverse = kept(&Inverse::of(&set(&[(PATH, Some(WEB))]), &base).expect("an inverse"));
    let own = SERVICE.replace("port: 80", "port: 8080");
    for (files, place) in [
        (vec![(PATH, format!("{WEB}---\n{own}"))], PATH),
        (vec![(PATH, format!("# today\n{WEB}")), ("clusters/prod/elsewhere.yaml", own.clone())], "clusters/prod/elsewhere.yaml"),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let undone = inverse.apply(&Files::of(&files), &within()).expect("undone");
        assert!(undone.change.files.is_empty(), "{:?}", undone.change);
        assert_eq!(left(&undone), [format!("a document stays away: Service/shop/web is there again, in {place}")]);
    }
    // The same of a whole file.
    let base = Files::of(&[(PATH, SERVICE)]);
    let inverse = kept(&Inverse::of(&set(&[(PATH, None)]), &base).expect("an inverse"));
    let undone = inverse.apply(&Files::of(&[("clusters/prod/elsewhere.yaml", &own)]), &within()).expect("undone");
    assert!(undone.change.files.is_empty() && undone.left[0].message.ends_with("Service/shop/web is there again, in clusters/prod/elsewhere.yaml"));
    // A namesake of another group is another object.
    let knative = SERVICE.replace("apiVersion: v1", "apiVersion: serving.knative.dev/v1");
    let undone = inverse.apply(&Files::of(&[("clusters/prod/elsewhere.yaml", &knative)]), &within()).expect("undone");
    assert_eq!(after(&Files::of(&[]), &undone.change).1[PATH], SERVICE);
}

#[test]
fn an_object_that_the_change_moved_goes_back_to_where_it_was() {
    let both = format!("{WEB}---\n{SERVICE}");
    let other = "clusters/prod/apps/service.yaml";
    let base = Files::of(&[(PATH, &both)]);
    let inverse = Inverse::of(&set(&[(PATH, Some(WEB)), (other, Some(SERVICE))]), &base).expect("an inverse");
    let today = Files::of(&[(PATH, &format!("# today\n{WEB}")), (other, SERVICE)]);
    let undone = inverse.apply(&today, &within()).expect("undone");
    assert_eq!(undone.left, []);
    assert_eq!(after(&today, &undone.change).1, BTreeMap::from([(PATH.to_owned(), format!("# today\n{both}"))]));
}

#[test]
fn an_element_that_somebody_put_back_is_not_there_twice() {
    let without = WEB.replace("      - name: side\n        image: side:1\n", "");
    let inverse = Inverse::of(&set(&[(PATH, Some(&without))]), &Files::of(&[(PATH, WEB)])).expect("an inverse");
    let undone = inverse.apply(&Files::of(&[(PATH, &WEB.replace("side:1", "side:2"))]), &within()).expect("undone");
    assert!(undone.change.files.is_empty() && undone.left[0].message.contains("[name=side]` is there again and says something else"), "{undone:?}");
}

/// One operation on one object of a text, as `edit` has them.
fn operate(editor: &mut Editor, which: usize, object: Option<&ObjectAddress>, scalar: &[Step], new: &Value) -> Result<bool, EditError> {
    let field = path_of(scalar);
    let list = scalar.iter().rposition(|step| matches!(step, Step::Element { .. })).map(|at| path_of(&scalar[..at]));
    let element = json!({"name": "n0", "added": new});
    match (which, list) {
        (0, _) => editor.set(object, &field, new),
        (1, _) => editor.set(object, &"metadata.annotations.added".parse().expect("a path"), new),
        (2, _) => editor.merge(object, &"metadata".parse().expect("a path"), &json!({"labels": {"a": new, "b": null}, "own": null})),
        (3, Some(list)) => editor.append(object, &list, &json!({"name": "another", "value": new})),
        (4, Some(list)) => editor.ensure(object, &list, &element, Some("name")),
        (5, Some(list)) => editor.ensure(object, &list, &element, None),
        (6, _) => {
            let grown = editor.get(object, &field)?.and_then(Value::as_i64).map(|number| number.saturating_add(1));
            grown.map_or(Ok(false), |grown| editor.set(object, &field, &Value::from(grown)))
        }
        (7, _) => editor.remove(object, &field),
        (8, _) => editor.add_document("kind: Service\napiVersion: v1\nmetadata: {name: added}\n"),
        // With its last object a file goes, which is not done here.
        (9, _) if editor.documents().len() > 1 => object.map_or(Ok(false), |object| editor.remove_object(object)),
        _ => Ok(false),
    }
}

#[test]
fn a_base_with_a_change_is_the_tree_after_it() {
    let change = set(&[
        (PATH, Some("a: 1\n")),
        ("clusters/prod/old.yaml", None),
        ("clusters/prod/new/one.yaml", Some("b: 1\n")),
        ("clusters/gone/only.yaml", None),
    ]);
    let mut base = base();
    base.1.insert("clusters/gone/only.yaml".to_owned(), "c: 1\n".to_owned());
    let (changed, after) = (Changed::new(&base, &change), after(&base, &change));
    let paths = [
        PATH,
        "clusters/prod/old.yaml",
        "clusters/prod/new/one.yaml",
        "clusters/prod/new",
        "clusters/gone",
        "clusters/gone/only.yaml",
        "clusters",
        "none",
    ];
    for path in paths {
        assert_eq!(changed.bytes(path).expect("read"), after.bytes(path).expect("read"), "{path}");
        assert_eq!(changed.entry(path).expect("read"), after.entry(path).expect("read"), "{path}");
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(changed.names(path).expect("read")), sorted(after.names(path).expect("read")), "{path}");
    }
    assert_eq!(changed.spellings("clusters/prod/NEW").expect("read"), ["new"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_operation_and_its_inverse_give_the_bytes_there_were_in_a_file_somebody_else_changed_too(
        bodies in prop::collection::vec(document(), 1..4), habits in habits(), dice in prop::collection::vec(any::<u8>(), 40),
        object in any::<prop::sample::Index>(), which in 0..10_usize, scalar in any::<prop::sample::Index>(), new in prop_oneof![Just(json!("x")), Just(json!(7)), Just(json!(true))],
    ) {
        let mut scalars = Vec::new();
        let mut texts = Vec::new();
        for (number, body) in bodies.iter().enumerate() {
            let mut value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("n{number}"), "own": 1}});
            value["spec"] = body.clone();
            let writer = written(&value, &habits, dice.clone());
            scalars.push(writer.scalars.iter().map(|(steps, _)| steps.clone()).filter(|steps| steps[0] == Step::key("spec")).collect::<Vec<_>>());
            let ended = number + 1 == bodies.len() || writer.out.ends_with('\n');
            texts.push(format!("{}{}", writer.out, if ended { "" } else { "\n" }));
        }
        let text = texts.join("---\n");
        let Ok(documents) = parse(&text, Limits::default()) else { return Ok(()) };
        prop_assume!(documents.len() == bodies.len());
        let at = object.index(documents.len());
        if scalars[at].is_empty() {
            return Ok(());
        }
        let address = ObjectAddress::exactly(&documents[at].object().expect("an object"));
        let mut editor = Editor::open(text.clone(), false).expect("read");
        // What cannot be written is refused; that is another test's.
        let Ok(true) = operate(&mut editor, which, Some(&address), scalars[at][scalar.index(scalars[at].len())].as_slice(), &new) else { return Ok(()) };
        let base = Files::of(&[(PATH, &text)]);
        let inverse = kept(&Inverse::of(&set(&[(PATH, Some(editor.text()))]), &base).expect("an inverse"));
        let undone = inverse.apply(&Files::of(&[(PATH, editor.text())]), &within()).expect("undone");
        prop_assert_eq!(&after(&base, &undone.change).1[PATH], &text);
        let today = Files::of(&[(PATH, &format!("# somebody was here\n{}", editor.text()))]);
        let undone = inverse.apply(&today, &within()).expect("undone");
        // A comment between what is put back and its neighbours may stand in the way: then that is said.
        if undone.left.iter().any(|left| left.message.contains("without changing something else")) {
            return Ok(());
        }
        prop_assert_eq!(undone.left, []);
        prop_assert_eq!(&after(&today, &undone.change).1[PATH], &format!("# somebody was here\n{text}"), "{}", editor.text());
    }
}
