use super::*;
use crate::event::Event;
use crate::manifest::{FieldChange, ObjectChange, ObjectRef};
use crate::plan::PullText;
use crate::render::{TextKind, TextTemplate};
use crate::request::{RequestKey, State};
use crate::types::{EventId, ManifestPath, RequestId, Timestamp};
use crate::validate::Evidence;
use proptest::prelude::*;
use pulldown_cmark::{Event as Mark, Options, Parser, Tag, TagEnd};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const AT: i64 = 1_795_176_000_000;

fn request(kind: &str, subject: &str, data: Value) -> Request {
    Request {
        id: RequestId::from_parts(Timestamp::from_unix_millis(AT), 1),
        key: RequestKey { automation: "replicas-request".parse().expect("a name"), correlation: subject.to_owned(), generation: 1 },
        state: State::Planned,
        event: Event {
            id: EventId::from_parts(Timestamp::from_unix_millis(AT), 2),
            delivery: None,
            source: "service-desk".parse().ok(),
            traceparent: None,
            kind: kind.parse().expect("a type"),
            subject: subject.to_owned(),
            time: Timestamp::from_unix_millis(AT),
            data,
        },
        parameters: None,
        repository: None,
        branch: None,
        base: "0123456789012345678901234567890123456789".parse().ok(),
        commit: None,
        pushed: None,
        checked: None,
        taken_over: false,
        urged: false,
        members: 0,
        former_pull: None,
        steering: crate::request::Steering::default(),
        tells: false,
        merged: None,
        written: None,
        summary: vec!["Deployment web/api: spec.replicas 2 -> 4".to_owned()],
        changes: None,
        text: Some(PullText {
            title: "t".to_owned(),
            body: Some("The team wants more.".to_owned()),
            labels: Vec::new(),
            reviewers: Vec::new(),
            assignees: Vec::new(),
            milestone: None,
            draft: false,
            auto_merge: None,
        }),
        pull: None,
        findings: Vec::new(),
        message: None,
        created_at: Timestamp::from_unix_millis(AT),
        updated_at: Timestamp::from_unix_millis(AT),
        version: 1,
    }
}

fn finding(rule: &str, path: &str, message: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: rule.to_owned(),
        path: path.to_owned(),
        document: Some(0),
        pointer: None,
        line: Some(7),
        message: message.to_owned(),
        hint: Some("quote it".to_owned()),
    }
}

fn object(name: &str, action: Action, fields: &[(&str, Value, Value)]) -> ObjectChange {
    let some = |value: &Value| (!value.is_null()).then(|| value.clone());
    ObjectChange {
        file: "apps/web/api.yaml".parse::<ManifestPath>().ok(),
        document: 0,
        object: Some(ObjectRef { api_version: "apps/v1".into(), kind: "Deployment".into(), namespace: Some("web".into()), name: name.into() }),
        action,
        fields: fields.iter().map(|(path, old, new)| FieldChange { path: (*path).to_owned(), old: some(old), new: some(new) }).collect(),
        content: None,
    }
}

fn changes(objects: Vec<ObjectChange>) -> Changes {
    let evidence = Evidence {
        kubernetes: "1.34".to_owned(),
        schemas: ["apps/v1 Deployment".to_owned(), "v1 Service".to_owned()].into(),
        unchecked: ["example.com/v1 Widget".to_owned()].into(),
        templates: BTreeMap::from([("namespace".to_owned(), "ab".repeat(32))]),
        ..Evidence::default()
    };
    Changes {
        drafted: None,
        files: vec!["apps/web/api.yaml".parse().expect("a path")],
        objects,
        cut: false,
        evidence,
        first: None,
        expiry: None,
        rule: None,
        applied_within: None,
        place: None,
        clusters: Default::default(),
    }
}

fn ticket() -> Value {
    json!({
        "issue": {
            "key": "OPS-42", "self": "https://acme.atlassian.net/rest/api/2/10147",
            "fields": { "summary": "More replicas for the sale", "reporter": { "displayName": "Grace Hopper" } },
        },
        "user": { "displayName": "Ada Stone" },
    })
}

const PEOPLE_AT: &str = "https://kubeops.acme.example/api/v1";

