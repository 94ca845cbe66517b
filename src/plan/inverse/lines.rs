//! The lines a change wrote: where they stand unchanged in today's file, the very lines there were take their place again, with their
//! comments, quotes and blanks. A merge of three texts: what the change made, what there was before it, and what there is today.
//! Never trusted by itself: whoever uses the text compares what it says with what taking the change back means.

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;

/// Lines of two texts that are held against each other one by one; what is longer differs in one stretch.
const MAX_LINES: usize = 4_000;

/// The lines of two texts in which they differ.
type Difference = (Range<usize>, Range<usize>);

/// Lines that the change wrote in the place of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stretch {
    /// The first line they took the place of, counted from 0 in the text there was.
    line: usize,
    /// How many.
    count: usize,
    /// What the change wrote.
    is: String,
}

/// The stretches that differ, in order.
pub(super) fn stretches(old: &str, new: &str) -> Vec<Stretch> {
    let (old, new) = (lines(old), lines(new));
    let stretch = |(was, is): Difference| Stretch { line: was.start, count: was.len(), is: new[is].concat() };
    differing(&old, &new).into_iter().map(stretch).collect()
}

/// Today's text with every stretch as it was in `was`; none where somebody has written in one of them since.
pub(super) fn taken_back(today: &str, was: &str, stretches: &[Stretch]) -> Option<String> {
    let (was, today) = (lines(was), lines(today));
    let (is, changes) = made(&was, stretches)?;
    let since = differing(&is, &today);
    let (mut text, mut copied, mut since) = (String::new(), 0, since.iter().peekable());
    // How far the lines of today stand below those of the change.
    let mut shift = 0_isize;
    for (was_there, is_there) in changes {
        // Where the change took lines out, nobody knows on which side of them somebody else has written.
        let gap = is_there.is_empty();
        while let Some((is_then, is_today)) = since.next_if(|(is_then, _)| is_then.end < is_there.start || !gap && is_then.end == is_there.start) {
            shift = is_today.end.checked_signed_diff(is_then.end)?;
        }
        if since.peek().is_some_and(|(is_then, _)| is_then.start < is_there.end || gap && is_then.start == is_there.end) {
            return None;
        }
        let (from, to) = (is_there.start.checked_add_signed(shift)?, is_there.end.checked_add_signed(shift)?);
        text.extend(today.get(copied..from)?.iter().copied());
        text.extend(was.get(was_there)?.iter().copied());
        copied = to;
    }
    text.extend(today.get(copied..)?.iter().copied());
    Some(text)
}

/// The text the change made, and where its stretches stand in both.
fn made<'a>(was: &[&'a str], stretches: &'a [Stretch]) -> Option<(Vec<&'a str>, Vec<Difference>)> {
    let (mut is, mut changes, mut copied) = (Vec::new(), Vec::new(), 0);
    for stretch in stretches {
        let end = stretch.line.checked_add(stretch.count)?;
        is.extend_from_slice(was.get(copied..stretch.line)?);
        let begin = is.len();
        is.extend(lines(&stretch.is));
        changes.push((stretch.line..end, begin..is.len()));
        copied = end;
    }
    is.extend_from_slice(was.get(copied..)?);
    Some((is, changes))
}

/// The ranges of lines in which two texts differ, in order.
fn differing(old: &[&str], new: &[&str]) -> Vec<Difference> {
    if old.len() + new.len() <= MAX_LINES {
        let differ = |op: &similar::DiffOp| op.tag() != DiffTag::Equal;
        return capture_diff_slices(Algorithm::Myers, old, new).iter().filter(|op| differ(op)).map(|op| (op.old_range(), op.new_range())).collect();
    }
    let above = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let below = old[above..].iter().rev().zip(new[above..].iter().rev()).take_while(|(a, b)| a == b).count();
    let ranges = (above..old.len() - below, above..new.len() - below);
    if ranges.0.is_empty() && ranges.1.is_empty() { Vec::new() } else { vec![ranges] }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn back(was: &str, is: &str, today: &str) -> Option<String> {
        taken_back(today, was, &stretches(was, is))
    }

    #[test]
    fn lines_go_back_where_they_stand_and_nowhere_else() {
        let (old, new) = ("a: 1 # one\nb: 2\nc: 3\nd: 4\ne: 5\n", "a: 9\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\n");
        assert_eq!(stretches(old, new).len(), 2);
        assert_eq!(back(old, new, new).as_deref(), Some(old));
        assert_eq!(back(old, new, &new.replace("c: 3", "c: 4")), Some(old.replace("c: 3", "c: 4")));
        assert_eq!(back(old, new, &new.replace("c: 3\n", "")), Some(old.replace("c: 3\n", "")));
        assert_eq!(back(old, new, &new.replace("a: 9", "a: 8")), None, "somebody wrote the line anew");
        assert_eq!(back(old, new, &format!("# top\n{new}g: 7\n")), Some(format!("# top\n{old}g: 7\n")));
        assert_eq!(back(new, old, &format!("{old}g: 7\n")), None, "the line that went stood above it, or below");
        assert_eq!(back("a: 1\n", "", "b: 2\n"), None, "another file");
    }

    #[test]
    fn lines_that_stand_there_many_times_are_told_apart_by_those_around_them() {
        let part = "- name: a\n  image: b\n\n".repeat(30);
        let (was, is) = (format!("# first\n{part}x: 1\n{part}"), format!("# first\n{part}x: 2\n{part}- name: a\n"));
        assert_eq!(back(&was, &is, &format!("# today\n{is}")), Some(format!("# today\n{was}")));
    }

    #[test]
    fn texts_too_long_to_be_compared_line_by_line_go_back_where_nothing_else_changed() {
        let long = (0..3_000).map(|number| format!("n{number}: 1\n")).collect::<String>();
        let is = long.replace("n1500: 1\n", "n1500: 2\n");
        assert_eq!(back(&long, &is, &is), Some(long.clone()));
        assert_eq!(back(&long, &is, &format!("# today\n{is}")), Some(format!("# today\n{long}")));
        assert_eq!(back(&long, &is, &is.replace("n1500: 2", "n1500: 3")), None);
    }

    #[test]
    fn what_was_kept_of_another_text_is_not_used() {
        let kept = stretches("a\nb\nc\nd\n", "a\nb\nc\nx\n");
        assert_eq!(taken_back("a\nx\n", "a\n", &kept), None);
    }

    proptest! {
        #[test]
        fn whatever_the_change_and_wherever_somebody_else_writes_both_are_told_apart(
            was in prop::collection::vec("[ab]\n", 0..12), is in prop::collection::vec("[ab]\n", 0..12), own in prop::collection::vec("[cd]\n", 1..4), at in any::<prop::sample::Index>(),
        ) {
            let (was, is_text) = (was.concat(), is.concat());
            let kept = stretches(&was, &is_text);
            let made = taken_back(&is_text, &was, &kept);
            prop_assert_eq!(made.as_deref(), Some(was.as_str()));
            // Lines that are in neither stay, in their order, and without them it is the text there was.
            let at = at.index(is.len() + 1);
            let today = [is[..at].concat(), own.concat(), is[at..].concat()].concat();
            if let Some(text) = taken_back(&today, &was, &kept) {
                prop_assert!(text.contains(&own.concat()));
                prop_assert_eq!(text.replace(&own.concat(), ""), was);
            }
        }
    }
}
