use super::*;
use serde_json::json;

#[test]
fn a_megabyte_of_ampersands_is_read_at_once() {
    let begun = std::time::Instant::now();
    let text = format!("a: &x 1\nb: '{}'\nc: {}\n", "&".repeat(500_000), "[&a 1, &b 2, &c 3, &d 4],".repeat(10_000).replace("],[", ","));
    assert!(parse(text.trim_end_matches(",\n"), Limits::default()).is_ok());
    // Looking for the end of each name from each of them would take minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn an_ampersand_in_a_text_is_no_anchor() {
    for text in [
        "a: R&D.x\nb: &x 1\nc: *x\n",
        "a: '&x: y'\nb: &x 1\n",
        "a: &x '&x:'\nb: *x\n",
        "a: &x-1_Y\n  k: \"&a.b\"\n",
        "# R&D!\nx: &a # &b.c\n  k: 1\n",
    ] {
        assert!(parse(text, Limits::default()).is_ok(), "{text:?}");
    }
}

#[test]
fn documents_are_counted_without_the_empty_ones() {
    assert_eq!(read("# nothing but this\n"), []);
    assert_eq!(read(""), []);
    assert_eq!(read("---\n---\n# c\n---\n"), []);
    let documents = read("# head\n---\na: 1\n--- # two\n\n---\nb: 2\n...\n---\nc: 3\n");
    let seen: Vec<_> = documents.iter().map(|document| (document.index, document.start_line, document.value.clone())).collect();
    assert_eq!(seen, [(0, 3, json!({"a": 1})), (1, 7, json!({"b": 2})), (2, 10, json!({"c": 3}))]);
}

