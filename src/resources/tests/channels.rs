//! Channels: what is taken, what is wrong and where, the secrets they name.

use super::*;

fn channel(spec: &str) -> String {
    format!("apiVersion: kubeops.dev/v1alpha1\nkind: Channel\nmetadata: {{ name: issues }}\nspec:\n{spec}")
}

const JIRA: &str = "  jira:\n    url: https://acme.atlassian.net\n    authentication:\n      basic: { user: bot@acme.example, secret: JIRA_TOKEN }\n    public: true\n";

#[test]
fn channels_of_each_kind_are_taken_with_the_secrets_they_name() {
    let webhook = channel("  webhook: { url: https://ops.example/hooks, secret: HOOK_KEY, headers: { X-Team: platform } }\n");
    let slack = channel("  slack: { url: SLACK_URL }\n");
    let text = format!("{}---\n{}---\n{}", channel(JIRA), webhook.replace("issues", "ops"), slack.replace("issues", "chat"));
    let set = load(&[("a.yaml", &text)]).unwrap_or_else(|found| panic!("{found:?}"));
    let kinds: Vec<(&str, &str)> = set.inventory.channels.iter().map(|(name, channel)| (name.as_str(), channel.spec.kind())).collect();
    assert_eq!(kinds, [("chat", "slack"), ("issues", "jira"), ("ops", "webhook")]);
    let names: Vec<&str> = set.secret_names().map(|name| name.as_str()).collect();
    assert_eq!(names, ["HOOK_KEY", "JIRA_TOKEN", "SLACK_URL"]);
    let told = set.secret_problem(&"JIRA_TOKEN".parse().expect("a name"), "the secret JIRA_TOKEN is not there");
    assert_eq!((told[0].line, told[0].resource.as_deref()), (8, Some("Channel/issues")));
}

#[test]
fn what_is_wrong_with_a_channel_is_told_at_its_place_with_a_hint() {
    for (spec, place, message, hint) in [
        (JIRA.replace("https://acme", "http://acme"), "a.yaml:6:5", "only https:// will do", "https://<site>.atlassian.net"),
        (JIRA.replace("acme.atlassian.net", "jira.example"), "a.yaml:5:3", "cannot be read from its address", "deployment: dataCenter"),
        (JIRA.replace("public:", "pubic:"), "a.yaml:9:5", "there is no field `pubic` here", "did you mean `public`?"),
        (JIRA.replace("  jira:", "  jria:"), "a.yaml:5:3", "exactly one of several forms is wanted", "did you mean { jira: ... }?"),
        (JIRA.replace("secret: JIRA_TOKEN", "secret: ATATT3x/Fake=="), "a.yaml:8:48", "a secret's name is wanted here", "take another one"),
        (
            "  slack: { url: https://hooks.slack.com/services/T/B/s3cret }\n".to_owned(),
            "a.yaml:5:17",
            "a secret's name is wanted here",
            "SECRET_PROVIDER",
        ),
        (
            "  webhook: { url: https://ops.example, secret: K, headers: { Cookie: x } }\n".to_owned(),
            "a.yaml:5:62",
            "cannot be set here",
            "the signature",
        ),
    ] {
        let found = errors(&[("a.yaml", &channel(&spec))]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(place) && found[0].contains(message) && found[0].contains(hint), "{spec}{}", found[0]);
        assert!(!found[0].contains("s3cret"), "{}", found[0]);
    }
}
