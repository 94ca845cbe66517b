//! Which overlays are built for a change, from which files, and what is told of them.

use super::*;
use std::sync::Mutex;

/// Gives every file below the directory back as what is built, and remembers what it was asked.
#[derive(Debug, Default)]
struct Joins(Mutex<Vec<(String, Vec<String>)>>);

impl Builder for Joins {
    fn build(&self, files: &BTreeMap<String, Vec<u8>>, directory: &str) -> Result<String, BuildError> {
        let paths = files.keys().cloned().collect();
        self.0.lock().expect("a lock").push((directory.to_owned(), paths));
        let of_objects = files.iter().filter(|(path, _)| !path.ends_with("kustomization.yaml"));
        let texts: Vec<String> = of_objects.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
        match texts.iter().any(|text| text.contains("broken")) {
            true => Err(BuildError::Refused("no good".to_owned())),
            false => Ok(texts.join("---\n")),
        }
    }
}

const WEB: &str = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 1}\n";

fn base() -> Files {
    Files::of(&[
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", WEB),
        (
            "clusters/prod/eu/kustomization.yaml",
            "resources: [../../../base]\npatches: [{path: patch.yaml}]\nconfigMapGenerator: [{name: c, files: [key=data/x.conf]}]\n",
        ),
        ("clusters/prod/eu/patch.yaml", "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: other, namespace: shop}\n"),
        ("clusters/prod/eu/data/x.conf", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n"),
        ("clusters/prod/us/kustomization.yaml", "resources: [own.yaml, https://example.com/more]\n"),
        ("clusters/prod/us/own.yaml", WEB),
    ])
}

fn built(files: &[(&str, Option<&str>)], builder: &Joins) -> Vec<Build> {
    let change = |text: &Option<&str>| text.map_or(FileChange::Remove, |text| FileChange::Write(text.as_bytes().to_vec()));
    let files = files.iter().map(|(path, text)| (path.parse().expect("a path"), change(text))).collect();
    builds(&base(), &files, &"clusters/prod".parse().expect("a directory"), builder).expect("built").into_iter().map(|built| built.build).collect()
}

#[test]
fn an_overlay_that_builds_from_a_changed_file_is_built_before_and_after() {
    let builder = Joins::default();
    let told = built(
        &[(
            "clusters/prod/eu/patch.yaml",
            Some("kind: Deployment\napiVersion: apps/v1\nmetadata: {name: other, namespace: shop}\nspec: {replicas: 4}\n"),
        )],
        &builder,
    );
    let files = [
        "base/kustomization.yaml",
        "base/web.yaml",
        "clusters/prod/eu/data/x.conf",
        "clusters/prod/eu/kustomization.yaml",
        "clusters/prod/eu/patch.yaml",
    ];
    let asked = builder.0.into_inner().expect("a lock");
    assert_eq!(asked, vec![("clusters/prod/eu".to_owned(), files.map(str::to_owned).to_vec()); 2]);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].directory.as_str(), told[0].changes.as_slice()),
        ("clusters/prod/eu", &["Deployment shop/other: spec added: {replicas: 4}".to_owned()][..])
    );
}

#[test]
fn what_cannot_be_built_any_more_is_broken_and_what_never_could_is_not() {
    let told = built(&[("clusters/prod/eu/patch.yaml", Some("kind: broken\n"))], &Joins::default());
    assert!(told[0].broken && told[0].note.as_deref() == Some("no good"), "{told:?}");
    // Nothing is fetched for what is built from elsewhere.
    let builder = Joins::default();
    let told = built(&[("clusters/prod/us/own.yaml", Some("kind: broken\n"))], &builder);
    assert!(!told[0].broken && told[0].note.as_deref().is_some_and(|note| note.contains("https://example.com/more")), "{told:?}");
    assert!(builder.0.into_inner().expect("a lock").is_empty());
    // A file that nobody builds from is nobody's.
    assert!(built(&[("clusters/prod/alone.yaml", Some(WEB))], &Joins::default()).is_empty());
}

#[test]
fn a_new_overlay_is_built_against_nothing() {
    let told = built(
        &[("clusters/prod/new/kustomization.yaml", Some("resources: [web.yaml]\n")), ("clusters/prod/new/web.yaml", Some(WEB))],
        &Joins::default(),
    );
    assert_eq!(told[0].changes, ["Deployment shop/web: added"]);
}

#[test]
fn a_file_that_is_named_and_gone_breaks_the_build_and_what_would_be_fetched_is_left_alone() {
    let told = built(&[("clusters/prod/eu/patch.yaml", None)], &Joins::default());
    assert!(told[0].broken && told[0].note.as_deref() == Some("it names \"patch.yaml\", which is not there"), "{told:?}");
    let told = built(&[("clusters/prod/new/kustomization.yaml", Some("resources: [gone.yaml]\n"))], &Joins::default());
    assert!(told[0].broken && told[0].note.as_deref() == Some("it names \"gone.yaml\", which is not there"), "{told:?}");
    for text in [
        "resources: [web.yaml]\npatches: [{path: https://example.com/p.yaml}]\n",
        "resources: [web.yaml]\ngenerators: [g.yaml]\n",
        "resources: [github.com/acme/base]\n",
        "resources: [\"git@example.com:acme/base\"]\n",
        "helmCharts: [{name: x}]\n",
    ] {
        let builder = Joins::default();
        let told = built(&[("clusters/prod/new/kustomization.yaml", Some(text)), ("clusters/prod/new/web.yaml", Some(WEB))], &builder);
        assert!(
            told[0].note.as_deref().is_some_and(|note| note.contains("nothing is fetched")) && builder.0.into_inner().expect("a lock").is_empty(),
            "{text}: {told:?}"
        );
    }
}
