//! Where a repository lives: an address that holds no password and names no option.

use super::{ParseError, is_loopback};
use std::{fmt, path::PathBuf, str::FromStr};
use url::Url;

/// A repository's address: `https://`, `ssh://`, `user@host:path`, `file://`, an absolute path, or `http://` on the
/// loopback. It holds no password and no user name but ssh's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteUrl {
    text: String,
    local: Option<PathBuf>,
    https: Option<Origin>,
    ssh: Option<SshPlace>,
}

/// The host an ssh address names, and as whom it is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshPlace {
    /// The user; `git` when the address names none.
    pub user: String,
    /// The host: a name or an address, without brackets.
    pub host: String,
    /// The port; 22 when the address names none.
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// Whether `http://` may leave the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// Only to `localhost`, 127.0.0.0/8 and `::1`.
    #[default]
    LoopbackOnly,
    /// Anywhere: tokens travel in clear text.
    Allowed,
}

impl RemoteUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none of the forms above, holds credentials, or is plain HTTP to another machine and that is not allowed.
    pub fn parse(text: &str, plain: PlainHttp) -> Result<Self, ParseError> {
        // The refused text is not repeated once it may hold a password.
        let refuse = |rule: &str| ParseError::new("repository address", if text.contains('@') { "(not shown)" } else { text }, rule);
        if text.is_empty() || text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace() || "'\"`\\".contains(c)) {
            return Err(refuse("it has 1 to 2048 characters, none of them a space, a quote or a control character"));
        }
        if text.starts_with('/') {
            return Ok(Self { text: text.to_owned(), local: Some(PathBuf::from(text)), https: None, ssh: None });
        }
        if !text.contains("://") {
            return Self::scp(text).ok_or_else(|| refuse("it starts with https://, ssh://, file:// or /, or reads user@host:path"));
        }
        let url = Url::parse(text).map_err(|e| refuse(&format!("it is no URL ({e})")))?;
        if url.password().is_some() {
            return Err(refuse("it holds a password; name the credentials in the repository's resource instead"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has no `?` and no `#`"));
        }
        match url.scheme() {
            "file" => {
                let path = url.to_file_path().map_err(|()| refuse("a file address has an absolute path and no host"))?;
                Ok(Self { text: text.to_owned(), local: Some(path), https: None, ssh: None })
            }
            "ssh" => {
                let host = url.host_str().unwrap_or_default();
                if host.is_empty() || host.starts_with('-') || url.username().starts_with('-') || url.path().trim_matches('/').is_empty() {
                    return Err(refuse("an ssh address has a host and a path, and neither host nor user starts with `-`"));
                }
                let user = if url.username().is_empty() { SSH_USER } else { url.username() };
                let place = SshPlace { user: user.to_owned(), host: bare(host).to_owned(), port: url.port().unwrap_or(SSH_PORT) };
                Ok(Self { text: text.to_owned(), local: None, https: None, ssh: Some(place) })
            }
            scheme @ ("https" | "http") => {
                if !url.username().is_empty() {
                    return Err(refuse("it holds a user name; name the credentials in the repository's resource instead"));
                }
                if scheme == "http" && plain == PlainHttp::LoopbackOnly && !is_loopback(&url) {
                    return Err(refuse("plain http is for this machine only; use https"));
                }
                Ok(Self { text: text.to_owned(), local: None, https: Some(Origin::of(&url)), ssh: None })
            }
            _ => Err(refuse("known are https, http (this machine), ssh and file")),
        }
    }

    fn scp(text: &str) -> Option<Self> {
        let (place, path) = text.split_once(':')?;
        let (user, host) = place.split_once('@').unwrap_or((SSH_USER, place));
        let word = |s: &str| !s.is_empty() && !s.starts_with('-') && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        // `word::rest` would make git run the program `git-remote-word`.
        let plain = word(user) && word(host) && host.len() > 1 && !path.is_empty() && !path.starts_with(['-', ':']) && !path.contains('@');
        let ssh = SshPlace { user: user.to_owned(), host: host.to_owned(), port: SSH_PORT };
        plain.then(|| Self { text: text.to_owned(), local: None, https: None, ssh: Some(ssh) })
    }

    /// The address, fit for a log.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The directory, when the repository is on this machine's file system.
    pub fn local_path(&self) -> Option<&std::path::Path> {
        self.local.as_deref()
    }

    /// Whether the repository is on this machine's file system.
    pub fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// The host's name, without its port; none for a repository on this machine's file system.
    pub fn host(&self) -> Option<String> {
        if self.is_local() {
            return None;
        }
        match self.text.split_once("://") {
            Some(_) => Url::parse(&self.text).ok()?.host_str().map(str::to_owned),
            // user@host:path, or host:path.
            None => self.text.split_once(':').map(|(place, _)| place.rsplit_once('@').map_or(place, |(_, host)| host).to_owned()),
        }
    }

    /// `owner/name`, when the address ends so, as GitHub's do; a `.git` at the end is left out.
    pub fn owner_and_name(&self) -> Option<String> {
        if self.is_local() {
            return None;
        }
        let path = match self.text.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => self.text.split_once(':')?.1,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let mut parts = path.rsplit('/');
        let (name, owner) = (parts.next()?, parts.next()?);
        (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
    }

    /// Whom and what an ssh address names. None for other addresses.
    pub fn ssh(&self) -> Option<&SshPlace> {
        self.ssh.as_ref()
    }

    /// How it is reached, as git names protocols: `file`, `ssh`, `https` or `http`.
    pub fn protocol(&self) -> &str {
        match (&self.https, &self.ssh) {
            (Some(origin), _) => &origin.scheme,
            (None, Some(_)) => "ssh",
            (None, None) => "file",
        }
    }

    /// The address with the user in it: the git program would enter an ssh host under the name of whoever runs it.
    pub fn with_user(&self) -> String {
        match &self.ssh {
            None => self.text.clone(),
            Some(ssh) => {
                let (scheme, rest) = self.text.split_once("://").map_or(("", self.text.as_str()), |(_, rest)| ("ssh://", rest));
                let named = rest.split(['/', ':']).next().is_some_and(|authority| authority.contains('@'));
                if named { self.text.clone() } else { format!("{scheme}{}@{rest}", ssh.user) }
            }
        }
    }

    /// Whether `asked` (what libgit2 is about to send credentials to) is this address's scheme, host and port.
    pub fn same_origin(&self, asked: &str) -> bool {
        match (&self.https, Url::parse(asked)) {
            (Some(origin), Ok(asked)) => *origin == Origin::of(&asked),
            _ => false,
        }
    }
}

const SSH_USER: &str = "git";
const SSH_PORT: u16 = 22;

/// A host without the brackets an address of IPv6 has in a URL.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl Origin {
    fn of(url: &Url) -> Self {
        Self { scheme: url.scheme().to_owned(), host: url.host_str().unwrap_or_default().to_ascii_lowercase(), port: url.port_or_known_default() }
    }
}

