//! GitHub's public GraphQL schema (npm `@octokit/graphql-schema`, fetched by `scripts/setup.sh test`): documents we send are
//! held against it. The reader knows as much of the language as those documents use.

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/contracts/graphql.json");

static TYPES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let text = std::fs::read(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}; `make setup` fetches it"));
    let schema: Value = serde_json::from_slice(&text).expect("GitHub's schema is JSON");
    let types = schema["__schema"]["types"].as_array().expect("types");
    types.iter().map(|kind| (kind["name"].as_str().expect("a name").to_owned(), kind.clone())).collect()
});

/// One field that is asked for, with its arguments and what is asked of its value.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    /// What its value is called in the answer, where that is not its name.
    pub alias: Option<String>,
    pub arguments: Vec<(String, Argument)>,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub enum Argument {
    Variable(String),
    Object(Vec<(String, Argument)>),
}

/// A document: what it does, its variables with their types, its fields.
#[derive(Debug)]
pub struct Operation {
    pub kind: String,
    variables: BTreeMap<String, String>,
    pub fields: Vec<Field>,
}

/// What is wrong with a document and its variables; nothing when GitHub would take both.
pub fn violations(document: &str, variables: &Value) -> Vec<String> {
    let operation = match read(document) {
        Ok(operation) => operation,
        Err(error) => return vec![error],
    };
    let root = match operation.kind.as_str() {
        "query" => "Query",
        "mutation" => "Mutation",
        other => return vec![format!("there is no operation {other}")],
    };
    let mut wrong = Vec::new();
    operation.fields.iter().for_each(|field| check(field, root, &operation.variables, &mut wrong));
    let given = variables.as_object().cloned().unwrap_or_default();
    for (name, kind) in &operation.variables {
        let bare = kind.trim_end_matches('!');
        match given.get(name) {
            None if kind.ends_with('!') => wrong.push(format!("the variable ${name} is missing")),
            None => {}
            Some(value) if takes(bare, value) => {}
            Some(value) => wrong.push(format!("${name}: {kind} does not take {value}")),
        }
    }
    wrong.extend(given.keys().filter(|name| !operation.variables.contains_key(*name)).map(|name| format!("there is no variable ${name}")));
    wrong
}

fn takes(kind: &str, value: &Value) -> bool {
    match kind {
        "ID" | "String" => value.is_string(),
        "Int" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "Boolean" => value.is_boolean(),
        other => {
            let values = TYPES.get(other).and_then(|kind| kind["enumValues"].as_array());
            values.is_some_and(|values| values.iter().any(|known| known["name"] == *value))
        }
    }
}

/// The type's text, as `ID!`.
fn text(kind: &Value) -> String {
    match kind["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", text(&kind["ofType"])),
        Some("LIST") => format!("[{}]", text(&kind["ofType"])),
        _ => kind["name"].as_str().unwrap_or_default().to_owned(),
    }
}

fn named(kind: &Value) -> &str {
    if kind["ofType"].is_null() { kind["name"].as_str().unwrap_or_default() } else { named(&kind["ofType"]) }
}

fn check(field: &Field, on: &str, variables: &BTreeMap<String, String>, wrong: &mut Vec<String>) {
    if let Some(kind) = field.name.strip_prefix(SPREAD) {
        if !TYPES.contains_key(kind) {
            wrong.push(format!("there is no type {kind}"));
        }
        return field.fields.iter().for_each(|field| check(field, kind, variables, wrong));
    }
    let known = TYPES.get(on).and_then(|kind| kind["fields"].as_array()).and_then(|fields| fields.iter().find(|known| known["name"] == field.name));
    let Some(known) = known else { return wrong.push(format!("{on} has no field {}", field.name)) };
    check_arguments(&format!("{on}.{}", field.name), &field.arguments, &known["args"], variables, wrong);
    let kind = named(&known["type"]);
    let composite = matches!(TYPES.get(kind).and_then(|kind| kind["kind"].as_str()), Some("OBJECT" | "INTERFACE" | "UNION"));
    if composite == field.fields.is_empty() {
        wrong.push(format!("{on}.{} is a {kind}: it {} fields", field.name, if composite { "needs" } else { "has no" }));
    }
    field.fields.iter().for_each(|field| check(field, kind, variables, wrong));
}

fn check_arguments(at: &str, given: &[(String, Argument)], known: &Value, variables: &BTreeMap<String, String>, wrong: &mut Vec<String>) {
    let known = known.as_array().cloned().unwrap_or_default();
    for (name, argument) in given {
        let Some(wanted) = known.iter().find(|known| known["name"] == *name) else {
            wrong.push(format!("{at} has no argument {name}"));
            continue;
        };
        let kind = text(&wanted["type"]);
        match argument {
            Argument::Variable(variable) => match variables.get(variable) {
                Some(declared) if declared == &kind || declared.trim_end_matches('!') == kind => {}
                declared => wrong.push(format!("{at}: {name} is a {kind}, and ${variable} is {declared:?}")),
            },
            Argument::Object(fields) => {
                let input = TYPES.get(named(&wanted["type"])).map(|kind| kind["inputFields"].clone()).unwrap_or_default();
                check_arguments(&format!("{at}.{name}"), fields, &input, variables, wrong);
            }
        }
    }
    for wanted in &known {
        let required = wanted["type"]["kind"] == "NON_NULL" && wanted["defaultValue"].is_null();
        if required && !given.iter().any(|(name, _)| wanted["name"] == *name) {
            wrong.push(format!("{at} needs {}", wanted["name"]));
        }
    }
}

