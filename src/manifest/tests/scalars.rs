use super::*;

/// What a reader made of `text`, as JSON; none when it refuses.
fn with_norway(text: &str) -> Option<Value> {
    let value: serde_norway::Value = serde_norway::from_str(text).ok()?;
    serde_json::to_value(value).ok()
}

fn with_saphyr(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

fn agree(text: &str, expected: &Value) -> Result<(), TestCaseError> {
    prop_assert_eq!(&read_one(text), expected, "our reader, {:?}", text);
    prop_assert_eq!(with_saphyr(text), Some(expected.clone()), "serde-saphyr, {:?}", text);
    prop_assert_eq!(with_norway(text), Some(expected.clone()), "libyaml, {:?}", text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_string_reads_back_as_that_string_wherever_it_stands(text in nasty()) {
        let written = write_scalar(&text);
        prop_assert!(!written.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']), "one line: {:?}", written);
        let string = Value::from(text.clone());
        agree(&format!("key: {written}\n"), &serde_json::json!({ "key": string }))?;
        agree(&format!("key:\n  - {written} # comment\n  - x\n"), &serde_json::json!({ "key": [string, "x"] }))?;
        agree(&format!("key: [{written}, {written}]\n"), &serde_json::json!({ "key": [string, string] }))?;
        agree(&format!("key: {{a: {written}, b: x}}\n"), &serde_json::json!({ "key": { "a": string, "b": "x" } }))?;
        // A key on one line has 1,024 characters at most; the strings here stay below when each is an escape.
        if text.chars().count() <= 90 {
            agree(&format!("{written}: {written}\n"), &serde_json::json!({ &text: string }))?;
            agree(&format!("x: {{{written}: {written}, {written}x: 1}}\n").replace(&format!(", {written}x: 1"), ""), &serde_json::json!({ "x": { &text: string } }))?;
        }
    }

    #[test]
    fn any_value_reads_back_as_that_value(value in value(&nasty().boxed())) {
        let text = format!("value: {}\n", write_value(&value));
        agree(&text, &serde_json::json!({ "value": value }))?;
    }
}

/// Any JSON value whose strings come from `strings`; numbers that JSON text and a double hold alike.
pub(super) fn value(strings: &BoxedStrategy<String>) -> impl Strategy<Value = Value> + use<> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1.0e15..1.0e15f64).prop_map(Value::from),
        prop::sample::select(vec![1.0e300, -2.5e-7, 0.1, 1e21, 5e-324]).prop_map(Value::from),
        strings.clone().prop_map(Value::from),
    ];
    let keys = strings.clone().prop_filter("a key has 1,024 characters when written", |key| key.chars().count() <= 90);
    scalar.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[test]
fn what_no_reader_mistakes_stays_bare() {
    for text in ["web", "nginx", "apps/v1", "my-app_2.x", "Deployment", "yesterday", "nodes", "e3", "www.example.com"] {
        assert_eq!(write_scalar(text), text);
    }
}

#[test]
fn what_some_reader_takes_for_something_else_is_quoted() {
    // The implicit types of YAML 1.1 (yaml.org/type) and 1.2, the indicators, and what tools add.
    for text in [
        "",
        " ",
        "a ",
        " a",
        "y",
        "Y",
        "yes",
        "YES",
        "no",
        "No",
        "on",
        "oN",
        "off",
        "true",
        "TRUE",
        "false",
        "null",
        "NULL",
        "~",
        "nan",
        "NaN",
        "inf",
        "Infinity",
        "=",
        "<<",
        "0",
        "007",
        "0o7",
        "0x1f",
        "0b1",
        "1_000",
        "1e3",
        "1.5",
        "+1",
        "-1",
        ".5",
        ".inf",
        "-.inf",
        "1:30",
        "2026-01-01",
        "a:b",
        "a@b",
        "@a",
        "`a",
        "a: b",
        "a #b",
        "-",
        "?",
        ":",
        "[",
        "{",
        "a,b",
        "%a",
        "!a",
        "&a",
        "*a",
        "|",
        ">",
        "'",
        "\"",
        "\\",
        "ä",
    ] {
        let written = write_scalar(text);
        assert!(written.starts_with('"') && written.ends_with('"'), "{text:?} -> {written}");
    }
}

#[test]
fn what_hides_or_reorders_text_is_escaped() {
    assert_eq!(write_scalar("a\u{202e}b\u{200b}\u{85}\u{feff}\u{7f}\0\u{e0041}"), r#""a\u202eb\u200b\u0085\ufeff\u007f\u0000\U000e0041""#);
    assert_eq!(write_scalar("tab\t, line\n, return\r"), r#""tab\t, line\n, return\r""#);
    assert_eq!(write_scalar("übergröße 😀 日本"), "\"übergröße 😀 日本\"");
}

#[test]
fn a_number_is_one_under_yaml_1_1_too() {
    // YAML 1.1 wants a point, and a sign in the exponent.
    for (number, written) in [(1e300, "1.0e+300"), (2.5e-7, "2.5e-7"), (0.5, "0.5"), (3.0, "3.0")] {
        assert_eq!(write_value(&Value::from(number)), written);
    }
}

#[test]
fn words_and_quantities_stay_plain() {
    for plain in ["web", "platform-team", "kubernetes.io/os", "500m", "10Gi", "ReadWriteOnce", "v1"] {
        assert_eq!(write_scalar(plain), plain);
    }
}

#[test]
fn what_a_reader_could_take_for_something_else_is_quoted() {
    for text in [
        "",
        " ",
        "yes",
        "No",
        "ON",
        "y",
        "null",
        "~",
        "1",
        "1.0",
        "1e3",
        "1E",
        "0x1f",
        "0o7",
        "017",
        "1_000",
        "12:30:45",
        "2026-11-20",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a`",
        "[",
        "{",
        "|",
        ">",
        "?",
        "=",
        "<<",
        ".inf",
        "a,b",
        "ä",
        "-1",
        "+1",
        "1.2Gi",
    ] {
        let written = write_scalar(text);
        assert!(written.starts_with('"') && written.ends_with('"'), "{written}");
    }
}

#[test]
fn line_breaks_and_hidden_characters_are_escaped() {
    assert_eq!(write_scalar("a\nb\r\t\u{0}\u{85}\u{2028}\u{202e}\u{feff}\u{1ffff}"), r#""a\nb\r\t\u0000\u0085\u2028\u202e\ufeff\U0001ffff""#);
}
