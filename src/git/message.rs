//! The commit message: subject, body, and trailers that a machine reads back with `git interpret-trailers --parse`.
//! Pure. Text from a ticket can neither add a trailer nor end the message early.

use crate::types::{AutomationName, EventId, ParseError, RequestId, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Name and e-mail address of an author or committer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    name: String,
    email: String,
}

impl Identity {
    /// An identity git can write.
    ///
    /// # Errors
    /// When name or address is empty, longer than 200 characters, or holds `<`, `>` or a control character.
    pub fn new(name: &str, email: &str) -> Result<Self, ParseError> {
        for (what, text) in [("git identity's name", name), ("git identity's e-mail address", email)] {
            // git strips these at the ends, which would change the commit's id between implementations.
            let crud = |c: char| c.is_whitespace() || ".,:;<>\"\\'".contains(c);
            let broken = text.is_empty() || text.len() > 200 || text.contains(['<', '>']) || text.chars().any(char::is_control);
            if broken || text.starts_with(crud) || text.ends_with(crud) {
                return Err(ParseError::new(
                    what,
                    text,
                    "it has 1 to 200 characters, no `<`, `>` or control character, and no punctuation at its ends",
                ));
            }
        }
        Ok(Self { name: name.to_owned(), email: email.to_owned() })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The e-mail address.
    pub fn email(&self) -> &str {
        &self.email
    }
}

/// Everything a commit says besides its files. Equal values on an equal base make the same commit id.
#[derive(Debug, Clone)]
pub struct CommitMeta {
    /// Who is named as author.
    pub author: Identity,
    /// Who is named as committer.
    pub committer: Identity,
    /// Author and committer time; whole seconds are kept, in UTC.
    pub time: Timestamp,
    /// The first line; may hold ticket text.
    pub subject: String,
    /// The paragraphs below; may hold ticket text and be empty.
    pub body: String,
    /// The request the commit belongs to.
    pub request: RequestId,
    /// The automation that made it.
    pub automation: AutomationName,
    /// The event that asked for it.
    pub event: EventId,
}

const SUBJECT_LIMIT: usize = 120;
const BODY_LIMIT: usize = 16 * 1024;

/// The message of a commit. `templates` is each template's name and the digest of its folder (SHA-256, hex).
pub fn commit_message(meta: &CommitMeta, templates: &BTreeMap<String, String>) -> String {
    let mut message = one_line(&meta.subject, SUBJECT_LIMIT);
    if message.is_empty() {
        message.push_str("Change manifests");
    }
    let body = paragraphs(&meta.body);
    if !body.is_empty() {
        message.push_str("\n\n");
        message.push_str(&body);
    }
    message.push_str("\n\n");
    // Writing to a String cannot fail.
    let _ = writeln!(message, "Kubeops-Request: {}", meta.request);
    let _ = writeln!(message, "Kubeops-Automation: {}", meta.automation);
    let _ = writeln!(message, "Kubeops-Event: {}", meta.event);
    for (name, digest) in templates {
        let _ = writeln!(message, "Kubeops-Template: {}@sha256:{}", one_line(name, 100), one_line(digest, 100));
    }
    message
}

/// The request a message names in our trailer, which stands in its last paragraph; none when it names none.
pub(super) fn request_of(message: &str) -> Option<RequestId> {
    let (_, trailers) = message.trim_end().rsplit_once("\n\n")?;
    trailers.lines().find_map(|line| line.strip_prefix("Kubeops-Request: "))?.trim().parse().ok()
}

/// Text on one line: what is no visible character counts as a space, and runs of them as one.
fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for (count, word) in text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|word| !word.is_empty()).enumerate() {
        if count > 0 {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.chars().count() > limit {
        line = line.chars().take(limit - 1).collect();
        line.push('…');
    }
    line
}

/// Text as paragraphs: no invisible characters, one blank line between paragraphs, and no line that git would read as a
/// trailer or as the end of the message.
fn paragraphs(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut out = String::new();
    let mut blank = 0;
    for line in text.split(['\n', '\r', '\u{2028}', '\u{2029}', '\u{85}', '\u{b}', '\u{c}']) {
        let line: String = line.chars().filter(|c| *c == '\t' || !is_invisible(*c)).collect();
        let line = line.trim_end();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if out.len() + line.len() > BODY_LIMIT {
            out.push_str("\n…");
            break;
        }
        if !out.is_empty() {
            out.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        blank = 0;
        if reads_as_structure(line) {
            out.push_str("    ");
        }
        out.push_str(line);
    }
    out
}

/// Whether git, or a forge, gives the line a meaning: a trailer that attributes (`...-by:`) or is ours, or `---`.
fn reads_as_structure(line: &str) -> bool {
    if line.starts_with("---") || line.starts_with("(cherry picked from commit") {
        return true;
    }
    let Some((key, _)) = line.split_once([':', '=', '#']) else { return false };
    let key = key.trim().to_ascii_lowercase();
    key.ends_with("-by") || key.starts_with("kubeops-")
}

/// Control characters, and those that reorder or hide text (Unicode bidirectional controls, zero-width characters).
fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta(subject: &str, body: &str) -> CommitMeta {
        let identity = Identity::new("KubeOps", "kubeops@example.com").expect("an identity");
        CommitMeta {
            author: identity.clone(),
            committer: identity,
            time: Timestamp::from_unix_millis(1_700_000_000_000),
            subject: subject.to_owned(),
            body: body.to_owned(),
            request: RequestId::from_parts(Timestamp::from_unix_millis(1), 1),
            automation: "namespace-request".parse().expect("a name"),
            event: EventId::from_parts(Timestamp::from_unix_millis(1), 2),
        }
    }

    #[test]
    fn a_message_is_subject_body_and_trailers() {
        let templates = BTreeMap::from([("namespace".to_owned(), "ab".repeat(32))]);
        let message = commit_message(&meta("Namespace web (OPS-42)", "Asked for by Ada.\n\n\nSee OPS-42."), &templates);
        insta::assert_snapshot!(message, @r"
        Namespace web (OPS-42)

        Asked for by Ada.

        See OPS-42.

        Kubeops-Request: req_00000000010000000000000001
        Kubeops-Automation: namespace-request
        Kubeops-Event: evt_00000000010000000000000002
        Kubeops-Template: namespace@sha256:abababababababababababababababababababababababababababababababab
        ");
    }

    #[test]
    fn a_message_tells_whose_it_is_by_its_trailer_alone() {
        let meta = meta("Namespace web", "Kubeops-Request: req_00000000010000000000000009");
        assert_eq!(request_of(&commit_message(&meta, &BTreeMap::new())), Some(meta.request.clone()));
        for none in [format!("Kubeops-Request: {}", meta.request), format!("a\n\nKubeops-Request: {}\n\nb", meta.request), "a\n\nb".to_owned()] {
            assert_eq!(request_of(&none), None, "{none}");
        }
    }

    #[test]
    fn an_identity_is_written_as_given_or_refused() {
        for (name, email) in [("", "a@b"), ("A", ""), ("A <x>", "a@b"), ("A", "a@b\n"), (" A", "a@b"), ("A.", "a@b")] {
            assert!(Identity::new(name, email).is_err(), "{name:?} {email:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_adds_a_trailer_or_a_divider(subject in "\\PC{0,80}|(\n|Kubeops-Request: x|---| ){1,6}", body in "(\n|\r|\u{2028}|Kubeops-Request: evil|Co-authored-by: m <m@x>|---|---\n| |a){0,12}") {
            let message = commit_message(&meta(&subject, &body), &BTreeMap::new());
            let lines: Vec<&str> = message.split(['\n', '\r', '\u{2028}']).collect();
            // Ticket text may be the subject, which is never read as a trailer.
            prop_assert_eq!(lines.iter().skip(1).filter(|line| line.starts_with("Kubeops-Request:")).count(), 1);
            prop_assert!(!lines.iter().skip(1).any(|line| line.starts_with("---") || line.starts_with("Co-authored-by")));
            prop_assert!(lines[1].is_empty(), "the subject is one line");
        }
    }
}
