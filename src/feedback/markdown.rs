//! Markdown, parsed into the little that every channel can show: blocks of text with marks. What is only HTML is dropped, images are
//! their words, links lead to the web alone. However deep or long the text is, what comes out is neither.

use crate::types::is_invisible;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use url::Url;

/// Characters that are read of a text; no channel takes more.
const MAX_READ: usize = 65_536;
/// Lists and quotes within each other that are kept apart.
const MAX_DEPTH: usize = 8;
/// The sign that a text was cut.
const CUT: &str = "… (shortened)";

/// A block of text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    Paragraph(Vec<Inline>),
    Heading(u8, Vec<Inline>),
    Code { language: Option<String>, text: String },
    List { start: Option<u64>, items: Vec<Vec<Block>> },
    Quote(Vec<Block>),
    Table { head: Vec<Vec<Inline>>, rows: Vec<Vec<Vec<Inline>>> },
    Rule,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Inline {
    /// Text on one line, never empty.
    Text(String, Marks),
    Break,
}

/// How a piece of text is marked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) strong: bool,
    pub(super) emphasis: bool,
    pub(super) strike: bool,
    pub(super) code: bool,
    /// An address of the web.
    pub(super) link: Option<String>,
}

/// A text as `render` makes it, cut so that `size` of it is at most `limit`, with a sign when it was.
pub(super) fn bounded<T>(text: &str, limit: usize, render: impl Fn(&[Block]) -> T, size: impl Fn(&T) -> usize) -> T {
    let text = clean(text);
    let whole = text.chars().count();
    let mut kept = whole.min(MAX_READ);
    loop {
        let end = text.char_indices().nth(kept).map_or(text.len(), |(end, _)| end);
        let mut blocks = parse(&text[..end]);
        if kept < whole {
            // Set after parsing: it stands apart from whatever was left open where the text was cut.
            blocks.push(Block::Paragraph(vec![Inline::Text(CUT.to_owned(), Marks::default())]));
        } else if blocks.is_empty() {
            blocks.push(Block::Paragraph(vec![Inline::Text("…".to_owned(), Marks::default())]));
        }
        let rendered = render(&blocks);
        let long = size(&rendered);
        if long <= limit || kept == 0 {
            return rendered;
        }
        kept = (kept * limit / long * 9 / 10).min(kept - 1);
    }
}

/// The same address, when it leads to the web and holds nothing secret.
pub(super) fn web_address(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    (plain && url.as_str().len() <= 2000).then(|| url.to_string())
}

/// Cuts a text to so many characters, with a sign.
pub(super) fn cut(text: &str, limit: usize) -> String {
    match text.chars().count() <= limit {
        true => text.to_owned(),
        false => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The text with one kind of line end and nothing that cannot be seen.
fn clean(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").chars().filter(|c| matches!(c, '\n' | '\t') || !is_invisible(*c)).collect()
}

/// The blocks of a Markdown text.
pub(super) fn parse(text: &str) -> Vec<Block> {
    let mut builder = Builder { stack: vec![Open::Blocks(Within::Root, Vec::new())], ..Builder::default() };
    for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        builder.take(event);
    }
    builder.flush();
    // Whatever is open at the end is closed by the parser itself: what is left is the root.
    match builder.stack.into_iter().next() {
        Some(Open::Blocks(_, blocks)) => blocks,
        _ => Vec::new(),
    }
}

/// What a run of blocks stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Root,
    Quote,
    Item,
}

