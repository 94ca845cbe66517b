//! The people: each follows the script of one key, looks at the forge and at tickets as everybody can, merges, and writes down what was
//! seen. They never ask the program.

use super::ledger::{Note, Noted, Sent, Word, is_of};
use super::sender::Senders;
use super::stories::{Beat, Story};
use super::world::{Outside, text_of};
use crate::support::chance::Chance;
use crate::support::fake_github::SLUG;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

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
    /// Every story there was.
    pub stories: Vec<Story>,
}

/// An open pull request, as a person sees it.
struct Open {
    number: u64,
    head: String,
}

impl People {
    pub fn new(begun: Instant, seed: u64) -> Self {
        Self { begun, chance: Chance::new(seed ^ 0x7e0_91e5), told: 0, persons: Vec::new(), notes: BTreeMap::new(), stories: Vec::new() }
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
            if story.is_ticket {
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
            open = pulls.map(|pull| Open { number: pull.number, head: pull.head.clone() }).collect();
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

    /// Merges what is open into the base, as GitHub does, and has GitHub tell of it.
    fn merges(&mut self, person: &mut Person, open: &[Open], outside: &Outside, senders: &Senders) -> bool {
        let Some(pull) = open.iter().find(|pull| is_of(&pull.head, &person.story.key)) else { return false };
        let Some(head) = outside.upstream.tip(&pull.head) else { return false };
        let Some(merged) = outside.upstream.merge(head.as_str(), "main", pull.number) else { return false };
        outside.github.person(pull.number, |pull| {
            pull.state = "closed";
            pull.merged = true;
            pull.merged_as = Some(merged);
            pull.commit = head.to_string();
        });
        let value = outside.value_at(&person.story, head.as_str());
        self.note(person, Noted::Merged { number: pull.number, value });
        let body = json!({
            "action": "closed", "number": pull.number, "repository": { "full_name": SLUG },
            "pull_request": { "number": pull.number, "updated_at": "2026-11-20T12:00:01Z", "merged": true },
        });
        let (key, order) = (person.story.key.clone(), u32::try_from(person.said.len()).expect("few"));
        let tries = Vec::new();
        senders.send(Sent { key, order, word: Word::Merged, source: "github", body: body.to_string(), insists: false, tries });
        true
    }

    fn note(&mut self, person: &Person, what: Noted) {
        let at = u64::try_from(self.begun.elapsed().as_millis()).expect("a short run");
        let after = u32::try_from(person.said.len()).expect("few");
        self.notes.entry(person.story.key.clone()).or_default().push(Note { at, after, what });
    }
}
