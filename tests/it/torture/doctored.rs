//! The judge sees what it is there for: ledgers of a good run, with one thing wrong at a time.

use super::judge::{Judged, judge};
use super::ledger::{
    Books, CommandSeen, CommentSeen, Death, EffectSeen, End, InFlight, IssueSeen, Load, Note, Noted, PullSeen, Sent, Try, Word, is_of,
};
use super::points;
use super::schedule::{Fault, Plan, Store, Turns};
use std::collections::BTreeMap;
use std::time::Duration;

const KEY: &str = "TOR-1";

fn sent(order: u32, word: Word) -> Sent {
    let tries = vec![Try { at: 0, replica: 0, answer: None }, Try { at: 1, replica: 0, answer: Some((202, format!("dlv_{order}"))) }];
    Sent { key: KEY.to_owned(), order, word, source: "service-desk", body: String::new(), insists: true, tries }
}

fn pull(number: u64, is_open: bool, is_merged: bool, value: Option<u32>) -> PullSeen {
    PullSeen {
        number,
        title: "Namespace team-1 (TOR-1)".to_owned(),
        head: format!("kubeops/namespace-request/tor-1-000000000{number}"),
        is_open,
        is_merged,
        value,
        labels: vec!["namespace".to_owned()],
        reviewers: vec!["platform-team".to_owned()],
        comments: if is_open || is_merged { Vec::new() } else { vec!["It is no longer wanted.".to_owned()] },
    }
}

fn told(number: u64, what: &str) -> CommentSeen {
    CommentSeen { marker: format!("req_{number}/{what}"), text: format!("{what} Pull request #{number} · request") }
}

fn opened(number: u64) -> EffectSeen {
    let head = format!("kubeops/namespace-request/tor-1-000000000{number}");
    EffectSeen { at: 0, call: "POST /repos/acme/gitops/pulls".to_owned(), pull: number, head }
}

/// Asked for and merged; asked for with something else and cancelled; asked for once more, and open.
fn good() -> Books {
    let words = [Word::Ask, Word::Ask, Word::Cancel, Word::Ask];
    let sent: Vec<Sent> = words.iter().zip(1..).map(|(word, order)| sent(order, *word)).collect();
    let note = |after, what| Note { at: 0, after, what };
    let notes = vec![
        note(1, Noted::Open { number: 1, value: Some(1) }),
        note(1, Noted::Merged { number: 1, value: Some(1) }),
        note(2, Noted::Open { number: 2, value: Some(2) }),
        note(3, Noted::NoneOpen),
        note(4, Noted::Open { number: 3, value: Some(4) }),
    ];
    let (proposed, merged) = ("A change is proposed, and waits.", "The change is merged.");
    let issue = IssueSeen {
        status: "In Progress".to_owned(),
        comments: vec![told(1, proposed), told(1, merged), told(2, proposed), told(3, proposed)],
        moves: ["In Progress", "Done", "In Progress"].map(str::to_owned).to_vec(),
        links: vec![("kubeops/req_1/1".to_owned(), true), ("kubeops/req_2/2".to_owned(), true), ("kubeops/req_3/3".to_owned(), false)],
    };
    Books {
        deliveries: sent.iter().map(|sent| (format!("dlv_{}", sent.order), "dispatched".to_owned())).collect(),
        sent,
        notes: BTreeMap::from([(KEY.to_owned(), notes)]),
        pulls: vec![pull(1, false, true, None), pull(2, false, false, None), pull(3, true, false, Some(4))],
        commands: vec![
            CommandSeen { key: KEY.to_owned(), id: 9_000, pull: 1, word: Word::Set, signs: vec!["+1".to_owned()], answers: 1 },
            CommandSeen { key: KEY.to_owned(), id: 9_001, pull: 1, word: Word::Meddle, signs: vec!["confused".to_owned()], answers: 0 },
        ],
        effects: vec![opened(1), opened(2), opened(3)],
        issues: BTreeMap::from([(KEY.to_owned(), issue)]),
        base: BTreeMap::from([(KEY.to_owned(), 1)]),
        branches: vec![pull(3, true, false, None).head],
        given_up: Vec::new(),
        deaths: Vec::new(),
    }
}

fn with(doctor: impl FnOnce(&mut Books)) -> Judged {
    let mut books = good();
    doctor(&mut books);
    judge(&books)
}

