//! One file, edited in every place there is: each edit is held against what it was to do, by bytes and by two readers.

use super::extents::Extents;
use super::files::{File, documents};
use super::habits::{line_start, range};
use super::nodes::{Node, address, at_mut, before, header, nodes, with, without, written};
use super::{Tally, add};
use kubeops::manifest::{Document, EditError, EditFault, Editor, ObjectRef, write_value};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// Files that the second reader cannot read, and why.
const UNREAD: [(&str, &str); 2] =
    [("odd/quoted-merge.yaml", "it takes a quoted `<<` for a merge key"), ("odd/tabs.yaml", "libyaml refuses a line that holds nothing but a tab")];

/// A file and what two readers make of it.
struct Read<'f> {
    file: &'f File,
    editor: Editor,
    documents: Vec<Document>,
    /// By the second reader; none where that cannot read the file.
    second: Option<Vec<Value>>,
}

impl<'f> Read<'f> {
    fn of(file: &'f File) -> Self {
        let editor = Editor::open(file.text.clone(), file.json()).expect("read before");
        Self { file, editor, documents: documents(&file.text, &file.path), second: second_reader(&file.text) }
    }

    /// Every place with the number of its document.
    fn nodes(&self) -> Vec<(usize, Node)> {
        let of = |(number, document)| nodes(&self.file.text, document).into_iter().map(move |node| (number, node)).collect::<Vec<_>>();
        self.documents.iter().enumerate().flat_map(of).collect()
    }

    /// What an edit of one place gave must say: `change` applied to the value it was made in, every other document as it was.
    #[track_caller]
    fn says(&self, edited: &Editor, number: usize, node: &Node, change: impl Fn(&Value) -> Value) {
        let (text, place) = (edited.text(), format!("{}: {}", self.file.name(), node.path()));
        let read = documents(text, &place);
        assert_eq!(edited.documents(), read, "{place}\n{text}");
        for (at, (now, before)) in read.iter().zip(&self.documents).enumerate() {
            let wanted = if at == number { change(&before.value) } else { before.value.clone() };
            assert_eq!(now.value, wanted, "{place}\n{text}");
        }
        assert_eq!(read.len(), self.documents.len(), "{place}\n{text}");
        let Some(second) = &self.second else { return };
        let mut wanted = second.clone();
        wanted[number] = change(&second[number]);
        assert_eq!(second_reader(text).as_ref(), Some(&wanted), "{place}: the second reader\n{text}");
    }

    /// Whether a refusal is the one there has to be.
    #[track_caller]
    fn refused(&self, node: &Node, error: &EditError, tally: &mut Tally) {
        let place = format!("{}: {}", self.file.name(), node.path());
        match node.refused {
            Some(why) => {
                assert_eq!(error.reason, EditFault::Shared, "{place}: {error}");
                add(tally, format!("refused: {why}"));
            }
            None => panic!("{place}: {error}\n{}", self.file.text),
        }
    }
}

/// Every document as the other reader understands it.
fn second_reader(text: &str) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let mut value = serde_norway::Value::deserialize(document).ok()?;
        value.apply_merge().ok()?;
        values.push(serde_json::to_value(value).ok()?);
    }
    // An empty document is none.
    values.retain(|value| !value.is_null());
    Some(values)
}

/// Other values of a scalar's own type.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Number(number) if number.is_f64() => vec![json!(12.25), json!(-0.5)],
        Value::Number(_) => vec![json!(8081), json!(-30)],
        Value::String(text) => {
            let others =
                [alike(text).as_str(), "needs: quotes # and {more}, [too]", "true", "", "echo one\necho two\n", "überall “x” 🚀"].map(Value::from);
            others.into_iter().filter(|other| other != value).collect()
        }
        _ => vec![json!("something")],
    }
}

/// A text of the same shape: other letters, other digits.
fn alike(text: &str) -> String {
    let other = |c: char| match c {
        'a'..='y' | 'A'..='Y' => char::from(c as u8 + 1),
        'z' => 'b',
        'Z' => 'B',
        '1'..='8' => char::from(c as u8 + 1),
        '9' => '1',
        c => c,
    };
    text.chars().map(other).collect()
}