#[test]
fn a_ticket_with_everything_there_is_to_say() {
    let mut request = request("jira.issue.transitioned", "OPS-42", ticket());
    request.changes = Some(changes(vec![
        object("api", Action::Changed, &[("spec.replicas", json!(2), json!(4)), ("metadata.annotations[\"a/b\"]", Value::Null, json!("`x`"))]),
        object("old", Action::Removed, &[]),
    ]));
    request.findings = vec![
        finding("yaml.ambiguous", "apps/web/api.yaml", "the value `on` is true to kubectl and text to YAML 1.2"),
        finding(
            CONFLICT,
            "apps/web/api.yaml",
            "spec.replicas of Deployment web/api is also changed by request req_x (pull request #12, open): 2 -> 6",
        ),
    ];
    insta::assert_snapshot!("ticket", body(&request, PEOPLE_AT, false));
    insta::assert_snapshot!("ticket_evidence", evidence(&request));
}

#[test]
fn an_alert_names_its_rule_and_leads_to_it() {
    let data = json!({
        "labels": { "alertname": "KubeHpaMaxedOut" },
        "annotations": { "summary": "At its maximum for 15 minutes", "description": "longer" },
        "generatorURL": "http://prometheus.acme.example:9090/graph?g0.expr=up&g0.tab=1",
        "externalURL": "http://alertmanager.acme.example:9093",
    });
    let mut request = request("alert.firing", "4a7f3c2b1d0e9f88", data);
    request.text = None;
    request.changes = Some(changes(vec![object("api", Action::Added, &[])]));
    insta::assert_snapshot!("alert", body(&request, PEOPLE_AT, false));
}

#[test]
fn a_person_who_asked_is_named_and_what_is_unknown_is_not_told() {
    let mut request = request("kubeops.request.asked", "evt_1", json!({ "actor": "ann", "parameters": {} }));
    request.event.source = None;
    insta::assert_snapshot!("asked", body(&request, PEOPLE_AT, false));
}

#[test]
fn the_body_is_the_same_whenever_it_is_written() {
    let one = request("jira.issue.transitioned", "OPS-42", ticket());
    let later = Timestamp::from_unix_millis(AT + 9_999_999);
    let other = Request { updated_at: later, created_at: later, version: 9, state: State::Approved, message: Some("m".to_owned()), ..one.clone() };
    assert_eq!(body(&one, PEOPLE_AT, false), body(&other, PEOPLE_AT, false));
}

#[test]
fn an_address_becomes_a_link_only_when_it_is_one() {
    for (address, link) in [
        ("https://a.example/x?y=1&z=2#f", Some("https://a.example/x?y=1&amp;z=2#f")),
        ("HTTP://A.example", Some("http://a.example/")),
        ("http://[::1]:9090/graph", Some("http://[::1]:9090/graph")),
        ("https://a.example/a b>c<d`e", Some("https://a.example/a%20b%3Ec%3Cd%60e")),
        ("https://a.example/?q=`\\", Some("https://a.example/?q=%60%5C")),
        ("https://a.example/browse/OPS-42", Some("https://a.example/browse/OPS-42")),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("ftp://a.example/", None),
        ("https://user@a.example/", None),
        ("https://u:p@a.example/", None),
        ("//a.example/", None),
        ("/relative", None),
        ("", None),
        // A link to these would be told there as a mention.
        ("https://github.com/acme/gitops/issues/1", None),
        ("https://api.github.com/x", None),
        ("https://git.acme.example/acme/gitops/pull/12", None),
        ("https://git.acme.example/acme/gitops/commit/0123456", None),
    ] {
        assert_eq!(markdown::safe(address).as_deref(), link, "{address}");
    }
    assert_eq!(markdown::safe(&format!("https://a.example/{}", "x".repeat(3000))), None);
    let data = |own: &str| json!({"issue": {"key": "OPS-1", "self": own}});
    for (own, link) in [
        ("https://jira.acme.example/jira/rest/api/2/issue/1", "[`OPS-1`](<https://jira.acme.example/jira/browse/OPS-1>)"),
        ("https://api.atlassian.com/ex/jira/1/rest/api/3/issue/1", "Ticket `OPS-1`"),
        ("javascript:alert(1)/rest/", "Ticket `OPS-1`"),
        ("nothing", "Ticket `OPS-1`"),
    ] {
        let body = body(&request("jira.issue.created", "OPS-1", data(own)), PEOPLE_AT, false);
        assert!(body.contains(link), "{body}");
    }
}

