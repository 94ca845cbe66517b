//! Commands in comments on a request's pull request: read anew from the forge, allowed by the forge, done, and answered there.
//! A webhook is only a hint that there is a comment. What is done and the note of who did it by which comment are one write, so a step
//! that is run again finds it; the answer is kept before it is told, so there is one.

mod answers;
mod carry_out;
mod explain;

use super::{Pipeline, StepError, outcome};
use crate::failpoint;
use crate::forge::{Forge, Priority, Reaction, Remark};
use crate::request::{CommandLine, MOST_COMMANDS, Request, commands};
use crate::store::{CommandAnswer, CommandComment, CommandState, Settlement};
use std::sync::Arc;

/// Comments that were not heeded and are told of, in a request's timeline and by a sign: anybody may write more.
const NOTED_REFUSALS: usize = 20;
/// How those lines of the timeline begin.
const NOT_HEEDED: &str = "the commands in comment";

/// Who asked, by the forge's word, and in which place of which comment.
struct By {
    login: String,
    comment: u64,
    place: usize,
}

impl By {
    /// As the timeline names it: no other command has the same.
    fn actor(&self) -> String {
        match self.place {
            0 => format!("{} (comment {})", self.login, self.comment),
            place => format!("{} (comment {}, command {})", self.login, self.comment, place + 1),
        }
    }
}

/// What a comment turned out to be.
enum Reading {
    Commands {
        by: String,
        lines: Vec<CommandLine>,
    },
    /// Nobody's matter; the note says why, where somebody may wonder.
    Ignored {
        by: Option<String>,
        note: Option<String>,
        sign: bool,
    },
}

impl Pipeline {
    /// Does what comments on the request's pull request ask for. One that cannot be done now does not keep the others from it.
    pub(super) async fn heed_commands(self: &Arc<Self>, request: &Request) -> Result<Settlement, StepError> {
        let mut first_error = None;
        for comment in self.store.commands(&request.id).await? {
            if let Err(error) = self.heed(request, comment).await {
                first_error = first_error.or(Some(error));
            }
        }
        first_error.map_or_else(|| Ok(outcome::nothing()), Err)
    }

    async fn heed(self: &Arc<Self>, request: &Request, comment: CommandComment) -> Result<(), StepError> {
        let rules = self.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(&comment.repository) else {
            return self.keep_command(&CommandComment { state: CommandState::Ignored, ..comment }, None, request).await;
        };
        let asked_before = comment.state == CommandState::Done;
        let comment = if asked_before {
            comment
        } else {
            // Anybody may write one: until the forge says that its author may ask, it takes nothing from others.
            let forge = self.forges.forge(repository, Priority::Housekeeping)?;
            match self.read_commands(forge.as_ref(), &comment).await? {
                Reading::Ignored { by, note, sign } => {
                    let note = self.within_bounds(request, note).await?;
                    if sign && note.is_some() {
                        forge.react(comment.comment, Reaction::Refused).await?;
                        failpoint::hit("command.refused");
                    }
                    return self.keep_command(&CommandComment { state: CommandState::Ignored, by, ..comment }, note, request).await;
                }
                Reading::Commands { by, lines } => {
                    let answer = self.carry_out_all(request, &comment, &by, &lines).await?;
                    failpoint::hit("command.carried-out");
                    let what = lines.iter().take(MOST_COMMANDS).map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
                    let done = CommandComment { state: CommandState::Done, what: Some(what), by: Some(by), answer: Some(answer), ..comment };
                    self.keep_command(&done, None, request).await?;
                    failpoint::hit("command.kept");
                    done
                }
            }
        };
        let forge = self.forges.forge(repository, Priority::Ticket)?;
        self.answer(forge.as_ref(), &comment, asked_before).await?;
        self.keep_command(&CommandComment { state: CommandState::Told, ..comment }, None, request).await
    }

    /// The note, as long as there are not too many of its kind.
    async fn within_bounds(&self, request: &Request, note: Option<String>) -> Result<Option<String>, StepError> {
        let Some(note) = note else { return Ok(None) };
        let timeline = self.store.timeline(&request.id).await?;
        match timeline.iter().filter(|entry| entry.message.starts_with(NOT_HEEDED)).count() + 1 {
            NOTED_REFUSALS => Ok(Some(format!("{note}; further ones are not noted"))),
            many => Ok(Some(note).filter(|_| many < NOTED_REFUSALS)),
        }
    }

    /// What the comment says by the forge's word, and whether its author may ask.
    async fn read_commands(&self, forge: &dyn Forge, comment: &CommandComment) -> Result<Reading, StepError> {
        let ignored = |by: Option<String>, note| Ok(Reading::Ignored { by, note, sign: false });
        let Some(remark) = forge.remark(comment.comment).await? else { return ignored(None, None) };
        let Remark { pull, author, is_bot, is_ours, edited, body } = remark;
        let lines = commands(&body);
        if pull != Some(comment.number) || is_ours || is_bot || lines.is_empty() {
            return ignored(Some(author), None);
        }
        if edited {
            let note = format!("{NOT_HEEDED} {} by {author} were not heeded: it was changed after it was written", comment.comment);
            return ignored(Some(author), Some(note));
        }
        if !forge.may_write(&author).await? {
            let note = format!("{NOT_HEEDED} {} were not heeded: {author} may not write to the repository", comment.comment);
            return Ok(Reading::Ignored { by: Some(author), note: Some(note), sign: true });
        }
        Ok(Reading::Commands { by: author, lines })
    }

    async fn carry_out_all(
        self: &Arc<Self>,
        request: &Request,
        comment: &CommandComment,
        by: &str,
        lines: &[CommandLine],
    ) -> Result<CommandAnswer, StepError> {
        let mut all = Vec::new();
        for (place, line) in lines.iter().take(MOST_COMMANDS).enumerate() {
            let by = By { login: by.to_owned(), comment: comment.comment, place };
            all.push((line.text.as_str(), self.carry_out(&request.id, &by, line).await?));
            failpoint::hit("command.effect");
        }
        Ok(answers::together(all, lines.len()))
    }

    /// Says what came of it: a sign on the comment, and words where there are some.
    async fn answer(&self, forge: &dyn Forge, comment: &CommandComment, asked_before: bool) -> Result<(), StepError> {
        let Some(answer) = &comment.answer else { return Ok(()) };
        forge.react(comment.comment, if answer.refused { Reaction::Refused } else { Reaction::Done }).await?;
        failpoint::hit("command.reacted");
        if let Some(text) = &answer.text {
            forge.comment_once(comment.number, text, &format!("command:{}", comment.comment), asked_before).await?;
            failpoint::hit("command.answered");
        }
        Ok(())
    }

    async fn keep_command(&self, comment: &CommandComment, note: Option<String>, request: &Request) -> Result<(), StepError> {
        let timeline: Vec<_> = note.into_iter().map(|note| outcome::note(request, note, self.clock.as_ref())).collect();
        let comment = CommandComment { at: self.clock.now(), ..comment.clone() };
        Ok(self.store.note_command(&comment, &timeline).await?)
    }
}
