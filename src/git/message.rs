//! The commit message: subject, body, and trailers that a machine reads back with `git interpret-trailers --parse`.
//! Pure. Text from a ticket can neither add a trailer nor end the message early.

use super::Signing;
use crate::request::Drafted;
use crate::types::{AutomationName, EventId, Identity, RequestId, Timestamp, is_invisible};
use std::collections::BTreeMap;
use std::fmt::Write as _;

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
    /// Where the change comes from, when a language model drafted it.
    pub drafted: Option<Drafted>,
    /// Who is named in `Co-authored-by`, beside the author.
    pub co_authors: Vec<Identity>,
    /// Whether the message ends with the committer's `Signed-off-by`.
    pub signed_off_by: bool,
    /// What the commit is signed with.
    pub signing: Option<Signing>,
}

/// Names of models that a provider reported.
const MOST_REPORTED: usize = 5;
/// Rules that answers before were refused by.
const MOST_BROKEN: usize = 10;
const SUBJECT_LIMIT: usize = 120;
const BODY_LIMIT: usize = 16 * 1024;

/// The message of a commit. `templates` is each template's name and the digest of its folder (SHA-256, hex).
pub fn commit_message(meta: &CommitMeta, templates: &BTreeMap<String, String>) -> String {
    let mut message = one_line(&meta.subject, SUBJECT_LIMIT);
    if message.is_empty() {
        message.push_str("Change manifests");
    }
    let revision = meta.drafted.as_ref().and_then(|drafted| drafted.revision);
    if let Some(revision) = revision {
        let _ = write!(message, " (revision {revision})");
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
    if let Some(drafted) = &meta.drafted {
        let _ = writeln!(message, "Kubeops-Model: {}/{}", drafted.provider.as_str(), one_line(&drafted.model, 100));
        for reported in drafted.reported.iter().take(MOST_REPORTED) {
            let _ = writeln!(message, "Kubeops-Model-Reported: {}", one_line(reported, 100));
        }
        for (name, digest) in [("Prompt", &drafted.prompt), ("Context", &drafted.context), ("Answer", &drafted.answer)] {
            let _ = writeln!(message, "Kubeops-{name}: sha256:{}", one_line(digest, 64));
        }
        let cost = drafted.cost().map(|cost| format!(" cost={cost}")).unwrap_or_default();
        let _ = writeln!(message, "Kubeops-Draft: turns={} refused={} tokens={}{cost}", drafted.turns, drafted.refused, drafted.tokens);
        let refused: Vec<String> = drafted.broke.iter().take(MOST_BROKEN).map(|rule| one_line(rule, 60)).collect();
        if !refused.is_empty() {
            let _ = writeln!(message, "Kubeops-Refused: {}", refused.join(","));
        }
        if let Some(revision) = revision {
            let _ = writeln!(message, "Kubeops-Revision: {revision}");
        }
    }
    // In GitHub's form, and last, where forges look for them.
    for person in meta.co_authors.iter().filter(|person| !person.email().eq_ignore_ascii_case(meta.author.email())) {
        let _ = writeln!(message, "Co-authored-by: {person}");
    }
    if meta.signed_off_by {
        let _ = writeln!(message, "Signed-off-by: {}", meta.committer);
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
            drafted: None,
            co_authors: Vec::new(),
            signed_off_by: false,
            signing: None,
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
    fn a_draft_is_told_with_who_answered_and_with_its_cost_where_a_price_is_known() {
        let digest = |of: &str| of.repeat(64);
        let drafted = Drafted {
            number: 2,
            revision: None,
            provider: crate::automation::Provider::Local,
            model: "qwen3-coder".to_owned(),
            reported: ["qwen3-coder-30b\nSigned-off-by: x".to_owned()].into(),
            prompt: digest("a"),
            context: digest("b"),
            answer: digest("c"),
            turns: 3,
            refused: 1,
            broke: Default::default(),
            tokens: 14_210,
            micros: Some(41_250),
            explanation: String::new(),
        };
        let told =
            |micros| commit_message(&CommitMeta { drafted: Some(Drafted { micros, ..drafted.clone() }), ..meta("Scale web", "") }, &BTreeMap::new());
        let message = told(Some(41_250));
        assert!(message.contains("\nKubeops-Model: local/qwen3-coder\nKubeops-Model-Reported: qwen3-coder-30b Signed-off-by: x\n"), "{message}");
        assert!(message.ends_with("\nKubeops-Draft: turns=3 refused=1 tokens=14210 cost=0.0412\n"), "{message}");
        assert!(told(None).ends_with("\nKubeops-Draft: turns=3 refused=1 tokens=14210\n"), "{}", told(None));
        let broke = (0..12).map(|n| format!("draft.r{n:02}")).collect();
        let revised = Drafted { revision: Some(2), broke, ..drafted.clone() };
        let message = commit_message(&CommitMeta { drafted: Some(revised), ..meta(&"Scale web ".repeat(20), "") }, &BTreeMap::new());
        let subject = message.lines().next().expect("a subject");
        assert!(subject.starts_with("Scale web") && subject.ends_with("… (revision 2)"), "{subject}");
        let end = "draft.r07,draft.r08,draft.r09\nKubeops-Revision: 2\n";
        assert!(message.contains("\nKubeops-Refused: draft.r00,draft.r01,") && message.ends_with(end), "{message}");
    }

    #[test]
    fn people_are_named_last_and_the_author_is_no_co_author() {
        let mut meta = meta("Namespace web", "");
        let person = |name, email| Identity::new(name, email).expect("an identity");
        meta.co_authors = vec![person("Ada", "ada@example.com"), person("Other", "KubeOps@example.com")];
        meta.committer = person("Bot", "bot@example.com");
        meta.signed_off_by = true;
        let message = commit_message(&meta, &BTreeMap::new());
        assert!(message.ends_with("2\nCo-authored-by: Ada <ada@example.com>\nSigned-off-by: Bot <bot@example.com>\n"), "{message}");
        assert_eq!(request_of(&message), Some(meta.request));
    }

    #[test]
    fn a_message_tells_whose_it_is_by_its_trailer_alone() {
        let meta = meta("Namespace web", "Kubeops-Request: req_00000000010000000000000009");
        assert_eq!(request_of(&commit_message(&meta, &BTreeMap::new())), Some(meta.request.clone()));
        for none in [format!("Kubeops-Request: {}", meta.request), format!("a\n\nKubeops-Request: {}\n\nb", meta.request), "a\n\nb".to_owned()] {
            assert_eq!(request_of(&none), None, "{none}");
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
