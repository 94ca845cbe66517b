//! The comments of a text, for telling people that some changed. Pure; they are never read for what they say.

use granit_parser::{Event, Parser, Span, TrySpannedEventReceiver};
use std::convert::Infallible;

/// Every comment of the text, without its `#` and in order, as far as the text can be read.
pub fn comments(text: &str) -> Vec<String> {
    let mut found = Found(Vec::new());
    // What cannot be read is refused elsewhere.
    let _ = Parser::new_from_str(text).try_load(&mut found, true);
    found.0
}

struct Found(Vec<String>);

impl<'t> TrySpannedEventReceiver<'t> for Found {
    type Error = Infallible;

    fn on_event(&mut self, event: Event<'t>, _: Span) -> Result<(), Infallible> {
        if let Event::Comment(text, _) = event {
            self.0.push(text.trim().to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::comments;

    #[test]
    fn comments_are_found_wherever_they_stand_and_no_text_passes_for_one() {
        let text = "# one\na: 1 # two\nb: \"x # no\"\nc: |\n  # no\nd: x#no # three\n---\n#four\ne: []\n# five\n";
        assert_eq!(comments(text), ["one", "two", "three", "four", "five"]);
        assert_eq!(comments("a: 1 # one\nb: {"), ["one"], "as far as it can be read");
    }
}
