//! Names of configured things.

use super::{ParseError, text_type};
use std::str::FromStr;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        text_type!($(#[$doc])* #[doc = "\n\nA DNS label as RFC 1123 has it: lower-case letters, digits and `-`, at most 63 characters."] $name, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                dns_label($what, text).map(|()| Self(text.to_owned()))
            }
        }
    };
}

name_type!(/// A configured webhook sender.
    SourceName, "source name");
name_type!(/// A git repository that holds manifests.
    RepositoryName, "repository name");
name_type!(/// A cluster whose manifests live in a repository.
    ClusterName, "cluster name");
name_type!(/// A rule that turns events into requests.
    AutomationName, "automation name");
name_type!(/// Where it is told what became of a request.
    ChannelName, "channel name");
name_type!(/// When changes may take effect.
    CalendarName, "calendar name");
name_type!(/// An MCP server whose tools models may use.
    McpServerName, "MCP server name");
name_type!(/// A folder of the template catalogue.
    TemplateName, "template name");

/// The form of a [`SecretName`].
pub(crate) const SECRET_NAME: &str = "^[A-Za-z_][A-Za-z0-9_.-]{0,127}$";

text_type!(
    /// The name under which the secret provider knows a secret: an environment variable's or a file's name.
    SecretName, SECRET_NAME);

impl FromStr for SecretName {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut chars = text.chars();
        let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if starts_well && text.len() <= 128 && chars.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) && !text.contains("..") {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(
                "secret name",
                text,
                "it starts with a letter or `_` and goes on with letters, digits, `_`, `-` or single dots, 128 characters at most",
            ))
        }
    }
}

fn dns_label(what: &'static str, text: &str) -> Result<(), ParseError> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 {
        return Err(ParseError::new(what, text, "it has 1 to 63 characters"));
    }
    if !text.chars().all(inner) {
        return Err(ParseError::new(what, text, "only lower-case letters, digits and `-` may stand in it"));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(ParseError::new(what, text, "it starts and ends with a letter or a digit"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "service-desk", "0x", &"a".repeat(63)] {
            assert!(good.parse::<SourceName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<SourceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_name_cannot_leave_its_directory() {
        assert!("GITHUB_TOKEN".parse::<SecretName>().is_ok());
        for bad in ["", "../x", "a/b", "a..b", ".hidden", "1A"] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
    }
}
