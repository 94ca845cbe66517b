use super::*;
use proptest::prelude::*;

/// The strict reader that the fake Jira holds documents against.
#[path = "../../../tests/it/support/adf.rs"]
mod rules;

fn words(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[test]
fn each_kind_of_block_is_the_node_for_it() {
    let document = of(
        "# Title\n\nSome **bold**, *soft*, ~~gone~~ and `code` at [home](https://x.example).  \nNext line\n\n- one\n  - two\n\n3. three\n\n> quoted\n\n```yaml\na: 1\n```\n\n| a | b |\n|---|---|\n| 1 | `2` |\n\n---\n",
    );
    assert_eq!(rules::violations(&document), Vec::<String>::new());
    let kinds: Vec<&str> = document["content"].as_array().expect("blocks").iter().filter_map(|node| node["type"].as_str()).collect();
    assert_eq!(kinds, ["heading", "paragraph", "bulletList", "orderedList", "blockquote", "codeBlock", "table", "rule"]);
    let line = document["content"][1]["content"].as_array().expect("a line");
    let marks: Vec<&str> = line.iter().filter_map(|node| node["marks"][0]["type"].as_str()).collect();
    assert_eq!(marks, ["strong", "em", "strike", "code", "link"]);
    assert!(line.iter().any(|node| node["type"] == "hardBreak"));
    assert_eq!(document["content"][3]["attrs"]["order"], 3);
    assert_eq!(document["content"][5]["attrs"]["language"], "yaml");
}

#[test]
fn what_may_not_stand_somewhere_is_shown_by_what_may() {
    for text in [
        "> # heading\n> > deeper\n>\n> | a |\n> |---|\n> | 1 |\n>\n> ---",
        "- # heading\n- > quote\n- ```\n  x\n  ```\n-\n- - nested",
        "**[`code`](https://x.example)**",
        "",
        "<!-- only a comment -->",
        "```\n```",
    ] {
        let document = of(text);
        assert_eq!(rules::violations(&document), Vec::<String>::new(), "{text}");
        assert!(!document["content"].as_array().expect("blocks").is_empty(), "{text}");
    }
}

#[test]
fn a_mention_is_text() {
    let document = of("@ada [~ada] [~accountid:5b10a2844c20165700ede21g] <@U1>");
    assert_eq!(rules::text_of(&document), "@ada [~ada] [~accountid:5b10a2844c20165700ede21g] <@U1>\n");
}

#[test]
fn a_long_document_is_cut_with_a_sign_within_jiras_limit() {
    for text in ["word ".repeat(20_000), "**w** ".repeat(20_000), "😀".repeat(40_000), format!("```\n{}", "x\n".repeat(40_000))] {
        let document = of(&text);
        assert!(document.to_string().encode_utf16().count() <= MAX);
        assert_eq!(rules::violations(&document), Vec::<String>::new());
        assert!(rules::text_of(&document).ends_with("… (shortened)\n"));
        assert!(document.to_string().len() > MAX / 3, "no more is cut than has to be");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_document_that_atlassian_takes(text in "(?s)\\PC{0,300}|([-*>#|`~_\\[\\]()<>!&;:\\\\@ \n\ta-c1.]{0,200})") {
        let document = of(&text);
        prop_assert_eq!(rules::violations(&document), Vec::<String>::new());
    }

    #[test]
    fn plain_words_survive_with_every_sign_among_them(text in "[a-zA-Z0-9 .,{}@^%$?+=-]{1,200}") {
        let text = format!("x{text}");
        prop_assert_eq!(words(&rules::text_of(&of(&text))), words(&text));
    }
}
