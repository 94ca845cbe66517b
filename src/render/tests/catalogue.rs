//! Folders, schemas and layers of a catalogue.

use super::*;

#[test]
fn every_violation_of_the_schema_is_listed_with_its_pointer() {
    let catalogue = load("x: 1\n", &[]).expect("sound");
    match catalogue.render_direct(&job(json!({"parameters": {"size": "big", "list": 1, "extra": true}}))) {
        Err(RenderError::Parameters { violations, .. }) => {
            let mut pointers: Vec<&str> = violations.iter().map(|v| v.pointer.as_str()).collect();
            pointers.sort_unstable();
            assert_eq!(pointers, ["", "/list", "/size"]);
        }
        other => panic!("{other:?}"),
    }
    let filled = catalogue.with_defaults(&"t".parse().expect("a name"), &serde_json::Map::new()).expect("known");
    assert_eq!(Value::Object(filled), json!({"size": 3}));
    let given = json!({"a": 1, "cluster": "prod"}).as_object().cloned().expect("an object");
    assert_eq!(Value::Object(catalogue.select(&"t".parse().expect("a name"), &given).expect("known")), json!({"a": 1, "size": 3}));
}

#[test]
fn a_schema_is_closed_described_and_fetches_nothing() {
    for (from, to) in [
        ("\"additionalProperties\":false,", ""),
        ("\"title\":\"t\",", ""),
        ("\"title\":\"a\",", ""),
        ("\"default\":3", "\"default\":\"three\""),
        ("\"type\":\"integer\"", "\"type\":\"int\""),
        ("\"description\":\"b\"", "\"description\":\"b\",\"$ref\":\"https://example.com/x.json\""),
        ("\"description\":\"b\"", "\"description\":\"b\",\"pattern\":\"(\""),
        ("}}}", "}}"),
    ] {
        let broken = SCHEMA.replacen(from, to, 1);
        assert_ne!(broken, SCHEMA);
        let mut all = files("x: 1\n", &[]);
        all[1].1 = broken.into_bytes();
        assert!(Catalogue::from_files(all).is_err(), "{to}");
    }
}

#[test]
fn a_folder_holds_what_a_template_needs_and_nothing_else() {
    for missing in 0..3 {
        let mut all = files("x: 1\n", &[]);
        all.remove(missing);
        assert!(Catalogue::from_files(all).is_err(), "{missing}");
    }
    for extra in ["t/param.schema.json", "stray.txt", "_shared/x.yaml", "Bad_Name/manifest.yaml.tera", "t/examples/one/expected.yaml"] {
        let mut all = files("x: 1\n", &[]);
        all.push((extra.to_owned(), b"x: 1\n".to_vec()));
        assert!(Catalogue::from_files(all).is_err(), "{extra}");
    }
}

#[test]
fn a_later_layer_replaces_a_template_and_the_digest_follows_what_it_is_made_of() {
    let name: crate::types::TemplateName = "t".parse().expect("a name");
    let shared = [("used.tera", "{% component c() %}\na: 1\n{% endcomponent %}\n"), ("other.tera", "b: 1\n")];
    let digest = |source: &str, shared: &[(&str, &str)]| load(source, shared).expect("sound").get(&name).expect("it").digest().to_owned();
    let base = digest("{{ <c /> }}\n", &shared);
    assert_eq!(base.len(), 64);
    assert_eq!(base, digest("{{ <c /> }}\n", &[shared[0], ("other.tera", "b: 2\n")]));
    assert_ne!(base, digest("{{ <c /> }}\n", &[("used.tera", "{% component c() %}\na: 2\n{% endcomponent %}\n"), shared[1]]));
    let shipped = || Catalogue::embedded().expect("shipped");
    let layered = shipped().with(files("x: 1\n", &[])).and_then(|both| both.with(files("x: 2\n", &[]))).expect("they fit together");
    assert_eq!(layered.render_direct(&job(json!({}))).expect("rendered"), b"x: 2\n");
    assert_eq!(layered.templates().count(), shipped().templates().count() + 1);
}

/// One file of a catalogue.
fn file(path: &str, text: &str) -> (String, Vec<u8>) {
    (path.to_owned(), text.as_bytes().to_vec())
}

fn origin(catalogue: &Catalogue, name: &str) -> Origin {
    catalogue.get(&name.parse().expect("a name")).expect("a template").origin()
}

/// What the shipped template `limit-range` gives by its first example.
fn limit_range(catalogue: &Catalogue) -> String {
    let template = catalogue.get(&"limit-range".parse().expect("a name")).expect("a template");
    catalogue.render_example(template.name(), &template.examples()[0]).expect("rendered")
}

#[test]
fn a_template_of_ones_own_uses_what_is_shared_in_the_shipped_catalogue() {
    let own = Catalogue::embedded().expect("shipped").with(files("metadata:\n  labels:\n    {{ <labels /> }}\n", &[])).expect("they fit together");
    let output = own.render_direct(&job(json!({}))).expect("rendered");
    assert_eq!(String::from_utf8_lossy(&output), "metadata:\n  labels:\n    app.kubernetes.io/managed-by: kubeops\n");
    assert_eq!((origin(&own, "t"), origin(&own, "namespace")), (Origin::Own, Origin::BuiltIn));
}