fn ticket(books: &mut Books) -> &mut IssueSeen {
    books.issues.get_mut(KEY).expect("the ticket")
}

/// How many things are lost, doubled, and out of order.
fn found(judged: &Judged) -> [usize; 3] {
    [judged.lost.len(), judged.duplicated.len(), judged.out_of_order.len()]
}

#[test]
fn the_ledgers_of_a_good_run_are_good() {
    let judged = judge(&good());
    assert_eq!((found(&judged), judged.acknowledged), ([0, 0, 0], 4), "{:#?}", judged.findings().collect::<Vec<_>>());
}

#[test]
fn the_judge_sees_whatever_is_lost() {
    type Doctor = fn(&mut Books);
    let doctored: [(&str, Doctor); 14] = [
        ("a delivery is not there", |books| drop(books.deliveries.remove("dlv_2"))),
        ("a delivery is still pending", |books| drop(books.deliveries.insert("dlv_2".to_owned(), "pending".to_owned()))),
        ("a pull request was never opened", |books| {
            books.pulls.pop();
            books.branches.clear();
        }),
        ("a cancelled one is still open", |books| {
            books.sent.push(Sent { tries: books.sent[3].tries.clone(), ..sent(5, Word::Cancel) });
            books.sent[4].tries[1].answer = Some((202, "dlv_5".to_owned()));
            books.deliveries.insert("dlv_5".to_owned(), "dispatched".to_owned());
        }),
        ("a branch is left", |books| books.branches.push(pull(2, false, false, None).head)),
        ("a merge is not in the base", |books| books.base.clear()),
        ("no word at the close", |books| books.pulls[1].comments.clear()),
        ("no reviewer", |books| books.pulls[2].reviewers.clear()),
        ("the ticket did not hear of the merge", |books| drop(ticket(books).comments.remove(1))),
        ("the ticket did not hear of the proposal", |books| drop(ticket(books).comments.pop())),
        ("a link shows what was", |books| ticket(books).links[1].1 = false),
        ("a command has no sign", |books| books.commands[1].signs.clear()),
        ("a command has no answer", |books| books.commands[0].answers = 0),
        ("a step was given up", |books| books.given_up.push("1 dead letters".to_owned())),
    ];
    for (what, doctor) in doctored {
        assert_eq!(found(&with(doctor)), [1, 0, 0], "{what}: {:#?}", with(doctor).findings().collect::<Vec<_>>());
    }
}

#[test]
fn the_judge_sees_whatever_happened_twice() {
    type Doctor = fn(&mut Books);
    let doctored: [(&str, Doctor); 11] = [
        ("a delivery is two", |books| {
            books.sent[0].tries.push(Try { at: 2, replica: 0, answer: Some((202, "dlv_9".to_owned())) });
            books.deliveries.insert("dlv_9".to_owned(), "dispatched".to_owned());
        }),
        ("a delivery nobody knows of", |books| drop(books.deliveries.insert("dlv_9".to_owned(), "dispatched".to_owned()))),
        ("a pull request was opened twice, and one closed again", |books| books.effects.push(opened(2))),
        ("a comment at the pull request", |books| books.pulls[1].comments.push("It is no longer wanted.".to_owned())),
        ("a comment at the ticket under another mark", |books| {
            let again = CommentSeen { marker: "req_3/again".to_owned(), ..ticket(books).comments[3].clone() };
            ticket(books).comments.push(again);
        }),
        ("a move of the ticket", |books| ticket(books).moves.extend(["Done".to_owned(), "In Progress".to_owned()])),
        ("a command was answered twice", |books| books.commands[0].answers = 2),
        ("who may not ask was answered", |books| books.commands[1].answers = 1),
        ("a pull request takes back what is wanted", |books| {
            let title = format!("Revert \"Namespace team-1 ({KEY})\"");
            books.pulls.push(PullSeen { title, head: "kubeops/namespace-loan/revert-of-req-0000000009".to_owned(), ..pull(4, false, false, None) });
        }),
        ("a link", |books| ticket(books).links.push(("kubeops/req_9/3".to_owned(), false))),
        ("what nobody merged is in the base", |books| {
            books.notes.clear();
            books.pulls[0].is_merged = false;
            books.pulls[0].comments.push("Closed.".to_owned());
            ticket(books).moves = vec!["In Progress".to_owned()];
        }),
    ];
    for (what, doctor) in doctored {
        assert_eq!(found(&with(doctor)), [0, 1, 0], "{what}: {:#?}", with(doctor).findings().collect::<Vec<_>>());
    }
}

