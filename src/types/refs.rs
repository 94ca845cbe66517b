//! Git references and object names.

use super::{ParseError, text_type};
use std::str::FromStr;

text_type!(
    /// A branch name without `refs/heads/`: `git check-ref-format --branch`, narrowed to ASCII letters, digits and `._/-`,
    /// so that it can never be an option, a revision expression or another spelling of the same name.
    BranchName, "^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$");
text_type!(
    /// The name of a commit: 40 lower-case hexadecimal digits (SHA-1).
    CommitSha, "^[0-9a-f]{40}$");

impl BranchName {
    /// `refs/heads/<name>`.
    pub fn full_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl FromStr for BranchName {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |rule: &str| Err(ParseError::new("branch name", text, rule));
        if text.is_empty() || text.len() > 200 {
            return refuse("it has 1 to 200 characters");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c)) {
            return refuse("only ASCII letters, digits and `.`, `_`, `/`, `-` may stand in it");
        }
        if text == "HEAD" || text.starts_with("refs/") {
            return refuse("it is a plain branch name, not a full reference");
        }
        for part in text.split('/') {
            if part.is_empty()
                || part.starts_with(['.', '-'])
                || part.ends_with('.')
                || part.to_ascii_lowercase().ends_with(".lock")
                || part.contains("..")
            {
                return refuse("no part of it is empty, starts with `.` or `-`, ends with `.` or `.lock`, or holds `..`");
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for CommitSha {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new("commit", text, "it is 40 lower-case hexadecimal digits"))
        }
    }
}

impl CommitSha {
    /// The commit whose id is these bytes: 20 of them (SHA-1). Repositories of another object format cannot be opened, so
    /// another number is a fault of ours, and a panic.
    pub fn from_bytes(id: &[u8]) -> Self {
        let id: [u8; 20] = id.try_into().unwrap_or_else(|_| unreachable!("an object id has 20 bytes"));
        Self(hex::encode(id))
    }

    /// The first twelve characters, for a person.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_name_is_never_an_option_or_an_expression() {
        for good in ["main", "kubeops/namespace-request/ops-42-1a2b3c", "release-1.2"] {
            assert!(good.parse::<BranchName>().is_ok(), "{good}");
        }
        for bad in
            ["", "-x", "HEAD", "$(id)", "a..b", "a/", "/a", "a//b", "a.lock", "a/.b", "a b", "a~1", "a^", "a:b", "refs/heads/x", "a\nb", "ä", "a/-b"]
        {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_commit_is_the_same_from_its_bytes_and_from_its_digits() {
        let digits = "0123456789abcdef00ff0123456789abcdef00ff";
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).expect("digits");
        assert_eq!(Ok(CommitSha::from_bytes(&bytes)), digits.parse());
    }
}