#[test]
fn a_code_span_cannot_be_left() {
    for (text, span) in [
        ("a", "`a`"),
        ("a`b``c", "``` a`b``c ```"),
        ("a\n# b", "`a # b`"),
        ("", "` `"),
        ("\n\u{200b}", "` `"),
        ("`", "`` ` ``"),
        (" a ", "`  a  `"),
        ("a\u{202e}b", "`ab`"),
    ] {
        assert_eq!(code(text), span, "{text:?}");
    }
    assert_eq!(code(&"x".repeat(400)), format!("`{}…`", "x".repeat(300)));
}

#[test]
fn a_body_is_never_longer_than_a_forge_takes_and_keeps_its_trailer() {
    let many = |n: usize| -> Vec<ObjectChange> {
        let fields: Vec<(String, Value, Value)> =
            (0..50).map(|f| (format!("spec.{}{f}", "`".repeat(280)), json!("`".repeat(500)), json!("y"))).collect();
        let fields: Vec<(&str, Value, Value)> = fields.iter().map(|(path, old, new)| (path.as_str(), old.clone(), new.clone())).collect();
        (0..n).map(|o| object(&format!("{}{o}", "`".repeat(200)), Action::Changed, &fields)).collect()
    };
    let mut request = request("jira.issue.transitioned", &"`".repeat(512), ticket());
    request.changes = Some(changes(many(200)));
    request.findings =
        (0..200).flat_map(|n| [finding(CONFLICT, "a.yaml", &format!("{n}{}", "`".repeat(400))), finding("x", "a.yaml", &"`".repeat(400))]).collect();
    if let Some(changes) = &mut request.changes {
        changes.evidence.templates = (0..50).map(|n| (format!("template-with-a-rather-long-name-{n}"), "ab".repeat(32))).collect();
        changes.evidence.schemas = (0..500).map(|n| format!("example.com/v1 Kind{n}")).collect();
    }
    for own in ["short".to_owned(), "long ".repeat(13_000)] {
        request.text.as_mut().expect("a text").body = Some(own.clone());
        let body = body(&request, PEOPLE_AT, false);
        assert!(body.len() <= MAX_BYTES, "{}", body.len());
        assert_eq!(Trailer::read(&body), Some(Trailer::of(&request)));
        assert_eq!(body.contains("was left out"), own.len() > 10, "only the author's text is too long");
        for kept in [
            "### What changes",
            "### Conflicts",
            "### Worth a look",
            "### Why",
            "### Checked",
            "### Revise or revert",
            "more objects or fields",
            "more types",
        ] {
            assert!(body.contains(kept), "{kept}");
        }
        assert!(evidence(&request).len() < MAX_BYTES);
    }
}

#[test]
fn a_trailer_is_the_last_line_and_no_other() {
    let mut request = request("jira.issue.transitioned", "OPS-42", ticket());
    request.changes = Some(changes(Vec::new()));
    let written = body(&request, PEOPLE_AT, false);
    let trailer = Trailer::read(&written).expect("a trailer");
    assert_eq!((&trailer.request, trailer.templates.len()), (&request.id, 1));
    assert_eq!(Trailer::read(&written.replace('\n', "\r\n")), Some(trailer.clone()), "as a browser sends it back");
    assert_eq!(Trailer::read(&format!("{written}\nAdded by a person.\n")), None);
    assert_eq!(Trailer::read(&format!("`{}`", trailer)), None);
    assert_eq!(Trailer::read(""), None);
    // What would end the comment is escaped, and reads back.
    let odd = Trailer { templates: BTreeMap::from([("--><script>--!>".to_owned(), "---".to_owned())]), ..trailer };
    let line = odd.to_string();
    assert_eq!((line.matches("--").count(), line.matches('>').count()), (2, 1), "{line}");
    assert_eq!(Trailer::read(&line), Some(odd));
}

/// A body as a reader of Markdown takes it, with `_` for what stands in code spans and code blocks.
fn structure(body: &str) -> Vec<String> {
    let mut in_block = false;
    let mut seen = Vec::new();
    for mark in Parser::new_ext(body, Options::all()) {
        match &mark {
            Mark::Start(Tag::CodeBlock(_)) => in_block = true,
            Mark::End(TagEnd::CodeBlock) => in_block = false,
            _ => {}
        }
        let shown = match mark {
            Mark::Code(_) => "code".to_owned(),
            Mark::Text(_) if in_block => "code".to_owned(),
            Mark::Start(Tag::Link { .. }) => "link".to_owned(),
            other => format!("{other:?}"),
        };
        // A block comes line by line.
        if !(in_block && seen.last() == Some(&shown)) {
            seen.push(shown);
        }
    }
    seen
}

