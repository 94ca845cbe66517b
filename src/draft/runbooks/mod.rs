//! Full-text search over the runbooks of the base: passages of Markdown under their headings, the best for a question. It lives in memory
//! and is made anew for each draft; what it holds was freed of secrets before. Words of a model are data and never syntax.

mod passages;
#[cfg(test)]
mod tests;

pub use passages::{Passage, Passages};

use super::Tool;
use super::tools::declared;
use crate::types::ErrorClass;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

/// Passages of one answer, at most, and their bytes together.
const BEST: i64 = 5;
const MAX_ANSWER: usize = 8 * 1024;
/// Words of a question that are looked for.
const MAX_WORDS: usize = 32;
/// What an index takes that holds nothing, in bytes.
const OWN: usize = 128 * 1024;

/// The index over the passages of one commit.
pub struct Runbooks {
    index: SqliteConnection,
    cut: bool,
    bytes: usize,
}

/// The index cannot be made or asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the runbooks cannot be searched: {0}")]
pub struct RunbookError(String);

impl RunbookError {
    /// Nothing outside is needed: it is ours.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Bug
    }
}

impl From<sqlx::Error> for RunbookError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a model gives to a search.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// A few words: the name of the alert, what is wrong.
    pub query: String,
}

impl Runbooks {
    /// The name of the tool.
    pub const TOOL: &'static str = "search_runbooks";

    /// What the tool is called and takes; its arguments are a [`Question`].
    pub fn declaration() -> Tool {
        declared::<Question>(Self::TOOL, "Searches the runbooks (Markdown) in the repository and answers with the passages that fit best.")
    }

    /// The index over passages.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn over(passages: &Passages) -> Result<Self, RunbookError> {
        let mut index = SqliteConnectOptions::new().in_memory(true).disable_statement_logging().connect().await?;
        let mut filled = index.begin().await?;
        sqlx::query("CREATE VIRTUAL TABLE passages USING fts5 (path, headings, text, line UNINDEXED, tokenize = 'porter unicode61')")
            .execute(&mut *filled)
            .await?;
        for passage in &passages.passages {
            sqlx::query("INSERT INTO passages (path, headings, text, line) VALUES (?, ?, ?, ?)")
                .bind(passage.path.as_str())
                .bind(passage.headings.join(" > "))
                .bind(passage.text.as_str())
                .bind(passage.line)
                .execute(&mut *filled)
                .await?;
        }
        filled.commit().await?;
        let bytes = passages.passages.iter().map(|passage| passage.path.len() + passage.text.len()).sum();
        Ok(Self { index, cut: passages.cut, bytes })
    }

    /// The memory it takes, about, in bytes: the texts, and as much again for where their words stand.
    pub fn weight(&self) -> usize {
        OWN + 2 * self.bytes
    }

    /// The passages that fit a question best, each with its file, line and headings.
    ///
    /// # Errors
    /// When the index cannot be asked.
    pub async fn search(&mut self, question: &Question) -> Result<String, RunbookError> {
        let Some(words) = words(&question.query) else { return Ok("search_runbooks takes a few words to look for".to_owned()) };
        // A word of a heading counts for more than one of the text.
        let best = sqlx::query(
            "SELECT path, headings, text, line FROM passages WHERE passages MATCH ? ORDER BY bm25(passages, 2.0, 4.0, 1.0), rowid LIMIT ?",
        );
        let rows = best.bind(words).bind(BEST).fetch_all(&mut self.index).await?;
        let mut answer = String::new();
        for row in &rows {
            let (path, headings, text, line): (String, String, String, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let passage = format!("{path}:{line}: {headings}\n{}\n\n", text.trim_end());
            if answer.len() + passage.len() > MAX_ANSWER {
                continue;
            }
            answer.push_str(&passage);
        }
        if answer.is_empty() {
            answer.push_str("no runbook speaks of that\n");
        }
        if self.cut {
            answer.push_str("(not every runbook was looked at: there are too many)\n");
        }
        Ok(answer)
    }
}

/// The words of a question, each in quotes, any of which may stand in a passage; none where there are none.
/// <https://www.sqlite.org/fts5.html#fts5_strings>
fn words(query: &str) -> Option<String> {
    let words: Vec<String> =
        query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(MAX_WORDS).map(|word| format!("\"{word}\"")).collect();
    (!words.is_empty()).then(|| words.join(" OR "))
}
