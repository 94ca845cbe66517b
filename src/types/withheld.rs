//! What must not be shown to any language model, as regular expressions that whoever runs the service writes. Nothing is looked for here.

use regex::Regex;
use std::str::FromStr;

/// Regular expressions; none unless some are given. What one matches is withheld, its first group alone where it has one.
#[derive(Debug, Clone, Default)]
pub struct Withheld(Vec<Regex>);

impl Withheld {
    /// The expressions, in the order they were written.
    pub fn patterns(&self) -> &[Regex] {
        &self.0
    }
}

impl PartialEq for Withheld {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(Regex::as_str).eq(other.0.iter().map(Regex::as_str))
    }
}

/// One expression a line, since any other character may stand in one; spaces around it and empty lines count for nothing. The error says
/// what is wrong with which of them.
impl FromStr for Withheld {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        let lines = list.lines().map(str::trim).filter(|line| !line.is_empty());
        let pattern = |line: &str| {
            let pattern = Regex::new(line).map_err(|error| {
                let why = error.to_string();
                format!("`{line}` is no regular expression: {}", why.lines().last().unwrap_or_default().trim_start_matches("error: "))
            })?;
            if pattern.is_match("") { Err(format!("`{line}` matches the empty text, which stands everywhere")) } else { Ok(pattern) }
        };
        lines.map(pattern).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_one_a_line_and_each_that_is_none_is_named() {
        let read: Withheld = "cust-[0-9]{2,6}\n\n  ticket=(\\w+), secret  \n".parse().expect("patterns");
        assert_eq!(read.patterns().iter().map(Regex::as_str).collect::<Vec<_>>(), ["cust-[0-9]{2,6}", "ticket=(\\w+), secret"]);
        assert_eq!("".parse(), Ok(Withheld::default()));
        for (bad, told) in
            [("cust-[0-9\nfine", "`cust-[0-9` is no regular expression: unclosed"), ("a*", "matches the empty text"), ("(?=a)b", "look-around")]
        {
            let error = bad.parse::<Withheld>().expect_err(bad);
            assert!(error.contains(told) && !error.contains('\n'), "{error}");
        }
    }
}
