//! Markdown as Jira's wiki text: what comments in a Data Center are made of. Whatever would mean something there is escaped, so that no
//! text mentions anybody, includes an image or runs a macro.

use super::markdown::{self, Block, Inline, Marks};

/// The longest text, in UTF-16 units: Jira takes 32,767.
const MAX: usize = 32_000;
/// What a backslash takes the meaning from: the list in Jira's own renderer (`BackslashEscapeRendererComponent`), but `-`.
const ESCAPED: &str = "#*_+?^~|%{}[]()!@";
/// Languages that every Data Center colours; of one it does not know it shows an error instead of the code.
const LANGUAGES: &[&str] = &["bash", "go", "java", "javascript", "json", "python", "sql", "xml", "yaml"];

/// The wiki text of a Markdown text.
pub(super) fn of(text: &str) -> String {
    markdown::bounded(text, MAX, |found| blocks(found, "\n\n"), |text| text.encode_utf16().count())
}

fn blocks(found: &[Block], between: &str) -> String {
    found.iter().map(block).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(between)
}

fn block(found: &Block) -> String {
    match found {
        Block::Paragraph(text) => inlines(text),
        Block::Heading(level, text) => format!("h{level}. {}", one_line(text)),
        Block::Code { language, text } => code(language.as_deref(), text),
        Block::List { .. } => {
            let mut lines = Vec::new();
            list(found, "", &mut lines);
            lines.join("\n")
        }
        Block::Quote(within) => format!("{{quote}}\n{}\n{{quote}}", blocks(&unquoted(within), "\n\n")),
        Block::Table { head, rows } => {
            let row = |cells: &[Vec<Inline>], bar: &str| {
                let cells = cells.iter().map(|cell| one_line(cell)).map(|cell| if cell.is_empty() { " ".to_owned() } else { cell });
                format!("{bar}{}{bar}", cells.collect::<Vec<_>>().join(bar))
            };
            std::iter::once(row(head, "||")).chain(rows.iter().map(|cells| row(cells, "|"))).collect::<Vec<_>>().join("\n")
        }
        Block::Rule => "----".to_owned(),
    }
}

/// Quotes do not stand within each other there.
fn unquoted(within: &[Block]) -> Vec<Block> {
    let flat = |block: &Block| match block {
        Block::Quote(inner) => unquoted(inner),
        other => vec![other.clone()],
    };
    within.iter().flat_map(flat).collect()
}

/// Each item is a line that begins with the signs of all lists it stands in; what else is in it follows on lines of its own.
fn list(found: &Block, signs: &str, lines: &mut Vec<String>) {
    let Block::List { start, items } = found else { return };
    let signs = format!("{signs}{}", if start.is_some() { '#' } else { '*' });
    for item in items {
        let (first, rest) = match item.split_first() {
            Some((Block::Paragraph(text), rest)) => (inlines(text), rest),
            _ => ("\u{a0}".to_owned(), &item[..]),
        };
        lines.push(format!("{signs} {first}"));
        for block in unquoted(rest) {
            match block {
                Block::List { .. } => list(&block, &signs, lines),
                // A heading or a line would end the list.
                Block::Heading(_, text) => lines.push(inlines(&text)),
                Block::Rule => {}
                other => lines.push(self::block(&other)),
            }
        }
    }
}

/// Within code nothing can be escaped: what would end it is broken up, and so is a mention, which Jira looks for in code as well.
fn code(language: Option<&str>, text: &str) -> String {
    let language = language.filter(|language| LANGUAGES.contains(language));
    let (open, name) = match language {
        Some(language) => (format!("{{code:{language}}}"), "code"),
        None => ("{noformat}".to_owned(), "noformat"),
    };
    let harmless =
        ["{code", "{noformat", "[~"].iter().fold(text.to_owned(), |text, sign| text.replace(sign, &format!("{}\u{200b}{}", &sign[..1], &sign[1..])));
    format!("{open}\n{harmless}\n{{{name}}}")
}

fn one_line(text: &[Inline]) -> String {
    let line = |inline: &Inline| match inline {
        Inline::Break => Inline::Text(" ".to_owned(), Marks::default()),
        text => text.clone(),
    };
    inlines(&text.iter().map(line).collect::<Vec<_>>())
}

fn inlines(text: &[Inline]) -> String {
    let mut out = String::new();
    for inline in text {
        match inline {
            Inline::Break => out.push('\n'),
            Inline::Text(text, marks) => marked(text, marks, &mut out),
        }
    }
    out.trim().to_owned()
}

/// In braces a mark holds also where letters touch it.
fn marked(text: &str, marks: &Marks, out: &mut String) {
    let (mut open, mut close) = (String::new(), String::new());
    if marks.link.is_some() {
        open.push('[');
    }
    let simple = [("{*}", marks.strong), ("{_}", marks.emphasis), ("{-}", marks.strike)];
    for (sign, _) in simple.iter().filter(|(_, set)| *set && !marks.code) {
        open.push_str(sign);
        close.insert_str(0, sign);
    }
    if marks.code {
        open.push_str("{{");
        close.push_str("}}");
    }
    if let Some(link) = &marks.link {
        close.push('|');
        close.push_str(&address(link));
        close.push(']');
    }
    out.push_str(&open);
    escape(text, out);
    out.push_str(&close);
}

/// An address with nothing in it that means something within a link.
fn address(link: &str) -> String {
    let mut out = String::new();
    for c in link.chars() {
        match c {
            '|' | '[' | ']' | '{' | '}' | '^' | '\\' | '!' | '*' | '"' | '<' | '>' | '`' => out.push_str(&format!("%{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Text that means nothing: by a backslash where that helps, else by its number.
fn escape(text: &str, out: &mut String) {
    let mut before = out.chars().next_back();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        match c {
            '\\' => out.push_str("&#92;"),
            c if ESCAPED.contains(c) => out.extend(['\\', c]),
            // Dates, names and keys of issues stay readable.
            '-' if before.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric) => out.push('-'),
            '-' => out.push_str("\\-"),
            '&' if next.is_some_and(|next| next == '#' || next.is_ascii_alphabetic()) => out.push_str("&amp;"),
            // An address would become a link, and `:P` a face.
            ':' if next.is_some_and(|next| !next.is_whitespace() && !next.is_ascii_digit()) => out.push_str("&#58;"),
            '.' if begins_block(out) => out.push_str("&#46;"),
            c => out.push(c),
        }
        before = Some(c);
    }
}

/// Whether what stands on the line so far would make a heading or a quote with a dot.
fn begins_block(out: &str) -> bool {
    let line = out.rsplit('\n').next().unwrap_or_default().trim_start();
    matches!(line, "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "bq")
}

#[cfg(test)]
mod tests;
