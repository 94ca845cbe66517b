//! Commands in comments on a request's pull request and in reviews of it: read anew from the forge, allowed by the forge, done, and
//! answered where they were written.
//! A webhook is only a hint that there is a comment. What is done and the note of who did it by which comment are one write, so a step
//! that is run again finds it; the answer is kept before it is told, so there is one.

mod answers;
mod carry_out;
mod explain;

use super::{Pipeline, StepError, outcome};
use crate::failpoint;
use crate::forge::{Forge, ForgeError, Priority, Reaction, Remark};
use crate::request::{Command, CommandLine, MOST_COMMANDS, RemarkAddress, RemarkPlace, Request, commands};
use crate::store::{ClaimedTask, CommandAnswer, CommandComment, CommandState, Settlement};
use serde_json::Value;
use std::sync::Arc;

/// Characters of a review of a line that a model is told.
const MAX_REVIEW: usize = 2_000;

/// Remarks that were not heeded and are told of, in a request's timeline and by a sign: anybody may write more.
const NOTED_REFUSALS: usize = 20;
/// How those lines of the timeline begin.
const NOT_HEEDED: &str = "the commands in";

/// Who asked, by the forge's word, in which remark, and as which of its commands.
struct By {
    login: String,
    at: RemarkAddress,
    place: usize,
}

impl By {
    /// As the timeline names it: no other command has the same.
    fn actor(&self) -> String {
        match self.place {
            0 => format!("{} ({})", self.login, self.at),
            place => format!("{} ({}, command {})", self.login, self.at, place + 1),
        }
    }
}

