//! A conversation with a model, turn by turn, as data: what is said next follows from what was said so far and from nothing else, so that
//! it can be taken up again after a crash and run once more without a network.

use super::{Arguments, Call, CallResult, End, Exchange, Message, Reply, Tool};
use crate::validate::Finding;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// The tool a model proposes its change with.
pub const PROPOSE: &str = "propose_change";
/// The tool a model says with that nothing is to be changed, or that it cannot be done.
pub const NO_CHANGE: &str = "no_change";
/// What became of a reply that was cut, for people.
pub(super) const CUT: &str = "the reply was cut off at the length it may have";
/// The same for the model.
pub(super) const SHORTER: &str =
    "Your reply was cut off: it is longer than it may be. Answer with less: name fields and pieces of text instead of whole files.";
/// How often a model may mend an answer that was refused.
pub const MOST_REPAIRS: usize = 3;
/// Calls of one reply that are answered.
const MOST_CALLS: usize = 16;
/// Findings a model is told at once.
const MOST_FINDINGS: usize = 20;
/// The longest reason of a model that is kept, in characters.
const MAX_REASON: usize = 2_000;

/// A tool that a model says with that nothing follows; `reason` says what is wanted as its only argument.
pub(super) fn ends(name: &str, description: &str, reason: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object",
            "properties": { "reason": { "type": "string", "description": reason } },
            "required": ["reason"],
            "additionalProperties": false
        }),
    }
}

/// What a conversation begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// Who the model is and what it may do.
    pub system: String,
    /// The task, and what is known of it.
    pub task: String,
    /// What it may call.
    pub tools: Vec<Tool>,
}

/// A conversation so far.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// What it began with.
    pub brief: Brief,
    /// The model's replies, each with what it was told of it; the last may still wait for that.
    pub turns: Vec<(Reply, Option<Response>)>,
}

/// What a model is told of a reply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// What its calls gave, one for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<CallResult>,
    /// What it is told where it called nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
    /// The answer that was refused with it, or why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// An answer that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// SHA-256 over it, in hex; of something that is no answer, over what it said.
    pub digest: String,
    /// Why, for people.
    pub findings: Vec<Finding>,
    /// Whether it crossed a line drawn for safety, of which the model hears nothing more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security: bool,
}

/// What the gate says of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may be proposed.
    Passes,
    /// It may not.
    Refused {
        /// Why, for people.
        findings: Vec<Finding>,
        /// Whether it crosses a line drawn for safety.
        security: bool,
    },
}

/// Where a model's calls are answered and its answers judged.
#[async_trait]
pub trait Bench: Send + Sync {
    /// Why something could not be looked at, through no fault of the model's.
    type Error;

    /// What a tool that only reads tells; an error of the model's own is a text too.
    async fn look(&self, call: &Call) -> Result<String, Self::Error>;

    /// A text without what must not leave. Everything a model is told has passed it.
    fn withhold(&self, text: &str) -> String;

    /// What the gate says of an answer; what it says to people holds nothing that must not leave either.
    async fn judge(&self, answer: &Value) -> Result<Verdict, Self::Error>;
}

/// What follows from a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It is told this, and answers again.
    GoesOn(Response),
    /// It proposed what the gate lets through.
    Answered(Value),
    /// It says that nothing is to be changed, or that it cannot be done.
    Declined {
        /// Why, in its own words.
        reason: String,
    },
    /// It came to nothing that may be proposed.
    Fails {
        /// Why, in a sentence of ours.
        message: String,
        /// What was found wrong with the last answer.
        findings: Vec<Finding>,
    },
}

impl Conversation {
    /// A conversation in which nothing was answered yet.
    pub fn new(brief: Brief) -> Self {
        Self { brief, turns: Vec::new() }
    }

    /// All that is said to the model for its next answer.
    pub fn exchange(&self, max_tokens: u32) -> Exchange {
        let mut messages = vec![Message::User(self.brief.task.clone())];
        for (reply, response) in &self.turns {
            messages.push(Message::Model { text: reply.text.clone(), calls: reply.calls.clone() });
            let Some(response) = response else { continue };
            if !response.results.is_empty() {
                messages.push(Message::Results(response.results.clone()));
            }
            messages.extend(response.say.clone().map(Message::User));
        }
        Exchange { system: self.brief.system.clone(), messages, tools: self.brief.tools.clone(), max_tokens }
    }

    /// The reply that nothing was said of yet.
    pub fn unanswered(&self) -> Option<&Reply> {
        self.turns.last().filter(|(_, response)| response.is_none()).map(|(reply, _)| reply)
    }

    /// The calls that were answered so far.
    pub fn looked_at(&self) -> impl Iterator<Item = &Call> {
        let told = self.turns.iter().filter(|(_, response)| response.is_some());
        told.flat_map(|(reply, _)| reply.calls.iter().take(MOST_CALLS))
    }

