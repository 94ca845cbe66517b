//! A request's life: its states, the legal transitions between them, and what each leaves in the timeline.
//! Pure. Between states the store is the only truth; nothing here remembers anything.

mod changes;
mod command;
mod conflict;
mod drafted;
#[cfg(test)]
mod conflict_tests;
mod hold;
mod job;
mod member;
mod oscillation;
mod remark;
mod reverts;
mod revision;
mod runs;
mod steering;

pub use changes::{Changes, Expiry, FirstPlan};
pub use command::{Assignment, Command, CommandLine, MOST_COMMANDS, Mistake, USAGES, Usage, commands, may_hold, meant};
pub use conflict::{CONFLICT, Conflict, Rival, conflicts, findings};
pub use drafted::{Drafted, amount};
pub use hold::{HeldUp, Hold, Release, Window};
pub use job::Job;
pub use member::{Member, MemberOutcome, MemberState};
pub use oscillation::{By, Oscillation, Step, Touch, oscillations};
pub use remark::{RemarkAddress, RemarkPlace};
pub use reverts::{Place, RevertCause, Reverts};
pub use revision::Revision;
pub use runs::{FinishedRun, RunOutcome};
pub use steering::{Reminded, Steering};

use crate::event::Event;
use crate::plan::PullText;
use crate::types::{AutomationName, BranchName, CommitSha, RepositoryName, RequestId, Timestamp};
use crate::validate::Finding;
use serde::{Deserialize, Serialize};

/// What makes two events the same request: the automation and the value of its `correlate` expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    /// The automation asked for.
    pub automation: AutomationName,
    /// The correlation key: an issue key, an alert's fingerprint.
    pub correlation: String,
    /// Counts the requests that had this automation and correlation key, from 1: a refired alert opens the next after the last ended.
    pub generation: u32,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An event matched; nothing was planned yet.
    Accepted,
    /// The change is computed, validated and committed to the mirror.
    Planned,
    /// The pull request is open.
    Proposed,
    /// A reviewer approved the pull request.
    Approved,
    /// The pull request is merged.
    Merged,
    /// What was merged is in force.
    Applied,
    /// What was merged was applied, or should have been, and is not well.
    Degraded,
    /// End: nothing differs from the base, so there is no pull request.
    Unchanged,
    /// End: parameters, validation or policy say no; the reasons are kept.
    Rejected,
    /// End: a person closed the pull request. Remembered as a veto.
    Declined,
    /// End: what asked for it went away, or it was cancelled.
    Withdrawn,
    /// End: its time to live ran out.
    Expired,
    /// End: attempts are exhausted. Kept, visible, can be retried.
    Failed,
}

impl State {
    /// Every state, in the order of a request's life, ends last.
    pub const ALL: [State; 13] = [
        State::Accepted,
        State::Planned,
        State::Proposed,
        State::Approved,
        State::Merged,
        State::Applied,
        State::Degraded,
        State::Unchanged,
        State::Rejected,
        State::Declined,
        State::Withdrawn,
        State::Expired,
        State::Failed,
    ];

    /// The word used in the API, the store and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Accepted => "accepted",
            State::Planned => "planned",
            State::Proposed => "proposed",
            State::Approved => "approved",
            State::Merged => "merged",
            State::Applied => "applied",
            State::Degraded => "degraded",
            State::Unchanged => "unchanged",
            State::Rejected => "rejected",
            State::Declined => "declined",
            State::Withdrawn => "withdrawn",
            State::Expired => "expired",
            State::Failed => "failed",
        }
    }

    /// Whether nothing more is owed: a new event with the same key opens a new request. `merged` and `applied` count as
    /// ended here, because the change asked for is in the base.
    pub fn is_ended(self) -> bool {
        !matches!(self, State::Accepted | State::Planned | State::Proposed | State::Approved)
    }

    /// Whether its change is in the base, as far as it was not taken back.
    pub fn is_merged(self) -> bool {
        matches!(self, State::Merged | State::Applied | State::Degraded)
    }

    /// Whether a request may go from here to `to`.
    pub fn may_become(self, to: State) -> bool {
        use State::{Accepted, Applied, Approved, Declined, Degraded, Expired, Failed, Merged, Planned, Proposed, Rejected, Unchanged, Withdrawn};
        match self {
            Accepted => matches!(to, Planned | Unchanged | Rejected | Withdrawn | Failed),
            // Back to `accepted` when it must be planned again on a newer base; planned once more when its members changed.
            Planned => matches!(to, Accepted | Planned | Proposed | Unchanged | Rejected | Declined | Merged | Withdrawn | Failed),
            Proposed => matches!(to, Accepted | Planned | Approved | Merged | Declined | Withdrawn | Unchanged | Rejected | Failed),
            Approved => matches!(to, Accepted | Planned | Proposed | Merged | Declined | Withdrawn | Unchanged | Rejected | Failed),
            Merged => matches!(to, Applied | Degraded | Expired),
            Degraded => matches!(to, Applied | Expired),
            Applied => matches!(to, Expired),
            // A person may ask again for what failed or was refused, reopen what was declined, and merge what we were about to close.
            Declined => matches!(to, Accepted | Proposed | Merged),
            Failed | Rejected => matches!(to, Accepted | Merged),
            Unchanged | Withdrawn => matches!(to, Merged),
            Expired => false,
        }
    }
}

