//! The people: each follows the script of one key, looks at the forge and at tickets as everybody can, merges, and writes down what was
//! seen. They never ask the program.

use super::ledger::{Note, Noted, Sent, Word, is_of, takes_back};
use super::sender::Senders;
use super::stories::{Beat, Story};
use super::world::{Outside, text_of};
use crate::support::chance::Chance;
use crate::support::fake_github::{FakePull, SLUG};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Who may write to the repository, and who may not.
pub const ADA: &str = "ada";
const EVE: &str = "eve";
/// So many keys are under way together.
const TOGETHER: usize = 20;

/// Somebody and the key that he follows.
struct Person {
    story: Story,
    beat: usize,
    /// What was said so far, by its place in the ledger.
    said: Vec<usize>,
    /// What is still to be said in this beat.
    to_say: VecDeque<Word>,
    /// What has to be acknowledged before it goes on.
    awaited: Vec<usize>,
    has_begun: bool,
}

pub struct People {
    begun: Instant,
    chance: Chance,
    told: usize,
    persons: Vec<Person>,
    pub notes: BTreeMap<String, Vec<Note>>,
    /// What was asked for in comments: the key, the comment, the pull request, and by whom.
    pub commands: Vec<(String, u64, u64, Word)>,
    /// Every story there was.
    pub stories: Vec<Story>,
}

/// An open pull request, as a person sees it.
struct Open {
    number: u64,
    title: String,
    head: String,
}

impl People {
    pub fn new(begun: Instant, seed: u64) -> Self {
        Self {
            begun,
            chance: Chance::new(seed ^ 0x7e0_91e5),
            told: 0,
            persons: Vec::new(),
            notes: BTreeMap::new(),
            commands: Vec::new(),
            stories: Vec::new(),
        }
    }

    /// How many keys are under way.
    pub fn busy(&self) -> usize {
        self.persons.len()
    }

    /// What they wait for, of each key.
    pub fn waiting(&self) -> Vec<String> {
        self.persons.iter().map(|person| format!("{}: {:?}", person.story.key, person.story.beats.get(person.beat))).collect()
    }

    /// Further keys begin, up to so many now and as far as people have time.
    pub fn begin(&mut self, outside: &Outside, many: usize) {
        for _ in 0..many.min(TOGETHER.saturating_sub(self.persons.len())) {
            let story = Story::of(self.told, &mut self.chance);
            self.told += 1;
            if story.is_ticket() {
                outside.jira.add(&story.key, "To Do");
            }
            self.stories.push(story.clone());
            let (said, to_say, awaited) = (Vec::new(), VecDeque::new(), Vec::new());
            self.persons.push(Person { story, beat: 0, said, to_say, awaited, has_begun: false });
        }
    }

    /// Everybody goes on as far as it goes.
    pub fn step(&mut self, outside: &Outside, senders: &Senders) {
        let mut open = Vec::new();
        outside.github.repository(SLUG, |repository| {
            let pulls = repository.pulls.iter().filter(|pull| pull.state == "open");
            open = pulls.map(|pull| Open { number: pull.number, title: pull.title.clone(), head: pull.head.clone() }).collect();
        });
        let mut persons = std::mem::take(&mut self.persons);
        persons.retain_mut(|person| {
            while self.goes_on(person, &open, outside, senders) {}
            person.beat < person.story.beats.len()
        });
        self.persons = persons;
    }

    /// Whether a beat is over, and another may begin.
    fn goes_on(&mut self, person: &mut Person, open: &[Open], outside: &Outside, senders: &Senders) -> bool {
        let Some(beat) = person.story.beats.get(person.beat).cloned() else { return false };
        let is_over = match &beat {
            Beat::Say { words, at_once } => self.says(person, words, *at_once, senders),
            Beat::SeesOpen => self.sees_open(person, open, outside),
            Beat::SeesNone => {
                let is_over = !open.iter().any(|pull| is_of(&pull.head, &person.story.key));
                if is_over {
                    self.note(person, Noted::NoneOpen);
                }
                is_over
            }
            Beat::Merges => self.merges(person, open, outside, senders),
            Beat::ReadsOfMerges(many) => {
                let comments = outside.jira.issue(&person.story.key).comments;
                comments.iter().filter(|comment| text_of(&comment.body).contains("The change is merged")).count() >= *many
            }
            Beat::Comments => self.comments(person, open, outside, senders),
            Beat::SeesNewest => self.sees_newest(person, open, outside),
            Beat::ReadsWord => {
                let key = &person.story.key;
                let told = |pull: &FakePull| is_of(&pull.head, key) && pull.comments.iter().any(|text| text.contains("stays open"));
                outside.github.pulls().iter().any(told) || !open.iter().any(|pull| is_of(&pull.head, key))
            }
            Beat::MergesRevert => self.merges_revert(person, open, outside, senders),
            Beat::RepeatsFirst => {
                senders.send_again(person.said[0]);
                true
            }
        };
        if is_over {
            person.beat += 1;
            person.has_begun = false;
        }
        is_over
    }

    fn says(&mut self, person: &mut Person, words: &[Word], at_once: bool, senders: &Senders) -> bool {
        if !std::mem::replace(&mut person.has_begun, true) {
            person.to_say = words.iter().copied().collect();
            if at_once {
                let order = u32::try_from(person.said.len()).expect("few");
                let numbered = person.to_say.drain(..).zip(order + 1..);
                let mut sent: Vec<Sent> = numbered.map(|(word, order)| person.story.sent(order, word)).collect();
                while !sent.is_empty() {
                    let place = senders.send(sent.swap_remove(self.chance.below(sent.len())));
                    person.said.push(place);
                    person.awaited.push(place);
                }
            }
        }
        if !senders.are_acknowledged(&person.awaited) {
            return false;
        }
        person.awaited.clear();
        let Some(word) = person.to_say.pop_front() else { return true };
        let place = senders.send(person.story.sent(u32::try_from(person.said.len()).expect("few") + 1, word));
        person.said.push(place);
        person.awaited.push(place);
        // Some are sent twice at once.
        if self.chance.once_in(4) {
            senders.send_again(place);
        }
        false
    }

