//! The limits of `draft` as an author writes them: what is wrong with them is said at load, and what may be read follows from them.

use super::fixture::{Outcome, Tree, draft, guard, guard_of, play, target};
use kubeops::automation::{AutomationSpec, DraftSpec};
use kubeops::plan::{Guard, Recipe};
use kubeops::render::Catalogue;
use serde_json::{Value, json};
use std::sync::Arc;

fn wrong(draft: &Value) -> Vec<String> {
    let spec: DraftSpec = serde_json::from_value(draft.clone()).expect("a spec");
    Guard::compile(&spec).expect_err("wrong").into_iter().map(|error| error.pointer).collect()
}

#[test]
fn what_is_wrong_with_the_limits_is_said_at_load_with_its_place() {
    for (field, value, pointers) in [
        (
            "write",
            json!(["../x.yaml", "/apps/**", "", "apps/", "apps/a**", ".github/**", "apps/[a-z].yaml", "apps/**"]),
            (0..7).map(|number| format!("/draft/write/{number}")).collect(),
        ),
        ("read", json!(["/docs/**", "a/../b", "{a"]), vec!["/draft/read/1".to_owned(), "/draft/read/2".to_owned()]),
        ("runbooks", json!(["/"]), vec!["/draft/runbooks/0".to_owned()]),
        ("images", json!(["a b", ""]), vec!["/draft/images/0".to_owned(), "/draft/images/1".to_owned()]),
        (
            "allow",
            json!([{"kinds": ["Deployment", "Deployment.", "apps/Deployment", "**"], "fields": ["spec.replicas", "spec..x", "a[0]", "a[", "[*].b", ""]}]),
            ["kinds/1", "kinds/2", "kinds/3", "fields/1", "fields/2", "fields/3", "fields/5"].map(|at| format!("/draft/allow/0/{at}")).to_vec(),
        ),
        (
            "examples",
            json!([
                {"task": "x", "answer": {"operations": [{"remove": {"file": "a.yaml"}}], "explanation": "x"}},
                {"task": "x", "answer": {"operations": [{"delete": {"file": "a.yaml"}}], "explanation": "x"}}
            ]),
            vec!["/draft/examples/1/answer".to_owned()],
        ),
        ("allow", json!([{"kinds": [], "add": true}, {"kinds": ["Job"]}]), vec!["/draft/allow/0/kinds".to_owned(), "/draft/allow/1".to_owned()]),
    ] {
        let mut draft = draft();
        draft[field] = value;
        assert_eq!(wrong(&draft), pointers, "{field}");
    }
}

#[test]
fn an_automation_that_drafts_needs_no_steps_and_carries_its_guard() {
    let spec = |draft: Value| -> AutomationSpec {
        let spec = json!({"on": {"source": "desk"}, "target": {"repository": "gitops"}, "draft": draft, "pullRequest": {"title": "t"}});
        serde_json::from_value(spec).expect("a spec")
    };
    let catalogue = Arc::new(Catalogue::embedded().expect("the shipped templates"));
    assert!(Recipe::compile(&spec(draft()), &catalogue).expect("compiles").guard().is_some());
    let mut unfit = draft();
    unfit["write"] = json!(["../**"]);
    let errors = Recipe::compile(&spec(unfit), &catalogue).err().expect("wrong");
    assert_eq!(errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>(), ["/draft/write/0"]);
}

#[test]
fn a_model_reads_what_it_may_write_and_what_is_named_and_nothing_with_a_dot() {
    let (guard, target) = (guard(), target());
    for path in ["clusters/prod/apps/web/config.yaml", "clusters/prod/infra/config.yaml", "docs/a/b.md"] {
        assert!(guard.may_read(&target, path), "{path}");
    }
    for path in [
        "clusters/prod/infra/a/config.yaml",
        "clusters/dev/apps/web/config.yaml",
        "clusters/prod/apps/.hidden/config.yaml",
        "docs/.secret/b.md",
        "clusters/prod/apps/../../dev/x.yaml",
        "clusters/production/apps/x.yaml",
        "infra/config.yaml",
        "/docs/a.md",
        "docs//a.md",
        "",
    ] {
        assert!(!guard.may_read(&target, path), "{path}");
    }
    assert!(guard.may_search(&target, "docs/runbooks/scale.md"));
    for path in ["docs/runbooks/deep/scale.md", "docs/runbooks/scale.sh", "clusters/prod/apps/web/readme.md"] {
        assert!(!guard.may_search(&target, path), "{path}");
    }
}

#[test]
fn a_kind_that_gives_rights_is_reached_by_its_name_alone() {
    let answer = json!({"operations": [{"edit": {"object": "Role/shop/web", "set": {"metadata.annotations.x": "y"}}}], "explanation": ""});
    assert!(matches!(play(&guard(), &Tree::new(), &answer), Outcome::Refused(_)));
    for (kind, passes) in [("Role", true), ("Role.rbac.authorization.k8s.io", true), ("Role.core", false), ("role", false), ("*", false)] {
        let mut draft = draft();
        draft["allow"] = json!([{"kinds": [kind], "fields": ["metadata.annotations.*"]}]);
        let outcome = play(&guard_of(&draft), &Tree::new(), &answer);
        assert_eq!(matches!(outcome, Outcome::Change(_)), passes, "{kind}");
    }
}
