//! Which programs an `McpServer` may name: what whoever runs the process allows, and no resource can widen. It never starts anything.

use std::collections::BTreeSet;
use std::str::FromStr;

/// Programs by their exact absolute paths; none unless some are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpPrograms(BTreeSet<String>);

impl McpPrograms {
    /// Whether the program at this path may be run: spelled as it was allowed, and in no other way.
    pub fn contains(&self, command: &str) -> bool {
        self.0.contains(command)
    }
}

/// A list of paths that is separated by commas; empty for none. The error says what is wrong with which of them.
impl FromStr for McpPrograms {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        let paths = list.split(',').map(str::trim).filter(|path| !path.is_empty());
        let path = |path: &str| {
            let is_plain = path.starts_with('/') && !path.ends_with('/') && !path.contains(['*', '?', '\0']);
            if is_plain { Ok(path.to_owned()) } else { Err(format!("`{path}` is no absolute path of a program")) }
        };
        paths.map(path).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_allowed_by_exact_absolute_paths_and_nothing_is_without_them() {
        let programs: McpPrograms = "/usr/bin/owners, /opt/mcp/catalogue".parse().expect("a list");
        assert!(programs.contains("/usr/bin/owners") && programs.contains("/opt/mcp/catalogue"));
        for other in ["/usr/bin/owners2", "/usr/bin", "/usr/bin/../bin/owners", "owners", "", "/bin/sh"] {
            assert!(!programs.contains(other), "{other}");
        }
        assert_eq!("".parse(), Ok(McpPrograms::default()));
        for bad in ["owners", "/usr/bin/*", "/usr/bin/", "/bin/x,./y"] {
            assert!(bad.parse::<McpPrograms>().is_err(), "{bad}");
        }
    }
}
