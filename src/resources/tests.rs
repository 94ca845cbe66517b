mod calendars;
mod channels;
mod drafts;
mod mcp;
mod policies;
mod sealing;

use super::*;
use crate::render::Catalogue;
use crate::types::KubernetesVersion;
use std::sync::Arc;

fn load(files: &[(&str, &str)]) -> Result<ResourceSet, Vec<Diagnostic>> {
    load_with(files, KubernetesVersion::default())
}

fn load_with(files: &[(&str, &str)], defaults: impl Into<Defaults>) -> Result<ResourceSet, Vec<Diagnostic>> {
    let files: Vec<ResourceFile> = files.iter().map(|(path, text)| ResourceFile { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
    ResourceSet::load(&files, Arc::new(Catalogue::embedded().expect("the shipped templates")), defaults)
}

fn errors(files: &[(&str, &str)]) -> Vec<String> {
    load(files).err().expect("refused").iter().map(ToString::to_string).collect()
}

const BASICS: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Source
metadata: { name: service-desk }
spec: { kind: jira, authentication: { hmac: { secrets: [JIRA_SECRET] } } }
---
apiVersion: kubeops.dev/v1alpha1
kind: Repository
metadata: { name: gitops }
spec: { url: /srv/git/gitops.git }
---
apiVersion: kubeops.dev/v1alpha1
kind: Cluster
metadata: { name: prod }
spec: { repository: gitops, path: clusters/prod }
"#;

fn automation(spec: &str) -> String {
    format!("apiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: {{ name: namespace-request }}\nspec:\n{spec}")
}

const GOOD: &str = r#"  on: { source: service-desk, types: [jira.issue.transitioned] }
  when: event.data.issue.fields.issuetype.name == "Namespace request" && event.data.transition.to == "Approved"
  correlate: event.subject
  parameters:
    team:
      from: event.data.issue.fields.customfield_10050
      schema: { type: string, pattern: "^[a-z][a-z0-9-]{1,40}$" }
    cpu: { from: event.data.issue.fields.customfield_10051, default: "4", schema: { type: string } }
    cluster: { from: event.data.issue.fields.customfield_10052.value, schema: { type: string } }
  target: { cluster: "{{ parameters.cluster }}" }
  render:
    - { template: namespace, path: "namespaces/{{ parameters.team }}.yaml" }
  pullRequest:
    title: "Namespace {{ parameters.team }} ({{ event.subject }})"
    labels: [namespace]
    reviewers: [platform-team]
"#;

#[test]
fn the_shape_an_author_writes_is_taken() {
    let set = load(&[("a.yaml", BASICS), ("b.yaml", &automation(GOOD))]).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(set.automations.iter().len(), 1);
    assert_eq!(set.secret_names().map(ToString::to_string).collect::<Vec<_>>(), ["JIRA_SECRET"]);
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
}

#[test]
fn every_error_has_its_file_line_column_and_a_hint() {
    let spec = GOOD
        .replace("when: event.data.issue", "when: evnt.data.issue")
        .replace("correlate: event.subject", "correlte: event.subject")
        .replace("template: namespace", "template: namespac");
    let found = errors(&[("a.yaml", BASICS), ("rules/b.yaml", &automation(&spec))]);
    assert_eq!(found.len(), 1, "the schema comes first: {found:#?}");
    assert!(found[0].starts_with("rules/b.yaml:7:3: error: Automation/namespace-request: there is no field `correlte`"), "{}", found[0]);
    assert!(found[0].ends_with("hint: did you mean `correlate`?"), "{}", found[0]);

    let spec = GOOD
        .replace("event.data.transition.to == \"Approved\"", "event.data.transition.to = \"Approved\"")
        .replace("template: namespace", "template: namespac");
    let found = errors(&[("a.yaml", BASICS), ("rules/b.yaml", &automation(&spec))]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("rules/b.yaml:6:99: error: Automation/namespace-request: not a valid CEL expression"), "{}", found[0]);
    assert!(
        found[1].starts_with("rules/b.yaml:16:")
            && found[1].contains("there is no template \"namespac\"")
            && found[1].contains("hint: did you mean namespace?"),
        "{}",
        found[1]
    );
}

#[test]
fn what_a_pull_request_cannot_have_is_refused_with_its_place() {
    let pull = |more: &str| GOOD.replace("    reviewers: [platform-team]\n", &format!("    reviewers: [platform-team]\n{more}"));
    let all = pull("    assignees: [bob]\n    milestone: Q4\n    autoMerge: squash\n");
    load(&[("a.yaml", BASICS), ("b.yaml", &automation(&all))]).unwrap_or_else(|found| panic!("{found:?}"));
    load(&[("a.yaml", BASICS), ("b.yaml", &automation(&pull("    milestone: 4\n    draft: true\n")))]).unwrap_or_else(|found| panic!("{found:?}"));
    for (more, wanted) in [
        (
            "    assignees: [acme/platform]\n",
            "b.yaml:21:17: error: Automation/namespace-request: an assignee is a user's name; a team cannot be assigned",
        ),
        ("    assignees: [a, b, c, d, e, f, g, h, i, j, k]\n", "at most 10 assignees"),
        ("    milestone: 0\n", "a milestone is its number, from 1, or its title"),
        ("    milestone: \" \"\n", "a milestone is its number, from 1, or its title"),
        ("    draft: true\n    autoMerge: merge\n", "a draft cannot be merged by itself"),
        ("    autoMerge: fast\n", "squash"),
    ] {
        let found = errors(&[("a.yaml", BASICS), ("b.yaml", &automation(&pull(more)))]).join("\n");
        assert!(found.contains(wanted), "{more}: {found}");
    }
}

#[test]
fn who_we_are_at_github_and_where_that_is_must_be_said() {
    let at =
        |url: &str, forge: &str| BASICS.replace("{ url: /srv/git/gitops.git }", &format!("{{ url: {url}, forge: {{ kind: github, {forge} }} }}"));
    let app = "app: { id: 12, privateKey: APP_KEY }";
    let set = load(&[("a.yaml", &at("https://github.com/acme/gitops.git", app))]).unwrap_or_else(|found| panic!("{found:?}"));
    assert!(set.secret_names().any(|name| name.as_str() == "APP_KEY"));
    for (url, forge, wanted) in [
        ("https://github.com/acme/gitops.git", "repository: acme/gitops", "GitHub asks who we are: a token or an App"),
        ("https://github.com/acme/gitops.git", "token: T, app: { id: 12, privateKey: K }", "a token and an App cannot both be who we are"),
        (
            "https://git.example/acme/gitops.git",
            "token: T",
            "git.example is not github.com: say where its API is (at /spec/forge)\n  hint: apiUrl: https://git.example/api/v3",
        ),
        ("git@work:acme/gitops.git", "token: T", "work is not github.com"),
        ("https://git.example/acme/gitops.git", "token: T, apiUrl: http://git.example/api/v3", "the token would be sent in the clear"),
    ] {
        let found = errors(&[("a.yaml", &at(url, forge))]).join("\n");
        assert!(found.contains(wanted) && found.starts_with("a.yaml:9:"), "{url} {forge}: {found}");
    }
}

#[test]
fn a_place_in_a_folded_expression_is_found() {
    let spec = GOOD.replace(
        "when: event.data.issue.fields.issuetype.name == \"Namespace request\" && event.data.transition.to == \"Approved\"",
        "when: >-\n    event.type == \"x\" &&\n    event.subject = \"y\"",
    );
    let found = errors(&[("a.yaml", BASICS), ("b.yaml", &automation(&spec))]);
    assert!(found[0].starts_with("b.yaml:8:19: error"), "{found:#?}");
}

#[test]
fn references_must_lead_somewhere() {
    let spec = GOOD.replace("source: service-desk", "source: servicedesk").replace("cluster: \"{{ parameters.cluster }}\"", "cluster: production");
    let found = errors(&[("a.yaml", &BASICS.replace("repository: gitops", "repository: git-ops")), ("b.yaml", &automation(&spec))]).join("\n");
    for wanted in [
        "there is no source \"servicedesk\"",
        "did you mean \"service-desk\"?",
        "there is no cluster \"production\"",
        "there is no repository \"git-ops\"",
    ] {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn what_follows_from_a_broken_document_is_not_told_beside_it() {
    let broken = BASICS.replace("hmac: { secrets", "hmac: { secret");
    let found = errors(&[("a.yaml", &broken), ("b.yaml", &automation(GOOD))]);
    assert!(found.iter().all(|error| error.contains("Source/service-desk")) && !found.is_empty(), "{found:#?}");
    let broken = BASICS.replace("kind: Repository", "kind: Repository\nspecs: {}");
    let found = errors(&[("a.yaml", &broken), ("b.yaml", &automation(GOOD))]);
    assert!(found.iter().all(|error| error.contains("Repository/gitops")) && !found.is_empty(), "{found:#?}");
    // A file that cannot be read may have held anything.
    let found = errors(&[("a.yaml", "kind: [\n"), ("b.yaml", &automation(GOOD))]);
    assert!(found.len() == 1 && found[0].starts_with("a.yaml:"), "{found:#?}");
}

#[test]
fn a_choice_of_forms_is_explained_as_an_author_writes_it() {
    let authentication = |text: &str| {
        let found = errors(&[("a.yaml", &BASICS.replace("{ hmac: { secrets: [JIRA_SECRET] } }", text))]);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        let (_, told) = found[0].split_once(": error: Source/service-desk: ").expect("an error of the source");
        told.to_owned()
    };
    let at = "(at /spec/authentication)";
    assert_eq!(authentication("{ none: {} }"), format!("`none` stands alone, without anything in it {at}\n  hint: write none"));
    assert_eq!(authentication("hmac"), format!("`hmac` does not stand alone {at}\n  hint: write {{ hmac: ... }}"));
    assert_eq!(authentication("nono"), format!("\"nono\" is none of the forms allowed here {at}\n  hint: did you mean none?"));
    assert_eq!(
        authentication("{ baerer: { secrets: [A] } }"),
        format!("exactly one of several forms is wanted here {at}\n  hint: did you mean {{ bearer: ... }}?")
    );
    let all = "one of: none, { hmac: ... }, { bearer: ... }, { basic: ... }, { header: ... }";
    assert_eq!(authentication("7"), format!("7 is none of the forms allowed here {at}\n  hint: {all}"));
    assert_eq!(authentication("{ hmac: SECRET }"), "a value of type object is wanted here, this is a string (at /spec/authentication/hmac)");
    let missing = errors(&[("a.yaml", &BASICS.replace(", authentication: { hmac: { secrets: [JIRA_SECRET] } }", ""))]);
    assert!(missing[0].contains("the field `authentication` is missing (at /spec)\n  hint: authentication: How a delivery proves"), "{missing:#?}");
}

#[test]
fn of_a_text_or_an_object_the_form_that_is_written_is_explained() {
    let told = |more: &str| {
        let found = errors(&[("a.yaml", BASICS), ("b.yaml", &automation(&format!("{}{more}", GOOD.trim_end_matches('\n').to_owned() + "\n")))]);
        assert_eq!(found.len(), 1, "{more}: {found:#?}");
        found.into_iter().next().expect("one")
    };
    let typo = told("  ttl: { after: 2h, remnid: 10m }\n");
    assert!(typo.contains("there is no field `remnid` here (at /spec/ttl/remnid)\n  hint: did you mean `remind`?"), "{typo}");
    let duration = told("  ttl: { after: 2h, remind: 2x }\n");
    assert!(duration.contains("(at /spec/ttl/remind)\n  hint: a duration is written like 30s"), "{duration}");
    let kind = told("  ttl: { after: 2h, from: aplied }\n");
    assert!(kind.contains("(at /spec/ttl/from)\n  hint: did you mean applied?"), "{kind}");
}

#[test]
fn news_that_there_is_none_of_is_told_where_it_stands() {
    let written = format!("{}\n  feedback: [{{ channel: x, on: {{ mergd: {{ say: hello }} }} }}]\n", GOOD.trim_end_matches('\n'));
    let found = errors(&[("a.yaml", BASICS), ("b.yaml", &automation(&written))]).join("\n");
    assert!(found.contains("there is no field `mergd` here (at /spec/feedback/0/on/mergd)\n  hint: did you mean `merged`?"), "{found}");
}

#[test]
fn what_may_be_a_secret_is_not_told_on() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\\n-----END OPENSSH PRIVATE KEY-----\\n";
    for (place, says) in [
        ("secrets: [JIRA_SECRET]", "a secret's name is wanted here, and this is none"),
        ("kind: jira", "a text of 102 characters is none of the forms allowed here"),
    ] {
        let written = place.split_once(": ").map(|(field, _)| {
            format!("{field}: {}\"{key}\"{}", if field == "secrets" { "[" } else { "" }, if field == "secrets" { "]" } else { "" })
        });
        let found = errors(&[("a.yaml", &BASICS.replace(place, &written.expect("a field")))]);
        assert!(found.iter().any(|error| error.contains(says)), "{found:?}");
        assert!(found.iter().all(|error| !error.contains("b3Blbn")), "{found:?}");
    }
}

#[test]
fn a_problem_with_a_secret_stands_where_the_secret_is_named() {
    let set = load(&[("a.yaml", BASICS)]).unwrap_or_else(|found| panic!("{found:?}"));
    let problems = set.secret_problem(&"JIRA_SECRET".parse().expect("a name"), "the secret JIRA_SECRET is not there");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let line = 1 + BASICS.lines().position(|line| line.contains("JIRA_SECRET")).expect("a line");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with(&format!("a.yaml:{line}:")), "{told:?}");
    assert!(told[0].contains("error: Source/service-desk: the secret JIRA_SECRET is not there (at /spec/authentication/hmac/secrets/0)"), "{told:?}");
}

#[test]
fn a_template_s_needs_are_checked_before_any_event() {
    let spec = GOOD.replace("    team:\n", "    squad:\n").replace("parameters.team", "parameters.squad");
    let found = errors(&[("a.yaml", BASICS), ("b.yaml", &automation(&spec))]).join("\n");
    assert!(found.contains("template namespace needs \"team\""), "{found}");
}

#[test]
fn two_of_one_name_and_broken_yaml_and_foreign_documents_are_refused() {
    let found = errors(&[
        ("a.yaml", BASICS),
        ("b.yaml", BASICS),
        ("c.yaml", "kind: [\n"),
        ("d.yaml", "apiVersion: v1\nkind: ConfigMap\n"),
        ("e.yaml", "a: 1\na: 2\n"),
    ])
    .join("\n");
    for wanted in
        ["b.yaml:3:", "a Source of this name stands at a.yaml:1 already", "c.yaml:", "d.yaml:1:", "apiVersion \"v1\" is not known here", "e.yaml:2:"]
    {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn a_source_without_authentication_is_refused_unless_it_says_so() {
    let open = BASICS.replace(", authentication: { hmac: { secrets: [JIRA_SECRET] } }", "");
    assert!(!errors(&[("a.yaml", &open)]).is_empty());
    let outright = BASICS.replace("{ hmac: { secrets: [JIRA_SECRET] } }", "none");
    let set = load(&[("a.yaml", &outright)]).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(set.warnings.len(), 1, "{:?}", set.warnings);
    assert_eq!(set.warnings[0].level, Level::Warning);
}

#[test]
fn the_generated_schemas_take_the_shipped_resources() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config/resources");
    let files = std::fs::read_dir(directory).expect("the shipped resources").map(|entry| {
        let path = entry.expect("an entry").path();
        ResourceFile { path: path.display().to_string(), text: std::fs::read_to_string(&path).expect("text") }
    });
    let set =
        ResourceSet::load(&files.collect::<Vec<_>>(), Arc::new(Catalogue::embedded().expect("the shipped templates")), KubernetesVersion::default())
            .unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(set.automations.iter().len(), 3);
    for kind in Kind::ALL {
        assert!(schema_of(kind).pointer("/properties/spec").is_some());
    }
}

#[test]
fn a_text_that_names_nothing_and_a_path_that_never_is_one_are_refused_before_any_event() {
    for (from, to, wanted) in [
        ("{{ parameters.team }} (", "{{ parameters.taem }} (", "there is no `parameters.taem`"),
        ("({{ event.subject }})", "({{ event.subjct }})", "there is no `event.subjct`"),
        ("\"namespaces/{{ parameters.team }}.yaml\"", "\"../{{ parameters.team }}.yaml\"", "this can never be a path of a manifest"),
        ("\"namespaces/{{ parameters.team }}.yaml\"", "\"namespaces/{{ parameters.team }}.txt\"", "it ends with .yaml, .yml or .json"),
    ] {
        let found = errors(&[("a.yaml", BASICS), ("b.yaml", &automation(&GOOD.replace(from, to)))]).join("\n");
        assert!(found.contains(wanted), "{to}: {found}");
    }
}

#[test]
fn an_automation_writes_fifty_files_and_not_one_more() {
    let entry = "    - { template: namespace, path: \"namespaces/{{ parameters.team }}.yaml\" }\n";
    let with = |files: usize| {
        let entries: String = (0..files).map(|at| entry.replace(".yaml", &format!("-{at}.yaml"))).collect();
        load(&[("a.yaml", BASICS), ("b.yaml", &automation(&GOOD.replace(entry, &entries)))])
    };
    assert!(with(50).is_ok());
    let found: Vec<String> = with(51).err().expect("refused").iter().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].contains("an automation writes at most 50 files, and this one has 51"), "{found:#?}");
}

#[test]
fn a_type_the_source_can_never_give_is_a_warning_with_its_place_and_the_nearest() {
    let sources = r#"apiVersion: kubeops.dev/v1alpha1
kind: Source
metadata: { name: alerts }
spec: { kind: alertmanager, authentication: { bearer: { secrets: [ALERTS] } } }
---
apiVersion: kubeops.dev/v1alpha1
kind: Source
metadata: { name: portal }
spec: { kind: generic, authentication: { bearer: { secrets: [PORTAL] } }, mapping: { type: "'volume.requested'", subject: body.id } }
---
apiVersion: kubeops.dev/v1alpha1
kind: Source
metadata: { name: any }
spec: { kind: generic, authentication: { bearer: { secrets: [ANY] } }, mapping: { type: body.type, subject: body.id } }
"#;
    let warned = |on: &str| {
        let text = automation(&GOOD.replacen("{ source: service-desk, types: [jira.issue.transitioned] }", on, 1));
        let set = load(&[("a.yaml", BASICS), ("b.yaml", sources), ("c.yaml", &text)])
            .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>());
        set.expect("a set").warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (on, parts) in [
        (
            "{ source: alerts, types: [jira.issue.created] }",
            ["no event from alerts is of the type jira.issue.created", "alert.firing, alert.resolved"],
        ),
        ("{ source: alerts, types: [alert.firing, alert.fireing] }", ["c.yaml:5:", "did you mean alert.firing?"]),
        ("{ source: portal, types: [volume.request] }", ["volume.request", "did you mean volume.requested?"]),
        ("{ source: [portal, alerts], types: [volume.removed] }", ["no event from portal or alerts", "volume.removed"]),
        ("{ source: service-desk, types: [jira.issue.transition] }", ["jira.issue.transition", "did you mean jira.issue.transitioned?"]),
    ] {
        let warnings = warned(on);
        assert_eq!(warnings.len(), 1, "{on}: {warnings:?}");
        assert!(parts.iter().all(|part| warnings[0].contains(part)), "{on}: {warnings:?}");
    }
    for on in [
        "{ source: any, types: [whatever] }",
        "{ source: [any, alerts], types: [whatever] }",
        "{ source: [portal, alerts], types: [alert.firing, volume.requested] }",
        "{ source: alerts }",
    ] {
        assert_eq!(warned(on), Vec::<String>::new(), "{on}");
    }
}

#[test]
fn what_is_wrong_with_commit_settings_is_told_at_its_place() {
    let with = |spec: &str| {
        let repository = format!("spec:\n  url: /srv/git/gitops.git\n{spec}");
        BASICS.replace("spec: { url: /srv/git/gitops.git }\n", &repository)
    };
    let basics = with(
        "  committer: { name: \"A <b>\", email: x }\n  commitMessage: |\n    {{ title }}\n\n    for {{ event.subjekt }}, {{ titel }}\n  \
         signing: { format: ssh, key: SIGNING, passphrase: SIGNING }\n",
    );
    let found = errors(&[("a.yaml", &basics)]);
    let starts = ["a.yaml:11:16: error: Repository/gitops: \"A <b>\"", "a.yaml:12:3: error", "a.yaml:12:3: error", "a.yaml:16:41: error"];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{start}: {found}");
    }
    assert!(found[1].contains("`titel`") && found[2].contains("`event.subjekt`") && found[3].contains("its own passphrase"), "{found:#?}");
    // A text that cannot be read has its place within.
    let found = errors(&[("a.yaml", &with("  commitMessage: |\n    {{ title }}\n    {% for x in summary %}\n"))]);
    assert!(found[0].starts_with("a.yaml:13:5: error: Repository/gitops: the tag `for`"), "{found:#?}");
    let found = errors(&[("a.yaml", &with("  signing: { format: gpg, key: SIGNING }\n"))]);
    assert!(found[0].starts_with("a.yaml:11:22: error") && found[0].contains("one of: ssh, openpgp"), "{found:#?}");
    let found = errors(&[
        ("b.yaml", &automation(&format!("{GOOD}  commit: {{ coAuthors: [{{ name: event.nam, email: event.data.x }}] }}\n"))),
        ("a.yaml", BASICS),
    ]);
    assert!(found[0].starts_with("b.yaml:21:39: error: Automation/namespace-request"), "{found:#?}");
}

