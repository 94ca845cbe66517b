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
    let layered =
        Catalogue::layered(vec![Catalogue::embedded().expect("shipped"), load("x: 1\n", &[]).expect("sound"), load("x: 2\n", &[]).expect("sound")]);
    let layered = layered.expect("they fit together");
    assert_eq!(layered.render_direct(&job(json!({}))).expect("rendered"), b"x: 2\n");
    assert_eq!(layered.templates().count(), Catalogue::embedded().expect("shipped").templates().count() + 1);
}
