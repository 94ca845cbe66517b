//! Where it is told what became of a request, as its author writes it: a Jira, a webhook, a Slack channel.
//! Secrets stand here only as names; what a secret would be sent to is checked, nothing is asked.

use super::address;
use crate::types::{SecretName, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use url::Url;

/// The `spec:` of a document of kind `Channel`: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChannelSpec {
    /// The issues of a Jira.
    Jira(JiraSpec),
    /// A receiver of signed webhooks (<https://www.standardwebhooks.com>).
    Webhook(WebhookSpec),
    /// An incoming webhook of Slack, or of whoever takes Slack's form.
    Slack(SlackSpec),
}

/// A Jira, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JiraSpec {
    /// Its address, without `/rest`: `https://acme.atlassian.net`, `https://api.atlassian.com/ex/jira/<cloud id>`, or a Data Center's.
    pub url: String,
    /// Which Jira it is; by default `cloud` at `*.atlassian.net` and `api.atlassian.com`, elsewhere it has to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<JiraDeployment>,
    /// Who we are.
    pub authentication: JiraAuthentication,
    /// Whether customers of a service desk see comments; without it agents alone do. It makes no difference in other projects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
}

/// Which Jira it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JiraDeployment {
    /// Jira Cloud.
    Cloud,
    /// Jira Data Center or Server, 8.14 or later.
    DataCenter,
}

/// Who we are at a Jira.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JiraAuthentication {
    /// A user and a secret: e-mail address and API token in the cloud, name and password in a Data Center.
    #[serde(rename_all = "camelCase")]
    Basic {
        /// The e-mail address, or the name.
        user: String,
        /// Name of the secret that holds the API token or password.
        secret: SecretName,
    },
    /// A token alone: a personal access token of a Data Center, or an OAuth 2.0 access token of the cloud.
    #[serde(rename_all = "camelCase")]
    Bearer {
        /// Name of the secret that holds the token.
        secret: SecretName,
    },
}

/// A receiver of signed webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookSpec {
    /// Where it listens.
    pub url: String,
    /// Name of the secret that holds the signing key, `whsec_...`.
    pub secret: SecretName,
    /// Headers sent besides. They stand here for everybody to read: nothing secret belongs into them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// A Slack channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlackSpec {
    /// Name of the secret that holds the incoming webhook's URL: whoever has the URL can write into the channel.
    pub url: SecretName,
}

/// Headers of the signature (<https://www.standardwebhooks.com>).
const OF_THE_SIGNATURE: [&str; 3] = ["webhook-id", "webhook-signature", "webhook-timestamp"];

impl ChannelSpec {
    /// `jira`, `webhook` or `slack`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Jira(_) => "jira",
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
        }
    }

    /// The address, where it is no secret.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Jira(jira) => Some(&jira.url),
            Self::Webhook(webhook) => Some(&webhook.url),
            Self::Slack(_) => None,
        }
    }

    /// The one secret it names.
    pub fn secret(&self) -> &SecretName {
        match self {
            Self::Jira(JiraSpec { authentication: JiraAuthentication::Basic { secret, .. } | JiraAuthentication::Bearer { secret }, .. }) => secret,
            Self::Webhook(webhook) => &webhook.secret,
            Self::Slack(slack) => &slack.url,
        }
    }

    /// What is wrong beyond the types: pointers into the spec.
    pub fn check(&self) -> Vec<SpecError> {
        match self {
            Self::Jira(jira) => jira.check(),
            Self::Webhook(webhook) => webhook.check(),
            Self::Slack(_) => Vec::new(),
        }
    }
}

impl JiraSpec {
    /// The address, without a slash at its end.
    pub fn base(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// Which Jira it is, where it is said or the address tells.
    pub fn deployment(&self) -> Option<JiraDeployment> {
        self.deployment.or_else(|| Url::parse(&self.url).ok().filter(is_cloud).map(|_| JiraDeployment::Cloud))
    }

    fn check(&self) -> Vec<SpecError> {
        let hint = "https://<site>.atlassian.net, https://api.atlassian.com/ex/jira/<cloud id>, or the address of your Jira without /rest";
        let url = match address::safe(&self.url, "Jira's address") {
            Ok(url) => url,
            Err(message) => return vec![SpecError::new("/jira/url", message).hint(hint)],
        };
        let mut errors = Vec::new();
        if let Some(message) = wrong_path(&url) {
            errors.push(SpecError::new("/jira/url", message).hint(hint));
        }
        match self.deployment {
            None if !is_cloud(&url) => errors.push(
                SpecError::new("/jira", "whether this is a Jira in the cloud or a Data Center cannot be read from its address")
                    .hint("deployment: dataCenter, or deployment: cloud"),
            ),
            Some(JiraDeployment::DataCenter) if is_cloud(&url) => {
                errors.push(SpecError::new("/jira/deployment", "this is an address of Jira Cloud").hint("leave `deployment` out"));
            }
            _ => {}
        }
        if let JiraAuthentication::Basic { user, .. } = &self.authentication
            && (user.is_empty() || user.contains(':') || user.chars().any(char::is_control))
        {
            let message = "a user is wanted here: not empty, on one line, without `:`";
            errors.push(
                SpecError::new("/jira/authentication/basic/user", message).hint("the account's e-mail address in the cloud, its name elsewhere"),
            );
        }
        errors
    }
}

impl WebhookSpec {
    fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if let Err(message) = address::safe(&self.url, "a receiver's address") {
            errors.push(SpecError::new("/webhook/url", message).hint("https://<host>/<path>"));
        }
        for (name, value) in &self.headers {
            let Some(message) = address::wrong_header(name, value, &OF_THE_SIGNATURE) else { continue };
            let pointer = format!("/webhook/headers/{}", name.replace('~', "~0").replace('/', "~1"));
            errors.push(SpecError::new(pointer, message).hint("the receiver knows KubeOps by the signature, which `secret` makes"));
        }
        errors
    }
}

