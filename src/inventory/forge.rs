//! Who keeps a repository's pull requests, as its author writes it: the local forge or GitHub, and who we are there.
//! Secrets stand here only as names; an address that a token would be sent to is never guessed.

use super::address;
use crate::types::{RemoteUrl, SecretName, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who opens and keeps pull requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ForgeSpec {
    /// KubeOps itself: the branch is in the repository, the pull request in the store. For a bare repository on this machine.
    #[default]
    Local,
    /// GitHub, or GitHub Enterprise.
    #[serde(rename_all = "camelCase")]
    Github {
        /// `owner/name` at GitHub; by default read from the repository's URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repository: Option<String>,
        /// The API's address, for GitHub Enterprise Server: `https://<host>/api/v3`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
        /// Name of the secret that holds the token, fine-grained or classic; or else `app`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<SecretName>,
        /// The GitHub App KubeOps is; or else `token`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        app: Option<AppSpec>,
    },
}

/// A GitHub App and its installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppSpec {
    /// The App's id or client id.
    pub id: AppId,
    /// Name of the secret that holds the App's private key (PEM).
    pub private_key: SecretName,
    /// The installation's id; by default the one of the repository, which GitHub is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<u64>,
}

/// What a GitHub App is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AppId {
    /// The App's id.
    Number(u64),
    /// Its client id, such as `Iv23liABCDEF`.
    Client(String),
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => write!(f, "{id}"),
            Self::Client(id) => f.write_str(id),
        }
    }
}

impl ForgeSpec {
    /// The API at github.com.
    pub const GITHUB_API: &'static str = "https://api.github.com";

    /// `owner/name` at GitHub, of a repository at `url`; none at another forge.
    pub fn github_name(&self, url: &RemoteUrl) -> Option<String> {
        match self {
            Self::Local => None,
            Self::Github { repository, .. } => repository.clone().or_else(|| url.owner_and_name()),
        }
    }

    /// Every secret it names.
    pub(super) fn secret_names(&self) -> impl Iterator<Item = SecretName> {
        let (token, key) = match self {
            Self::Github { token, app, .. } => (token.clone(), app.as_ref().map(|app| app.private_key.clone())),
            Self::Local => (None, None),
        };
        token.into_iter().chain(key)
    }

    /// What is wrong for a repository at `url`: pointers into the repository's spec.
    pub(super) fn check(&self, url: &RemoteUrl) -> Vec<SpecError> {
        let mut errors = Vec::new();
        match self {
            Self::Local if !url.is_local() => errors.push(
                SpecError::new("/url", "the local forge keeps pull requests beside a bare repository on this machine, and this URL is elsewhere")
                    .hint("forge: { kind: github, token: GITHUB_TOKEN }, or an absolute path or file:// URL"),
            ),
            Self::Local => {}
            Self::Github { api_url, token, app, .. } => {
                match self.github_name(url) {
                    Some(slug) if is_slug(&slug) => {}
                    _ => errors.push(
                        SpecError::new("/forge", "which repository at GitHub this is cannot be read from the URL")
                            .hint("forge: { kind: github, repository: owner/name, token: GITHUB_TOKEN }"),
                    ),
                }
                errors.extend(check_identity(token.as_ref(), app.as_ref()));
                if let Err(error) = api(api_url.as_deref(), url) {
                    errors.push(error);
                }
            }
        }
        errors
    }
}

fn check_identity(token: Option<&SecretName>, app: Option<&AppSpec>) -> Option<SpecError> {
    let hint = "token: GITHUB_TOKEN, or app: { id: 12345, privateKey: GITHUB_APP_KEY }";
    match (token, app) {
        (None, None) => Some(SpecError::new("/forge", "GitHub asks who we are: a token or an App").hint(hint)),
        (Some(_), Some(_)) => Some(SpecError::new("/forge/app", "a token and an App cannot both be who we are").hint(hint)),
        (None, Some(AppSpec { id: AppId::Client(id), .. })) if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') => {
            Some(SpecError::new("/forge/app/id", "an App's id is a number, or its client id such as Iv23liABCDEF"))
        }
        _ => None,
    }
}