#[test]
fn secrets_that_sign_are_among_those_named_and_a_message_may_read_what_an_automation_lacks() {
    let repository = "spec:\n  url: /srv/git/gitops.git\n  commitMessage: \"{{ title }} for {{ parameters.team }} in {{ parameters.region }}\"\n  \
                      signing: { format: openpgp, key: SIGNING_KEY, passphrase: SIGNING_PASSPHRASE }\n";
    let basics = BASICS.replace("spec: { url: /srv/git/gitops.git }\n", repository);
    let spec = GOOD.replace("cluster: \"{{ parameters.cluster }}\"", "cluster: prod");
    let set = load(&[("a.yaml", &basics), ("b.yaml", &automation(&spec))]).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(set.secret_names().map(ToString::to_string).collect::<Vec<_>>(), ["JIRA_SECRET", "SIGNING_KEY", "SIGNING_PASSPHRASE"]);
    let warnings: Vec<String> = set.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].starts_with("b.yaml:14:13: warning") && warnings[0].contains("reads parameters.region, which"), "{warnings:#?}");
    let problem = set.secret_problem(&"SIGNING_PASSPHRASE".parse().expect("a name"), "is not there").remove(0).to_string();
    assert!(problem.starts_with("a.yaml:12:"), "{problem}");
}

