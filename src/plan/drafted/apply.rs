//! The operations of an answer, done in order on the tree: each sees what those before it left. Nothing is guessed; what cannot be done
//! is said, and the others are done all the same, so that all of it is said at once.

use super::answer::{Answer, Operation};
use super::guard::Guard;
use super::judge::beyond;
use super::replace;
use super::violation::Violation;
use crate::inventory::Target;
use crate::manifest::ObjectAddress;
use crate::plan::recipe::edits::{Beyond, LiteralEdit, Literals};
use crate::plan::staged::{Found, Staged};
use crate::plan::{BaseTree, PlanError, TreeError};
use crate::types::ManifestPath;

/// The largest file there is that is written anew, in bytes: a larger one is too easily written with something left out.
const SMALL: usize = 16 * 1024;

/// An answer on its way into a tree.
pub(super) struct Application<'a, 'b> {
    pub(super) guard: &'a Guard,
    pub(super) target: &'a Target,
    pub(super) base: &'b dyn BaseTree,
    pub(super) staged: Staged<'b>,
}

/// What stopped one operation.
pub(super) enum Stopped {
    Violation(Violation),
    Tree(TreeError),
}

impl From<Violation> for Stopped {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<TreeError> for Stopped {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

impl From<PlanError> for Stopped {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Tree(error) => Self::Tree(error),
            PlanError::Edit { path, message } => Violation::of("draft.apply", Some(path.as_str()), message).into(),
            error => Violation::of("draft.apply", None, error.to_string()).into(),
        }
    }
}

impl Application<'_, '_> {
    /// Does every operation, and has kustomizations name what is new and no longer what is gone.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub(super) fn all(&mut self, answer: &Answer, into: &mut Vec<Violation>) -> Result<(), TreeError> {
        let mut failed = false;
        for operation in &answer.operations {
            failed |= noted(self.one(operation), into)?;
        }
        if !failed {
            let kept = self.staged.keep_kustomizations().map_err(Stopped::from);
            noted(kept, into)?;
        }
        Ok(())
    }

    fn one(&mut self, operation: &Operation) -> Result<(), Stopped> {
        match operation {
            Operation::Edit { file, object, set, merge, append, remove } => {
                let (file, object) = (self.file(file.as_deref())?, address(object.as_deref())?);
                self.edit(file.as_ref(), object.as_ref(), Literals { set, merge, append, remove })
            }
            Operation::Replace { file, search, replace } => {
                let path = self.path(file)?;
                let Some(text) = self.staged.text(&path)? else { return Err(missing(&path)) };
                let text = replace::once(&text, search, replace).map_err(|message| Violation::of("draft.match", Some(path.as_str()), message))?;
                self.say(&path, text)
            }
            Operation::File { file, content } => {
                let path = self.path(file)?;
                if self.staged.text(&path)?.is_some_and(|text| text.len() > SMALL) {
                    let message =
                        format!("a file of more than {SMALL} bytes is not written anew: change what is to change in it, by `edit` or `replace`");
                    return Err(Violation::of("draft.large", Some(path.as_str()), message).into());
                }
                let ended = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
                self.say(&path, format!("{content}{ended}"))
            }
            Operation::Remove { file, object } => {
                let (file, object) = (self.file(file.as_deref())?, address(object.as_deref())?);
                self.remove(file.as_ref(), object.as_ref())
            }
        }
    }

    /// The file an operation names, which may be written.
    fn path(&self, file: &str) -> Result<ManifestPath, Stopped> {
        let path = file.parse::<ManifestPath>().map_err(|error| Violation::grave("draft.path", Some(file), error.to_string()))?;
        match beyond(self.guard, &path, self.target, self.base)? {
            Some(violation) => Err(violation.into()),
            None => Ok(path),
        }
    }

    fn file(&self, file: Option<&str>) -> Result<Option<ManifestPath>, Stopped> {
        file.map(|file| self.path(file)).transpose()
    }

    fn say(&mut self, path: &ManifestPath, text: String) -> Result<(), Stopped> {
        let message = |error| format!("the file would not be read: {error}");
        self.staged.say(path, text).map_err(|error| Violation::of("draft.syntax", Some(path.as_str()), message(error)).into())
    }

    fn edit(&mut self, file: Option<&ManifestPath>, object: Option<&ObjectAddress>, literals: Literals<'_>) -> Result<(), Stopped> {
        let path = file.map(ManifestPath::as_str);
        let edit = LiteralEdit::read(literals).map_err(|message| Violation::of("draft.apply", path, message))?;
        let (guard, target, base) = (self.guard, self.target, self.base);
        // A base that cannot be read is told by what reads it next.
        let may_change = |path: &ManifestPath| matches!(beyond(guard, path, target, base), Ok(None));
        match edit.apply(file, object, &mut self.staged, &may_change) {
            Ok(()) => Ok(()),
            Err(Beyond::File(decides)) => Err(elsewhere(&decides)),
            Err(Beyond::Plan(error @ PlanError::Object(_))) => match object.filter(|_| file.is_none()) {
                Some(object) => {
                    self.found(object)?;
                    Err(error.into())
                }
                None => Err(error.into()),
            },
            Err(Beyond::Plan(error)) => Err(error.into()),
        }
    }

    fn remove(&mut self, file: Option<&ManifestPath>, object: Option<&ObjectAddress>) -> Result<(), Stopped> {
        match (file, object) {
            (Some(file), None) => match self.staged.remove(file)? {
                true => Ok(()),
                false => Err(missing(file)),
            },
            (Some(file), Some(object)) => match self.staged.find_in(file, object)? {
                Some(found) => Ok(self.staged.remove_object(&found)?),
                None => Err(Violation::of("draft.apply", Some(file.as_str()), format!("there is no {object} in it")).into()),
            },
            (None, Some(object)) => {
                let found = self.found(object)?;
                match beyond(self.guard, &found.path, self.target, self.base)? {
                    Some(_) => Err(elsewhere(&found.path)),
                    None => Ok(self.staged.remove_object(&found)?),
                }
            }
            (None, None) => Ok(()),
        }
    }

    /// The object in whichever file it stands; what stands in files the model may not read is not told.
    fn found(&mut self, object: &ObjectAddress) -> Result<Found, Stopped> {
        let within = &self.target.path;
        let message = match self.staged.find(object) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => format!("there is no {object} below {within}"),
            Err(PlanError::Object(_)) => format!("{object} stands in more than one place below {within}, or cannot be looked for: name the `file`"),
            Err(error) => return Err(error.into()),
        };
        Err(Violation::of("draft.apply", None, message).into())
    }
}

/// Notes a violation; whether there was one.
fn noted(done: Result<(), Stopped>, into: &mut Vec<Violation>) -> Result<bool, TreeError> {
    match done {
        Ok(()) => Ok(false),
        Err(Stopped::Violation(violation)) => {
            into.push(violation);
            Ok(true)
        }
        Err(Stopped::Tree(error)) => Err(error),
    }
}

fn address(object: Option<&str>) -> Result<Option<ObjectAddress>, Stopped> {
    let read = |object: &str| object.parse().map_err(|error: crate::manifest::AddressError| Violation::of("draft.apply", None, error.to_string()));
    Ok(object.map(read).transpose()?)
}

fn missing(path: &ManifestPath) -> Stopped {
    Violation::of("draft.apply", Some(path.as_str()), "there is no such file").into()
}

fn elsewhere(path: &ManifestPath) -> Stopped {
    Violation::grave("draft.path", Some(path.as_str()), "what decides this stands in a file that may not be written here").into()
}
