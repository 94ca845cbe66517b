//! Bodies whose shape is the author's own: CEL says what the event's id, type, subject, time and data are.
//! A field the mapping needs and the body lacks refuses the delivery, naming the expression; nothing is guessed.

use super::identity::Identity;
use super::json::Part;
use super::kinds::{self, Document, Kind, MappingUse, Reading, Sighting, check_count, count_bytes, weight};
use super::{IngressError, Mapping, SourceKind, SpecError, run};
use crate::event::{EventType, Occurrence};
use crate::expression::{Expression, Scope};
use crate::types::Timestamp;
use serde_json::{Map, Value};

/// The row of senders that are only known through a mapping.
pub(super) static KIND: Kind = Kind {
    kind: SourceKind::Generic,
    signature_header: "x-signature",
    max_body_bytes: 1024 * 1024,
    form_field: None,
    least_token_bytes: 1,
    keep: &["content-type", "content-encoding", "user-agent"],
    mapping: MappingUse::Required,
    types: &[],
    read: |_| Err(IngressError::malformed("", "a generic source reads nothing without `mapping`")),
    judged_by: Part::Whole,
    keep_prefix: None,
    identity: None,
    check_subject: |_| Ok(()),
};

/// A mapping, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    each: Option<Expression>,
    id: Option<Expression>,
    kind: Expression,
    /// The type, where it is written out.
    literal_type: Option<EventType>,
    subject: Expression,
    time: Option<Expression>,
    data: Option<Expression>,
    /// Whether the id is read from the body alone: an id out of a header is unsigned.
    id_from_body: bool,
    reads_headers: bool,
}

impl Compiled {
    /// Compiles every expression.
    ///
    /// # Errors
    /// Everything that is wrong, with pointers below `/mapping`.
    pub(super) fn compile(mapping: &Mapping) -> Result<Self, Vec<SpecError>> {
        let mut findings = Vec::new();
        let outside: &[&str] = &["body", "headers"];
        let inside: &[&str] = if mapping.each.is_some() { &["body", "headers", "item"] } else { outside };
        let mut compile = |field: &str, source: &str, variables: &[&str]| compile_one(field, source, variables).map_err(|f| findings.push(f)).ok();
        let each = mapping.each.as_deref().map(|source| compile("each", source, outside));
        let id = mapping.id.as_deref().map(|source| compile("id", source, inside));
        let kind = compile("type", &mapping.kind, inside);
        let subject = compile("subject", &mapping.subject, inside);
        let time = mapping.time.as_deref().map(|source| compile("time", source, inside));
        let data = mapping.data.as_deref().map(|source| compile("data", source, inside));
        let literal_type = match kind.as_ref().map_or(Ok(None), literal_type) {
            Ok(literal) => literal,
            Err(finding) => {
                findings.push(finding);
                None
            }
        };
        let (Some(kind), Some(subject), true) = (kind, subject, findings.is_empty()) else { return Err(findings) };
        // What an expression reads is what it does not compile without.
        let without_headers = |source: &Option<String>| source.as_deref().is_none_or(|source| Expression::compile(source, &["body", "item"]).is_ok());
        let required = [Some(mapping.kind.clone()), Some(mapping.subject.clone())];
        let optional = [&mapping.id, &mapping.time, &mapping.data, &mapping.each];
        let reads_headers = !(required.iter().chain(optional).all(without_headers));
        Ok(Self {
            id_from_body: without_headers(&mapping.id) && without_headers(&mapping.each),
            each: each.flatten(),
            id: id.flatten(),
            kind,
            literal_type,
            subject,
            time: time.flatten(),
            data: data.flatten(),
            reads_headers,
        })
    }

    /// The one type of every event it reads; none when the body decides.
    pub(super) fn literal_type(&self) -> Option<&EventType> {
        self.literal_type.as_ref()
    }

    /// Whether any expression reads `headers`.
    pub(super) fn reads_headers(&self) -> bool {
        self.reads_headers
    }