/// Sets every scalar to other values and back.
pub fn set_every_scalar(file: &File, tally: &mut Tally) {
    let read = Read::of(file);
    add(tally, "files");
    if read.second.is_none() {
        assert!(UNREAD.iter().any(|(path, _)| *path == file.path), "{}: the second reader cannot read it", file.name());
        add(tally, "files the second reader cannot read");
    }
    for (turn, (number, node)) in read.nodes().iter().enumerate().filter(|(_, (_, node))| !node.value.is_array() && !node.value.is_object()) {
        let others = others(&node.value);
        // Every shape in the originals; in their variants one in turn.
        let chosen = if file.habit == "original" { 0..others.len() } else { turn % others.len()..turn % others.len() + 1 };
        add(tally, if node.refused.is_some() { "scalars refused" } else { "scalars set" });
        for new in chosen.into_iter().filter_map(|at| others.get(at)) {
            let mut editor = read.editor.clone();
            match editor.set(address(&read.documents, *number).as_ref(), &node.path(), new) {
                Err(error) => {
                    read.refused(node, &error, tally);
                    break;
                }
                Ok(changed) => {
                    assert!(changed && node.may_be_set(), "{}: {} was set", file.name(), node.path());
                    read.says(&editor, *number, node, |whole| with(whole, &node.steps, new));
                    only_there(&read, node, &editor);
                    set_back(&read, *number, node, editor, tally);
                }
            }
        }
    }
}

/// No byte outside the scalar differs.
fn only_there(read: &Read<'_>, node: &Node, edited: &Editor) {
    let (old, new) = (&read.file.text, edited.text());
    let (begin, end) = extent(old, node);
    let place = format!("{}: {}", read.file.name(), node.path());
    assert!(new.starts_with(&old[..begin]), "{place}: bytes before it\n{new}");
    assert!(new.ends_with(&old[end..]) && new.len() >= begin + old.len() - end, "{place}: bytes behind it\n{new}");
    // What is said behind the header of a block of text stays.
    let header = old[begin..].split('\n').next().unwrap_or_default();
    if let Some((_, comment)) = header.split_once(" #").filter(|_| block(old, node).is_some()) {
        assert!(new[begin..].split('\n').next().is_some_and(|line| line.ends_with(comment)), "{place}: its comment\n{new}");
    }
}

/// Where a scalar begins and ends: a block of text from its `|` on, with all its lines; one that is missing, behind its `:`.
pub(super) fn extent(text: &str, node: &Node) -> (usize, usize) {
    let written = range(&node.at);
    if let Some((begin, _)) = block(text, node) {
        let end = if written.end == text.len() { written.end } else { line_start(text, written.end) };
        return (begin, end.max(written.start));
    }
    match (written.is_empty(), node.at.key) {
        (true, Some(key)) => {
            // Behind the colon, where there is one.
            let end = key.end.offset as usize;
            let rest = text[end..].trim_start_matches([' ', '\t']);
            let at = if rest.starts_with(':') { text.len() - rest.len() + 1 } else { end };
            (at, at)
        }
        (true, None) => (line_start(text, written.start), written.end),
        (false, _) => (written.start, written.end),
    }
}

/// Where the header of a block of text stands, and the header.
fn block<'t>(text: &'t str, node: &Node) -> Option<(usize, &'t str)> {
    header(text, &node.at).filter(|_| node.value.is_string())
}

/// Set back, it says what it said, in the same bytes if the editor would have written it as its author did.
fn set_back(read: &Read<'_>, number: usize, node: &Node, mut editor: Editor, tally: &mut Tally) {
    let place = format!("{}: {}", read.file.name(), node.path());
    if editor.documents().len() > 1 && ObjectRef::of(&editor.documents()[number].value).is_err() {
        // Without its kind or its name it is no object, and nothing leads to it among others.
        return add(tally, "without an address to set it back");
    }
    let (form_before, _) = written(&read.file.text, &read.documents[number], &node.pointer);
    let (form, _) = written(editor.text(), &editor.documents()[number], &node.pointer);
    let address = address(editor.documents(), number);
    editor.set(address.as_ref(), &node.path(), &node.value).unwrap_or_else(|error| panic!("{place}: back: {error}"));
    add(tally, "set back");
    if editor.text() == read.file.text {
        return;
    }
    assert_eq!(documents(editor.text(), &place)[number].value, read.documents[number].value, "{place}");
    let why = not_its_own(&read.file.text, node).or((form != form_before).then_some("the form of the other value stays"));
    add(tally, format!("set back otherwise: {}", why.unwrap_or_else(|| panic!("{place}: set back\n{}", editor.text()))));
}