/// What a remark turned out to be.
enum Reading {
    Commands {
        remark: Remark,
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
    /// Does what remarks about the request's pull request ask for. One that cannot be done now does not keep the others from it.
    pub(super) async fn heed_commands(self: &Arc<Self>, held: &ClaimedTask) -> Result<Settlement, StepError> {
        let mut first_error = None;
        for comment in self.store.commands(&held.request.id).await? {
            if let Err(error) = self.heed(held, comment).await {
                first_error = first_error.or(Some(error));
            }
        }
        first_error.map_or_else(|| Ok(outcome::nothing()), Err)
    }

    async fn heed(self: &Arc<Self>, held: &ClaimedTask, comment: CommandComment) -> Result<(), StepError> {
        let request = &held.request;
        let rules = self.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(&comment.repository) else {
            return self.keep_command(held, &CommandComment { state: CommandState::Ignored, ..comment }, None).await;
        };
        let asked_before = comment.state == CommandState::Done;
        let comment = if asked_before {
            comment
        } else {
            // Anybody may write one: until the forge says that its author may ask, it takes nothing from others.
            let forge = self.forges.forge(repository, Priority::Housekeeping)?;
            match self.read_commands(forge.as_ref(), request, &comment).await? {
                Reading::Ignored { by, note, sign } => {
                    let mut note = self.within_bounds(request, note).await?;
                    if let Some(note) = note.as_mut().filter(|_| sign) {
                        if let Some(unsigned) = put_sign(forge.as_ref(), &comment.at, Reaction::Refused).await? {
                            *note = format!("{note}; {unsigned}");
                        }
                        failpoint::hit("command.refused");
                    }
                    return self.keep_command(held, &CommandComment { state: CommandState::Ignored, by, ..comment }, note).await;
                }
                Reading::Commands { remark, lines } => {
                    let answer = self.carry_out_all(request, &remark, &lines).await?;
                    failpoint::hit("command.carried-out");
                    // There is no sign on a review, and a comment in the conversation has to say what it is about.
                    let answer = if remark.at.place == RemarkPlace::Review { answers::about_a_review(answer, &remark) } else { answer };
                    let by = remark.author;
                    let what = lines.iter().take(MOST_COMMANDS).map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
                    let done = CommandComment { state: CommandState::Done, what: Some(what), by: Some(by), answer: Some(answer), ..comment };
                    self.keep_command(held, &done, None).await?;
                    failpoint::hit("command.kept");
                    done
                }
            }
        };
        let forge = self.forges.forge(repository, Priority::Ticket)?;
        let note = self.answer(forge.as_ref(), &comment, asked_before).await?;
        self.keep_command(held, &CommandComment { state: CommandState::Told, ..comment }, note).await
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

    /// What the remark says by the forge's word, and whether its author may ask.
    async fn read_commands(&self, forge: &dyn Forge, request: &Request, comment: &CommandComment) -> Result<Reading, StepError> {
        let ignored = |by: Option<String>, note| Ok(Reading::Ignored { by, note, sign: false });
        let Some(remark) = forge.remark(&comment.at).await? else { return ignored(None, None) };
        let (at, author) = (remark.at, remark.author.clone());
        let mut lines = commands(&remark.body);
        // A comment that only says what is wrong with a drafted line is a wish to the model, if its author may have one.
        let wish = if lines.is_empty() { review_of_a_draft(request, &remark) } else { None };
        if wish.is_some() && (remark.is_ours || remark.is_bot || remark.edited != Some(false) || !forge.may_write(&author).await?) {
            return ignored(Some(author), None);
        }
        lines.extend(wish);
        if remark.is_ours || remark.is_bot || lines.is_empty() {
            return ignored(Some(author), None);
        }
        match remark.edited {
            Some(false) => {}
            Some(true) => {
                let note = format!("{NOT_HEEDED} {at} by {author} were not heeded: it was changed after it was written");
                return ignored(Some(author), Some(note));
            }
            None => {
                let note = format!("{NOT_HEEDED} {at} by {author} were not heeded: the forge does not tell whether it was changed since");
                return ignored(Some(author), Some(note));
            }
        }
        if !forge.may_write(&author).await? {
            let note = format!("{NOT_HEEDED} {at} were not heeded: {author} may not write to the repository");
            return Ok(Reading::Ignored { by: Some(author), note: Some(note), sign: true });
        }
        Ok(Reading::Commands { remark, lines })
    }

    async fn carry_out_all(self: &Arc<Self>, request: &Request, remark: &Remark, lines: &[CommandLine]) -> Result<CommandAnswer, StepError> {
        let mut all = Vec::new();
        for (place, line) in lines.iter().take(MOST_COMMANDS).enumerate() {
            let by = By { login: remark.author.clone(), at: remark.at, place };
            all.push((line.text.as_str(), self.carry_out(&request.id, &by, line).await?));
            failpoint::hit("command.effect");
        }
        Ok(answers::together(all, lines.len()))
    }

    /// Says what came of it, where it was asked: a sign, and words where there are some, or where the forge allows no sign. Tells what
    /// is to be noted of that.
    async fn answer(&self, forge: &dyn Forge, comment: &CommandComment, asked_before: bool) -> Result<Option<String>, StepError> {
        let Some(answer) = &comment.answer else { return Ok(None) };
        let unsigned = put_sign(forge, &comment.at, if answer.refused { Reaction::Refused } else { Reaction::Done }).await?;
        failpoint::hit("command.reacted");
        let in_words = unsigned.as_ref().map(|_| answers::instead_of_a_sign(comment.what.as_deref().unwrap_or_default()));
        if let Some(text) = answer.text.as_ref().or(in_words.as_ref()) {
            forge.answer_once(&comment.at, text, &marker(&comment.at), asked_before).await?;
            failpoint::hit("command.answered");
        }
        Ok(unsigned)
    }

    async fn keep_command(&self, held: &ClaimedTask, comment: &CommandComment, note: Option<String>) -> Result<(), StepError> {
        let timeline: Vec<_> = note.into_iter().map(|note| outcome::note(&held.request, note, self.clock.as_ref())).collect();
        let comment = CommandComment { since: self.clock.now(), ..comment.clone() };
        Ok(self.store.note_command(held, &comment, &timeline).await?)
    }
}

/// What somebody who began a thread on a line of a drafted change wants of the model that drafted it.
fn review_of_a_draft(request: &Request, remark: &Remark) -> Option<CommandLine> {
    let drafted = request.changes.as_ref().is_some_and(|changes| changes.drafted.is_some());
    let replies = remark.raw.get("in_reply_to_id").is_some_and(|before| !before.is_null());
    let said = remark.body.trim();
    if !drafted || replies || said.is_empty() || remark.at.place != RemarkPlace::Thread {
        return None;
    }
    let file = remark.raw.get("path").and_then(Value::as_str).unwrap_or("a file");
    let line = remark.raw.get("line").and_then(Value::as_u64).map(|line| format!(", line {line}")).unwrap_or_default();
    let wish = format!("About {file}{line}: {said}").chars().take(MAX_REVIEW).collect();
    Some(CommandLine { text: "a review of a line".to_owned(), command: Ok(Command::Revise(wish)) })
}

/// Puts a sign on a remark; tells that the forge does not allow it, because an answer is worth more than its sign.
async fn put_sign(forge: &dyn Forge, at: &RemarkAddress, sign: Reaction) -> Result<Option<String>, ForgeError> {
    match forge.react(at, sign).await {
        Ok(()) => Ok(None),
        Err(ForgeError::Forbidden { forge, message }) => Ok(Some(format!("{at} got no sign, because {forge} does not allow it ({message})"))),
        Err(error) => Err(error),
    }
}

/// What the answer to a remark is known by.
fn marker(at: &RemarkAddress) -> String {
    match at.place {
        RemarkPlace::Conversation => format!("command:{}", at.id),
        place => format!("command:{}:{}", place.as_str(), at.id),
    }
}