    /// Reads a delivery; `check_subject` is the kind's own rule for subjects.
    ///
    /// An id from the body of a signed delivery is signed with it, so it alone makes two deliveries the same; in every other
    /// case the digest of the body is part of the key.
    pub(super) fn read(&self, document: Document<'_>, check_subject: fn(&str) -> Result<(), &'static str>) -> Result<Reading, IngressError> {
        let mut scope = Scope::new([("body", &document.body)]);
        if self.reads_headers {
            let headers: Map<String, Value> = document.attributes.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            scope.insert("headers", &Value::Object(headers));
        }
        let items = match &self.each {
            None => None,
            Some(each) => match evaluate("each", each, &scope)? {
                Value::Array(items) => Some(items),
                _ => return Err(wrong("each", "does not give a list")),
            },
        };
        let mut drafts = Vec::new();
        match items {
            None => drafts.push(self.draft(&scope, document.received_at, check_subject, document.body)?),
            Some(items) => {
                check_count(items.len(), "")?;
                let mut bytes = 0;
                for (index, item) in items.into_iter().enumerate() {
                    scope.insert("item", &item);
                    let draft = self.draft(&scope, document.received_at, check_subject, item).map_err(|error| in_item(error, index))?;
                    count_bytes(&mut bytes, weight(&draft.0.data), "")?;
                    drafts.push(draft);
                }
            }
        }
        let alone = document.signed && self.id_from_body && !drafts.is_empty() && drafts.iter().all(|(_, id)| id.is_some());
        let ids: Vec<String> = drafts.iter().filter_map(|(_, id)| id.clone()).collect();
        let identity = if alone { Identity::Alone(ids) } else { Identity::WithBody(ids) };
        let handled = !drafts.is_empty();
        let sightings = drafts.into_iter().map(|(occurrence, id)| Sighting { occurrence, key: id.filter(|_| alone).map(|id| vec![id]) }).collect();
        Ok(Reading { sightings, identity, handled })
    }

    /// One event and the sender's id of it; `whole` is its data unless the mapping says otherwise.
    fn draft(
        &self,
        scope: &Scope,
        received_at: Timestamp,
        check_subject: fn(&str) -> Result<(), &'static str>,
        whole: Value,
    ) -> Result<(Occurrence, Option<String>), IngressError> {
        let id = match &self.id {
            None => None,
            Some(id) => match evaluate("id", id, scope)? {
                Value::Null => None,
                value => Some(plain_text("id", value)?),
            },
        };
        let kind = plain_text("type", evaluate("type", &self.kind, scope)?)?;
        let kind: EventType = kind.parse().map_err(|error: crate::types::ParseError| wrong("type", gives(&error)))?;
        let subject = plain_text("subject", evaluate("subject", &self.subject, scope)?)?;
        check_subject(&subject).map_err(|rule| wrong("subject", format!("gives a text that {rule}")))?;
        let time = match &self.time {
            None => received_at,
            Some(time) => match evaluate("time", time, scope)? {
                Value::Null => received_at,
                Value::String(text) => text.parse().map_err(|error: crate::types::ParseError| wrong("time", gives(&error)))?,
                value => {
                    value.as_i64().map(Timestamp::from_unix_millis).ok_or_else(|| wrong("time", "gives neither a text nor whole milliseconds"))?
                }
            },
        };
        let data = match &self.data {
            None => whole,
            Some(data) => evaluate("data", data, scope)?,
        };
        run::check(kind.as_str(), &data).map_err(|message| wrong("data", message))?;
        Ok((Occurrence { kind, subject, time, data }, id))
    }
}

fn compile_one(field: &str, source: &str, variables: &[&str]) -> Result<Expression, SpecError> {
    Expression::compile(source, variables).map_err(|error| {
        let mut finding = SpecError::new(format!("/mapping/{field}"), error.message);
        finding.within = Some((error.line, error.column));
        let word = source.trim();
        let bare = word.starts_with(|c: char| c.is_ascii_lowercase()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if bare { finding.hint(format!("a text is quoted within the expression: \"'{word}'\"")) } else { finding }
    })
}

/// The type, where it is written out; then it is checked at load.
fn literal_type(kind: &Expression) -> Result<Option<EventType>, SpecError> {
    if Expression::compile(kind.source(), &[]).is_err() {
        return Ok(None);
    }
    let message = match kind.evaluate(&Scope::new([])) {
        Ok(Value::String(text)) => match text.parse::<EventType>() {
            Ok(literal) => return Ok(Some(literal)),
            Err(error) => error.to_string(),
        },
        Ok(_) => "an event type is a text".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(SpecError::new("/mapping/type", message).hint("for example \"'deploy.finished'\""))
}

fn wrong(field: &'static str, message: impl Into<String>) -> IngressError {
    IngressError::Mapping { field, message: message.into() }
}

fn in_item(error: IngressError, index: usize) -> IngressError {
    match error {
        IngressError::Mapping { field, message } => IngressError::Mapping { field, message: format!("{message} (entry {index} of `each`)") },
        other => other,
    }
}

fn evaluate(field: &'static str, expression: &Expression, scope: &Scope) -> Result<Value, IngressError> {
    expression.evaluate(scope).map_err(|error| wrong(field, format!("has no value: {error}")))
}

/// A text, or a whole number as text, fit to be shown.
fn plain_text(field: &'static str, value: Value) -> Result<String, IngressError> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return Err(wrong(field, "gives neither a text nor a whole number")),
    };
    kinds::check_subject(&text).map_err(|rule| wrong(field, format!("gives a text that {rule}")))?;
    Ok(text)
}

/// What an expression gives that is not what is wanted.
fn gives(error: &crate::types::ParseError) -> String {
    format!("gives {:?}, which is not a valid {}: {}", error.value, error.what, error.rule)
}