#[test]
fn a_shipped_template_is_replaced_as_a_whole_folder() {
    let as_limit_range = |(path, bytes): (String, Vec<u8>)| (path.replacen("t/", "limit-range/", 1), bytes);
    let own = Catalogue::embedded().expect("shipped").with(files("x: 1\n", &[]).into_iter().map(as_limit_range)).expect("they fit together");
    let template = own.get(&"limit-range".parse().expect("a name")).expect("a template");
    assert_eq!((template.origin(), template.examples().len()), (Origin::Replaced, 0), "nothing of the shipped folder is left");
    assert_eq!(own.source(template.name()).expect("known"), "x: 1\n");
}

#[test]
fn a_shared_file_of_ones_own_takes_the_place_of_the_shipped_one_in_every_template() {
    let shipped = Catalogue::embedded().expect("shipped");
    let before = limit_range(&shipped);
    let labels = "{% component labels() %}\napp.kubernetes.io/managed-by: kubeops\nacme.example/owner: platform\n{% endcomponent labels %}\n";
    let description = "{% component description(text: string) %}\n{% if text %}\nannotations:\n  acme.example/about: {{ text }}\n{% endif %}\n{% endcomponent description %}\n";
    let own = shipped.with([file("_shared/metadata.tera", &format!("{labels}{description}"))]).expect("they fit together");
    let after = limit_range(&own);
    assert!(after.contains("acme.example/owner: platform") && !before.contains("acme.example"), "{after}");
    assert_eq!((origin(&own, "limit-range"), origin(&own, "access-grant")), (Origin::Affected, Origin::Affected));
    // What the replaced file no longer defines is missed where it is used.
    let errors = Catalogue::embedded().expect("shipped").with([file("_shared/metadata.tera", labels)]).expect_err("a component is gone");
    assert!(errors.iter().any(|e| e.file.starts_with("limit-range/") && e.message.contains("no component `description`")), "{errors:?}");
    // A component's name is taken once: another file cannot define it again.
    let errors = Catalogue::embedded().expect("shipped").with([file("_shared/ours.tera", labels)]).expect_err("defined twice");
    assert!(errors.iter().any(|e| e.message.contains("the component `labels` is also defined")), "{errors:?}");
}

#[test]
fn the_kinds_a_template_makes_are_read_off_its_source() {
    let kinds = |source: &str| load(source, &[]).expect("sound").get(&"t".parse().expect("a name")).expect("it").kinds().to_vec();
    assert_eq!(kinds("kind: Service\nspec:\n  kind: x\n---\nkind: Job\n---\nkind: Service\n"), ["Service", "Job"]);
    assert_eq!(kinds("kind: {{ parameters.a }}\n"), Vec::<String>::new());
}

#[test]
fn arguments_a_component_does_not_take_are_found_when_the_catalogue_is_loaded() {
    let shared = [(
        "c.tera",
        "{% component owner(team: string, size: integer = 1, list: array = [1, 2]) %}\na: {{ team }}\nb: {{ size }}\nc: {{ list }}\n{% endcomponent %}\n{% component none() %}\na: 1\n{% endcomponent %}\n",
    )];
    for (call, column, message, hint) in [
        ("owner tem={parameters.a}", 11, "the component `owner` has no argument `tem`", "did you mean `team`?"),
        ("owner team=\"x\" colour={ {\"a\": 1} }", 20, "the component `owner` has no argument `colour`", "its arguments are: team, size, list"),
        ("owner size={2}", 1, "the component `owner` needs the argument `team`", "write `{{ <owner team={value} /> }}`"),
        ("owner team=\"x\" size=\"2\"", 20, "the argument `size` of the component `owner` is of the type integer", "write a value in braces"),
        ("owner team={2}", 11, "the argument `team` of the component `owner` is of the type string", "write a text in quotes"),
        ("none team=\"x\"", 10, "the component `none` has no argument `team`", "it takes none"),
        ("ownr team=\"x\"", 1, "there is no component `ownr`", "did you mean `owner`?"),
    ] {
        let errors = load(&format!("{{{{ <{call} /> }}}}\n"), &shared).err().unwrap_or_default();
        let [error] = errors.as_slice() else { panic!("{call}: {errors:?}") };
        assert_eq!((error.line, error.column, error.message.as_str()), (1, column, message), "{call}");
        assert!(error.hint.contains(hint), "{call}: {}", error.hint);
    }
    for call in ["owner team=\"x\"", "owner team={parameters.a ~ \"{\"} size={parameters.size}", "owner {...parameters}", "none"] {
        assert!(load(&format!("{{{{ <{call} /> }}}}\n"), &shared).is_ok(), "{call}");
    }
}

#[test]
fn who_took_a_shared_component_away_is_said_where_it_is_missed() {
    let own = [file("_shared/metadata.tera", "{% component labels() %}\na: b\n{% endcomponent %}\n")];
    let errors = Catalogue::embedded().expect("shipped").with(own).err().unwrap_or_default();
    let told: Vec<String> = errors.iter().map(TemplateError::told).collect();
    assert!(
        told.iter()
            .any(|told| told
                .contains("there is no component `description`\n  hint: your own _shared/metadata.tera takes the place of the shipped one")),
        "{told:?}"
    );
}
