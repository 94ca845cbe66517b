//! Documents of every form and habit, sets at random: what comes out says what was meant to three readers, and every other byte is as it was.

use super::scalars::value;
use super::*;
use serde_json::{Map, json};

/// How a random document is written.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    indent: usize,
    dash: usize,
    eol: &'static str,
    last_line_ends: bool,
    pub(super) comments: bool,
    blank_lines: bool,
    start: bool,
}

pub(crate) fn habits() -> impl Strategy<Value = Habits> {
    (prop::sample::select(vec![1, 2, 3, 4, 8]), 0..2_usize, any::<[bool; 5]>()).prop_map(|(indent, dash, flags)| Habits {
        indent,
        dash: dash * indent,
        eol: if flags[0] { "\n" } else { "\r\n" },
        last_line_ends: flags[1],
        comments: flags[2],
        blank_lines: flags[3],
        start: flags[4],
    })
}

/// A value with a form for each node, chosen by the bits of `dice`.
pub(crate) struct Writer<'h> {
    habits: &'h Habits,
    dice: Vec<u8>,
    pub(crate) out: String,
    /// Where each scalar's value stands, by path.
    pub(crate) scalars: Vec<(Vec<Step>, std::ops::Range<usize>)>,
    /// The mappings, by path.
    pub(crate) mappings: Vec<Vec<Step>>,
}

impl Writer<'_> {
    fn roll(&mut self, sides: u8) -> u8 {
        let rolled = self.dice.pop().unwrap_or(0);
        self.dice.insert(0, rolled.wrapping_mul(31).wrapping_add(7));
        rolled % sides
    }

    fn end_line(&mut self) {
        if self.habits.comments && self.roll(3) == 0 {
            self.out.push_str(" # it's: a \"comment\" [x");
        }
        self.out.push_str(self.habits.eol);
        if self.habits.blank_lines && self.roll(4) == 0 {
            self.out.push_str(self.habits.eol);
        }
        if self.habits.comments && self.roll(5) == 0 {
            self.out.push_str("      # - odd: {comment");
            self.out.push_str(self.habits.eol);
        }
    }

    fn wrote(&mut self, path: &[Step], begin: usize) {
        // An element whose name is changed is not found again by it.
        if path.last() != Some(&Step::Key("name".to_owned())) {
            self.scalars.push((path.to_vec(), begin..self.out.len()));
        }
    }

    fn pad(&mut self, columns: usize) {
        self.out.extend(std::iter::repeat_n(' ', columns));
    }

    fn block(&mut self, value: &Value, columns: usize, path: &[Step]) {
        match value {
            Value::Object(fields) => {
                self.mappings.push(path.to_vec());
                for (number, (key, value)) in fields.iter().enumerate() {
                    if number > 0 {
                        self.pad(columns);
                    }
                    let path = [path, &[Step::Key(key.clone())]].concat();
                    self.key(key);
                    self.out.push(':');
                    self.behind_colon(value, columns, &path);
                }
            }
            _ => unreachable!("only mappings are blocks of their own here"),
        }
    }

    fn key(&mut self, key: &str) {
        let written = match self.roll(3) {
            0 => crate::manifest::scalar::quote(key),
            _ => write_scalar(key).into_owned(),
        };
        self.out.push_str(&written);
    }

    fn behind_colon(&mut self, value: &Value, columns: usize, path: &[Step]) {
        let deeper = columns + self.habits.indent;
        match value {
            Value::Object(fields) if !fields.is_empty() && self.roll(4) > 0 => {
                self.end_line();
                self.pad(deeper);
                self.block(value, deeper, path);
            }
            Value::Array(items) if !items.is_empty() && self.roll(4) > 0 => {
                self.end_line();
                for item in items {
                    self.pad(columns + self.habits.dash);
                    self.out.push_str("- ");
                    let path =
                        [path, &[Step::Element { key: "name".to_owned(), value: item["name"].as_str().unwrap_or_default().to_owned() }]].concat();
                    self.block(item, columns + self.habits.dash + 2, &path);
                }
            }
            Value::String(text) if is_block(text) && self.roll(2) == 0 => {
                let keep = text.ends_with('\n') && self.roll(2) == 0;
                let begin = self.out.len() + 1;
                self.out.push_str(match (text.ends_with('\n'), keep) {
                    (true, true) => " |+",
                    (true, false) => " |",
                    _ => " |-",
                });
                self.out.push_str(self.habits.eol);
                for line in text.trim_end_matches('\n').split('\n') {
                    self.pad(deeper);
                    self.out.push_str(line);
                    self.out.push_str(self.habits.eol);
                }
                self.wrote(path, begin);
                if !keep && self.habits.blank_lines {
                    self.out.push_str(self.habits.eol);
                }
            }
            value => {
                self.out.push(' ');
                self.flow(value, path, false);
                self.end_line();
            }
        }
    }

    fn flow(&mut self, value: &Value, path: &[Step], within: bool) {
        match value {
            Value::Object(fields) => {
                self.mappings.push(path.to_vec());
                let (open, lines) = (self.roll(3), within || self.roll(3) > 0);
                self.out.push_str(if open == 0 { "{ " } else { "{" });
                for (number, (key, value)) in fields.iter().enumerate() {
                    if number > 0 {
                        self.out.push_str(if lines { ", " } else { "," });
                    }
                    if !lines {
                        self.out.push_str(self.habits.eol);
                        self.pad(12);
                    }
                    self.key(key);
                    self.out.push_str(": ");
                    self.flow(value, &[path, &[Step::Key(key.clone())]].concat(), true);
                }
                self.out.push_str(if open == 0 { " }" } else { "}" });
            }
            Value::Array(items) => {
                self.out.push('[');
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        self.out.push_str(", ");
                    }
                    let path =
                        [path, &[Step::Element { key: "name".to_owned(), value: item["name"].as_str().unwrap_or_default().to_owned() }]].concat();
                    self.flow(item, &path, true);
                }
                self.out.push(']');
            }
            scalar => {
                let begin = self.out.len();
                let written = match scalar {
                    Value::String(text) if self.roll(3) == 0 => crate::manifest::scalar::quote(text),
                    Value::String(text) if text.chars().all(is_shown) && self.roll(3) == 0 => format!("'{}'", text.replace('\'', "''")),
                    Value::String(text) if !within && text.contains('/') && text.chars().all(|c| c.is_ascii_alphanumeric() || "/:.-".contains(c)) => {
                        text.clone()
                    }
                    scalar => write_value(scalar),
                };
                self.out.push_str(&written);
                self.wrote(path, begin);
            }
        }
    }
}

