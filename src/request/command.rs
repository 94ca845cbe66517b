//! Commands that people write into comments on a pull request: `/kubeops close`, a line each.
//! A command counts only where a reader sees it as plain text of the comment: not in code, a quote, a list, a table, an HTML comment, and
//! not behind raw HTML. Whoever reads them asks who wrote them; nothing here knows anybody.

use crate::types::{SpecDuration, nearest};
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::Value;

/// What a command begins with.
pub const PREFIX: &str = "/kubeops";
/// Commands of one comment that are done, at most.
pub const MOST_COMMANDS: usize = 5;
/// Characters of a reason that are kept.
const REASON: usize = 300;
/// Characters of a wish that are kept.
const WISH: usize = 2_000;
/// Parameters that are set by one command, at most.
const MOST_VALUES: usize = 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Which commands there are.
    Help,
    /// Why the request is there, and what it waits for.
    Explain,
    /// Once more, after an end that may be tried again.
    Retry,
    /// Planned again on the present base.
    Rebase,
    /// Withdrawn, for a reason.
    Close(Option<String>),
    /// Planned again with other values.
    Set(Vec<Assignment>),
    /// Kept from being merged, for a reason.
    Hold(Option<String>),
    /// Held no longer.
    Release,
    /// What was merged is taken back, for a reason.
    Revert(Option<String>),
    /// Wanted for so much longer.
    Extend(SpecDuration),
    /// Drafted otherwise by the language model that drafted it: what is wanted.
    Revise(String),
}

/// A value for a parameter, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The parameter.
    pub name: String,
    /// What was written, read as JSON; none where it is no JSON.
    pub json: Option<Value>,
    /// What was written, as a text; none where it was written as a JSON text, list or object.
    pub text: Option<String>,
}

/// Why a line that begins as a command is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// There is no such command.
    Unknown(String),
    /// What follows the command's name does not fit; a sentence.
    Arguments(String),
}

/// A line that begins as a command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandLine {
    /// As it was written.
    pub text: String,
    /// What it asks for.
    pub command: Result<Command, Mistake>,
}

/// A command's name, what follows it, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Its name.
    pub name: &'static str,
    /// What may follow it.
    pub arguments: &'static str,
    /// What it does, in a sentence.
    pub does: &'static str,
}

/// The commands there are, as help tells them.
pub const USAGES: [Usage; 11] = [
    Usage { name: "help", arguments: "", does: "tells which commands there are" },
    Usage { name: "explain", arguments: "", does: "tells why this request is there, what it came to and what it waits for" },
    Usage { name: "retry", arguments: "", does: "asks again for what failed, was rejected or declined, and hurries what waits" },
    Usage { name: "rebase", arguments: "", does: "plans the change again on the present base, and puts the branch there" },
    Usage { name: "close", arguments: " [reason]", does: "withdraws the request: its pull request is closed and its branch deleted" },
    Usage { name: "set", arguments: " parameter=value ...", does: "plans the change again with other values, under the same schema and gates" },
    Usage { name: "revise", arguments: " what is wanted", does: "has the language model that drafted the change revise it, as a new commit" },
    Usage { name: "hold", arguments: " [reason]", does: "keeps it from being merged by itself, until it is released" },
    Usage { name: "release", arguments: "", does: "lets it through, whatever holds it: a person or a calendar" },
    Usage { name: "revert", arguments: " [reason]", does: "opens the pull request that takes the merged change back" },
    Usage { name: "extend", arguments: " DURATION", does: "has a merged change with a time to live live on for so much longer, such as 4h" },
];

/// Whether a body may hold a command: what it holds is read later. Cheap.
pub fn may_hold(body: &str) -> bool {
    body.contains(PREFIX)
}

/// The commands of a comment's body, in order, all of them.
pub fn commands(body: &str) -> Vec<CommandLine> {
    if !may_hold(body) {
        return Vec::new();
    }
    lines(body).into_iter().map(|line| CommandLine { text: line.to_owned(), command: parse(line) }).collect()
}

