//! What keeps a storm of events from becoming a storm of pull requests, as an automation's author writes it.
//! Pure: who waits, and for how long, is the store's to keep.

use super::AutomationSpec;
use crate::types::{SpecDuration, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest a request may be made to wait for further events.
const MOST_PATIENCE: SpecDuration = SpecDuration::from_millis(24 * 3_600_000);

/// How long a request waits for further events before it is planned for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DebounceSpec {
    /// So long no event of it may have arrived.
    pub quiet: SpecDuration,
    /// But never longer than this after the first.
    pub at_most: SpecDuration,
}

/// What is wrong, with pointers into the automation's spec.
pub(super) fn check(spec: &AutomationSpec) -> Vec<SpecError> {
    spec.debounce.iter().flat_map(DebounceSpec::check).collect()
}

impl DebounceSpec {
    fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.quiet.get().is_zero() {
            errors.push(SpecError::new("/debounce/quiet", "this waits for nothing").hint("leave `debounce` out, or write how long to wait: 30s"));
        }
        if self.at_most < self.quiet {
            let message = format!("{} is less than `quiet`, {}: the pause would never be waited for", self.at_most, self.quiet);
            errors.push(SpecError::new("/debounce/atMost", message).hint("write a longer one, such as 10m"));
        }
        if self.at_most > MOST_PATIENCE {
            errors.push(SpecError::new("/debounce/atMost", format!("a request waits at most {MOST_PATIENCE} for further events")));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use crate::automation::Automation;
    use serde_json::{Value, json};

    /// Where a spec with this field is wrong, and what is said.
    fn wrong(field: &str, value: Value) -> Vec<(String, String)> {
        let mut spec = json!({
            "on": { "source": "alertmanager" }, "target": { "cluster": "prod" }, "render": [], "pullRequest": { "title": "t" },
        });
        spec[field] = value;
        let spec = serde_json::from_value(spec).expect("a spec");
        let errors = Automation::compile("a".parse().expect("a name"), spec).err().unwrap_or_default();
        errors.into_iter().map(|error| (error.pointer, error.message)).collect()
    }

    #[test]
    fn a_wait_that_is_none_or_never_ends_is_refused() {
        assert_eq!(wrong("debounce", json!({ "quiet": "30s", "atMost": "10m" })), []);
        assert_eq!(wrong("debounce", json!({ "quiet": "30s", "atMost": "30s" })), []);
        for (quiet, at_most, pointer, word) in [
            ("0s", "10m", "/debounce/quiet", "waits for nothing"),
            ("30s", "10s", "/debounce/atMost", "10s is less than `quiet`, 30s"),
            ("30s", "2d", "/debounce/atMost", "at most 1d"),
        ] {
            let found = wrong("debounce", json!({ "quiet": quiet, "atMost": at_most }));
            assert!(matches!(&found[..], [(at, said)] if at == pointer && said.contains(word)), "{quiet} {at_most}: {found:?}");
        }
    }
}
