use super::*;
use proptest::prelude::*;

/// What Jira's renderer makes of text: a backslash gives the sign after it, a number the character.
fn rendered(wiki: &str) -> String {
    let mut out = String::new();
    let mut chars = wiki.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    ["&#92;=\\", "&#58;=:", "&#46;=.", "&amp;=&"].iter().fold(out, |out, pair| {
        let (entity, sign) = pair.split_once('=').expect("a pair");
        out.replace(entity, sign)
    })
}

/// The signs that mean something where no backslash stands before them.
fn meaning(wiki: &str) -> Vec<char> {
    let mut before = ' ';
    let mut found = Vec::new();
    for (at, c) in wiki.char_indices() {
        let entity = c == '#' && before == '&' && wiki[at..].contains(';');
        if ESCAPED.contains(c) && before != '\\' && !entity {
            found.push(c);
        }
        before = c;
    }
    found
}

#[test]
fn each_kind_of_block_is_the_wiki_text_for_it() {
    let text = of(
        "# Title\n\nSome **bold**, *soft*, ~~gone~~ and `code` at [home](https://x.example/a).  \nNext line\n\n- one\n  - two\n\n3. three\n\n> quoted\n\n```yaml\na: 1\n```\n\n| a | b |\n|---|---|\n| 1 | `2` |\n\n---\n",
    );
    let wanted = "h1. Title\n\nSome {*}bold{*}, {_}soft{_}, {-}gone{-} and {{code}} at [home|https://x.example/a].\nNext line\n\n* one\n** two\n\n# three\n\n{quote}\nquoted\n{quote}\n\n{code:yaml}\na: 1\n{code}\n\n||a||b||\n|1|{{2}}|\n\n----";
    assert_eq!(text, wanted);
}

#[test]
fn nothing_in_a_text_means_anything() {
    for text in [
        "[~ada]",
        "[~accountid:5b10a2844c20165700ede21g]",
        "@ada",
        "!http://x.example/a.png!",
        "{color:red}red{color}",
        "{include:Other}",
        "||a||b||",
        "??cited?? +in+ -out- ^up^ ~down~",
        "\\{code}",
        "\\\\server\\share",
        "(!) (x) (y) :) ;)",
    ] {
        let wiki = of(&format!("x {}", text.replace('\\', "\\\\").replace('*', "\\*").replace('[', "\\[").replace('!', "\\!").replace('~', "\\~")));
        assert_eq!(meaning(&wiki), Vec::<char>::new(), "{text}: {wiki}");
    }
    assert_eq!(of("h1\\. x"), "h1&#46; x");
    assert_eq!(of("see http\\://x.example"), "see http&#58;//x.example");
    assert_eq!(of("a :P b"), "a &#58;P b");
    assert_eq!(of("&#123;x&#125; and &amp;#91;"), "\\{x\\} and &amp;\\#91;");
}

#[test]
fn dates_names_and_keys_stay_readable() {
    assert_eq!(of("OPS-42 is done on 2026-11-20 at 10:30: node-a"), "OPS-42 is done on 2026-11-20 at 10:30: node-a");
}

#[test]
fn code_cannot_end_itself() {
    let text = of("```\n{noformat}\n[~ada] {code}\n```");
    assert_eq!(text, "{noformat}\n{\u{200b}noformat}\n[\u{200b}~ada] {\u{200b}code}\n{noformat}");
    assert!(of("```evil}{include:x\na\n```").starts_with("{noformat}\n"));
    assert_eq!(of("`a}}[~ada]`"), "{{a\\}\\}\\[\\~ada\\]}}");
}

#[test]
fn an_address_cannot_end_its_link() {
    assert_eq!(of("[go](<https://x.example/a|b]c{d}>)"), "[go|https://x.example/a%7Cb%5Dc%7Bd%7D]");
}

#[test]
fn a_long_text_is_cut_with_a_sign_within_jiras_limit() {
    for text in ["word ".repeat(20_000), "_x_ ".repeat(20_000), "😀".repeat(40_000)] {
        let wiki = of(&text);
        assert!(wiki.encode_utf16().count() <= MAX);
        assert!(wiki.ends_with("… \\(shortened\\)"), "{}", wiki.len());
    }
}

proptest! {
    #[test]
    fn any_plain_text_is_that_text_and_nothing_else(text in "[a-c0-9 .,;:{}@^%$?+=()|!&/-]{1,200}") {
        // A letter before it, so that it is a paragraph in Markdown.
        let text = format!("x{}", text.replace('&', "& "));
        let wiki = of(&text);
        prop_assert_eq!(meaning(&wiki), Vec::<char>::new(), "{}", wiki);
        prop_assert_eq!(rendered(&wiki), text.trim());
    }

    #[test]
    fn any_text_is_some_wiki_text(text in "(?s)\\PC{0,300}|([-*>#|`~_\\[\\]()<>!&;:\\\\@ \n\ta-c1.]{0,200})") {
        let wiki = of(&text);
        prop_assert!(!wiki.contains("[~"), "{}", wiki);
        prop_assert!(!wiki.trim().is_empty());
    }
}
