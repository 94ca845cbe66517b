//! Which keys speak of secrets, and which values are none: references, switches, places.

/// Words that make a key one of a secret wherever it stands.
const STRONG: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pwd",
    "apikey",
    "privatekey",
    "accesskey",
    "secretkey",
    "accesstoken",
    "authtoken",
    "refreshtoken",
    "bearertoken",
    "clientsecret",
    "encryptionkey",
    "signingkey",
    "signingsecret",
    "webhooksecret",
    "sharedsecret",
    "connectionstring",
];
/// Words that do so among environment variables and in a ConfigMap.
const WEAK: &[&str] = &["secret", "token", "credential", "credentials", "pass", "pin", "salt", "dsn"];
/// A key that ends so tells something about a secret: where it is, how long it lasts.
const ABOUT: &[&str] = &[
    "name",
    "ref",
    "reference",
    "path",
    "file",
    "files",
    "filename",
    "dir",
    "directory",
    "url",
    "uri",
    "endpoint",
    "ttl",
    "expiry",
    "expiration",
    "expires",
    "seconds",
    "minutes",
    "hours",
    "days",
    "duration",
    "timeout",
    "interval",
    "period",
    "policy",
    "length",
    "type",
    "kind",
    "enabled",
    "disabled",
    "required",
    "count",
    "class",
    "mount",
    "audience",
    "audiences",
    "issuer",
    "namespace",
    "provider",
    "store",
    "header",
    "format",
    "algorithm",
    "version",
    "engine",
    "role",
    "property",
    "field",
    "source",
    "mode",
    "limit",
    "limits",
    "size",
    "prefix",
    "suffix",
    "method",
    "reviewer",
    "rotation",
    "age",
    "hint",
    "label",
    "annotation",
    "selector",
    "template",
    "scope",
    "scopes",
    "review",
    "request",
    "controller",
    "manager",
];

/// Whether a key is one of a secret: `strong` leaves out words that mean other things outside of environments and ConfigMaps.
pub(super) fn speaks_of_a_secret(key: &str, strong: bool) -> bool {
    let words = split(key);
    let Some(last) = words.last() else { return false };
    // `secretKey`, so spelled, is which key of a Secret: External Secrets and others have it.
    if ABOUT.contains(&last.as_str()) || key == "secretKey" {
        return false;
    }
    // `existingSecretPasswordKey`, `passwordSecretKey`: which key of a Secret.
    if last == "key" && words.len() > 2 && words.iter().any(|word| word == "existing" || word == "password") {
        return false;
    }
    let joined: Vec<String> = words.windows(2).map(|pair| pair.concat()).collect();
    let has = |list: &[&str]| words.iter().chain(&joined).any(|word| list.contains(&word.as_str()));
    has(STRONG) || (!strong && has(WEAK))
}

/// The words of a key, in lower case: `DB_PASSWORD`, `dbPassword`, `db.password`.
fn split(key: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in key.split(|c: char| !c.is_ascii_alphanumeric()) {
        let (mut word, mut before) = (String::new(), ' ');
        for c in part.chars() {
            if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
                words.push(std::mem::take(&mut word));
            }
            word.push(c.to_ascii_lowercase());
            before = c;
        }
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether what stands behind such a key is a secret itself, and not a switch, a number of few digits or where to find one.
pub(super) fn is_literal(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']).trim();
    let switch = ["true", "false", "null", "~", "none", "yes", "no", "on", "off", "|", ">", "|-", ">-", "|+", ">+", "{}", "[]"];
    let refers = ["$(", "${", "{{", "*", "&", "vault:", "ref+", "op://", "⟦"];
    let is_path =
        (value.starts_with('/') || value.starts_with("./")) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    // The name of a secret: `GITHUB_APP_KEY`, and `$oidc.clientSecret` as Argo CD writes it.
    let is_name = value.contains('_')
        && value.starts_with(|c: char| c.is_ascii_uppercase())
        && value.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let named = value
        .strip_prefix('$')
        .is_some_and(|name| name.contains(['.', ':']) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte)));
    let is_blank = value.starts_with('<') && value.ends_with('>');
    let short = value.len() < 4 && value.bytes().all(|byte| byte.is_ascii_digit());
    !value.is_empty()
        && !short
        && !is_path
        && !is_name
        && !named
        && !is_blank
        && !switch.contains(&value.to_ascii_lowercase().as_str())
        && !refers.iter().any(|begin| value.starts_with(begin))
}

/// Whether a value of a Secret is looked for in other texts as well: a user's name or a database's stands in many places.
pub(super) fn is_worth_remembering(value: &str) -> bool {
    value.len() >= 8 && !value.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'.' | b'_'))
}
