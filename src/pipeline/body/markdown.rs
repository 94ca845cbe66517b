//! Markdown that text from outside cannot leave: code spans, links, and lists that end before they are too long.
//! <https://github.github.com/gfm/>

use crate::manifest::is_shown;
use url::Url;

/// Characters of a code span, at most.
const MAX_SPAN: usize = 300;
/// The longest link, in bytes.
const MAX_LINK: usize = 2048;
/// What follows these in a path is a thing of a forge, which a link to it would tell of this pull request.
const FORGE_PATHS: [&str; 6] = ["issues", "pull", "pulls", "discussions", "commit", "merge_requests"];

/// Text in a code span that it cannot end, on one line (CommonMark 6.1). Within one nothing is a mention, a reference or markup.
pub(in crate::pipeline) fn code(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| is_shown(*c));
    let line: String = spaced.take(MAX_SPAN + 1).collect();
    let line = match line.char_indices().nth(MAX_SPAN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    };
    if line.trim().is_empty() {
        return "` `".to_owned();
    }
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 || (line.starts_with(' ') && line.ends_with(' ')) { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Text in a fence that it cannot end (CommonMark 4.5), with its lines.
pub(in crate::pipeline) fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// Text as a link, where the address may be one; else the text alone.
pub(in crate::pipeline) fn link(text: &str, address: &str) -> String {
    match safe(address) {
        Some(address) => format!("[{}](<{address}>)", code(text)),
        None => code(text),
    }
}

/// An address as it may stand in angle brackets: `http` or `https`, without a user, not of a forge's issue or pull request.
pub(super) fn safe(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|_| address.len() <= MAX_LINK)?;
    let host = url.host_str()?.to_ascii_lowercase();
    let web = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let parts: Vec<&str> = url.path().split('/').collect();
    let of_a_forge = parts.windows(2).any(|pair| FORGE_PATHS.contains(&pair[0]) && pair[1].starts_with(|c: char| c.is_ascii_hexdigit()));
    if !web || of_a_forge || host == "github.com" || host.ends_with(".github.com") {
        return None;
    }
    let escaped: String = url.as_str().chars().map(escape).collect();
    (escaped.is_ascii() && escaped.len() <= MAX_LINK).then_some(escaped)
}

/// A character that would end the brackets, or be taken for an escape or an entity.
fn escape(c: char) -> String {
    match c {
        '&' => "&amp;".to_owned(),
        '<' | '>' | '\\' | '`' => format!("%{:02X}", u32::from(c)),
        c if c.is_ascii_control() || c == ' ' => format!("%{:02X}", u32::from(c)),
        c => c.to_string(),
    }
}

/// A list that stops when it is long enough, and counts what it leaves out.
pub(super) struct Bounded {
    text: String,
    limit: usize,
    left_out: usize,
    words: usize,
}

impl Bounded {
    /// Begins with `text`; at most `limit` bytes, and the line that counts the rest.
    pub(super) fn new(text: &str, limit: usize) -> Self {
        Self { text: text.to_owned(), limit, left_out: 0, words: 0 }
    }

    /// Adds a line.
    pub(super) fn item(&mut self, line: &str) {
        self.push(&format!("{line}\n"));
    }

    /// Adds a word to the line.
    pub(super) fn word(&mut self, word: &str) {
        let separator = if self.words > 0 { ", " } else { "" };
        self.push(&format!("{separator}{word}"));
        self.words += 1;
    }

    fn push(&mut self, text: &str) {
        // Nothing follows what was left out: a field would stand below another object.
        if self.left_out > 0 || self.text.len() + text.len() > self.limit {
            self.left_out += 1;
        } else {
            self.text.push_str(text);
        }
    }

    /// The list; `things` are what it is of.
    pub(super) fn end(mut self, things: &str) -> String {
        match (self.left_out, self.words) {
            (0, 0) => {}
            (0, _) => self.text.push('\n'),
            (more, 0) => self.text.push_str(&format!("- and {more} more {things}\n")),
            (more, _) => self.text.push_str(&format!(" and {more} more {things}\n")),
        }
        self.text
    }
}
