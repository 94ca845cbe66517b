//! Markdown files of the base, cut into passages: what stands under a heading, with the headings above it.

use crate::draft::{Redactor, TextKind};
use crate::plan::{BaseTree, TreeError};
use crate::types::{ErrorClass, below};
use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

/// Files that are read, at most, and their bytes together.
const MAX_FILES: usize = 2_000;
const MAX_BYTES: usize = 16 << 20;
/// Names that are looked at.
const MAX_NAMES: usize = 100_000;
/// The longest passage, in bytes: five of them make an answer.
const LONGEST: usize = 1_500;

/// A piece of a runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Its file.
    pub path: String,
    /// The line it begins on, from 1.
    pub line: u32,
    /// The headings it stands under, the highest first.
    pub headings: Vec<String>,
    /// The Markdown, without its heading.
    pub text: String,
}

/// The passages of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passages {
    /// In order of files and lines.
    pub passages: Vec<Passage>,
    /// Whether some were left out because there are too many.
    pub cut: bool,
}

impl Passages {
    /// The passages of the Markdown files of a tree for which `may_search` holds, without secrets.
    ///
    /// # Errors
    /// When the tree cannot be read now.
    pub fn of(base: &dyn BaseTree, may_search: &dyn Fn(&str) -> bool, redactor: &mut Redactor) -> Result<Self, TreeError> {
        let (paths, mut cut) = paths(base, may_search)?;
        let (mut passages, mut bytes) = (Vec::new(), 0);
        for path in &paths {
            let content = match base.bytes(path) {
                Ok(content) => content.unwrap_or_default(),
                Err(error) if error.class != ErrorClass::Transient => continue,
                Err(error) => return Err(error),
            };
            bytes += content.len();
            if bytes > MAX_BYTES {
                cut = true;
                break;
            }
            if let Ok(text) = String::from_utf8(content) {
                passages.extend(sections(path, &redactor.redact(&text, TextKind::Other)));
            }
        }
        Ok(Self { passages, cut })
    }
}

/// The Markdown files that may be searched, and whether there may be more.
fn paths(base: &dyn BaseTree, may_search: &dyn Fn(&str) -> bool) -> Result<(Vec<String>, bool), TreeError> {
    let is_markdown = |path: &str| [".md", ".markdown"].iter().any(|end| path.to_ascii_lowercase().ends_with(end));
    let (mut paths, mut names, mut directories) = (Vec::new(), 0, vec![String::new()]);
    while let Some(directory) = directories.pop() {
        for name in base.names(&directory)? {
            names += 1;
            let path = below(&directory, &name);
            match path.strip_suffix('/') {
                Some(inside) => directories.push(inside.to_owned()),
                None if is_markdown(&path) && may_search(&path) => paths.push(path),
                None => {}
            }
        }
        if paths.len() > MAX_FILES || names > MAX_NAMES {
            paths.sort_unstable();
            paths.truncate(MAX_FILES);
            return Ok((paths, true));
        }
    }
    paths.sort_unstable();
    Ok((paths, false))
}

/// What stands under each heading of a text.
pub(super) fn sections(path: &str, text: &str) -> Vec<Passage> {
    let (mut passages, mut headings) = (Vec::new(), Vec::<(HeadingLevel, String)>::new());
    let mut lines = LineNumbers { text, at: 0, line: 1 };
    let (mut start, mut title) = (0, None::<String>);
    for (event, range) in Parser::new(text).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                pieces(path, &headings, start, &text[start..range.start.max(start)], &mut lines, &mut passages);
                title = Some(String::new());
            }
            Event::End(TagEnd::Heading(level)) => {
                headings.retain(|(above, _)| *above < level);
                headings.push((level, title.take().unwrap_or_default()));
                start = range.end;
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some(title) = &mut title {
                    title.push_str(&words);
                }
            }
            _ => {}
        }
    }
    pieces(path, &headings, start, &text[start..], &mut lines, &mut passages);
    passages
}

/// Cuts a section into passages that are not too long, between paragraphs where that is possible, else between lines.
fn pieces(path: &str, headings: &[(HeadingLevel, String)], offset: usize, section: &str, lines: &mut LineNumbers<'_>, passages: &mut Vec<Passage>) {
    let mut rest = 0;
    while rest < section.len() {
        let left = &section[rest..];
        let blank = left.len() - left.trim_start_matches(['\n', '\r']).len();
        rest += blank;
        let left = &left[blank..];
        if left.trim().is_empty() {
            return;
        }
        let end = if left.len() <= LONGEST {
            left.len()
        } else {
            let window = &left[..left.floor_char_boundary(LONGEST)];
            window.rfind("\n\n").or_else(|| window.rfind('\n')).filter(|end| *end > 0).unwrap_or(window.len())
        };
        let headings = headings.iter().map(|(_, title)| title.clone()).collect();
        passages.push(Passage { path: path.to_owned(), line: lines.of(offset + rest), headings, text: left[..end].to_owned() });
        rest += end;
    }
}

/// Tells lines of places that are asked for in order.
struct LineNumbers<'t> {
    text: &'t str,
    at: usize,
    line: u32,
}

impl LineNumbers<'_> {
    fn of(&mut self, offset: usize) -> u32 {
        let passed = self.text.as_bytes().get(self.at..offset).unwrap_or_default();
        self.line += u32::try_from(passed.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX);
        self.at = offset.max(self.at);
        self.line
    }
}