/// What is open.
enum Open {
    Blocks(Within, Vec<Block>),
    List(Option<u64>, Vec<Vec<Block>>),
    /// Too deep to be kept apart: its blocks go to what it stands in.
    Flat,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    inlines: Vec<Inline>,
    strong: usize,
    emphasis: usize,
    strike: usize,
    links: Vec<Option<String>>,
    code: Option<(Option<String>, String)>,
    html: Option<String>,
    head: Vec<Vec<Inline>>,
    rows: Vec<Vec<Vec<Inline>>>,
    row: Vec<Vec<Inline>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match (&mut self.code, &mut self.html) {
                (Some((_, code)), _) => code.push_str(&text),
                (None, Some(html)) => html.push_str(&text),
                (None, None) => self.text(&text, false),
            },
            Event::Code(text) => self.text(&text, true),
            Event::Html(text) => {
                if let Some(html) = &mut self.html {
                    html.push_str(&text);
                }
            }
            Event::SoftBreak => self.text(" ", false),
            Event::HardBreak => self.inlines.push(Inline::Break),
            Event::Rule => {
                self.flush();
                self.push(Block::Rule);
            }
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Strong => self.strong += 1,
            Tag::Emphasis => self.emphasis += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } => self.links.push(web_address(&dest_url)),
            Tag::Image { .. } => self.links.push(None),
            Tag::TableCell => self.inlines.clear(),
            _ => {
                self.flush();
                let deep = self.stack.len() >= MAX_DEPTH;
                match tag {
                    Tag::BlockQuote(_) if !deep => self.stack.push(Open::Blocks(Within::Quote, Vec::new())),
                    Tag::List(start) if !deep => self.stack.push(Open::List(start, Vec::new())),
                    Tag::Item if matches!(self.stack.last(), Some(Open::List(..))) => self.stack.push(Open::Blocks(Within::Item, Vec::new())),
                    Tag::BlockQuote(_) | Tag::List(_) | Tag::Item => self.stack.push(Open::Flat),
                    Tag::CodeBlock(kind) => self.code = Some((language(&kind), String::new())),
                    Tag::HtmlBlock => self.html = Some(String::new()),
                    _ => {}
                }
            }
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.strong -= 1,
            TagEnd::Emphasis => self.emphasis -= 1,
            TagEnd::Strikethrough => self.strike -= 1,
            TagEnd::Link | TagEnd::Image => drop(self.links.pop()),
            TagEnd::Heading(level) => {
                let inlines = std::mem::take(&mut self.inlines);
                if !inlines.is_empty() {
                    self.push(Block::Heading(depth_of(level), inlines));
                }
            }
            TagEnd::CodeBlock => {
                if let Some((language, text)) = self.code.take() {
                    let text = text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_invisible(*c)).collect::<String>();
                    self.push(Block::Code { language, text: text.trim_end_matches('\n').to_owned() });
                }
            }
            TagEnd::HtmlBlock => {
                let text = without_tags(&self.html.take().unwrap_or_default());
                self.text(text.trim(), false);
                self.flush();
            }
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.inlines)),
            TagEnd::TableHead => self.head = std::mem::take(&mut self.row),
            TagEnd::TableRow => self.rows.push(std::mem::take(&mut self.row)),
            TagEnd::Table => {
                let (head, rows) = (std::mem::take(&mut self.head), std::mem::take(&mut self.rows));
                self.push(Block::Table { head, rows });
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => {
                self.flush();
                self.close();
            }
            _ => self.flush(),
        }
    }

    /// Closes the innermost of what is open.
    fn close(&mut self) {
        match self.stack.pop() {
            Some(Open::Blocks(Within::Quote, blocks)) if !blocks.is_empty() => self.push(Block::Quote(blocks)),
            Some(Open::List(start, items)) if !items.is_empty() => self.push(Block::List { start, items }),
            Some(Open::Blocks(Within::Item, blocks)) => {
                if let Some(Open::List(_, items)) = self.stack.last_mut() {
                    items.push(blocks);
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, block: Block) {
        let innermost = self.stack.iter_mut().rev().find_map(|open| match open {
            Open::Blocks(_, blocks) => Some(blocks),
            _ => None,
        });
        if let Some(blocks) = innermost {
            blocks.push(block);
        }
    }

    /// Text that stands without a paragraph, as in a tight list, is one.
    fn flush(&mut self) {
        let inlines = std::mem::take(&mut self.inlines);
        if inlines.iter().any(|inline| matches!(inline, Inline::Text(text, _) if !text.trim().is_empty())) {
            self.push(Block::Paragraph(inlines));
        }
    }

    fn text(&mut self, text: &str, code: bool) {
        let marks = Marks {
            strong: self.strong > 0,
            emphasis: self.emphasis > 0,
            strike: self.strike > 0,
            code,
            link: self.links.iter().rev().find_map(Clone::clone),
        };
        // A character reference may stand for anything.
        let text: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_invisible(*c)).collect();
        match self.inlines.last_mut() {
            _ if text.is_empty() => {}
            Some(Inline::Text(before, same)) if *same == marks => before.push_str(&text),
            _ => self.inlines.push(Inline::Text(text, marks)),
        }
    }
}

fn language(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else { return None };
    let word = info.split_whitespace().next()?.to_ascii_lowercase();
    (word.len() <= 20 && word.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(word)
}

fn depth_of(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// What is left of HTML without comments and tags.
fn without_tags(html: &str) -> String {
    let (mut out, mut rest) = (String::new(), html);
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let from = &rest[at..];
        let end = if from.starts_with("<!--") {
            from.find("-->").map_or(Some(from.len()), |end| Some(end + 3))
        } else if from[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
            from.find('>').map(|end| end + 1)
        } else {
            None
        };
        match end {
            Some(end) => rest = &from[end..],
            None => {
                out.push('<');
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Inline {
        Inline::Text(text.to_owned(), Marks::default())
    }

    #[test]
    fn what_is_only_html_is_dropped_and_its_words_stay() {
        assert_eq!(parse("<!-- kubeops:trailer -->\n\nDone"), [Block::Paragraph(vec![plain("Done")])]);
        assert_eq!(parse("a <b>bold</b> word"), [Block::Paragraph(vec![plain("a bold word")])]);
        assert_eq!(parse("<div>\nkept\n</div>"), [Block::Paragraph(vec![plain("kept")])]);
        assert_eq!(without_tags("1 < 2 <i>and</i> <!-- open"), "1 < 2 and ");
    }

    #[test]
    fn images_are_their_words_and_links_lead_to_the_web_alone() {
        assert_eq!(parse("![a chart](https://x.example/a.png)"), [Block::Paragraph(vec![plain("a chart")])]);
        for address in ["javascript:alert(1)", "file:///etc/passwd", "mailto:a@b.example", "https://me:pw@x.example", "/relative"] {
            assert_eq!(parse(&format!("[go](<{address}>)")), [Block::Paragraph(vec![plain("go")])], "{address}");
        }
        let marks = Marks { link: Some("https://x.example/a".to_owned()), ..Marks::default() };
        assert_eq!(parse("[go](https://x.example/a)"), [Block::Paragraph(vec![Inline::Text("go".to_owned(), marks)])]);
    }

    #[test]
    fn however_deep_a_text_is_its_words_are_found() {
        let deep = format!("{} end", ">".repeat(5_000));
        assert!(format!("{:?}", parse(&deep)).contains("end"));
        let listed: String = (0..200).map(|depth| format!("{}- item{depth}\n", "  ".repeat(depth))).collect();
        let shown = format!("{:?}", parse(&listed));
        assert!((0..200).all(|depth| shown.contains(&format!("item{depth}"))), "{shown}");
    }

    #[test]
    fn a_long_text_is_cut_with_a_sign_that_stands_apart() {
        let long = format!("```\n{}\n```", "word ".repeat(20_000));
        let blocks = bounded(&long, 1_000, <[Block]>::to_vec, |blocks| format!("{blocks:?}").len());
        assert_eq!(blocks.last(), Some(&Block::Paragraph(vec![plain(CUT)])));
        assert!(matches!(&blocks[0], Block::Code { text, .. } if text.len() > 300));
        let short = bounded("all of it", 1_000, <[Block]>::to_vec, |blocks| format!("{blocks:?}").len());
        assert_eq!(short, [Block::Paragraph(vec![plain("all of it")])]);
    }
}