#[test]
fn json_is_yaml_too() {
    assert_eq!(read_one("{\n\t\"a\": [1, 2.5, null, true, \"x\\u00e9\\ud83d\\ude00\"]\n}\n"), json!({"a": [1, 2.5, null, true, "xé😀"]}));
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    for (text, value) in [
        ("yes", json!(true)),
        ("On", json!(true)),
        ("y", json!(true)),
        ("NO", json!(false)),
        ("off", json!(false)),
        // Only these spellings: others are text to kubectl.
        ("yEs", json!("yEs")),
        ("tRue", json!("tRue")),
        ("nULL", json!("nULL")),
        ("~", json!(null)),
        ("", json!(null)),
        ("Null", json!(null)),
        ("0644", json!(420)),
        ("08", json!(8.0)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("-0x1f", json!(-31)),
        ("0b101", json!(5)),
        ("1_000", json!(1000)),
        ("+12", json!(12)),
        ("-0", json!(0)),
        ("18446744073709551615", json!(18446744073709551615u64)),
        ("18446744073709551616", json!(18446744073709551616f64)),
        ("1e3", json!(1000.0)),
        ("1.", json!(1.0)),
        (".5", json!(0.5)),
        ("1e999", json!("1e999")),
        ("1:30", json!("1:30")),
        ("2026-01-01", json!("2026-01-01")),
        ("1.2.3", json!("1.2.3")),
        ("-", json!(["-"])),
        ("500m", json!("500m")),
        ("inf", json!("inf")),
        ("0x", json!("0x")),
        ("!!str 12", json!("12")),
        ("!!str", json!("")),
        ("'12'", json!("12")),
        ("=", json!("=")),
    ] {
        if text != "-" {
            assert_eq!(read_one(&format!("v: {text}\n")), json!({ "v": value }), "{text}");
        }
    }
    assert!(refusal("v: .inf").message.contains("JSON"));
    assert!(refusal("v: .nan").message.contains("JSON"));
}

#[test]
fn keys_are_read_as_they_are_written() {
    assert_eq!(read_one("on: 1\n8080: 2\n1.10: 3\ntrue: 4\n'<<': 5\n"), json!({"on": 1, "8080": 2, "1.10": 3, "true": 4, "<<": 5}));
}

#[test]
fn a_block_scalar_has_a_line_feed_at_its_end_only_if_the_text_has() {
    assert_eq!(read_one("a: |\n  x\n"), json!({"a": "x\n"}));
    for text in ["a: |\n  x", "a: >\n  x", "a: |+\n  x", "a: |-\n  x\n"] {
        assert_eq!(read_one(text), json!({"a": "x"}), "{text:?}");
    }
}

#[test]
fn a_key_twice_is_an_error_at_the_second() {
    let error = refusal("a:\n  b: 1\n  c: 2\n  'b': 3\n");
    assert_eq!((error.line, error.column), (4, 3));
    assert!(error.message.contains("\"b\""), "{error}");
}

#[test]
fn aliases_and_merge_keys_are_expanded() {
    let text = "base: &b { x: 1, y: 2 }\nuse: { <<: *b, y: 3 }\nboth:\n  <<: [{ x: 5 }, *b]\nsame: *b\n";
    assert_eq!(read_one(text), json!({"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 3}, "both": {"x": 5, "y": 2}, "same": {"x": 1, "y": 2}}));
    for (text, part) in [
        ("a: &x { k: 1 }\nb: { k: 2, <<: *x }\n", "put `<<` first"),
        ("a: { <<: 1 }\n", "takes a mapping"),
        ("a: &x { b: *x }\n", "inside what it names"),
        ("a: *missing\n", "anchor"),
        ("a: &x k\nb: { *x : 1 }\n", "written out"),
        ("a: &x { k: 1 }\n---\nb: *x\n", "anchor"),
        ("&a:", "anchor's name"),
        ("k: &a.b 1\n", "anchor's name"),
        ("- &ä\n  k: 1\n", "anchor's name"),
        ("k: !!str &a: 1\n", "anchor's name"),
        ("k: # &fine\n  &a:b 1\n", "anchor's name"),
    ] {
        assert!(refusal(text).message.contains(part), "{text:?}: {}", refusal(text));
    }
}

#[test]
fn what_tools_read_differently_is_refused_with_its_place() {
    for (text, line, column, part) in [
        ("a: 1\n--- {b: 2}\n", 2, 1, "nothing but a comment"),
        ("---x: 1\n", 1, 1, "nothing but a comment"),
        ("a: 1\n...\nb: 2\n", 3, 1, "begins with `---`"),
        ("%YAML 1.1\n---\na: 1\n", 1, 1, ""),
        ("# c\u{2028}kind: Secret\n", 1, 4, "YAML 1.1"),
        ("a: 'x\u{2029}y'\n", 1, 6, "YAML 1.1"),
        ("a: 1 # \u{85}kind: Secret\n", 1, 8, "control"),
        ("a: 1\rb: 2\n", 1, 5, "carriage return"),
        ("a: \"x\u{feff}\"\n", 1, 6, "byte order mark"),
        ("é: \0\n", 1, 4, "control"),
        ("a: !!binary aGk=\n", 1, 4, "!!binary"),
        ("a:\n  - !custom x\n", 2, 5, "!custom"),
        ("a: !!map x\n", 1, 4, "!!map"),
        ("? [a]\n: b\n", 1, 3, "a key is a scalar"),
        ("{a: b}: c\n", 1, 1, "a key is a scalar"),
        (": b\n", 1, 1, "key is missing"),
        ("a: [1\n", 0, 0, ""),
        ("a: b: c\n", 1, 5, ""),
        ("a:\n\t- b\n", 0, 0, ""),
    ] {
        let error = refusal(text);
        assert!(error.message.contains(part), "{text:?}: {error}");
        if line > 0 {
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        }
    }
    assert_eq!(read_one("\u{feff}a: 1\r\n"), json!({"a": 1}));
}

#[test]
fn a_bomb_is_refused_and_so_is_everything_beyond_the_limits() {
    let bomb = |leaf: &str| {
        let mut text = format!("a0: &a0 {leaf}\n");
        for level in 1..12 {
            let refs = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
        }
        text
    };
    assert!(refusal(&bomb("x")).message.contains("values"));
    // Few values, many bytes.
    let wide = refusal(&bomb(&"x".repeat(100_000)));
    assert!(wide.message.contains("bytes"), "{wide}");
    // Anchors within each other: each keeps a copy.
    let nested = format!("{}1{}", (0..40).map(|n| format!("[&n{n} ")).collect::<String>(), "]".repeat(40));
    assert!(parse(&nested, Limits { nodes: 200, ..Limits::default() }).is_err());
    assert!(parse(&nested, Limits { nodes: 2000, ..Limits::default() }).is_ok());
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert!(refusal(&deep).message.contains("nesting"));
    let deeper = "[".repeat(100_000);
    assert!(parse(&deeper, Limits::default()).is_err());
    assert!(parse("a: 12345", Limits { bytes: 7, ..Limits::default() }).is_err());
    assert!(refusal(&"---\na: 1\n".repeat(10_001)).message.contains("documents"));
    assert!(parse(&"- on\n".repeat(300_000), Limits::default()).is_err());
}

#[test]
fn a_pointer_finds_its_key_and_value_and_otherwise_the_nearest_above() {
    let text = "a:\n  \"b/c~d\":\n    - x\n    - { e: 1 }\n  f: |\n    text\n  g:\n";
    let document = &read(text)[0];
    let at = |pointer: &str| {
        let location = document.positions.find(pointer);
        (location.place().line, location.place().column, location.value.of(text).expect("in the text"), location.exact)
    };
    assert_eq!(at("/a/b~1c~0d/0"), (3, 7, "x", true));
    assert_eq!(at("/a/b~1c~0d/1/e"), (4, 9, "1", true));
    assert_eq!(at("/a/b~1c~0d/1"), (4, 7, "{ e: 1 }", true));
    assert_eq!(at("/a/f"), (5, 3, "text\n  ", true));
    assert_eq!(at("/a/g"), (7, 3, "", true));
    assert_eq!(at("/a/b~1c~0d/7/e").0, 2);
    assert!(!at("/a/b~1c~0d/7").3);
    assert_eq!(at("/a/nothing/here").0, 1);
    assert_eq!(at("/nothing").0, 1);
    assert_eq!(document.positions.line("/a/b~1c~0d/01"), 2);
    // What an alias brings in stands where the alias stands.
    let aliased = &read("a: &x { b: 1 }\nc: *x\n")[0];
    assert_eq!(aliased.positions.line("/c/b"), 2);
}

#[test]
fn disputed_scalars_are_noted_with_both_readings() {
    let text = "a: no\nb: 'no'\nc: [0644, 10, x, 1e3]\ny: 1\n1.10: x\ntrue: x\n8080: x\n";
    let seen: Vec<_> = read(text)[0].disputed.iter().map(|d| (d.pointer.clone(), d.text.clone(), d.key, d.place.line)).collect();
    let expected = [("/a", "no", false, 1), ("/c/0", "0644", false, 3), ("/y", "y", true, 4), ("/1.10", "1.10", true, 5)];
    assert_eq!(seen, expected.map(|(pointer, text, key, line)| (pointer.to_owned(), text.to_owned(), key, line)));
    let first = &read(text)[0].disputed[0];
    assert_eq!((first.kubectl, first.core), (Scalar::Bool(false), Scalar::Text));
}

/// Writes `value` in block style, with comments, blank lines and block scalars strewn in by `salt`.
fn block(value: &Value, indent: usize, salt: &mut impl Iterator<Item = u8>, out: &mut String) {
    let pad = " ".repeat(indent);
    let noise = |salt: &mut dyn Iterator<Item = u8>, out: &mut String| match salt.next().unwrap_or(0) % 5 {
        0 => out.push_str("\n# a: comment - [\n"),
        1 => out.push_str(" # x\n"),
        _ => out.push('\n'),
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            noise(salt, out);
            for (key, value) in fields {
                out.push_str(&format!("{pad}{}:", write_scalar(key)));
                block(value, indent + 2, salt, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            noise(salt, out);
            for item in items {
                out.push_str(&format!("{pad}-"));
                block(item, indent + 2, salt, out);
            }
        }
        Value::String(text) if text.bytes().all(|b| b.is_ascii_lowercase()) && !text.is_empty() && salt.next().unwrap_or(0).is_multiple_of(2) => {
            out.push_str(&format!(" |-\n{pad}{text}\n"));
        }
        value => {
            out.push(' ');
            out.push_str(&write_value(value));
            noise(salt, out);
        }
    }
}

fn pointers(value: &Value, pointer: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                pointers(value, format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(place, item)| pointers(item, format!("{pointer}/{place}"), into)),
        _ => {}
    }
    into.push(pointer);
}

/// Whether `theirs` has the same collections, keys and strings, where it says so.
fn same_shape(ours: &Value, theirs: &serde_norway::Value) -> bool {
    use serde_norway::Value as Theirs;
    match (ours, theirs) {
        (Value::Object(ours), Theirs::Mapping(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs.iter()).all(|((key, value), (their_key, their_value))| {
                    !matches!(their_key, Theirs::Mapping(_) | Theirs::Sequence(_))
                        && their_key.as_str().is_none_or(|their_key| their_key == key)
                        && same_shape(value, their_value)
                })
        }
        (Value::Array(ours), Theirs::Sequence(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same_shape(ours, theirs))
        }
        (Value::String(ours), Theirs::String(theirs)) => ours == theirs,
        (Value::Object(_) | Value::Array(_), _) | (_, Theirs::Mapping(_) | Theirs::Sequence(_)) => false,
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_pointer_leads_to_its_own_key_and_value(value in scalars::value(&nasty().boxed()), salt in any::<[u8; 32]>()) {
        let value = json!({ "k": value, "l": [1] });
        let mut text = String::from("# head\n---");
        block(&value, 0, &mut salt.into_iter().cycle(), &mut text);
        let document = &read(&text)[0];
        prop_assert_eq!(&document.value, &value, "{}", text);
        let mut all = Vec::new();
        pointers(&value, String::new(), &mut all);
        for pointer in &all {
            let location = document.positions.find(pointer);
            prop_assert!(location.exact, "{} in {}", pointer, text);
            let here = value.pointer(pointer).expect("the pointer was made from it");
            if let Some(key) = location.key {
                let step = pointer.rsplit('/').next().expect("a step").replace("~1", "/").replace("~0", "~");
                let spelled = key.of(&text).expect("in the text");
                prop_assert_eq!(spelled, write_scalar(&step));
                let line = text.lines().nth(key.start.line as usize - 1).expect("a line");
                prop_assert!(line.chars().skip(key.start.column as usize - 1).collect::<String>().starts_with(spelled));
            }
            let spelled = location.value.of(&text).expect("in the text");
            let literal = here.as_str().is_some_and(|text| spelled.trim_end() == text && location.value.start.line < location.value.end.line);
            if !(here.is_object() || here.is_array() || literal) {
                prop_assert_eq!(&read_one(&format!("v: {}", spelled.trim())), &json!({ "v": here }), "{}", pointer);
            }
        }
        prop_assert_eq!(document.positions.iter().count(), all.len());
    }

    #[test]
    fn no_text_makes_it_panic_and_libyaml_sees_the_same_documents(
        text in prop_oneof![
            "([a-c?:,\\[\\]{}#&*|>'\"\\- \\n]{0,40})",
            "((- |a: |b:|\\? |  |\\n|\"x\"|'y'|\\[|\\]|\\{|\\}|, |# c|&a |\\*a|---\\n|\\.\\.\\.\\n|\\|\\n|x|1|\\t){0,25})",
            nasty(),
        ]
    ) {
        let Ok(documents) = parse(&text, Limits::default()) else { return Ok(()) };
        let theirs: Result<Vec<serde_norway::Value>, _> =
            serde_norway::Deserializer::from_str(&text).map(<serde_norway::Value as serde::Deserialize>::deserialize).collect();
        // A merge key stays one there. A block scalar that is a whole document differs; it is no manifest.
        let manifests = documents.iter().all(|document| document.value.is_object() || document.value.is_array());
        if let (Ok(theirs), true) = (theirs, manifests && !text.contains("<<")) {
            let theirs: Vec<_> = theirs.into_iter().filter(|value| !value.is_null()).collect();
            prop_assert_eq!(documents.len(), theirs.len(), "{:?}", text);
            for (ours, theirs) in documents.iter().zip(&theirs) {
                prop_assert!(same_shape(&ours.value, theirs), "{:?} {:?} {:?}", text, ours.value, theirs);
            }
        }
    }
}