/// What the name of a fragment that is spread begins with here: its type follows.
const SPREAD: &str = "... on ";

/// Puts named fragments where they are spread.
fn spread(fields: &mut [Field], fragments: &BTreeMap<String, (String, Vec<Field>)>) -> Result<(), String> {
    for field in fields {
        if let Some(name) = field.name.strip_prefix("...").filter(|name| !name.starts_with(' ')) {
            let (kind, fields) = fragments.get(name).ok_or_else(|| format!("there is no fragment {name}"))?;
            (field.fields, field.name) = (fields.clone(), format!("{SPREAD}{kind}"));
        }
        spread(&mut field.fields, fragments)?;
    }
    Ok(())
}

/// What of `value` is answered where these fields are asked for; a value says its type as `__typename`.
pub fn select(fields: &[Field], value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| select(fields, item)).collect(),
        Value::Object(whole) if !fields.is_empty() => {
            let mut chosen = serde_json::Map::new();
            for field in fields {
                match field.name.strip_prefix(SPREAD) {
                    Some(kind) if whole.get("__typename").is_some_and(|known| known == kind) => {
                        chosen.extend(select(&field.fields, value).as_object().cloned().unwrap_or_default());
                    }
                    Some(_) => {}
                    None => {
                        let found = whole.get(&field.name).unwrap_or_else(|| panic!("the fake has no {} in {value}", field.name));
                        chosen.insert(field.alias.clone().unwrap_or_else(|| field.name.clone()), select(&field.fields, found));
                    }
                }
            }
            Value::Object(chosen)
        }
        other => other.clone(),
    }
}

/// Reads a document.
pub fn read(document: &str) -> Result<Operation, String> {
    let mut spaced = String::new();
    for c in document.chars() {
        if "{}():,$".contains(c) {
            spaced.push(' ');
            // A comma is white space in GraphQL.
            spaced.push(if c == ',' { ' ' } else { c });
            spaced.push(' ');
        } else {
            spaced.push(c);
        }
    }
    let mut words = Words { words: spaced.split_whitespace().map(str::to_owned).collect(), at: 0 };
    let kind = words.next()?;
    let mut variables = BTreeMap::new();
    if words.peek() == "(" {
        words.expect("(")?;
        while words.peek() != ")" {
            words.expect("$")?;
            let name = words.next()?;
            words.expect(":")?;
            variables.insert(name, words.next()?);
        }
        words.expect(")")?;
    }
    let mut fields = words.fields()?;
    let mut fragments = BTreeMap::new();
    while words.peek() == "fragment" {
        words.expect("fragment")?;
        let name = words.next()?;
        words.expect("on")?;
        fragments.insert(name, (words.next()?, words.fields()?));
    }
    spread(&mut fields, &fragments)?;
    if words.at == words.words.len() { Ok(Operation { kind, variables, fields }) } else { Err(format!("{document}: something follows its end")) }
}

struct Words {
    words: Vec<String>,
    at: usize,
}

impl Words {
    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> Result<String, String> {
        let word = self.words.get(self.at).cloned().ok_or("the document ends too early")?;
        self.at += 1;
        Ok(word)
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let word = self.next()?;
        if word == wanted { Ok(()) } else { Err(format!("{word:?} stands where {wanted:?} should")) }
    }

    fn fields(&mut self) -> Result<Vec<Field>, String> {
        self.expect("{")?;
        let mut fields = Vec::new();
        while self.peek() != "}" {
            let mut name = self.next()?;
            let mut alias = None;
            if name == "..." {
                self.expect("on")?;
                name = format!("{SPREAD}{}", self.next()?);
            } else if self.peek() == ":" {
                self.expect(":")?;
                alias = Some(std::mem::replace(&mut name, self.next()?));
            }
            let arguments = if self.peek() == "(" { self.arguments("(", ")")? } else { Vec::new() };
            let below = if self.peek() == "{" { self.fields()? } else { Vec::new() };
            fields.push(Field { name, alias, arguments, fields: below });
        }
        self.expect("}")?;
        Ok(fields)
    }

    fn arguments(&mut self, open: &str, close: &str) -> Result<Vec<(String, Argument)>, String> {
        self.expect(open)?;
        let mut arguments = Vec::new();
        while self.peek() != close {
            let name = self.next()?;
            self.expect(":")?;
            let argument = match self.peek() {
                "$" => {
                    self.expect("$")?;
                    Argument::Variable(self.next()?)
                }
                _ => Argument::Object(self.arguments("{", "}")?),
            };
            arguments.push((name, argument));
        }
        self.expect(close)?;
        Ok(arguments)
    }
}