/// The address of GitHub's API for a repository at `url`, without a slash at its end. Only what GitHub documents is
/// derived: github.com and the tenants of ghe.com.
///
/// # Errors
/// When the address given is none that a token may be sent to, and when none is given and the host is not GitHub's own.
pub fn api(given: Option<&str>, url: &RemoteUrl) -> Result<String, SpecError> {
    if let Some(given) = given {
        let hint = "https://<host>/api/v3";
        return match address::safe(given, "the API's address") {
            Ok(_) => Ok(given.trim_end_matches('/').to_owned()),
            Err(message) => Err(SpecError::new("/forge/apiUrl", message).hint(hint)),
        };
    }
    let Some(host) = url.host() else { return Ok(ForgeSpec::GITHUB_API.to_owned()) };
    let host = host.to_ascii_lowercase();
    match host.strip_suffix(".ghe.com") {
        _ if matches!(host.as_str(), "github.com" | "www.github.com" | "ssh.github.com") => Ok(ForgeSpec::GITHUB_API.to_owned()),
        Some(tenant) if !tenant.contains('.') => Ok(format!("https://api.{host}")),
        _ => Err(SpecError::new("/forge", format!("{host} is not github.com: say where its API is")).hint(format!("apiUrl: https://{host}/api/v3"))),
    }
}

fn is_slug(slug: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    slug.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> RemoteUrl {
        url.parse().expect("an address")
    }

    #[test]
    fn the_api_is_githubs_own_or_said() {
        for (url, wanted) in [
            ("https://github.com/acme/gitops.git", "https://api.github.com"),
            ("git@github.com:acme/gitops.git", "https://api.github.com"),
            ("ssh://git@ssh.github.com:443/acme/gitops.git", "https://api.github.com"),
            ("https://octo.ghe.com/acme/gitops.git", "https://api.octo.ghe.com"),
            ("git@octo.ghe.com:acme/gitops.git", "https://api.octo.ghe.com"),
            ("/srv/git/gitops.git", "https://api.github.com"),
        ] {
            assert_eq!(api(None, &at(url)).as_deref(), Ok(wanted), "{url}");
        }
        for url in
            ["https://git.example/acme/gitops.git", "git@work:acme/gitops.git", "https://evil.github.com.example/a/b", "https://a.b.ghe.com/a/b"]
        {
            let error = api(None, &at(url)).expect_err(url);
            assert_eq!(error.pointer, "/forge", "{url}");
            assert!(error.hint.is_some_and(|hint| hint.starts_with("apiUrl: https://") && hint.ends_with("/api/v3")), "{url}");
        }
    }

    #[test]
    fn a_token_is_sent_to_no_address_that_is_not_safe() {
        let url = at("https://git.example/acme/gitops.git");
        for good in ["https://git.example/api/v3", "https://git.example/api/v3/", "http://127.0.0.1:9/api/v3", "http://localhost:1", "http://[::1]:9"]
        {
            assert_eq!(api(Some(good), &url).as_deref(), Ok(good.trim_end_matches('/')));
        }
        for bad in ["git.example", "http://git.example/api/v3", "https://me:pw@git.example/", "ftp://git.example", "https://git.example/?token=x"] {
            assert!(api(Some(bad), &url).is_err(), "{bad}");
        }
        let error = api(Some("https://me:hunter2@git.example/"), &url).expect_err("refused");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn who_we_are_is_a_token_or_an_app_and_never_both() {
        let url = at("https://github.com/acme/gitops.git");
        let check = |spec: serde_json::Value| -> Vec<String> {
            let spec: ForgeSpec = serde_json::from_value(spec).expect("a forge");
            spec.check(&url).into_iter().map(|error| error.pointer).collect()
        };
        let app = serde_json::json!({ "id": 12, "privateKey": "KEY" });
        assert!(check(serde_json::json!({ "kind": "github", "token": "T" })).is_empty());
        assert!(check(serde_json::json!({ "kind": "github", "app": app })).is_empty());
        assert!(check(serde_json::json!({ "kind": "github", "app": { "id": "Iv23liAB", "privateKey": "KEY", "installation": 7 } })).is_empty());
        assert_eq!(check(serde_json::json!({ "kind": "github" })), ["/forge"]);
        assert_eq!(check(serde_json::json!({ "kind": "github", "token": "T", "app": app })), ["/forge/app"]);
        assert_eq!(check(serde_json::json!({ "kind": "github", "app": { "id": "a b", "privateKey": "KEY" } })), ["/forge/app/id"]);
    }
}