/// The known name that an unknown one was probably meant to be.
pub fn meant(name: &str) -> Option<&'static str> {
    nearest(name, USAGES.iter().map(|usage| usage.name))
}

/// The lines of the comment's own paragraphs that begin as a command.
fn lines(body: &str) -> Vec<&str> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES | Options::ENABLE_TASKLISTS | Options::ENABLE_MATH;
    let (mut found, mut depth, mut own, mut fresh) = (Vec::new(), 0_usize, false, false);
    for (event, range) in Parser::new_ext(body, options).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                (own, fresh) = if depth == 0 { (tag == Tag::Paragraph, true) } else { (own, false) };
                depth += 1;
            }
            Event::End(_) => (depth, fresh) = (depth.saturating_sub(1), false),
            Event::SoftBreak | Event::HardBreak => fresh = depth == 1,
            // A quote or code can be written in HTML as well, and where that ends is not for us to tell.
            Event::Html(text) | Event::InlineHtml(text) if has_tag(&text) => return found,
            Event::Text(_) if own && fresh && depth == 1 => {
                fresh = false;
                found.extend(command_line(body, range.start));
            }
            _ => fresh = false,
        }
    }
    found
}

/// The line, when a command begins it here.
fn command_line(body: &str, start: usize) -> Option<&str> {
    let ends = ['\n', '\r'];
    let (before, after) = (body.get(..start)?, body.get(start..)?);
    let begins = before.rsplit(ends).next().is_none_or(|before| before.trim().is_empty());
    let line = after.split(ends).next()?;
    // What cannot be seen is no part of it.
    let line = line.split("<!--").next()?.trim_end();
    let rest = line.strip_prefix(PREFIX)?;
    (begins && (rest.is_empty() || rest.starts_with([' ', '\t']))).then_some(line)
}

