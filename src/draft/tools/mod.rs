//! What a model may look at: files of the base that its automation lets it read, freed of secrets before anything else is done with them,
//! so that no search tells what was withheld. A file out of its reach is answered as one that is not there. Nothing here writes.

mod arguments;
mod files;
mod find;
mod list;
mod read;
mod search;
#[cfg(test)]
pub(in crate::draft) mod tests;

pub(in crate::draft) use arguments::tool as declared;

use super::{Arguments, Call, Redactor, Tool};
use crate::plan::{BaseTree, TreeError};
use files::Files;

/// The longest answer of a tool, in bytes, without the note of how to go on.
const MAX_ANSWER: usize = 32 * 1024;

/// The tools over one commit, for one draft.
pub struct Tools<'t> {
    files: Files<'t>,
}

impl<'t> Tools<'t> {
    /// The tools over a tree. Of its files those are there for which `may_read` holds.
    pub fn new(base: &'t dyn BaseTree, may_read: &'t dyn Fn(&str) -> bool, redactor: &'t mut Redactor) -> Self {
        Self { files: Files::new(base, may_read, redactor) }
    }

    /// What the tools are called and take.
    pub fn declarations() -> Vec<Tool> {
        vec![list::tool(), read::tool(), search::tool(), find::tool()]
    }

    /// Whether a tool is one of these.
    pub fn is_one(name: &str) -> bool {
        [list::NAME, read::NAME, search::NAME, find::NAME].contains(&name)
    }

    /// What the model is told of a call; none where it is no tool of these. Wrong arguments are answered with what is wrong.
    ///
    /// # Errors
    /// When the base cannot be read now.
    pub fn answer(&mut self, call: &Call) -> Option<Result<String, TreeError>> {
        let arguments = &call.arguments;
        let answer = match call.name.as_str() {
            list::NAME => answered(list::NAME, arguments, |wanted| list::answer(&mut self.files, &wanted)),
            read::NAME => answered(read::NAME, arguments, |wanted| read::answer(&mut self.files, &wanted)),
            search::NAME => answered(search::NAME, arguments, |wanted| search::answer(&mut self.files, &wanted)),
            find::NAME => answered(find::NAME, arguments, |wanted| find::answer(&mut self.files, &wanted)),
            _ => return None,
        };
        Some(answer)
    }
}

/// Why a call has no answer.
enum Refused {
    /// The model can mend it: it is told.
    Told(String),
    /// The base cannot be read.
    Tree(TreeError),
}

impl From<TreeError> for Refused {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

fn answered<A: serde::de::DeserializeOwned>(
    name: &str,
    given: &Arguments,
    answer: impl FnOnce(A) -> Result<String, Refused>,
) -> Result<String, TreeError> {
    match arguments::read(name, given).and_then(answer) {
        Ok(answer) => Ok(answer),
        Err(Refused::Told(why)) => Ok(why),
        Err(Refused::Tree(error)) => Err(error),
    }
}

/// An answer of lines, as many as there is room for.
struct Lines {
    text: String,
    most: usize,
    count: usize,
    left_out: usize,
}

impl Lines {
    /// At most so many lines.
    fn new(most: usize) -> Self {
        Self { text: String::new(), most, count: 0, left_out: 0 }
    }

    fn push(&mut self, line: &str) {
        if self.is_full() || self.text.len() + line.len() >= MAX_ANSWER {
            self.left_out += 1;
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
        self.count += 1;
    }

    fn is_full(&self) -> bool {
        self.left_out > 0 || self.count >= self.most
    }

    /// The lines with what else is to be said, or what is said when there are none.
    fn end(mut self, none: &str, notes: &[String]) -> String {
        if self.count == 0 && notes.is_empty() {
            return none.to_owned();
        }
        if self.count == 0 {
            self.text = format!("{none}\n");
        }
        for note in notes {
            self.text.push_str(&format!("({note})\n"));
        }
        self.text
    }
}
