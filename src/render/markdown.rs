//! Values in GitHub flavoured Markdown: words stay words, everything else becomes a code span, in which nothing is markup.
//! For that to hold, the template's own text must not leave a code span, an HTML tag or a backslash open around a value.
//! <https://github.github.com/gfm/>

use super::source::{Fault, Kind, Piece, place};

/// A value of one line, without hidden characters, as Markdown. `code`: always as a code span. `table`: pipes are escaped, as a row of a table wants it.
pub(super) fn inline(value: &str, code: bool, table: bool) -> String {
    if value.is_empty() || (!code && value.split(' ').enumerate().all(|(at, word)| is_word(word, at == 0))) {
        return value.to_owned();
    }
    let longest = longest_run(value);
    // A span of n backticks may hold no run of exactly n; longer than any run is simplest.
    let ticks = "`".repeat(longest + 1);
    let pad = if value.starts_with('`') || value.ends_with('`') { " " } else { "" };
    let value = if table { value.replace('|', "\\|") } else { value.to_owned() };
    format!("{ticks}{pad}{value}{pad}{ticks}")
}

/// A value as a fenced code block on lines of its own.
pub(super) fn fence(value: &str) -> String {
    let fence = "`".repeat(longest_run(value).max(2) + 1);
    let kept: String = value.replace("\r\n", "\n").chars().filter(|c| *c == '\n' || *c == '\t' || crate::manifest::is_shown(*c)).collect();
    format!("\n{fence}text\n{}\n{fence}\n", kept.trim_end_matches('\n'))
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Whether a word means only itself wherever it stands: no markup, no mention, no reference, no link.
fn is_word(word: &str, first: bool) -> bool {
    let body = word.strip_suffix([',', '.', ';', '!', '?']).unwrap_or(word);
    let lower = body.to_ascii_lowercase();
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let whole = body.starts_with(char::is_alphanumeric) && body.ends_with(char::is_alphanumeric) && body.chars().all(inner);
    let number = body.bytes().all(|b| b.is_ascii_digit());
    let reference = lower.strip_prefix("gh-").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let commit = (7..=64).contains(&lower.len()) && lower.bytes().all(|b| b.is_ascii_hexdigit());
    // `1.` at the start of a line is a list.
    let item = first && number && word.len() > body.len();
    whole && !reference && !commit && !item && !lower.starts_with("www.")
}

/// Checks the template's own text, and finds the expressions it wraps in backticks: index of the piece, and how many backticks stand on each side.
pub(super) fn check(source: &str, pieces: &[Piece<'_>]) -> Result<Vec<(usize, usize)>, Fault> {
    let mut wrapped = Vec::new();
    for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.kind == Kind::Expression) {
        let before = at.checked_sub(1).map(|index| &pieces[index]).filter(|p| p.kind == Kind::Text).map_or("", |p| p.inner);
        let after = pieces.get(at + 1).filter(|p| p.kind == Kind::Text).map_or("", |p| p.inner);
        let left = before.len() - before.trim_end_matches('`').len();
        let right = after.len() - after.trim_start_matches('`').len();
        let here = place(source, piece.start);
        if before.ends_with('\\') {
            return Err(Fault::new(here, "a backslash before a value").hint("leave it out: a value is never markup"));
        }
        if before.ends_with('$') && after.starts_with('$') {
            return Err(Fault::new(here, "a value within a formula (`$`)").hint("put it outside of the formula"));
        }
        if left != right {
            return Err(Fault::new(here, "a backtick beside a value").hint("wrap the value alone, `{{ value }}`, or put a space between"));
        }
        if left > 0 {
            wrapped.push((at, left));
        }
    }
    values_apart(source, pieces, &wrapped)?;
    spans_closed(source, pieces, &wrapped)?;
    html_closed(source, pieces)?;
    Ok(wrapped)
}

/// Something always stands between two values: the backticks of two code spans side by side would be read as one run.
fn values_apart(source: &str, pieces: &[Piece<'_>], wrapped: &[(usize, usize)]) -> Result<(), Fault> {
    let ticks = |index: usize| wrapped.iter().find(|(found, _)| *found == index).map_or(0, |(_, ticks)| *ticks);
    for at in 1..pieces.len() {
        let (left, right) = (&pieces[at - 1], &pieces[at]);
        let touches = right.kind == Kind::Expression && left.kind != Kind::Text || left.kind == Kind::Expression && right.kind != Kind::Text;
        let between = right.kind == Kind::Text
            && left.kind == Kind::Expression
            && pieces.get(at + 1).is_some_and(|next| next.kind == Kind::Expression)
            && right.inner.len() <= ticks(at - 1) + ticks(at + 1);
        if touches || between {
            return Err(Fault::new(place(source, right.start), "a value directly beside another value or a tag")
                .hint("put a space between; for a choice write {{ one if condition else other }}"));
        }
    }
    Ok(())
}

/// Every code span of the template's own text is closed, and holds no value unless it holds nothing else.
fn spans_closed(source: &str, pieces: &[Piece<'_>], wrapped: &[(usize, usize)]) -> Result<(), Fault> {
    let mut open: Option<(usize, usize)> = None;
    for (at, piece) in pieces.iter().enumerate() {
        if piece.kind != Kind::Text {
            if let Some((_, start)) = open {
                let fault = Fault::new(place(source, start), "a value or a tag within a code span or code block");
                return Err(fault.hint("wrap the value alone, `{{ value }}`, or make a block of it: {{ value | fence }}"));
            }
            continue;
        }
        let ticks = |index: usize| wrapped.iter().find(|(found, _)| *found == index).map_or(0, |(_, ticks)| *ticks);
        let lead = at.checked_sub(1).map_or(0, ticks);
        let body = &piece.inner[lead..piece.inner.len() - ticks(at + 1)];
        let mut rest = body;
        while let Some(found) = rest.find('`') {
            let run = rest[found..].len() - rest[found..].trim_start_matches('`').len();
            let start = piece.start + lead + (body.len() - rest.len()) + found;
            if rest[..found].ends_with('\\') {
                return Err(Fault::new(place(source, start), "an escaped backtick").hint("use a code span of two backticks"));
            }
            open = match open {
                None => Some((run, start)),
                Some((length, _)) if length == run => None,
                still => still,
            };
            rest = &rest[found + run..];
        }
    }
    open.map_or(Ok(()), |(_, start)| Err(Fault::new(place(source, start), "a code span that is not closed").hint("close it with as many backticks")))
}

/// Raw HTML is refused: within it a code span is no code span. Links in angle brackets are fine when they hold no value.
fn html_closed(source: &str, pieces: &[Piece<'_>]) -> Result<(), Fault> {
    for piece in pieces.iter().filter(|piece| piece.kind == Kind::Text) {
        for (found, _) in piece.inner.match_indices('<') {
            let rest = &piece.inner[found + 1..];
            let opens = rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
            let link = rest.split_once('>').is_some_and(|(url, _)| {
                (url.starts_with("https://") || url.starts_with("http://")) && !url.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '`'))
            });
            if opens && !link {
                let at = place(source, piece.start + found);
                return Err(Fault::new(at, "HTML in Markdown is not allowed here").hint("use Markdown, or write the bracket as &lt;"));
            }
        }
    }
    Ok(())
}
