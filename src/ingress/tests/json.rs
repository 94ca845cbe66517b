use super::*;
use crate::ingress::json::Part;
use proptest::prelude::*;

fn read(bytes: &[u8], max_depth: u32) -> Result<Value, IngressError> {
    crate::ingress::json::read(bytes, max_depth, Part::Whole)
}

fn error_of(bytes: &[u8]) -> (String, usize, usize) {
    match read(bytes, 64) {
        Err(IngressError::Unreadable { message, line, column }) => (message, line, column),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_key_is_refused_at_its_place_however_it_is_spelled() {
    for text in ["{\"a\": 1,\n  \"a\": 2}", "{\"a\": 1,\n  \"\\u0061\": 2}"] {
        let (message, line, column) = error_of(text.as_bytes());
        assert_eq!(message, "the key \"a\" stands here a second time");
        assert_eq!((line, column), (2, if text.contains("u0061") { 10 } else { 5 }), "{text}");
    }
    assert_eq!(error_of(br#"{"x":[{"b":1},{"b":{"c":1,"c":1}}]}"#).0, "the key \"c\" stands here a second time");
    assert!(read(br#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#, 64).is_ok());
}

#[test]
fn depth_is_counted_in_objects_and_lists_inside_one_another() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(b"1", 1).is_ok());
    assert!(read(nested(64).as_bytes(), 64).is_ok());
    let (message, line, column) = error_of(nested(65).as_bytes());
    assert_eq!(message, "objects and lists stand too deep inside one another");
    assert!(line == 1 && (65..=66).contains(&column), "{column}");
    assert!(read(nested(127).as_bytes(), 127).is_ok());
    assert!(read(nested(128).as_bytes(), u32::MAX).is_err());
    assert!(read("[".repeat(1_000_000).as_bytes(), 127).is_err());
    assert!(read(r#"{"a":"#.repeat(1_000_000).as_bytes(), 127).is_err());
}

#[test]
fn a_small_body_cannot_take_much_memory() {
    let list = |item: &str, count: usize| format!("[{}{item}]", format!("{item},").repeat(count - 1)).into_bytes();
    assert!(read(&list(r#"{"":0}"#, 40_000), 64).is_ok());
    for (item, count) in [(r#"{"":0}"#, 50_000), ("[]", 200_001), ("0", 1_000_001)] {
        assert_eq!(error_of(&list(item, count)).0, "there are too many values", "{item}");
    }
}

#[test]
fn what_is_not_whole_json_is_refused_with_line_and_column() {
    for (bytes, line, column, word) in [
        (&b""[..], 1, 1, "EOF"),
        (b"{}\n x", 2, 2, "trailing characters"),
        (b"{} {}", 1, 4, "trailing characters"),
        (b"{\n\"a\":\n}", 3, 1, "expected value"),
        (b"{\"a\":1,}", 1, 8, "trailing comma"),
        (b"\xef\xbb\xbf{}", 1, 1, "expected value"),
        (b"{\"a\":\n\"x\xff\"}", 2, 3, "UTF-8"),
        (b"{\"a\":1}\n\xc3", 2, 1, "UTF-8"),
        (b"\"\\ud800\"", 1, 8, ""),
        (b"\"a\nb\"", 1, 3, "control character"),
        (b"{\"a\": 1,\n\"b\n", 2, 3, "control character"),
        (b"[1,\n", 1, 4, "EOF"),
        (b"NaN", 1, 1, "expected value"),
        (b"1e999", 1, 5, "out of range"),
    ] {
        let (message, at_line, at_column) = error_of(bytes);
        assert!(message.contains(word), "{message}");
        assert_eq!((at_line, at_column), (line, column), "{message} {:?}", String::from_utf8_lossy(bytes));
    }
}

/// JSON as a tree that may say a key twice.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn text(&self, out: &mut String) {
        match self {
            Tree::Leaf(text) => out.push_str(text),
            Tree::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { " ,\n" } else { " " });
                    item.text(out);
                }
                out.push(']');
            }
            Tree::Object(fields) => {
                out.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if index > 0 { ",\t" } else { "" });
                    out.push_str(&serde_json::to_string(key).expect("a text"));
                    out.push_str(" : ");
                    value.text(out);
                }
                out.push('}');
            }
        }
    }

    fn depth(&self) -> u32 {
        match self {
            Tree::Leaf(_) => 0,
            Tree::List(items) => 1 + items.iter().map(Tree::depth).max().unwrap_or(0),
            Tree::Object(fields) => 1 + fields.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
        }
    }

    fn repeats(&self) -> bool {
        match self {
            Tree::Leaf(_) => false,
            Tree::List(items) => items.iter().any(Tree::repeats),
            Tree::Object(fields) => {
                fields.iter().enumerate().any(|(index, (key, value))| fields[..index].iter().any(|(other, _)| other == key) || value.repeats())
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| json!(n).to_string())
    ];
    let text = any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a text"));
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("-0".to_owned()), Just("1.5E+2".to_owned()), number, text];
    leaf.prop_map(Tree::Leaf).prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::vec(("[a-hé\n\"]{0,2}", inner), 0..5).prop_map(Tree::Object),
        ]
    })
}

