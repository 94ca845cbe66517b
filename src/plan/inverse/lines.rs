//! The lines a change wrote, as stretches with a few of their neighbours: where they stand unchanged in today's file, the very lines
//! there were take their place again, with their comments, quotes and blanks.
//! Never trusted by itself: whoever uses the text compares what it says with what taking the change back means.

use serde::{Deserialize, Serialize};
use similar::{Algorithm, capture_diff_slices};

/// Neighbours that tell a stretch from others like it, at most.
const NEIGHBOURS: usize = 10;
/// Lines of both states that are held against each other one by one; what is longer is one stretch.
const MAX_LINES: usize = 4_000;

/// Lines that differ, with those around them that do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stretch {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    above: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    was: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    is: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    below: Vec<String>,
}

/// The stretches that differ, in order.
pub(super) fn stretches(old: &str, new: &str) -> Vec<Stretch> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let mut ranges = Vec::new();
    if old.len() + new.len() <= MAX_LINES {
        for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
            if op.tag() != similar::DiffTag::Equal {
                ranges.push((op.old_range(), op.new_range()));
            }
        }
    } else {
        let above = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let below = old[above..].iter().rev().zip(new[above..].iter().rev()).take_while(|(a, b)| a == b).count();
        ranges.push((above..old.len() - below, above..new.len() - below));
    }
    let stretch = |(number, (was, is)): (usize, &(std::ops::Range<usize>, std::ops::Range<usize>))| {
        let from = number.checked_sub(1).map_or(0, |before| ranges[before].1.end).max(is.start.saturating_sub(NEIGHBOURS));
        let to = ranges.get(number + 1).map_or(new.len(), |behind| behind.1.start).min(is.end + NEIGHBOURS);
        let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Stretch { above: own(&new[from..is.start]), was: old[was.clone()].concat(), is: new[is.clone()].concat(), below: own(&new[is.end..to]) }
    };
    ranges.iter().enumerate().map(stretch).collect()
}

/// `text` with every stretch as it was; none where one of them is not found, or not once.
pub(super) fn taken_back(text: &str, stretches: &[Stretch]) -> Option<String> {
    let mut text = text.to_owned();
    // From the last one: those before it still stand as the change left them.
    for stretch in stretches.iter().rev() {
        let range = (0..=NEIGHBOURS).rev().find_map(|most| stretch.place(&text, most))?;
        text.replace_range(range, &stretch.was);
    }
    Some(text)
}

impl Stretch {
    /// Where its lines stand, told apart by so many neighbours.
    fn place(&self, text: &str, most: usize) -> Option<std::ops::Range<usize>> {
        let above = &self.above[self.above.len().saturating_sub(most)..];
        let below = &self.below[..self.below.len().min(most)];
        let wanted: Vec<&str> =
            above.iter().map(String::as_str).chain(self.is.split_inclusive('\n')).chain(below.iter().map(String::as_str)).collect();
        if wanted.is_empty() {
            return None;
        }
        // Whole lines, since a stretch that is found within one, or over another, hides the place it is meant for.
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut places = lines.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted).map(|(line, _)| line);
        let line = places.next().filter(|_| places.next().is_none())? + above.len();
        let at = lines[..line].iter().map(|line| line.len()).sum();
        Some(at..at + self.is.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_back_where_they_stand_and_nowhere_else() {
        let (old, new) = ("a: 1 # one\nb: 2\nc: 3\nd: 4\ne: 5\n", "a: 9\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\n");
        let made = stretches(old, new);
        assert_eq!(made.len(), 2);
        assert_eq!(taken_back(new, &made).as_deref(), Some(old));
        assert_eq!(taken_back(&format!("# top\n{new}"), &made), Some(format!("# top\n{old}")));
        assert_eq!(taken_back(&new.replace("a: 9", "a: 8"), &made), None, "somebody wrote the line anew");
        assert_eq!(taken_back(&format!("{new}---\n{new}"), &made), None, "it stands there twice");
        assert_eq!(taken_back("", &stretches("a: 1\n", "")), None, "nothing says where");
    }

    #[test]
    fn lines_are_found_where_they_overlap_with_others_like_them() {
        let blank = Stretch { above: Vec::new(), was: "b: 2\r\n".to_owned(), is: "\r\n\r\n".to_owned(), below: Vec::new() };
        let taken = |text: &str| taken_back(text, std::slice::from_ref(&blank));
        assert_eq!(taken("a: 1\r\n\r\n\r\nc: 3\r\n").as_deref(), Some("a: 1\r\nb: 2\r\nc: 3\r\n"));
        assert_eq!(taken("a: 1\r\n\r\n\r\n\r\nc: 3\r\n"), None, "they stand there twice, one place over the other");
        let ended = Stretch { above: Vec::new(), was: "a: 2".to_owned(), is: "a: 1".to_owned(), below: Vec::new() };
        assert_eq!(taken_back("a: 15\n", &[ended]), None, "that is another line");
    }
}