fn is_block(text: &str) -> bool {
    let inner = text.strip_suffix('\n').unwrap_or(text);
    !inner.is_empty() && inner.chars().all(|c| c == '\n' || is_shown(c)) && !inner.starts_with([' ', '\n']) && !inner.ends_with('\n')
}

/// Keys and names that lead to the same field for every reader.
fn words() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "spec", "x-y", "app.example.com/name", "key with space", "on", "1", "true", "\"q\"", "ü"]).prop_map(str::to_owned)
}

pub(crate) fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        nasty(),
        prop::sample::select(vec!["registry.example.com/team/api:1.4.2", "1.2.3", "/healthz", "one two", "a\nb\n", "x\n  y\n\nz", "v1", "512Mi"])
            .prop_map(str::to_owned),
    ]
}

/// A mapping of mappings, lists of named mappings, and scalars.
pub(crate) fn document() -> impl Strategy<Value = Value> {
    let scalar =
        prop_oneof![texts().prop_map(Value::from), any::<i64>().prop_map(Value::from), any::<bool>().prop_map(Value::from), Just(Value::Null)];
    let node = scalar.prop_recursive(4, 32, 4, |inner| {
        let fields = prop::collection::vec((words(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())).boxed();
        prop_oneof![
            3 => fields.clone(),
            1 => prop::collection::vec(fields, 1..4).prop_map(|items| {
                let named = |(number, item): (usize, Value)| {
                    let mut fields = Map::from_iter([("name".to_owned(), Value::from(format!("n{number}")))]);
                    fields.extend(item.as_object().cloned().unwrap_or_default());
                    Value::Object(fields)
                };
                Value::Array(items.into_iter().enumerate().map(named).collect())
            }),
        ]
    });
    prop::collection::vec((words(), node), 1..5).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

pub(crate) fn written<'h>(value: &Value, habits: &'h Habits, dice: Vec<u8>) -> Writer<'h> {
    let mut writer = Writer { habits, dice, out: String::new(), scalars: Vec::new(), mappings: Vec::new() };
    if habits.start {
        writer.out.push_str("# A document.");
        writer.out.push_str(habits.eol);
    }
    writer.block(value, 0, &[]);
    if !habits.last_line_ends {
        while writer.out.ends_with(['\n', '\r']) {
            writer.out.pop();
        }
    }
    writer
}

pub(crate) fn path_of(steps: &[Step]) -> FieldPath {
    FieldPath::prefix(steps).parse().expect("a path")
}

pub(super) fn put(value: &mut Value, steps: &[Step], new: &Value) {
    let mut at = value;
    for step in steps {
        at = match step {
            Step::Key(key) => at.as_object_mut().expect("a mapping").entry(key.clone()).or_insert(Value::Null),
            Step::Place(place) => &mut at[*place],
            Step::Element { key, value } => at.as_array_mut().expect("a list").iter_mut().find(|item| item[key] == **value).expect("an element"),
        };
    }
    *at = new.clone();
}