/// A request in which `text` stands wherever a ticket's, a manifest's or an alert's text may.
fn everywhere(text: &str, kind: &str) -> Request {
    let key = json!(if text.trim().is_empty() { "x" } else { text });
    let data = json!({
        "issue": { "key": key, "self": "https://acme.atlassian.net/rest/api/2/1", "fields": { "summary": key, "reporter": { "displayName": key } } },
        "user": { "displayName": key }, "actor": key,
        "labels": { "alertname": key }, "annotations": { "summary": key },
        "generatorURL": format!("https://p.example/?{text}"), "externalURL": "https://a.example/",
    });
    let mut request = request(kind, text, data);
    request.key.correlation = text.to_owned();
    let mut change = object(text, Action::Changed, &[(text, json!(text), json!({ text: text })), ("a", Value::Null, json!(text))]);
    change.object.as_mut().expect("an object").kind = text.to_owned();
    request.changes = Some(changes(vec![change]));
    if let Some(changes) = &mut request.changes {
        changes.evidence.schemas = [format!("v1 {text}")].into();
        changes.evidence.unchecked = [text.to_owned()].into();
    }
    request.findings = vec![finding("x", text, text), finding(CONFLICT, text, text)];
    request.findings[0].hint = Some(text.to_owned());
    let own = TextTemplate::compile("From a ticket: `{{ v }}`\n\n{{ v | fence }}", TextKind::Markdown).expect("a text");
    request.text.as_mut().expect("a text").body = own.render(&json!({ "v": key })).ok();
    request
}

fn nasty() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "`",
        "``",
        "```",
        "```\n",
        "~~~\n",
        "\n",
        "\n\n",
        "\r\n",
        "# ",
        "- ",
        "> ",
        "* ",
        "1. ",
        "---\n",
        "<!-- ",
        " -->",
        "<!-- kubeops: {} -->",
        "-->",
        "@octocat",
        "@acme/team",
        "#1",
        "fixes #1",
        "GH-1",
        "https://github.com/a/b/issues/1",
        "www.example.com",
        "a@b.example",
        "[x](https://e.example)",
        "![x](y)",
        "<b>",
        "</code>",
        "<script>",
        "&lt;",
        "&#96;",
        "\\",
        "\\`",
        "|",
        "| a | b |\n|---|---|\n",
        "$",
        "$$",
        "$`",
        "`$",
        ":smile:",
        "0123456789abcdef",
        "\u{202e}",
        "\u{200b}",
        "\u{2028}",
        "\t",
        "    ",
        "x",
        "ä",
        " ",
        "[ ] ",
        "[^1]",
        "[^1]: x\n",
        "![",
        "](",
        "<https://x>",
        "\"",
        "'",
        "_",
        "**",
    ]);
    prop_oneof![prop::collection::vec(parts, 0..12).prop_map(|parts| parts.concat()), any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn text_of_a_ticket_is_code_wherever_it_stands(text in nasty(), alert in any::<bool>()) {
        let kind = if alert { "alert.firing" } else { "jira.issue.transitioned" };
        let written = everywhere(&text, kind);
        let plain = everywhere("x", kind);
        let mut expected = structure(&body(&plain, PEOPLE_AT, false));
        let mut found = structure(&body(&written, PEOPLE_AT, false));
        // What has no safe address has no link.
        for marks in [&mut expected, &mut found] {
            marks.retain(|mark| mark != "link" && mark != "End(Link)");
        }
        prop_assert_eq!(found, expected, "{}", body(&written, PEOPLE_AT, false));
        prop_assert_eq!(Trailer::read(&body(&written, PEOPLE_AT, false)), Some(Trailer::of(&written)));
    }
}

#[test]
fn kinds_of_others_are_not_said_to_be_checked_by_kubernetes() {
    let mut request = request("jira.issue.transitioned", "OPS-42", ticket());
    let mut changes = changes(Vec::new());
    changes.evidence.schemas.insert("bitnami.com/v1alpha1 SealedSecret".to_owned());
    request.changes = Some(changes);
    let body = body(&request, PEOPLE_AT, false);
    assert!(body.contains("- Valid by the schemas of Kubernetes `1.34`: `apps/v1 Deployment`, `v1 Service`\n"), "{body}");
    assert!(body.contains("- Valid by the definitions given for these kinds: `bitnami.com/v1alpha1 SealedSecret`\n"), "{body}");
}