fn is_cloud(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "api.atlassian.com" || host.ends_with(".atlassian.net"))
}

/// What is wrong with the path of a Jira's address.
fn wrong_path(url: &Url) -> Option<&'static str> {
    let path = url.path().trim_matches('/');
    match url.host_str() {
        Some("api.atlassian.com") => match path.split('/').collect::<Vec<_>>().as_slice() {
            ["ex", "jira", id] if !id.is_empty() => None,
            _ => Some("at api.atlassian.com the path is /ex/jira/<cloud id>"),
        },
        _ if is_cloud(url) && !path.is_empty() => Some("the address of a site in the cloud has no path"),
        _ if path.split('/').any(|part| part == "rest" || part == "browse") => Some("Jira's address ends before /rest and /browse"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(spec: Value) -> ChannelSpec {
        serde_json::from_value(spec).expect("a channel")
    }

    fn jira(url: &str, deployment: Option<&str>) -> ChannelSpec {
        let mut jira = json!({ "url": url, "authentication": { "bearer": { "secret": "TOKEN" } } });
        if let Some(deployment) = deployment {
            jira["deployment"] = deployment.into();
        }
        spec(json!({ "jira": jira }))
    }

    fn wrong(spec: &ChannelSpec) -> Vec<String> {
        spec.check().into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn which_jira_it_is_follows_from_the_address_or_is_said() {
        for url in ["https://acme.atlassian.net", "https://acme.atlassian.net/", "https://api.atlassian.com/ex/jira/11223344-a1b2"] {
            let ChannelSpec::Jira(found) = jira(url, None) else { panic!("a Jira") };
            assert_eq!((found.check(), found.deployment()), (vec![], Some(JiraDeployment::Cloud)), "{url}");
            assert_eq!(wrong(&jira(url, Some("dataCenter"))), ["/jira/deployment"], "{url}");
        }
        for url in ["https://jira.example", "https://intra.example/jira", "http://127.0.0.1:9", "https://atlassian.net.evil.example"] {
            assert_eq!(wrong(&jira(url, None)), ["/jira"], "{url}");
            assert!(wrong(&jira(url, Some("dataCenter"))).is_empty(), "{url}");
        }
    }

    #[test]
    fn a_token_is_sent_to_no_address_that_is_not_safe() {
        for url in [
            "jira.example",
            "http://jira.example",
            "https://me:hunter2@jira.example",
            "https://jira.example/?os_username=me",
            "https://jira.example/#x",
            "https://jira.example/rest/api/2",
            "https://jira.example/browse/OPS-1",
        ] {
            let errors = jira(url, Some("dataCenter")).check();
            assert_eq!(errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), ["/jira/url"], "{url}");
            assert!(!format!("{errors:?}").contains("hunter2"));
        }
        for url in ["https://acme.atlassian.net/jira", "https://api.atlassian.com", "https://api.atlassian.com/ex/confluence/1"] {
            assert_eq!(wrong(&jira(url, None)), ["/jira/url"], "{url}");
        }
    }

    #[test]
    fn a_user_fits_into_a_basic_header() {
        for (user, errors) in [("bot@acme.example", 0), ("", 1), ("a:b", 1), ("a\nb", 1)] {
            let authentication = json!({ "basic": { "user": user, "secret": "TOKEN" } });
            let channel = spec(json!({ "jira": { "url": "https://acme.atlassian.net", "authentication": authentication } }));
            assert_eq!(channel.check().len(), errors, "{user:?}");
        }
    }

    #[test]
    fn a_webhook_sets_no_header_that_is_ours_or_secret() {
        let with = |headers: Value| spec(json!({ "webhook": { "url": "https://ops.example/hooks", "secret": "KEY", "headers": headers } }));
        assert!(wrong(&with(json!({ "X-Team": "platform" }))).is_empty());
        for name in ["Authorization", "webhook-id", "Cookie", "a b", ""] {
            assert_eq!(wrong(&with(json!({ name: "x" }))).len(), 1, "{name}");
        }
        assert_eq!(wrong(&with(json!({ "X-Team": "a\nb" }))), ["/webhook/headers/X-Team"]);
        let plain = spec(json!({ "webhook": { "url": "http://ops.example", "secret": "KEY" } }));
        assert_eq!(wrong(&plain), ["/webhook/url"]);
    }

    #[test]
    fn a_channel_is_one_thing_and_names_one_secret() {
        assert_eq!(spec(json!({ "slack": { "url": "SLACK_URL" } })).secret().as_str(), "SLACK_URL");
        assert_eq!(jira("https://acme.atlassian.net", None).secret().as_str(), "TOKEN");
        for bad in [json!({}), json!({ "slack": { "url": "A" }, "jira": {} }), json!({ "slack": { "url": "https://hooks.slack.com/x" } })] {
            assert!(serde_json::from_value::<ChannelSpec>(bad).is_err());
        }
    }
}
