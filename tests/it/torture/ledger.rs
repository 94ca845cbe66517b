//! What was said, seen and done, as those outside wrote it down: the senders, the people at the forge, GitHub, Jira and git. Plain data;
//! nothing of it comes from the program's own store but what it shows of deliveries.

use std::collections::BTreeMap;
use std::ops::{Add, Sub};

/// What a delivery says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is asked for, with its order as the value.
    Ask,
    /// It is no longer wanted.
    Cancel,
    /// Something that asks for nothing.
    Talk,
    /// Somebody who may write asks in a comment for its order as the value.
    Set,
    /// Somebody who may not write asks for the same.
    Meddle,
    /// GitHub says that a pull request was merged.
    Merged,
}

/// One delivery, with everything that was answered to it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub key: String,
    /// Its place among what is said of the key; the value it asks for.
    pub order: u32,
    pub word: Word,
    /// The source it goes to.
    pub source: &'static str,
    pub body: String,
    /// Whether it is sent until it is acknowledged, as Jira and Alertmanager do; GitHub sends once.
    pub insists: bool,
    pub tries: Vec<Try>,
}

impl Sent {
    /// The ids it was acknowledged with.
    pub fn acknowledged(&self) -> Vec<&str> {
        let said = self.tries.iter().filter_map(|one| one.answer.as_ref());
        said.filter(|(status, _)| matches!(status, 200 | 202)).map(|(_, id)| id.as_str()).collect()
    }
}

/// One time it was sent.
#[derive(Debug, Clone)]
pub struct Try {
    /// Milliseconds since the run began.
    pub at: u64,
    pub replica: usize,
    /// Status and id; none where no answer was read.
    pub answer: Option<(u16, String)>,
}

/// How a process came to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `kill -9`.
    Killed,
    /// At a point between two steps.
    AtPoint,
    /// The power failed; of all of them.
    Cut,
}

/// Deliveries that were sent and not answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Those that nobody had acknowledged before: what is lost of them shows.
    pub new: usize,
    /// Those that are on the disk already, as their senders were told.
    pub again: usize,
}

impl Load {
    pub fn all(self) -> usize {
        self.new + self.again
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { new: self.new + more.new, again: self.again + more.again }
    }
}

impl Sub for Load {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self { new: self.new - less.new, again: self.again - less.again }
    }
}

/// A death, and what was on its way to the program then.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    pub how: End,
    /// To whichever replica.
    pub in_flight: Load,
    /// What of it was to the one that died.
    pub to_it: Load,
    /// Whether it had come to listen: else there is nothing that could have been on its way to it.
    pub listened: bool,
}

/// What was in flight when processes died that listened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// The median of all, and that of the new ones.
    pub all: usize,
    pub new: usize,
    /// Nine in ten had at least so many new ones.
    pub mostly: usize,
    /// All had.
    pub least: usize,
    /// The median of new ones to the one that died.
    pub to_it: usize,
}

impl InFlight {
    /// Of these deaths; none when nobody died who listened.
    pub fn at(deaths: &[Death]) -> Option<Self> {
        let sorted = |count: fn(&Death) -> usize| {
            let mut counts: Vec<usize> = deaths.iter().filter(|death| death.listened).map(count).collect();
            counts.sort_unstable();
            counts
        };
        let new = sorted(|death| death.in_flight.new);
        // Of an even number the lower one: it is not to look better than it was.
        let middle = new.len().checked_sub(1)? / 2;
        let [all, to_it] = [sorted(|death| death.in_flight.all()), sorted(|death| death.to_it.new)].map(|counts| counts[middle]);
        Some(Self { all, new: new[middle], mostly: new[new.len() / 10], least: new[0], to_it })
    }
}

/// What a person saw or did at the forge, when everything up to `after` was acknowledged and nothing else said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Milliseconds since the run began.
    pub at: u64,
    pub after: u32,
    pub what: Noted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// One pull request is open, with this value.
    Open { number: u64, value: Option<u32> },
    /// None is open any more.
    NoneOpen,
    /// The person merged it.
    Merged { number: u64, value: Option<u32> },
    /// The person merged what takes it back.
    Reverted { number: u64 },
}

/// A pull request as GitHub has it in the end.
#[derive(Debug, Clone)]
pub struct PullSeen {
    pub number: u64,
    pub title: String,
    pub head: String,
    pub is_open: bool,
    pub is_merged: bool,
    /// The value in the manifest of its commit.
    pub value: Option<u32>,
    pub labels: Vec<String>,
    pub reviewers: Vec<String>,
    pub comments: Vec<String>,
}

/// A comment at a pull request that asks for something.
#[derive(Debug, Clone)]
pub struct CommandSeen {
    pub key: String,
    pub id: u64,
    pub pull: u64,
    pub word: Word,
    /// The signs that were put on it.
    pub signs: Vec<String>,
    /// How often it was answered in words.
    pub answers: usize,
}

/// A change at GitHub that was carried out.
#[derive(Debug, Clone)]
pub struct EffectSeen {
    /// Milliseconds since the run began.
    pub at: u64,
    pub call: String,
    pub pull: u64,
    pub head: String,
}

impl PullSeen {
    /// Whether it takes back what was merged for a ticket.
    pub fn reverts(&self, key: &str) -> bool {
        takes_back(&self.title, key)
    }
}

impl EffectSeen {
    pub fn opens(&self) -> bool {
        self.call.starts_with("POST ") && self.call.ends_with("/pulls")
    }
}

/// A comment at a ticket, with the mark by which it is known again.
#[derive(Debug, Clone)]
pub struct CommentSeen {
    pub marker: String,
    pub text: String,
}

/// A ticket as Jira has it in the end.
#[derive(Debug, Clone, Default)]
pub struct IssueSeen {
    pub status: String,
    pub comments: Vec<CommentSeen>,
    /// The statuses it was moved to, in order.
    pub moves: Vec<String>,
    /// The ids of its links, and whether each shows as resolved.
    pub links: Vec<(String, bool)>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Books {
    pub sent: Vec<Sent>,
    /// By key.
    pub notes: BTreeMap<String, Vec<Note>>,
    pub pulls: Vec<PullSeen>,
    pub commands: Vec<CommandSeen>,
    pub effects: Vec<EffectSeen>,
    /// By key, of those that are tickets.
    pub issues: BTreeMap<String, IssueSeen>,
    /// The value on the base branch, by key.
    pub base: BTreeMap<String, u32>,
    /// The branches of pull requests that there are.
    pub branches: Vec<String>,
    /// State by id, as the program shows its deliveries.
    pub deliveries: BTreeMap<String, String>,
    /// What was given up.
    pub given_up: Vec<String>,
    /// Who died, in order, and what was in flight then.
    pub deaths: Vec<Death>,
}

/// Whether a pull request with this title takes back what was merged for a ticket.
pub fn takes_back(title: &str, key: &str) -> bool {
    title.starts_with("Revert \"") && title.contains(&format!("({key})"))
}

/// Whether what was proposed for a key stays open when it is no longer wanted, and is told so.
pub fn lasts(key: &str) -> bool {
    key.starts_with("prod-eu/api/")
}

/// Whether a branch is of a request of this key.
pub fn is_of(head: &str, key: &str) -> bool {
    let slug: String = key.to_lowercase().chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
    let last = head.rsplit('/').next().unwrap_or_default();
    last.strip_prefix(&slug).and_then(|rest| rest.strip_prefix('-')).is_some_and(|id| !id.is_empty() && !id.contains('-'))
}