    fn sees_open(&mut self, person: &Person, open: &[Open], outside: &Outside) -> bool {
        let Some(pull) = open.iter().find(|pull| is_of(&pull.head, &person.story.key)) else { return false };
        let Some(commit) = outside.upstream.tip(&pull.head) else { return false };
        let value = outside.value_at(&person.story, commit.as_str());
        self.note(person, Noted::Open { number: pull.number, value });
        true
    }

    /// Two comments are written, and GitHub tells of each until it is heard; it is over when both have a sign.
    fn comments(&mut self, person: &mut Person, open: &[Open], outside: &Outside, senders: &Senders) -> bool {
        if !person.has_begun {
            let Some(pull) = open.iter().find(|pull| is_of(&pull.head, &person.story.key)) else { return false };
            person.has_begun = true;
            for (author, word) in [(ADA, Word::Set), (EVE, Word::Meddle)] {
                let order = u32::try_from(person.said.len()).expect("few") + 1;
                let text = format!("/kubeops set cpu={}", if word == Word::Set { order } else { 999 });
                let mut id = 0;
                outside.github.repository(SLUG, |repository| id = repository.comment(pull.number, author, &text));
                let body = json!({
                    "action": "created", "repository": { "full_name": SLUG },
                    "issue": { "number": pull.number, "pull_request": { "url": "https://api.github.com" } },
                    "comment": {
                        "id": id, "body": text, "user": { "login": author, "type": "User" }, "author_association": "OWNER",
                        "created_at": "2026-11-20T12:00:00Z", "updated_at": "2026-11-20T12:00:00Z",
                    },
                });
                let key = person.story.key.clone();
                self.commands.push((key.clone(), id, pull.number, word));
                let sent = Sent { key, order, word, source: "github", body: body.to_string(), insists: true, tries: Vec::new() };
                let place = senders.send(sent);
                person.said.push(place);
                person.awaited.push(place);
            }
        }
        let mine = self.commands.iter().filter(|(key, ..)| *key == person.story.key);
        let is_over = senders.are_acknowledged(&person.awaited) && mine.clone().all(|(_, id, ..)| !outside.github.remark(*id).reactions.is_empty());
        if is_over {
            person.awaited.clear();
        }
        is_over
    }

    /// What was asked for in the comment is what is proposed.
    fn sees_newest(&mut self, person: &Person, open: &[Open], outside: &Outside) -> bool {
        let Some(pull) = open.iter().find(|pull| is_of(&pull.head, &person.story.key)) else { return false };
        let Some(commit) = outside.upstream.tip(&pull.head) else { return false };
        let value = outside.value_at(&person.story, commit.as_str());
        // The one who may not write came after the one who may.
        let is_over = value == u32::try_from(person.said.len()).ok().map(|said| said - 1);
        if is_over {
            self.note(person, Noted::Open { number: pull.number, value });
        }
        is_over
    }

    /// Merges what is open into the base, and has GitHub tell of it.
    fn merges(&mut self, person: &Person, open: &[Open], outside: &Outside, senders: &Senders) -> bool {
        let Some(pull) = open.iter().find(|pull| is_of(&pull.head, &person.story.key)) else { return false };
        let Some(head) = self.merged(person, pull, outside, senders) else { return false };
        let value = outside.value_at(&person.story, &head);
        self.note(person, Noted::Merged { number: pull.number, value });
        true
    }

    /// The same with what takes it back.
    fn merges_revert(&mut self, person: &Person, open: &[Open], outside: &Outside, senders: &Senders) -> bool {
        let Some(pull) = open.iter().find(|pull| takes_back(&pull.title, &person.story.key)) else { return false };
        if self.merged(person, pull, outside, senders).is_none() {
            return false;
        }
        self.note(person, Noted::Reverted { number: pull.number });
        true
    }

    /// Merges a pull request as GitHub does, which tells of it once; the head that was merged.
    fn merged(&mut self, person: &Person, pull: &Open, outside: &Outside, senders: &Senders) -> Option<String> {
        let head = outside.upstream.tip(&pull.head)?.to_string();
        let merged = outside.upstream.merge(&head, "main", pull.number)?;
        outside.github.person(pull.number, |pull| {
            pull.state = "closed";
            pull.merged = true;
            pull.merged_as = Some(merged);
            pull.commit.clone_from(&head);
        });
        let body = json!({
            "action": "closed", "number": pull.number, "repository": { "full_name": SLUG },
            "pull_request": { "number": pull.number, "updated_at": "2026-11-20T12:00:01Z", "merged": true },
        });
        let (key, order) = (person.story.key.clone(), u32::try_from(person.said.len()).expect("few"));
        let tries = Vec::new();
        senders.send(Sent { key, order, word: Word::Merged, source: "github", body: body.to_string(), insists: false, tries });
        Some(head)
    }

    fn note(&mut self, person: &Person, what: Noted) {
        let at = u64::try_from(self.begun.elapsed().as_millis()).expect("a short run");
        let after = u32::try_from(person.said.len()).expect("few");
        self.notes.entry(person.story.key.clone()).or_default().push(Note { at, after, what });
    }
}
