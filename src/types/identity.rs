//! Who stands on a commit: a name and an e-mail address as git can write them.

use super::ParseError;

/// The longest name or address, in bytes.
const MAX_BYTES: usize = 200;
/// The longest name taken from a ticket, in characters.
const MAX_NAME: usize = 60;

/// Name and e-mail address of an author, committer or co-author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    name: String,
    email: String,
}

impl Identity {
    /// An identity git can write.
    ///
    /// # Errors
    /// When name or address is empty, longer than 200 bytes, or holds `<`, `>` or a control character.
    pub fn new(name: &str, email: &str) -> Result<Self, ParseError> {
        Ok(Self { name: checked("git identity's name", name)?, email: checked("git identity's e-mail address", email)? })
    }

    /// An identity out of a ticket: of the name only what git can write is kept, the address must be one (the `addr-spec` of RFC 5322
    /// without quotes and comments).
    ///
    /// # Errors
    /// When nothing is left of the name, or the address is none.
    pub fn of_person(name: &str, email: &str) -> Result<Self, ParseError> {
        let words: Vec<&str> =
            name.split(|c: char| c.is_whitespace() || is_invisible(c) || "<>\"\\".contains(c)).filter(|word| !word.is_empty()).collect();
        let name: String = words.join(" ").chars().take(MAX_NAME).collect();
        if !is_address(email) {
            return Err(ParseError::new("e-mail address", email, "it is `name@domain`, in ASCII, without spaces and quotes"));
        }
        Self::new(name.trim_matches(is_crud), email)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The e-mail address.
    pub fn email(&self) -> &str {
        &self.email
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

fn checked(what: &'static str, text: &str) -> Result<String, ParseError> {
    let broken = text.is_empty() || text.len() > MAX_BYTES || text.chars().any(|c| "<>".contains(c) || is_invisible(c));
    if broken || text.starts_with(is_crud) || text.ends_with(is_crud) {
        return Err(ParseError::new(what, text, "it has 1 to 200 bytes, no `<`, `>` or invisible character, and no punctuation at its ends"));
    }
    Ok(text.to_owned())
}

/// What git strips at the ends, which would change the commit's id between implementations.
fn is_crud(c: char) -> bool {
    c.is_whitespace() || ".,:;<>\"\\'".contains(c)
}

fn is_address(text: &str) -> bool {
    let atoms = |part: &str, also: &str| {
        let atom = |atom: &str| !atom.is_empty() && atom.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c));
        part.split('.').all(atom)
    };
    text.len() <= MAX_BYTES && text.rsplit_once('@').is_some_and(|(local, domain)| atoms(local, "!#$%&'*+-/=?^_`{|}~") && atoms(domain, "-"))
}

/// Control characters, and those that reorder or hide text (Unicode bidirectional controls, zero-width characters).
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_identity_is_written_as_given_or_refused() {
        for (name, email) in [("", "a@b"), ("A", ""), ("A <x>", "a@b"), ("A", "a@b\n"), (" A", "a@b"), ("A.", "a@b"), ("A\u{202e}b", "a@b")] {
            assert!(Identity::new(name, email).is_err(), "{name:?} {email:?}");
        }
    }

    #[test]
    fn of_a_persons_name_is_kept_what_git_can_write() {
        let of = |name| Identity::of_person(name, "ada@example.com").map(|person| person.to_string());
        assert_eq!(of("Ada Lovelace").as_deref(), Ok("Ada Lovelace <ada@example.com>"));
        assert_eq!(of(" Ada\n\nSigned-off-by: x <y>\u{202e}.").as_deref(), Ok("Ada Signed-off-by: x y <ada@example.com>"));
        assert!(of("\u{200b}<>").is_err());
        for email in
            ["", "ada", "@example.com", "ada@", "a da@example.com", "ada@example.com>", "ada@exam\nple.com", "ada@example..com", "\"a\"@b", "ä@b"]
        {
            assert!(Identity::of_person("Ada", email).is_err(), "{email:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_person_is_called_it_is_one_line(name in "\\PC{0,80}|(\n|<|>|\u{2028}|\\.|Signed-off-by: x|[a-z]){0,12}") {
            if let Ok(person) = Identity::of_person(&name, "ada@example.com") {
                let text = person.to_string();
                prop_assert_eq!(text.matches(['<', '>']).count(), 2);
                prop_assert!(!text.chars().any(is_invisible));
            }
        }
    }
}
