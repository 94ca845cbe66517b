//! The editor over a repository as teams keep them: hundreds of files, every scalar of every one set, every field taken out, every
//! list added to. What was asked for is what changes; everything else keeps its bytes, and a second YAML reader says the same.

mod bombs;
mod edits;
mod extents;
mod files;
mod habits;
mod nodes;

use files::{File, corpus, originals};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

/// What happened how often.
type Tally = BTreeMap<String, usize>;

fn add(tally: &mut Tally, what: impl Into<String>) {
    *tally.entry(what.into()).or_default() += 1;
}

/// Runs a check on every file, on as many threads as there are processors; all that fail are named.
fn over(files: &[File], check: impl Fn(&File, &mut Tally) + Sync) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tallies = std::thread::scope(|scope| {
        let check = &check;
        let of = |thread: usize| {
            move || {
                let mut tally = Tally::new();
                for file in files.iter().skip(thread).step_by(threads) {
                    if std::panic::catch_unwind(AssertUnwindSafe(|| check(file, &mut tally))).is_err() {
                        add(&mut tally, format!("FAILED {}", file.name()));
                    }
                }
                tally
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(of(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("it ends")).collect::<Vec<_>>()
    });
    let mut whole = Tally::new();
    for (what, count) in tallies.into_iter().flatten() {
        *whole.entry(what).or_default() += count;
    }
    let failed: Vec<&String> = whole.keys().filter(|what| what.starts_with("FAILED")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    whole
}

#[test]
fn the_corpus_has_hundreds_of_different_files_that_say_what_their_originals_say() {
    let files = corpus();
    let different: std::collections::BTreeSet<&str> = files.iter().map(|file| file.text.as_str()).collect();
    let tally = over(&files, |file, tally| add(tally, file.habit));
    println!("{} files by hand, {} in all: {tally:?}", originals().len(), files.len());
    assert_eq!(different.len(), files.len());
    assert!(originals().len() >= 45 && files.len() >= 300, "{} of {}", originals().len(), files.len());
}

/// The refusals there were; every other one ends the check itself.
fn refusals(tally: &Tally) -> Vec<(&str, usize)> {
    tally.iter().filter_map(|(what, count)| Some((what.strip_prefix("refused: ")?, *count))).collect()
}

#[test]
fn every_scalar_is_set_and_nothing_else_changes() {
    let tally = over(&corpus(), edits::set_every_scalar);
    println!("{tally:#?}");
    assert_eq!(refusals(&tally), [("by a merge key", 185), ("by an alias", 160), ("shared by an anchor", 192)]);
    assert!(tally["scalars set"] >= 11_000 && tally["set back"] > tally["scalars set"], "{tally:#?}");
}

#[test]
fn every_field_and_element_is_taken_out_and_nothing_else_changes() {
    let tally = over(&corpus(), edits::take_out_everything);
    println!("{tally:#?}");
    let wanted = [
        ("by a merge key", 282),
        ("by an alias", 245),
        ("comes back by a merge key", 38),
        ("holds an anchor", 63),
        ("in brackets with comments", 48),
        ("shared by an anchor", 308),
        ("written with `?`", 17),
    ];
    assert_eq!(refusals(&tally), wanted);
    assert!(tally["taken out"] >= 17_000 && tally["bytes held"] * 100 >= tally["taken out"] * 99, "{tally:#?}");
}

#[test]
fn every_list_gets_an_element_and_nothing_else_changes() {
    let tally = over(&corpus(), edits::append_to_every_list);
    println!("{tally:#?}");
    assert_eq!(refusals(&tally), [("by a merge key", 9), ("by an alias", 19), ("shared by an anchor", 19)]);
    assert!(tally["added"] >= 1_700, "{tally:#?}");
}