impl FromStr for RemoteUrl {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text, PlainHttp::LoopbackOnly)
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<RemoteUrl> for String {
    fn from(url: RemoteUrl) -> String {
        url.text
    }
}

impl TryFrom<String> for RemoteUrl {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl schemars::JsonSchema for RemoteUrl {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RemoteUrl".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": 2048 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_holds_no_password_and_names_no_option() {
        for good in [
            "https://github.com/acme/gitops.git",
            "http://127.0.0.1:8080/x.git",
            "http://localhost/x",
            "http://[::1]:9/x",
            "ssh://git@host.example:22/acme/x.git",
            "git@github.com:acme/x.git",
            "file:///srv/git/x.git",
            "/srv/git/x.git",
        ] {
            assert!(good.parse::<RemoteUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://me:hunter2@github.com/a/b",
            "https://me@github.com/a/b",
            "http://github.com/a/b",
            "http://127.0.0.1.example/a",
            "ssh://-oProxyCommand=x/a",
            "ssh://git:pw@host/a",
            "-oProxyCommand=x:a",
            "git@host:-x",
            "ext::sh -c id",
            "ext::id",
            "git@host::id",
            "ftp://host/a",
            "relative/path",
            "https://host/a?token=x",
            "https://host/a b",
        ] {
            assert!(bad.parse::<RemoteUrl>().is_err(), "{bad}");
        }
        let error = "https://me:hunter2@github.com/a".parse::<RemoteUrl>().expect_err("refused");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(RemoteUrl::parse("http://github.example/a", PlainHttp::Allowed).is_ok());
        let slug = |url: &str| url.parse::<RemoteUrl>().expect("an address").owner_and_name();
        assert_eq!(slug("https://github.com/acme/gitops.git").as_deref(), Some("acme/gitops"));
        assert_eq!(slug("git@github.com:acme/gitops.git").as_deref(), Some("acme/gitops"));
        assert_eq!(slug("file:///srv/git/x.git"), None);
    }

    #[test]
    fn an_ssh_address_names_user_host_and_port() {
        let read = |text: &str| {
            let url = text.parse::<RemoteUrl>().expect("an address");
            let ssh = url.ssh().expect("ssh").clone();
            (ssh.user, ssh.host, ssh.port, url.with_user())
        };
        let place = |user: &str, host: &str, port, text: &str| (user.to_owned(), host.to_owned(), port, text.to_owned());
        assert_eq!(read("git@host.example:a/x.git"), place("git", "host.example", 22, "git@host.example:a/x.git"));
        assert_eq!(read("host.example:a/x.git"), place("git", "host.example", 22, "git@host.example:a/x.git"));
        assert_eq!(read("ssh://host:2222/a@b"), place("git", "host", 2222, "ssh://git@host:2222/a@b"));
        assert_eq!(read("ssh://me@[::1]:2222/a"), place("me", "::1", 2222, "ssh://me@[::1]:2222/a"));
        let protocol = |text: &str| text.parse::<RemoteUrl>().expect("an address").protocol().to_owned();
        assert_eq!(["/a", "file:///a", "https://h/a", "http://localhost/a", "h0:a"].map(protocol), ["file", "file", "https", "http", "ssh"]);
    }

    #[test]
    fn credentials_go_to_the_configured_origin_alone() {
        let url: RemoteUrl = "https://git.example/a/b.git".parse().expect("an address");
        assert!(url.same_origin("https://git.example:443/a/b.git/info/refs"));
        for other in ["http://git.example/a/b.git", "https://git.example:8443/a", "https://git.example.evil/a", "https://evil/a?https://git.example/"]
        {
            assert!(!url.same_origin(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_accepted_http_address_has_user_information(text in "https?://[a-z:@.]{0,20}/[a-z@:/]{0,10}") {
            if let Ok(url) = RemoteUrl::parse(&text, PlainHttp::Allowed) {
                let parsed = Url::parse(url.as_str()).expect("a URL");
                prop_assert!(parsed.username().is_empty() && parsed.password().is_none());
            }
        }
    }
}