pub(super) fn three_readers_agree(text: &str, expected: &Value) -> Result<(), TestCaseError> {
    prop_assert_eq!(&read_one(text), expected, "our reader: {}", text);
    let norway: serde_norway::Value = serde_norway::from_str(text).map_err(|error| TestCaseError::fail(format!("libyaml: {error}\n{text}")))?;
    prop_assert_eq!(&serde_json::to_value(norway).expect("JSON"), expected, "libyaml: {}", text);
    let saphyr: Value = serde_saphyr::from_str(text).map_err(|error| TestCaseError::fail(format!("saphyr: {error}\n{text}")))?;
    prop_assert_eq!(&saphyr, expected, "saphyr: {}", text);
    Ok(())
}

fn new_values() -> impl Strategy<Value = Value> {
    prop_oneof![4 => texts().prop_map(Value::from), 2 => any::<i64>().prop_map(Value::from), 1 => any::<bool>().prop_map(Value::from)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_scalar_set_at_random_changes_its_own_bytes_alone(
        value in document(), habits in habits(), dice in prop::collection::vec(any::<u8>(), 40), which in any::<prop::sample::Index>(), new in new_values(),
    ) {
        let writer = written(&value, &habits, dice);
        prop_assume!(read(&writer.out).len() == 1 && read_one(&writer.out) == value && !writer.scalars.is_empty());
        let (steps, range) = which.get(&writer.scalars).clone();
        let mut editor = Editor::open(writer.out.clone(), false).expect("read");
        editor.set(None, &path_of(&steps), &new).map_err(|error| TestCaseError::fail(format!("{error}\n{}", writer.out)))?;
        let mut expected = value.clone();
        put(&mut expected, &steps, &new);
        three_readers_agree(editor.text(), &expected)?;
        prop_assert_eq!(editor.documents(), &read(editor.text())[..]);
        let (before, behind) = (&writer.out[..range.start], writer.out.get(range.end..).unwrap_or_default());
        prop_assert!(editor.text().starts_with(before) && editor.text().ends_with(behind), "{}\n---\n{}", writer.out, editor.text());
        prop_assert!(editor.text().len() >= before.len() + behind.len());
        // And back again: the bytes there were, unless they were written in a way this editor would not choose.
        let old = value.pointer(&pointer(&value, &steps)).cloned().expect("the old value");
        editor.set(None, &path_of(&steps), &old).map_err(|error| TestCaseError::fail(error.to_string()))?;
        three_readers_agree(editor.text(), &value)?;
    }

    #[test]
    fn a_field_added_at_random_is_the_only_difference(
        value in document(), habits in habits(), dice in prop::collection::vec(any::<u8>(), 40), which in any::<prop::sample::Index>(),
        below in prop::collection::vec(prop::sample::select(vec!["new", "other.key", "n"]), 0..3), new in value(&texts().boxed()),
    ) {
        let writer = written(&value, &habits, dice);
        prop_assume!(read(&writer.out).len() == 1 && read_one(&writer.out) == value);
        let mut steps = which.get(&writer.mappings).clone();
        steps.push(Step::Key("added".to_owned()));
        steps.extend(below.iter().map(|key| Step::Key((*key).to_owned())));
        let mut editor = Editor::open(writer.out.clone(), false).expect("read");
        match editor.set(None, &path_of(&steps), &new) {
            Ok(_) => {}
            // The one form there is no way for: a block that ends with the file, without a line break.
            Err(error) if error.reason == EditFault::Form && !writer.out.ends_with('\n') => prop_assume!(false, "a refusal"),
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{}", writer.out))),
        }
        let mut expected = value.clone();
        let missing = steps.len() - below.len();
        let nested = below.iter().rev().fold(new.clone(), |value, key| json!({ (*key).to_owned(): value }));
        put(&mut expected, &steps[..missing], &nested);
        three_readers_agree(editor.text(), &expected)?;
        prop_assert_eq!(editor.documents(), &read(editor.text())[..]);
        prop_assert!(is_subsequence(&writer.out, editor.text()), "{}\n---\n{}", writer.out, editor.text());
    }
}

/// The JSON pointer of a path.
pub(super) fn pointer(value: &Value, steps: &[Step]) -> String {
    let (mut at, mut pointer) = (value, String::new());
    for step in steps {
        let place = match step {
            Step::Key(key) => key.clone(),
            Step::Place(place) => place.to_string(),
            Step::Element { key, value } => {
                at.as_array().expect("a list").iter().position(|item| item[key] == **value).expect("an element").to_string()
            }
        };
        push_step(&mut pointer, &place);
        at = value.pointer(&pointer).expect("there");
    }
    pointer
}

/// Whether `after` is `before` with at most two stretches put in: a comma, and the field.
pub(super) fn is_subsequence(before: &str, after: &str) -> bool {
    let common = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before.as_bytes()[common..], &after.as_bytes()[common..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let before = &before[..before.len() - tail];
    // What is left of the old text stands whole within what is left of the new one.
    before.is_empty() || after[..after.len() - tail].windows(before.len()).any(|window| window == before)
}
