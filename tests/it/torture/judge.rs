//! Holds the ledgers of those outside against one another: nothing acknowledged is lost, no effect happened twice, and of each key the
//! newest word counts. It knows what was promised, and nothing of how it is kept.

use super::ledger::{Books, IssueSeen, Noted, PullSeen, Sent, Word, is_of, lasts};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub key: String,
    pub what: String,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    pub acknowledged: usize,
    pub lost: Vec<Finding>,
    pub duplicated: Vec<Finding>,
    pub out_of_order: Vec<Finding>,
}

impl Judged {
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.lost.iter().chain(&self.duplicated).chain(&self.out_of_order)
    }

    fn lose(&mut self, key: &str, what: impl Into<String>) {
        self.lost.push(Finding { key: key.to_owned(), what: what.into() });
    }

    fn double(&mut self, key: &str, what: impl Into<String>) {
        self.duplicated.push(Finding { key: key.to_owned(), what: what.into() });
    }

    fn misorder(&mut self, key: &str, what: impl Into<String>) {
        self.out_of_order.push(Finding { key: key.to_owned(), what: what.into() });
    }
}

/// Judges a run that has come to rest.
pub fn judge(books: &Books) -> Judged {
    let mut judged = Judged::default();
    deliveries(books, &mut judged);
    let mut keys: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    for sent in books.sent.iter().filter(|sent| matches!(sent.word, Word::Ask | Word::Set | Word::Cancel)) {
        keys.entry(&sent.key).or_default().push(sent);
    }
    for (key, mut words) in keys {
        words.sort_by_key(|sent| sent.order);
        let of_key = Key {
            key,
            words,
            books,
            pulls: books.pulls.iter().filter(|pull| is_of(&pull.head, key)).collect(),
            reverts: books.pulls.iter().filter(|pull| pull.reverts(key)).collect(),
        };
        of_key.end(&mut judged);
        of_key.pulls(&mut judged);
        of_key.base(&mut judged);
        of_key.taken_back(&mut judged);
        if let Some(issue) = books.issues.get(key) {
            of_key.ticket(issue, &mut judged);
        }
    }
    commands(books, &mut judged);
    books.given_up.iter().for_each(|what| judged.lose("", what));
    judged
}

/// What was acknowledged is there, once, and was acted on.
fn deliveries(books: &Books, judged: &mut Judged) {
    let mut known = BTreeSet::new();
    for sent in &books.sent {
        let ids: BTreeSet<&str> = sent.acknowledged().into_iter().collect();
        judged.acknowledged += usize::from(!ids.is_empty());
        if ids.len() > 1 {
            judged.double(&sent.key, format!("delivery {} was acknowledged as {ids:?}", sent.order));
        }
        for id in ids {
            if !known.insert(id) {
                judged.lose(&sent.key, format!("delivery {} was acknowledged as {id}, which is another delivery", sent.order));
            }
            match books.deliveries.get(id).map(String::as_str) {
                // What asks for nothing may be of no interest.
                Some("dispatched" | "ignored") => {}
                Some(state) => judged.lose(&sent.key, format!("delivery {} ({id}) was acknowledged and is {state}", sent.order)),
                None => judged.lose(&sent.key, format!("delivery {} ({id}) was acknowledged and is not there", sent.order)),
            }
        }
    }
    // Of what was sent once and never answered nobody knows whether it arrived.
    let unknown = books.sent.iter().filter(|sent| sent.acknowledged().is_empty()).count();
    if books.deliveries.len() > known.len() + unknown {
        judged.double("", format!("{} deliveries are kept, of {} that were acknowledged", books.deliveries.len(), known.len()));
    }
}

