//! `format.dns1123Label().validate(name)`: Kubernetes' named formats. Valid is `optional.none()`, otherwise a list of what is wrong.

use super::{Call, Entry, Kube, Outcome, kube, mismatch, text};
use base64::Engine;
use cel::ExecutionError;
use cel::common::types::{CelList, CelOptional, CelString};
use cel::common::value::{CowVal, Val};

/// A form of text that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expression) enum Format {
    Dns1123Label,
    Dns1123Subdomain,
    Dns1035Label,
    QualifiedName,
    Dns1123LabelPrefix,
    Dns1123SubdomainPrefix,
    Dns1035LabelPrefix,
    LabelValue,
    Uri,
    Uuid,
    Byte,
    Date,
    Datetime,
}

const NAMES: [(&str, Format); 13] = [
    ("dns1123Label", Format::Dns1123Label),
    ("dns1123Subdomain", Format::Dns1123Subdomain),
    ("dns1035Label", Format::Dns1035Label),
    ("qualifiedName", Format::QualifiedName),
    ("dns1123LabelPrefix", Format::Dns1123LabelPrefix),
    ("dns1123SubdomainPrefix", Format::Dns1123SubdomainPrefix),
    ("dns1035LabelPrefix", Format::Dns1035LabelPrefix),
    ("labelValue", Format::LabelValue),
    ("uri", Format::Uri),
    ("uuid", Format::Uuid),
    ("byte", Format::Byte),
    ("date", Format::Date),
    ("datetime", Format::Datetime),
];

pub(super) const ENTRIES: &[Entry] = &[
    ("format.dns1123Label", Call::Global, 0, |_| of(Format::Dns1123Label)),
    ("format.dns1123Subdomain", Call::Global, 0, |_| of(Format::Dns1123Subdomain)),
    ("format.dns1035Label", Call::Global, 0, |_| of(Format::Dns1035Label)),
    ("format.qualifiedName", Call::Global, 0, |_| of(Format::QualifiedName)),
    ("format.dns1123LabelPrefix", Call::Global, 0, |_| of(Format::Dns1123LabelPrefix)),
    ("format.dns1123SubdomainPrefix", Call::Global, 0, |_| of(Format::Dns1123SubdomainPrefix)),
    ("format.dns1035LabelPrefix", Call::Global, 0, |_| of(Format::Dns1035LabelPrefix)),
    ("format.labelValue", Call::Global, 0, |_| of(Format::LabelValue)),
    ("format.uri", Call::Global, 0, |_| of(Format::Uri)),
    ("format.uuid", Call::Global, 0, |_| of(Format::Uuid)),
    ("format.byte", Call::Global, 0, |_| of(Format::Byte)),
    ("format.date", Call::Global, 0, |_| of(Format::Date)),
    ("format.datetime", Call::Global, 0, |_| of(Format::Datetime)),
    ("format.named", Call::Global, 1, |args| {
        let name = text("format.named", &args, 0)?;
        let found = NAMES.iter().find(|(known, _)| *known == name);
        Ok(CowVal::owned(found.map_or_else(CelOptional::none, |(_, format)| CelOptional::of(Box::new(Kube::Format(*format))))))
    }),
    ("validate", Call::Member, 1, |args| {
        let Kube::Format(format) = kube("validate", &args, 0)? else { return Err(mismatch("validate", &args)) };
        let Some(problem) = format.problem(text("validate", &args, 1)?) else { return Ok(CowVal::owned(CelOptional::none())) };
        let problems: Vec<Box<dyn Val>> = vec![Box::new(CelString::from(problem))];
        Ok(CowVal::owned(CelOptional::of(Box::new(CelList::from(problems)))))
    }),
];

fn of<'b, 'v>(format: Format) -> Outcome<'b, 'v> {
    Ok::<_, ExecutionError>(CowVal::owned(Kube::Format(format)))
}

impl Format {
    /// What is wrong with a text, if anything.
    fn problem(self, text: &str) -> Option<&'static str> {
        let (right, problem) = match self {
            Format::Dns1123Label => (label(text, false), "a lower-case RFC 1123 label is wanted: letters, digits and `-`, at most 63"),
            Format::Dns1035Label => {
                (label(text, true), "a RFC 1035 label is wanted: it begins with a letter; lower-case letters, digits and `-`, at most 63")
            }
            Format::Dns1123Subdomain => (subdomain(text), "a lower-case RFC 1123 subdomain is wanted: labels joined by `.`, at most 253 characters"),
            Format::Dns1123LabelPrefix => (label(&whole(text), false), "the beginning of a lower-case RFC 1123 label is wanted"),
            Format::Dns1035LabelPrefix => (label(&whole(text), true), "the beginning of a RFC 1035 label is wanted"),
            Format::Dns1123SubdomainPrefix => (subdomain(&whole(text)), "the beginning of a lower-case RFC 1123 subdomain is wanted"),
            Format::QualifiedName => {
                (qualified(text), "a qualified name is wanted: an optional subdomain and `/`, then a name of at most 63 characters")
            }
            Format::LabelValue => (text.is_empty() || word(text), "a label's value is wanted: letters, digits, `-`, `_` and `.`, at most 63"),
            Format::Uri => (text.starts_with('/') || url::Url::parse(text).is_ok(), "a URI is wanted"),
            Format::Uuid => (uuid(text), "a UUID is wanted"),
            Format::Byte => (base64::engine::general_purpose::STANDARD.decode(text).is_ok(), "base64 is wanted"),
            Format::Date => (date(text), "a date like 2006-01-02 is wanted"),
            Format::Datetime => (text.parse::<crate::types::Timestamp>().is_ok(), "a time like 2006-01-02T15:04:05Z is wanted"),
        };
        (!right).then_some(problem)
    }
}

/// A prefix as Kubernetes judges it: what ends with a dash is completed first.
fn whole(prefix: &str) -> String {
    prefix.strip_suffix('-').map_or_else(|| prefix.to_owned(), |rest| format!("{rest}a"))
}

fn label(text: &str, letter_first: bool) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || !letter_first && b.is_ascii_digit());
    inner && first && text.len() <= 63 && !text.ends_with('-')
}

fn subdomain(text: &str) -> bool {
    let part = |part: &str| {
        label(part, false)
            || part.len() > 63 && label(&part[..1], false) && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.is_ascii() && text.split('.').all(part)
}

fn word(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    inner && text.len() <= 63 && edge(text.bytes().next()) && edge(text.bytes().last())
}

fn qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => subdomain(prefix) && word(name),
        None => word(text),
    }
}

fn uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &&str| part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(hex)
}

fn date(text: &str) -> bool {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).is_ok()
}