/// Whether HTML holds anything but comments.
fn has_tag(html: &str) -> bool {
    let mut rest = html;
    while let Some((before, after)) = rest.split_once("<!--") {
        if before.contains('<') {
            return true;
        }
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    rest.contains('<')
}

fn parse(line: &str) -> Result<Command, Mistake> {
    let rest = line.strip_prefix(PREFIX).unwrap_or_default().trim();
    let (name, rest) = rest.split_once([' ', '\t']).map_or((rest, ""), |(name, rest)| (name, rest.trim()));
    let alone = |command: Command| match rest {
        "" => Ok(command),
        _ => Err(Mistake::Arguments(format!("nothing follows {name}"))),
    };
    match name {
        // Who writes nothing more wants to know what there is.
        "" | "help" => alone(Command::Help),
        "explain" => alone(Command::Explain),
        "retry" => alone(Command::Retry),
        "rebase" => alone(Command::Rebase),
        "release" => alone(Command::Release),
        "close" => Ok(Command::Close(reason(rest))),
        "hold" => Ok(Command::Hold(reason(rest))),
        "revert" => Ok(Command::Revert(reason(rest))),
        "set" => assignments(rest).map(Command::Set),
        "extend" => rest.parse().map(Command::Extend).map_err(|_| Mistake::Arguments("extend wants a duration, such as 4h or 30m".to_owned())),
        "revise" => match told(rest, WISH) {
            Some(wish) => Ok(Command::Revise(wish)),
            None => Err(Mistake::Arguments("revise wants to know what: /kubeops revise keep the memory limit as it was".to_owned())),
        },
        name => Err(Mistake::Unknown(name.chars().take(40).collect())),
    }
}

fn reason(rest: &str) -> Option<String> {
    told(rest, REASON)
}

/// What is said, up to so many characters; none where nothing is.
fn told(rest: &str, most: usize) -> Option<String> {
    let kept: String = rest.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    Some(kept.trim().to_owned()).filter(|kept| !kept.is_empty())
}

/// `name=value` one after another. A value is a JSON text, list or object, or everything up to the next space.
fn assignments(mut rest: &str) -> Result<Vec<Assignment>, Mistake> {
    let wrong = |what: String| Err(Mistake::Arguments(format!("{what}: write set parameter=value, with values that hold spaces in double quotes")));
    let mut found: Vec<Assignment> = Vec::new();
    while !rest.is_empty() {
        let Some((name, value)) = rest.split_once('=') else { return wrong(format!("after {rest:?} there is no `=`")) };
        let is_name = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return wrong(format!("{name:?} cannot be a parameter's name"));
        }
        if found.iter().any(|known| known.name == name) {
            return wrong(format!("{name} is set twice"));
        }
        if found.len() == MOST_VALUES {
            return wrong(format!("more than {MOST_VALUES} parameters are set at once"));
        }
        let (assignment, after) = if value.starts_with(['"', '[', '{']) {
            let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
            match values.next() {
                Some(Ok(json)) => (Assignment { name: name.to_owned(), json: Some(json), text: None }, &value[values.byte_offset()..]),
                _ => return wrong(format!("what {name} is set to does not end, or is no JSON")),
            }
        } else {
            let end = value.find([' ', '\t']).unwrap_or(value.len());
            let (text, after) = value.split_at(end);
            (Assignment { name: name.to_owned(), json: serde_json::from_str(text).ok(), text: Some(text.to_owned()) }, after)
        };
        if !after.is_empty() && !after.starts_with([' ', '\t']) {
            return wrong(format!("after the value of {name} there is no space"));
        }
        found.push(assignment);
        rest = after.trim_start();
    }
    if found.is_empty() { wrong("nothing is set".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn texts(body: &str) -> Vec<String> {
        commands(body).into_iter().map(|line| line.text).collect()
    }

    fn one(line: &str) -> Result<Command, Mistake> {
        let mut found = commands(line);
        assert_eq!(found.len(), 1, "{line}");
        found.remove(0).command
    }

    #[test]
    fn commands_are_read_line_by_line_in_order() {
        let body = "Thanks!\n/kubeops explain\n   /kubeops rebase\r\n\r\n/kubeops close it is *too* early\nbye /kubeops retry";
        assert_eq!(texts(body), ["/kubeops explain", "/kubeops rebase", "/kubeops close it is *too* early"]);
        assert_eq!(one("/kubeops"), Ok(Command::Help));
        assert_eq!(one("/kubeops close  not now <!-- hidden -->"), Ok(Command::Close(Some("not now".to_owned()))));
        assert_eq!(one("/kubeops close"), Ok(Command::Close(None)));
        assert_eq!(one("/kubeops hold freeze"), Ok(Command::Hold(Some("freeze".to_owned()))));
        assert_eq!(one("/kubeops revert"), Ok(Command::Revert(None)));
        assert_eq!(one("/kubeops release"), Ok(Command::Release));
        assert_eq!(one("/kubeops extend 4h"), Ok(Command::Extend("4h".parse().expect("a duration"))));
        assert!(matches!(one("/kubeops extend soon"), Err(Mistake::Arguments(_))));
        assert!(matches!(one("/kubeops retry now"), Err(Mistake::Arguments(_))));
        assert_eq!(one("/kubeops rebsae"), Err(Mistake::Unknown("rebsae".to_owned())));
        assert_eq!(meant("rebsae"), Some("rebase"));
    }

    #[test]
    fn what_a_reader_does_not_see_as_the_authors_own_words_is_no_command() {
        for body in [
            "```\n/kubeops close\n```",
            "~~~\n/kubeops close",
            "````\n```\n/kubeops close\n````",
            "    /kubeops close",
            "\t/kubeops close",
            "`/kubeops close`",
            "see `this\n/kubeops close\nthat`",
            "\\`a` \n/kubeops close\n`",
            "Do it like this:\n```suggestion\n/kubeops close\n```",
            "> /kubeops close",
            "> look\n/kubeops close",
            "> > look\n> /kubeops close",
            "- /kubeops close",
            "- ```\n  /kubeops close\n  ```",
            "1. one\n\n   /kubeops close",
            "- [ ] one\n/kubeops close",
            "<!-- \n/kubeops close\n-->",
            "a <!--\n/kubeops close\n--> b",
            "<pre>\n/kubeops close\n</pre>",
            "see <code>\n/kubeops close\n</code>",
            "<blockquote>\n\n/kubeops close\n\n</blockquote>",
            "<!-- a --> <blockquote>\n\n/kubeops close",
            "\\/kubeops close",
            "&#47;kubeops close",
            "*/kubeops close*",
            "# /kubeops close",
            "/kubeops close\n===",
            "| a |\n|---|\n/kubeops close",
            "[^1]: /kubeops close",
            "[a]: /x '\n/kubeops close\n'",
            "$$\n/kubeops close\n$$",
            "/kubeopsclose",
            "/kubeops-close",
            "https://example.com/kubeops close",
            "a /kubeops close",
        ] {
            assert_eq!(texts(body), [] as [&str; 0], "{body}");
        }
        assert_eq!(texts("> quote\n\n/kubeops close"), ["/kubeops close"]);
        assert_eq!(texts("```\ncode\n```\n/kubeops close"), ["/kubeops close"]);
        assert_eq!(texts("<!-- a comment -->\n\n/kubeops close"), ["/kubeops close"]);
    }

    #[test]
    fn values_are_json_where_they_are_and_text_else() {
        let Ok(Command::Set(set)) = one(r#"/kubeops set team=pay-ments n=3 on=true words="a b=c" list=["x", "y"] map={"a": 1} empty= eq=a=b"#) else {
            panic!("a command")
        };
        let told: Vec<(&str, Option<Value>, Option<&str>)> =
            set.iter().map(|one| (one.name.as_str(), one.json.clone(), one.text.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("team", None, Some("pay-ments")),
                ("n", Some(json!(3)), Some("3")),
                ("on", Some(json!(true)), Some("true")),
                ("words", Some(json!("a b=c")), None),
                ("list", Some(json!(["x", "y"])), None),
                ("map", Some(json!({"a": 1})), None),
                ("empty", None, Some("")),
                ("eq", None, Some("a=b")),
            ]
        );
        for wrong in ["", "team", "=x", "a b=c", "a=1 a=2", "a=\"x", "a=\"x\"y", "te-am=x", "a={b}"] {
            assert!(matches!(one(&format!("/kubeops set {wrong}")), Err(Mistake::Arguments(_))), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_commands_fail(body in "(?s).{0,200}", piece in "[ \t\n`>~<*_$|-]{0,10}") {
            let _ = commands(&body);
            for line in commands(&format!("{piece}/kubeops {body}")) {
                prop_assert!(line.text.starts_with(PREFIX) && !line.text.contains('\n'));
            }
            let _ = commands(&format!("/kubeops set {body}"));
            let _ = commands(&format!("{body}\n/kubeops set a={piece}{body}"));
        }

        #[test]
        fn nothing_in_a_fence_or_a_quote_is_a_command(lines in proptest::collection::vec("[ -~]{0,30}|/kubeops close|`{1,4}|~{1,4}|> a|- a|<b>|<!--", 0..8), fence in 5_usize..8) {
            let body = lines.join("\n");
            let fence = "`".repeat(fence);
            // Before it stands nothing that could have been left open.
            prop_assert_eq!(texts(&format!("{fence}\n{body}\n{fence}")), [] as [&str; 0]);
            prop_assert_eq!(texts(&format!("{fence}\n{body}")), [] as [&str; 0]);
            let quoted: String = lines.iter().map(|line| format!("> {line}\n")).collect();
            prop_assert_eq!(texts(&quoted), [] as [&str; 0]);
            let indented: String = lines.iter().map(|line| format!("    {line}\n")).collect();
            prop_assert_eq!(texts(&indented), [] as [&str; 0]);
        }
    }
}