/// Whoever asked for something in a comment was given one sign, and one answer if he may ask.
fn commands(books: &Books, judged: &mut Judged) {
    for command in &books.commands {
        let (key, id, pull) = (&command.key, command.id, command.pull);
        let (sign, answers) = if command.word == Word::Set { ("+1", 1) } else { ("confused", 0) };
        match &command.signs[..] {
            [only] if only == sign => {}
            [] => judged.lose(key, format!("the comment {id} at #{pull} has no sign")),
            signs => judged.double(key, format!("the comment {id} at #{pull} has the signs {signs:?}")),
        }
        match command.answers {
            many if many == answers => {}
            0 => judged.lose(key, format!("the comment {id} at #{pull} was not answered")),
            many => judged.double(key, format!("the comment {id} at #{pull} was answered {many} times")),
        }
    }
}

/// A key, with everything that is known of it.
struct Key<'b> {
    key: &'b str,
    /// What was asked for and taken back, in order.
    words: Vec<&'b Sent>,
    books: &'b Books,
    pulls: Vec<&'b PullSeen>,
    /// Those that take back what was merged.
    reverts: Vec<&'b PullSeen>,
}

impl Key<'_> {
    /// What may be proposed in the end: values, or nothing.
    fn allowed(&self) -> BTreeSet<Option<u32>> {
        let last = self.books.notes.get(self.key).and_then(|notes| notes.last());
        let (from, mut live, mut planned) = match last.map(|note| (note.after, &note.what)) {
            Some((after, Noted::Open { value, .. })) => (after, BTreeSet::from([*value]), true),
            Some((after, Noted::NoneOpen | Noted::Merged { .. } | Noted::Reverted { .. })) => (after, BTreeSet::from([None]), false),
            None => (0, BTreeSet::from([None]), false),
        };
        for sent in self.words.iter().filter(|sent| sent.order > from) {
            match sent.word {
                // What is planned stays as it is; what is not yet, or was taken back, is planned for the newest word.
                Word::Ask if !planned => {
                    live.remove(&None);
                    live.insert(Some(sent.order));
                }
                Word::Set => live = BTreeSet::from([Some(sent.order)]),
                // What is open stays, and what was not noted as open yet may be withdrawn like any other.
                Word::Cancel if lasts(self.key) => {
                    live.insert(None);
                }
                Word::Cancel => {
                    live.insert(None);
                    planned = false;
                }
                _ => {}
            }
        }
        if self.words.last().is_some_and(|sent| sent.word == Word::Cancel && sent.order > from && !lasts(self.key)) {
            live = BTreeSet::from([None]);
        }
        live
    }

    /// What is open in the end is what the newest word asks for.
    fn end(&self, judged: &mut Judged) {
        let open: Vec<&&PullSeen> = self.pulls.iter().filter(|pull| pull.is_open).collect();
        if open.len() > 1 {
            judged.double(self.key, format!("{} pull requests are open", open.len()));
        }
        let allowed = self.allowed();
        let is_cancelled = self.words.last().is_some_and(|sent| sent.word == Word::Cancel);
        match open.first() {
            None if allowed.contains(&None) => {}
            None => judged.lose(self.key, format!("no pull request is open, and {allowed:?} is wanted")),
            Some(pull) if pull.value.is_some() && allowed.contains(&pull.value) => {}
            Some(pull) if allowed == BTreeSet::from([None]) && is_cancelled => {
                judged.lose(self.key, format!("it was cancelled, and #{} is open", pull.number));
            }
            Some(pull) => judged.misorder(self.key, format!("#{} proposes {:?}, and {allowed:?} is wanted", pull.number, pull.value)),
        }
        let left = self.books.branches.iter().filter(|head| is_of(head, self.key) && !open.iter().any(|pull| pull.head == **head));
        left.for_each(|head| judged.lose(self.key, format!("the branch {head} is still there")));
    }

    /// Each pull request was opened once, has what it must, and was told each thing once.
    fn pulls(&self, judged: &mut Judged) {
        let opened = self.books.effects.iter().filter(|effect| effect.opens() && is_of(&effect.head, self.key));
        let mut heads: BTreeMap<&str, usize> = BTreeMap::new();
        opened.for_each(|effect| *heads.entry(&effect.head).or_default() += 1);
        for (head, times) in heads.iter().filter(|(_, times)| **times > 1) {
            judged.double(self.key, format!("{times} pull requests were opened for {head}"));
        }
        let asked = self.words.iter().filter(|sent| sent.word == Word::Ask).count();
        if heads.len() > asked {
            judged.double(self.key, format!("it was asked for {asked} times, and {} pull requests were opened", heads.len()));
        }
        for pull in &self.pulls {
            let texts: BTreeSet<&String> = pull.comments.iter().collect();
            if texts.len() < pull.comments.len() {
                judged.double(self.key, format!("a comment stands twice at #{}: {:?}", pull.number, pull.comments));
            }
            if !pull.is_open && !pull.is_merged && pull.comments.is_empty() {
                judged.lose(self.key, format!("#{} was closed without a word", pull.number));
            }
            if pull.is_open && pull.labels.is_empty() {
                judged.lose(self.key, format!("#{} has no label", pull.number));
            }
            if pull.is_open && self.books.issues.contains_key(self.key) && pull.reviewers.is_empty() {
                judged.lose(self.key, format!("nobody is asked to review #{}", pull.number));
            }
        }
    }

    /// What people saw was the newest that was asked for by then, and what they merged is in the base.
    fn base(&self, judged: &mut Judged) {
        let mut merged = None;
        for note in self.books.notes.get(self.key).into_iter().flatten() {
            if matches!(note.what, Noted::Reverted { .. }) {
                merged = None;
            }
            let (Noted::Open { number, value } | Noted::Merged { number, value }) = &note.what else { continue };
            let asked = self.words.iter().filter(|sent| sent.word != Word::Cancel && sent.order <= note.after).map(|sent| sent.order).next_back();
            if *value != asked {
                judged.misorder(self.key, format!("#{number} proposed {value:?} when {asked:?} was the newest that was asked for"));
            }
            if matches!(note.what, Noted::Merged { .. }) {
                merged = *value;
            }
        }
        let base = self.books.base.get(self.key).copied();
        match (base, merged) {
            (Some(value), None) => judged.double(self.key, format!("{value} is in the base, and nobody merged it")),
            (None, Some(value)) => judged.lose(self.key, format!("{value} was merged, and is not in the base")),
            (base, merged) if base != merged => judged.misorder(self.key, format!("{base:?} is in the base, and {merged:?} was merged last")),
            _ => {}
        }
    }

    /// What was merged and is no longer wanted was taken back once; what stays open was told so once.
    fn taken_back(&self, judged: &mut Judged) {
        let notes = self.books.notes.get(self.key).into_iter().flatten();
        let done = notes.filter(|note| matches!(note.what, Noted::Reverted { .. })).count();
        if self.reverts.len() > done {
            judged.double(self.key, format!("{} pull requests take it back, of which people merged {done}", self.reverts.len()));
        }
        let heads = self.books.effects.iter().filter(|effect| effect.opens() && self.reverts.iter().any(|pull| pull.head == effect.head)).count();
        if heads > self.reverts.len() {
            judged.double(self.key, format!("{heads} pull requests were opened to take it back"));
        }
        let is_cancelled = self.words.last().is_some_and(|sent| sent.word == Word::Cancel);
        let words = self.pulls.iter().flat_map(|pull| &pull.comments).filter(|text| text.contains("stays open")).count();
        let is_open = self.pulls.iter().any(|pull| pull.is_open);
        match (lasts(self.key) && is_cancelled && is_open, words) {
            (true, 0) => judged.lose(self.key, "nobody was told that it may not be wanted"),
            (true, 1) | (false, 0) => {}
            _ => judged.double(self.key, format!("people were told {words} times that it may not be wanted")),
        }
    }

    /// The ticket heard each thing once, in order.
    fn ticket(&self, issue: &IssueSeen, judged: &mut Judged) {
        let mut markers = BTreeSet::new();
        let mut so_far = (0, 0);
        let mut told: BTreeMap<(u64, u8), usize> = BTreeMap::new();
        for comment in &issue.comments {
            if !markers.insert(&comment.marker) {
                judged.double(self.key, format!("the comment {} stands twice at the ticket", comment.marker));
            }
            let Some(news) = news(&comment.text) else {
                judged.lose(self.key, format!("the ticket was told what nobody expected: {}", comment.text));
                continue;
            };
            *told.entry(news).or_default() += 1;
            if news < so_far {
                judged.misorder(self.key, format!("the ticket heard {news:?} after {so_far:?} (number of the pull request, stage)"));
            }
            so_far = so_far.max(news);
        }
        for (news, _) in told.iter().filter(|(_, times)| **times > 1) {
            judged.double(self.key, format!("the ticket heard {news:?} more than once (number of the pull request, stage)"));
        }
        for pull in self.pulls.iter().chain(&self.reverts) {
            if pull.is_open && !told.contains_key(&(pull.number, PROPOSED)) {
                judged.lose(self.key, format!("the ticket did not hear of #{}", pull.number));
            }
            if pull.is_merged && !told.contains_key(&(pull.number, MERGED)) {
                judged.lose(self.key, format!("the ticket did not hear of the merge of #{}", pull.number));
            }
        }
        self.moves(issue, judged);
        self.links(issue, judged);
    }

    /// Each pull request that the ticket heard of is linked once, and the link shows whether it is over.
    fn links(&self, issue: &IssueSeen, judged: &mut Judged) {
        for pull in &self.pulls {
            let mut of_pull = issue.links.iter().filter(|(id, _)| id.ends_with(&format!("/{}", pull.number)));
            let Some((id, resolved)) = of_pull.next() else {
                if pull.is_open || pull.is_merged {
                    judged.lose(self.key, format!("#{} is not linked", pull.number));
                }
                continue;
            };
            if of_pull.next().is_some() {
                judged.double(self.key, format!("#{} is linked twice", pull.number));
            }
            if *resolved == pull.is_open {
                judged.lose(self.key, format!("the link {id} shows resolved={resolved}, and open is {}", pull.is_open));
            }
        }
    }

    /// The ticket was moved once for each thing it is moved for.
    fn moves(&self, issue: &IssueSeen, judged: &mut Judged) {
        let merges = self.pulls.iter().filter(|pull| pull.is_merged).count();
        for (to, most) in [("In Progress", self.pulls.len()), ("Done", merges)] {
            let moved = issue.moves.iter().filter(|status| *status == to).count();
            if moved > most {
                judged.double(self.key, format!("the ticket was moved to {to} {moved} times, for {most} reasons: {:?}", issue.moves));
            }
        }
        let newest = self.pulls.iter().max_by_key(|pull| pull.number);
        let wanted = match newest {
            Some(pull) if pull.is_open => "In Progress",
            Some(pull) if pull.is_merged => "Done",
            _ => return,
        };
        if issue.status != wanted {
            match issue.moves.iter().any(|status| status == wanted) {
                true => judged.misorder(self.key, format!("the ticket is {}, and should be {wanted}: {:?}", issue.status, issue.moves)),
                false => judged.lose(self.key, format!("the ticket is {}, and was never {wanted}", issue.status)),
            }
        }
    }
}

const PROPOSED: u8 = 1;
const MERGED: u8 = 2;

/// The pull request a comment is about, and what it says of it.
fn news(text: &str) -> Option<(u64, u8)> {
    let stage = match text {
        text if text.contains("A change is proposed") || text.contains("It is proposed to take the change back") => PROPOSED,
        text if text.contains("The change is merged") || text.contains("The change is taken back") => MERGED,
        _ => return None,
    };
    let digits: String = text.split("Pull request #").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, stage))
}
