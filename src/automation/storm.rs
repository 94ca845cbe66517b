//! What keeps a storm of events from becoming a storm of pull requests, as an automation's author writes it.
//! Pure: who waits, and for how long, is the store's to keep.

use super::AutomationSpec;
use crate::types::{SpecDuration, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest a request may be made to wait for further events.
const MOST_PATIENCE: SpecDuration = SpecDuration::from_millis(24 * 3_600_000);
/// The longest time within which a loop is looked for.
const LONGEST_MEMORY: SpecDuration = SpecDuration::from_millis(7 * 24 * 3_600_000);

/// How long a request waits for further events before it is planned for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DebounceSpec {
    /// So long no event of it may have arrived.
    pub quiet: SpecDuration,
    /// But never longer than this after the first.
    pub at_most: SpecDuration,
}

/// Has many events ask for one pull request together, with a commit for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupSpec {
    /// CEL over `event`: the group's key. Events with one key ask for one pull request; what `correlate` gives tells its members apart.
    pub by: String,
    /// Members one pull request has at most. Further ones wait until it is merged or closed.
    #[serde(default = "most_members")]
    #[schemars(range(min = 1, max = 200))]
    pub most: u32,
    /// The pull request's title: a text in which `{{ group.key }}` and `{{ group.count }}` may stand. Each commit has the title that
    /// `pullRequest` gives its member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The first paragraphs of its body, in Markdown; the same may stand in it. The members are listed below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Members of a group where nothing else is said.
pub const MOST_MEMBERS: u32 = 50;

fn most_members() -> u32 {
    MOST_MEMBERS
}

/// How many pull requests an automation may open. Requests beyond that wait until there is room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsSpec {
    /// Within any hour. Without it as many as are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub per_hour: Option<u32>,
    /// Of these, for one target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_target: Option<TargetLimitsSpec>,
    /// When a value that goes back and forth stops the request that would change it once more.
    #[serde(default, rename = "loop", skip_serializing_if = "LoopSpec::is_default")]
    pub breaker: LoopSpec,
}

/// When a value that goes back and forth stops a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoopSpec {
    /// So many times it may go back and forth; the next time stops. 0: never.
    #[serde(default = "loop_changes")]
    pub changes: u32,
    /// Within this time.
    #[serde(default = "loop_within")]
    pub within: SpecDuration,
}

fn loop_changes() -> u32 {
    4
}
fn loop_within() -> SpecDuration {
    SpecDuration::from_millis(3_600_000)
}

impl Default for LoopSpec {
    fn default() -> Self {
        Self { changes: loop_changes(), within: loop_within() }
    }
}

impl LoopSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How many pull requests an automation may open for one target: a repository and the directory in it that the target names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetLimitsSpec {
    /// Within any hour.
    #[schemars(range(min = 1))]
    pub per_hour: u32,
}

/// What is wrong, with pointers into the automation's spec.
pub(super) fn check(spec: &AutomationSpec) -> Vec<SpecError> {
    spec.debounce.iter().flat_map(DebounceSpec::check).chain(spec.limits.check()).collect()
}

impl LimitsSpec {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.breaker.within.get().is_zero() || self.breaker.within > LONGEST_MEMORY {
            let message = format!("a loop is looked for within a time of more than nothing and at most {LONGEST_MEMORY}");
            errors.push(SpecError::new("/limits/loop/within", message).hint("write 1h; to switch it off, `changes: 0`"));
        }
        if let (Some(all), Some(target)) = (self.per_hour, self.per_target)
            && target.per_hour > all
        {
            let message = format!("{} for one target can never be reached: all together are at most {all}", target.per_hour);
            errors.push(SpecError::new("/limits/perTarget/perHour", message));
        }
        errors
    }
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
    fn a_limit_that_is_never_reached_is_refused() {
        assert_eq!(wrong("limits", json!({ "perHour": 20, "perTarget": { "perHour": 5 } })), []);
        assert_eq!(wrong("limits", json!({ "perTarget": { "perHour": 5 } })), []);
        let pointers = |limits| wrong("limits", limits).into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>();
        assert_eq!(pointers(json!({ "loop": { "changes": 2, "within": "1d" } })), [""; 0]);
        assert_eq!(pointers(json!({ "loop": { "within": "0s" } })), ["/limits/loop/within"]);
        assert_eq!(pointers(json!({ "loop": { "within": "8d" } })), ["/limits/loop/within"]);
        assert_eq!(pointers(json!({ "perHour": 4, "perTarget": { "perHour": 5 } })), ["/limits/perTarget/perHour"]);
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