#[test]
fn the_judge_sees_whatever_is_out_of_order() {
    type Doctor = fn(&mut Books);
    let doctored: [(&str, Doctor); 5] = [
        ("an older word stands in what is open", |books| books.pulls[2].value = Some(2)),
        ("an older word was seen", |books| {
            books.notes.get_mut(KEY).expect("notes")[2].what = Noted::Open { number: 2, value: Some(1) };
        }),
        ("an older word is in the base", |books| books.base = BTreeMap::from([(KEY.to_owned(), 2)])),
        ("the ticket heard of the merge before the proposal", |books| ticket(books).comments.swap(0, 1)),
        ("the ticket stands where it stood before", |books| ticket(books).status = "Done".to_owned()),
    ];
    for (what, doctor) in doctored {
        assert_eq!(found(&with(doctor)), [0, 0, 1], "{what}: {:#?}", with(doctor).findings().collect::<Vec<_>>());
    }
}

#[test]
fn what_was_sent_and_never_answered_may_be_there_or_not() {
    let unanswered = |books: &mut Books| books.sent.push(Sent { tries: Vec::new(), insists: false, ..sent(0, Word::Merged) });
    assert_eq!(found(&with(unanswered)), [0, 0, 0]);
    let arrived = |books: &mut Books| {
        unanswered(books);
        books.deliveries.insert("dlv_9".to_owned(), "dispatched".to_owned());
    };
    assert_eq!(found(&with(arrived)), [0, 0, 0]);
}

#[test]
fn a_branch_is_of_one_key_alone() {
    assert!(is_of("kubeops/namespace-request/tor-1-0123456789", "TOR-1"));
    assert!(is_of("kubeops/autoscaler-maxed-out/prod-eu-web-hpa-3-0123456789", "prod-eu/web/hpa-3"));
    for other in ["kubeops/namespace-request/tor-11-0123456789", "kubeops/namespace-request/tor-1", "kubeops/x/tor-1-1-0123456789"] {
        assert!(!is_of(other, "TOR-1"), "{other}");
    }
}

#[test]
fn the_same_seed_is_the_same_schedule_and_every_point_comes_in_it() {
    let plan =
        Plan { seed: 3, store: Store::Postgres, replicas: 3, kills: 0, most: Duration::ZERO, stands_still: true, sets_clock: true, power: None };
    let told = |plan: &Plan| format!("{:?}", Turns::of(plan, true).take(200).collect::<Vec<_>>());
    assert_eq!(told(&plan), told(&plan));
    assert_ne!(told(&plan), told(&Plan { seed: 4, ..plan.clone() }));
    let all = told(&plan);
    for point in points() {
        assert!(all.contains(point), "{point}");
    }
}

#[test]
fn a_replica_is_cut_off_from_the_database_alone_where_there_are_others() {
    let plan =
        Plan { seed: 3, store: Store::Postgres, replicas: 3, kills: 0, most: Duration::ZERO, stands_still: true, sets_clock: true, power: None };
    let partitions = |replicas| {
        let plan = Plan { replicas, ..plan.clone() };
        let faults = Turns::of(&plan, false).take(1_000).map(|turn| turn.fault);
        faults.filter(|fault| matches!(fault, Fault::Partition { .. })).count()
    };
    assert!(partitions(3) > 10, "{}", partitions(3));
    assert_eq!(partitions(1), 0);
}

#[test]
fn what_was_in_flight_is_told_of_those_that_listened_and_no_better_than_it_was() {
    let death = |new, again, to_it, listened| {
        let (in_flight, to_it) = (Load { new, again }, Load { new: to_it, again: 0 });
        Death { how: End::Killed, in_flight, to_it, listened }
    };
    assert_eq!(InFlight::at(&[death(0, 0, 0, false)]), None);
    let deaths = [death(50, 2, 17, true), death(0, 0, 0, false), death(48, 10, 20, true), death(3, 57, 1, true), death(44, 9, 15, true)];
    assert_eq!(InFlight::at(&deaths), Some(InFlight { all: 53, new: 44, mostly: 3, least: 3, to_it: 15 }));
}