impl std::str::FromStr for State {
    type Err = crate::types::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|state| state.as_str()).collect();
            crate::types::ParseError::new("state", text, format!("known are {}", known.join(", ")))
        })
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One service request, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// What makes it one request.
    pub key: RequestKey,
    /// Where it stands.
    pub state: State,
    /// The event that opened it, whole: it can be planned again after the sources changed.
    pub event: Event,
    /// The parameters, once they were read and found valid.
    pub parameters: Option<serde_json::Map<String, serde_json::Value>>,
    /// Where the change goes, once known.
    pub repository: Option<RepositoryName>,
    /// The head branch, this request's alone, once planned. It stays the same however often it is planned again.
    pub branch: Option<BranchName>,
    /// The commit of the base branch the change was planned on.
    pub base: Option<CommitSha>,
    /// The tip of the base branch on which the change was last found to be what it is: `base` itself, or a later one on
    /// which planning came to the same files with the same contents.
    pub checked: Option<CommitSha>,
    /// The commit that holds the change.
    pub commit: Option<CommitSha>,
    /// A commit of ours that was put on the branch, where it was noted: only what spares a look at the branch. Whose another
    /// one there is, its own words say.
    pub pushed: Option<CommitSha>,
    /// Whether a person went on from our commit on the branch: then the branch is theirs, and left as it is.
    pub taken_over: bool,
    /// Whether a person asked for it again: until its pull request is open, no limit holds it up.
    pub urged: bool,
    /// What changes, a line for each object.
    pub summary: Vec<String>,
    /// The same as data, once planned: files, objects, fields, and what they were held against.
    pub changes: Option<Changes>,
    /// How the pull request looks, once planned.
    pub text: Option<PullText>,
    /// How many members ever joined it; 0 where it stands for no group of events. A join raises it, whoever writes the request.
    pub members: u32,
    /// Its pull request, once open.
    pub pull: Option<PullRef>,
    /// The pull request it had before it was asked for again: over, and not to be taken for the present one.
    pub former_pull: Option<u64>,
    /// What that pull request was made to say the last time; none when nobody knows, and when it was asked for again since.
    pub written: Option<PullWritten>,
    /// Whether anybody outside is told what becomes of it: then each change of its state owes that.
    pub tells: bool,
    /// The commit that brought its change into the base, once merged and as far as the forge tells.
    pub merged: Option<CommitSha>,
    /// What people and clocks decided about it since.
    pub steering: Steering,
    /// Why it was rejected, or what a reviewer is warned of.
    pub findings: Vec<Finding>,
    /// A sentence for a person about where it stands.
    pub message: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts changes; a writer names the version it read and loses when another wrote in between.
    pub version: u64,
}

impl Request {
    /// A request as it is when it was just opened.
    pub fn opened(id: &RequestId, key: &RequestKey, event: Event, now: Timestamp) -> Self {
        Self {
            id: id.clone(),
            key: key.clone(),
            state: State::Accepted,
            event,
            parameters: None,
            repository: None,
            branch: None,
            base: None,
            checked: None,
            commit: None,
            pushed: None,
            taken_over: false,
            urged: false,
            summary: Vec::new(),
            changes: None,
            text: None,
            members: 0,
            pull: None,
            written: None,
            former_pull: None,
            tells: false,
            merged: None,
            steering: Steering::default(),
            findings: Vec::new(),
            message: None,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }
}

/// Which pull request a request has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PullRef {
    /// Its number at the forge.
    pub number: u64,
    /// Where a person looks at it.
    pub url: String,
}

/// What a pull request was made to say, as far as it must be known to leave it alone when nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullWritten {
    /// Its number at the forge.
    pub number: u64,
    /// SHA-256 of everything it was made to say, hex; empty when that is not known for certain any more.
    pub digest: String,
    /// Whether we opened it as a draft, and did not mark it ready since.
    #[serde(default)]
    pub draft: bool,
    /// Whether we asked for its automatic merge.
    #[serde(default)]
    pub auto_merge: bool,
    /// The commit that has our check run.
    #[serde(default)]
    pub checked: Option<CommitSha>,
    /// The commit that shows whether it may be merged now, and what it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<(CommitSha, String)>,
}