proptest! {
    #[test]
    fn it_takes_what_serde_json_takes_without_repeated_keys_and_deep_nesting(tree in tree(), limit in 1_u32..7) {
        let mut text = String::new();
        tree.text(&mut text);
        let plain: Value = serde_json::from_str(&text).expect("JSON");
        match read(text.as_bytes(), limit) {
            Ok(value) => {
                prop_assert!(!tree.repeats() && tree.depth() <= limit, "{}", text);
                prop_assert_eq!(value, plain);
            }
            Err(error) => prop_assert!(tree.repeats() || tree.depth() > limit, "{} {}", error, text),
        }
    }

    #[test]
    fn damaged_json_is_refused_whenever_serde_json_refuses_it(tree in tree(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut text = String::new();
        tree.text(&mut text);
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut { bytes.truncate(at); }
        match (read(&bytes, 127), serde_json::from_slice::<Value>(&bytes)) {
            (Ok(strict), Ok(plain)) => prop_assert_eq!(strict, plain),
            (Ok(_), Err(error)) => prop_assert!(false, "{}", error),
            (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("a second time"), "{}", error),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let strict = read(&bytes, 64);
        prop_assert_eq!(strict.is_ok(), serde_json::from_slice::<Value>(&bytes).is_ok());
    }
}

/// What [`PART`] leaves of a value.
fn left_of(value: &Value) -> Value {
    let Value::Object(fields) = value else { return if value.is_array() { json!([]) } else { value.clone() } };
    let inner = |name: &str, value: &Value| match name {
        "a" => Some(value.clone()),
        "b" => Some(match value {
            Value::Object(fields) => {
                Value::Object(fields.iter().filter(|(name, _)| *name == "c").map(|(name, value)| (name.clone(), value.clone())).collect())
            }
            Value::Array(_) => json!([]),
            other => other.clone(),
        }),
        _ => None,
    };
    Value::Object(fields.iter().filter_map(|(name, value)| Some((name.clone(), inner(name, value)?))).collect())
}

const PART: Part = Part::Fields(&[("a", Part::Whole), ("b", Part::Fields(&[("c", Part::Whole)]))]);

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("c".to_owned()), "[a-z\"\\\\é]{0,3}"];
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from), ".{0,8}".prop_map(Value::from)];
    leaf.prop_recursive(4, 200, 50, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..50).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_part_is_what_the_whole_has_there(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(crate::ingress::json::read(text.as_bytes(), 64, PART).expect("a part"), left_of(&value));
    }

    #[test]
    fn what_is_wrong_is_wrong_in_a_part_as_well(value in any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), depth in 1_u32..6) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (whole, part) = (read(&bytes, depth), crate::ingress::json::read(&bytes, depth, PART));
        prop_assert_eq!(whole.map(drop), part.map(drop));
    }
}

#[test]
fn a_second_key_is_found_among_many_that_are_not_kept() {
    let many: Vec<String> = (0..100).map(|number| format!("\"k{number}\":0")).collect();
    for again in [3, 31, 32, 33, 90] {
        let text = format!("{{\"x\":{{{},\"\\u006b{again}\":1}}}}", many.join(","));
        let (whole, part) = (read(text.as_bytes(), 64), crate::ingress::json::read(text.as_bytes(), 64, PART));
        assert!(whole.is_err());
        assert_eq!(whole.map(drop), part.map(drop), "{again}");
    }
}