    /// The answers that were refused so far.
    pub fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.turns.iter().filter_map(|(_, response)| response.as_ref()?.refused.as_ref())
    }

    /// What follows from the model's reply, which stands last in [`Self::turns`] or is about to.
    ///
    /// # Errors
    /// What the bench gives.
    pub async fn follow<B: Bench + ?Sized>(&self, reply: &Reply, bench: &B) -> Result<Next, B::Error> {
        if let Some(reason) = declined(reply, NO_CHANGE) {
            return Ok(Next::Declined { reason });
        }
        let mut response = Response::default();
        for (number, call) in reply.calls.iter().enumerate() {
            let content = match (&call.arguments, call.name.as_str()) {
                _ if number >= MOST_CALLS => format!("Not done: {MOST_CALLS} calls are answered at once."),
                _ if response.refused.is_some() => "Not looked at, because an answer before it was refused.".to_owned(),
                // Where it was cut, what it calls may be a part of what was meant, and reads like the whole.
                (arguments, PROPOSE | NO_CHANGE) if reply.end == End::Cut => {
                    response.refused = Some(no_answer(&said(arguments), CUT));
                    format!("Not looked at: {SHORTER}")
                }
                _ if reply.end == End::Cut => format!("Not done: {SHORTER}"),
                (Arguments::Unreadable { text, reason }, PROPOSE) => {
                    response.refused = Some(no_answer(text, reason));
                    format!("The arguments cannot be read: {reason}. Call the tool again with valid JSON that fits its schema.")
                }
                (Arguments::Read(answer), PROPOSE) => match bench.judge(answer).await? {
                    Verdict::Passes => return Ok(Next::Answered(answer.clone())),
                    Verdict::Refused { findings, security } => {
                        let refused = Refused { digest: digest(answer.to_string().as_bytes()), findings, security };
                        let told = told(&refused);
                        response.refused = Some(refused);
                        told
                    }
                },
                (_, name) if self.brief.tools.iter().any(|tool| tool.name == name) => bench.look(call).await?,
                _ => self.unknown(call),
            };
            response.results.push(CallResult { id: call.id.clone(), name: call.name.clone(), content: bench.withhold(&content) });
        }
        if reply.calls.is_empty() {
            let (why, say) = match reply.end {
                End::Cut => (CUT, SHORTER),
                _ => (
                    "the reply called nothing",
                    "Nothing follows from text alone. Call propose_change with the change, or no_change with the reason why there is none.",
                ),
            };
            response.refused = Some(no_answer(&reply.text, why));
            response.say = Some(say.to_owned());
        }
        Ok(self.judged(response))
    }

    /// Whether a model whose answer was refused may try again.
    fn judged(&self, response: Response) -> Next {
        let Some(refused) = &response.refused else { return Next::GoesOn(response) };
        let findings = refused.findings.clone();
        if self.refused().any(|before| before.digest == refused.digest) {
            return Next::Fails { message: "the model came back to an answer that was refused before".to_owned(), findings };
        }
        if self.refused().count() >= MOST_REPAIRS {
            return Next::Fails { message: format!("the model mended its answer {MOST_REPAIRS} times, and it is still refused"), findings };
        }
        Next::GoesOn(response)
    }

    fn unknown(&self, call: &Call) -> String {
        let known: Vec<&str> = self.brief.tools.iter().map(|tool| tool.name.as_str()).collect();
        let name: String = call.name.chars().take(60).collect();
        format!("There is no tool {name:?}. There are: {}.", known.join(", "))
    }
}

/// Why a model gives nothing, in its words, where its reply says that: by refusing, or by calling this tool.
pub(super) fn declined(reply: &Reply, tool: &str) -> Option<String> {
    if reply.end == End::Refused {
        let said = shortened(&reply.text);
        return Some(if said.is_empty() { "The model, or its provider, refused to answer.".to_owned() } else { said });
    }
    let call = reply.calls.iter().find(|call| call.name == tool && reply.end != End::Cut)?;
    let reason = match &call.arguments {
        Arguments::Read(arguments) => arguments.get("reason").and_then(Value::as_str).unwrap_or_default(),
        Arguments::Unreadable { .. } => "",
    };
    Some(shortened(if reason.trim().is_empty() { &reply.text } else { reason }))
}

/// A call's arguments as a text, however they came.
fn said(arguments: &Arguments) -> String {
    match arguments {
        Arguments::Read(value) => value.to_string(),
        Arguments::Unreadable { text, .. } => text.clone(),
    }
}

/// What was said instead of an answer.
fn no_answer(said: &str, why: &str) -> Refused {
    let finding = Finding {
        severity: crate::validate::Severity::Error,
        rule: "draft.answer".to_owned(),
        path: String::new(),
        document: None,
        pointer: None,
        line: None,
        message: format!("the model gave no answer that can be read: {why}"),
        hint: None,
    };
    Refused { digest: digest(said.as_bytes()), findings: vec![finding], security: false }
}

/// What a model is told of an answer that was refused.
fn told(refused: &Refused) -> String {
    if refused.security {
        return "Refused: the answer does what is not allowed here. Keep to what the task allows, or call no_change.".to_owned();
    }
    format!(
        "Refused. Mend what follows and propose the whole change again, from the files as they are in the repository:\n{}",
        listed(&refused.findings)
    )
}

/// Findings as a model is told them, a line each.
pub fn listed(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings.iter().take(MOST_FINDINGS) {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place = if finding.path.is_empty() { String::new() } else { format!(" {}{line}", finding.path) };
        let _ = write!(text, "- {}{place}: {}", finding.rule, finding.message);
        if let Some(hint) = &finding.hint {
            let _ = write!(text, " ({hint})");
        }
        text.push('\n');
    }
    if findings.len() > MOST_FINDINGS {
        let _ = writeln!(text, "- and {} more", findings.len() - MOST_FINDINGS);
    }
    text
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(MAX_REASON).collect()
}

/// SHA-256 in hex.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