/// One line of a request's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// The state before; none for the first entry.
    pub from: Option<State>,
    /// The state after; equal to `from` for a note.
    pub to: State,
    /// What happened and why, in a sentence.
    pub message: String,
    /// By whom: `kubeops`, a token's name, a person at the forge.
    pub actor: String,
}

impl RequestKey {
    /// The head branch: `<prefix>/<automation>/<readable part>-<end of the request's id>`. The readable part is what of the
    /// correlation key may stand in a branch name. The end of the id is random: no two requests share a branch, also not
    /// those of one key, and not when the store was lost and counts generations from 1 again.
    ///
    /// # Errors
    /// When the prefix makes it no branch name.
    pub fn branch(&self, request: &RequestId, prefix: &str) -> Result<BranchName, crate::types::ParseError> {
        let id = request.as_str();
        let own = &id[id.len().saturating_sub(ID_IN_BRANCH)..];
        let mut readable = String::new();
        for c in self.correlation.to_ascii_lowercase().chars() {
            if c.is_ascii_alphanumeric() {
                readable.push(c);
            } else if !readable.ends_with('-') && !readable.is_empty() {
                readable.push('-');
            }
            if readable.len() >= 40 {
                break;
            }
        }
        let readable = readable.trim_end_matches('-');
        let readable = if readable.is_empty() { String::new() } else { format!("{readable}-") };
        format!("{}/{}/{readable}{own}", prefix.trim_end_matches('/'), self.automation).parse()
    }
}

/// Whether a branch has the name of a request's own below this prefix, as [`RequestKey::branch`] makes it.
pub fn is_request_branch(name: &str, prefix: &str) -> bool {
    let below = name.strip_prefix(prefix.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    let Some((automation, own)) = below.and_then(|below| below.split_once('/')) else { return false };
    let id = own.rsplit('-').next().unwrap_or_default();
    let is_id = id.len() == ID_IN_BRANCH && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_id && !own.contains('/') && automation.parse::<AutomationName>().is_ok()
}

/// Characters of a request's id that stand in its branch's name: 50 of the 80 random bits of its ULID.
const ID_IN_BRANCH: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(correlation: &str, generation: u32) -> RequestKey {
        RequestKey { automation: "namespace-request".parse().expect("a name"), correlation: correlation.to_owned(), generation }
    }

    fn id(at: i64, random: u128) -> RequestId {
        RequestId::from_parts(Timestamp::from_unix_millis(at), random)
    }

    #[test]
    fn a_branch_belongs_to_one_request_alone() {
        let (first, second) = (id(1, 0xabc), id(1, 0xabd));
        let branch = key("OPS-42", 1).branch(&first, "kubeops").expect("a branch");
        assert_eq!(branch, key("OPS-42", 1).branch(&first, "kubeops/").expect("a branch"), "the same for the same request");
        assert_eq!(branch.as_str(), format!("kubeops/namespace-request/ops-42-{}", &first.as_str()[20..]));
        // The key alone does not make it: generations are counted anew when older requests are removed or the store is lost.
        assert_ne!(branch, key("OPS-42", 1).branch(&second, "kubeops").expect("a branch"));
        assert!(is_request_branch(branch.as_str(), "kubeops") && is_request_branch(branch.as_str(), "kubeops/"));
        assert!(is_request_branch(key("!", 1).branch(&first, "a/b").expect("a branch").as_str(), "a/b"));
        for other in ["main", "kubeops/x", "kubeops/by-hand/fix", "other/namespace-request/ops-42-0123456789", "kubeopsx/a/ops-0123456789"] {
            assert!(!is_request_branch(other, "kubeops"), "{other}");
        }
    }

    #[test]
    fn whatever_a_ticket_is_called_the_branch_is_one() {
        for correlation in ["", "--upload-pack=x", "../../main", "$(id)", "a\nb", "päck\u{200d}", "refs/heads/main", &"x".repeat(500), ".lock"] {
            assert!(key(correlation, 1).branch(&id(1, u128::MAX), "kubeops").is_ok(), "{correlation:?}");
        }
    }

    #[test]
    fn an_end_stays_an_end_unless_a_person_asks_again() {
        for state in State::ALL.into_iter().filter(|state| state.is_ended() && *state != State::Declined) {
            for live in [State::Planned, State::Proposed, State::Approved] {
                assert!(!state.may_become(live), "{state} -> {live}");
            }
        }
        assert!(State::Failed.may_become(State::Accepted));
    }
}