/// Why the editor would not write a scalar the way its author did.
fn not_its_own(text: &str, node: &Node) -> Option<&'static str> {
    let written = node.at.value.of(text).unwrap_or_default();
    let lines = written.contains('\n');
    match (&node.value, block(text, node)) {
        (Value::String(said), Some((_, "|" | "|-"))) => (!said.contains('\n') || said.contains('\t')).then_some("a block of one line, or with a tab"),
        (Value::String(_), Some(_)) => Some("a block that is folded, keeps empty lines or names its indentation"),
        (Value::String(_), None) if lines => Some("text over several lines"),
        (Value::String(_), None) => {
            if before(text, &node.at).contains("!!str") {
                return Some("text by its tag alone");
            }
            let escapes = written.split('\\').skip(1).any(|rest| !rest.is_empty() && !rest.starts_with(['"', 'n', 't', 'r']));
            (written.starts_with('"') && escapes).then_some("an escape that is not needed")
        }
        (value, _) => (written != write_value(value)).then_some("another spelling of a number, a truth value or null"),
    }
}

/// Takes every field and every element out.
pub fn take_out_everything(file: &File, tally: &mut Tally) {
    let read = Read::of(file);
    let nodes = read.nodes();
    for (number, node) in &nodes {
        let mut editor = read.editor.clone();
        match editor.remove(address(&read.documents, *number).as_ref(), &node.path()) {
            Err(error) if nodes.iter().any(|(at, other)| at == number && other.is_shared_below(node)) => {
                assert_eq!(error.reason, EditFault::Shared, "{}: {}: {error}", file.name(), node.path());
                add(tally, "refused: holds an anchor");
            }
            Err(error) if error.reason == EditFault::Shared && error.message.contains("would come back through the merge key") => {
                add(tally, "refused: comes back by a merge key");
            }
            Err(error) if error.reason == EditFault::Form && error.message.contains("with comments between its neighbours") => {
                add(tally, "refused: in brackets with comments");
            }
            Err(error) if error.reason == EditFault::Form && is_asked(&file.text, node) => add(tally, "refused: written with `?`"),
            Err(error) => read.refused(node, &error, tally),
            Ok(changed) => {
                assert!(changed, "{}: {} was there", file.name(), node.path());
                read.says(&editor, *number, node, |whole| without(whole, &node.steps));
                let held = Extents { text: &file.text, number: *number, nodes: &nodes }.held_without(node, editor.text());
                add(
                    tally,
                    if held.unwrap_or_else(|why| panic!("{}: {}: {why}\n{}", file.name(), node.path(), editor.text())) {
                        "bytes held"
                    } else {
                        "bytes not looked at"
                    },
                );
                add(tally, "taken out");
            }
        }
    }
}

/// Whether the key of a field stands behind a `?`.
fn is_asked(text: &str, node: &Node) -> bool {
    node.at.key.is_some_and(|key| text[..key.start.offset as usize].trim_end().ends_with('?'))
}

/// Adds an element to every list.
pub fn append_to_every_list(file: &File, tally: &mut Tally) {
    let read = Read::of(file);
    let nodes = read.nodes();
    for (turn, (number, node)) in nodes.iter().enumerate().filter(|(_, (_, node))| node.value.is_array()) {
        let mut editor = read.editor.clone();
        let new = [json!("added"), json!({"name": "added", "args": ["-v", "two words"]}), json!(7)][turn % 3].clone();
        match editor.append(address(&read.documents, *number).as_ref(), &node.path(), &new) {
            Err(error) => read.refused(node, &error, tally),
            Ok(_) => {
                let appended = |whole: &Value| {
                    let mut whole = whole.clone();
                    at_mut(&mut whole, &node.steps).as_array_mut().expect("a list").push(new.clone());
                    whole
                };
                read.says(&editor, *number, node, appended);
                let held = Extents { text: &file.text, number: *number, nodes: &nodes }.held_with_another(node, editor.text());
                held.unwrap_or_else(|why| panic!("{}: {}: {why}\n{}", file.name(), node.path(), editor.text()));
                add(tally, "added");
            }
        }
    }
}