#[test]
fn what_keeps_storms_in_bounds_is_checked_at_load() {
    let with = |lines: &str| automation(&GOOD.replacen("  correlate: event.subject\n", &format!("  correlate: event.subject\n{lines}"), 1));
    let sound = with(
        "  debounce: { quiet: 30s, atMost: 10m }\n  limits: { perHour: 20, perTarget: { perHour: 5 }, loop: { changes: 0 } }\n  group: { by: event.subject }\n",
    );
    assert!(load(&[("a.yaml", BASICS), ("b.yaml", &sound)]).is_ok());
    for (lines, place, word) in [
        ("  debounce: { quiet: 30, atMost: 10m }\n", "b.yaml:8:", "string"),
        ("  debounce: { quiet: 30 seconds, atMost: 10m }\n", "b.yaml:8:", "a duration is written like 30s"),
        ("  debounce: { quiet: 1h, atMost: 10m }\n", "b.yaml:8:", "10m is less than `quiet`, 1h"),
        ("  debounce: { quiet: 1h }\n", "b.yaml:8:", "`atMost` is missing"),
        ("  limits: { perHour: 0 }\n", "b.yaml:8:", "minimum of 1"),
        ("  limits: { loop: { within: 8d } }\n", "b.yaml:8:", "at most 7d"),
        ("  group: { by: evnt.subject }\n", "b.yaml:8:", "not a valid CEL expression"),
        ("  group: { by: event.subject, most: 300 }\n", "b.yaml:8:", "200"),
        ("  group: { by: event.subject, title: '{{ parameters.team }}' }\n", "b.yaml:8:", "there is no `parameters.team` here"),
        ("  group: { most: 3 }\n", "b.yaml:8:", "the field `by` is missing"),
        ("  limits: { perTarget: { perhour: 2 } }\n", "b.yaml:8:", "did you mean `perHour`?"),
    ] {
        let found = errors(&[("a.yaml", BASICS), ("b.yaml", &with(lines))]);
        assert!(found.iter().any(|said| said.starts_with(place) && said.contains(word)), "{lines}: {found:#?}");
    }
}
