//! What is answered to commands, in Markdown. Whatever comes from outside is code in it.

use crate::automation::ParameterError;
use crate::pipeline::body::markdown::code;
use crate::request::{Hold, MOST_COMMANDS, Mistake, USAGES, meant};
use crate::store::CommandAnswer;
use crate::validate::Finding;
use serde_json::{Map, Value};

/// Reasons that are told, at most.
const LINES: usize = 20;

/// The sign says it all.
pub(super) fn done() -> CommandAnswer {
    CommandAnswer { refused: false, text: None }
}

/// Done, with words.
pub(super) fn told(text: impl Into<String>) -> CommandAnswer {
    CommandAnswer { refused: false, text: Some(text.into()) }
}

/// Not done, and why.
pub(super) fn refused(text: impl Into<String>) -> CommandAnswer {
    CommandAnswer { refused: true, text: Some(text.into()) }
}

/// Held by somebody before: that hold stands.
pub(super) fn held_already(hold: &Hold) -> String {
    let reason = hold.reason.as_ref().map(|reason| format!(", for the reason {}", code(reason))).unwrap_or_default();
    let since = code(&hold.since.to_string());
    format!(
        "It has been held by {} since {since}{reason}. That hold stands, and nothing was changed: {} ends it.",
        code(&hold.by),
        code("/kubeops release")
    )
}

/// Which commands there are.
pub(super) fn help() -> String {
    let lines: String =
        USAGES.iter().map(|usage| format!("- {}: {}\n", code(&format!("/kubeops {}{}", usage.name, usage.arguments)), usage.does)).collect();
    format!("Whoever may write to this repository can steer this request with a comment, a command a line:\n\n{lines}")
}

/// A line that is no command.
pub(super) fn mistaken(mistake: &Mistake) -> CommandAnswer {
    match mistake {
        Mistake::Unknown(name) => unknown(name),
        Mistake::Arguments(why) => refused(format!("Not done: {}.", code(why))),
    }
}

/// There is no such command.
pub(super) fn unknown(name: &str) -> CommandAnswer {
    let near = meant(name).map(|near| format!(" Did you mean {}?", code(near))).unwrap_or_default();
    refused(format!("There is no command {}.{near}\n\n{}", code(name), help()))
}

/// Parameters that do not fit: each with why, and with what its schema allows.
pub(super) fn parameters(errors: &[ParameterError], schema: &Value) -> String {
    let line = |error: &ParameterError| {
        let allowed =
            schema.pointer(&format!("/properties/{}", error.parameter)).map(|allowed| format!("; it allows {}", code(&allowed.to_string())));
        format!("- {}: {}{}\n", code(&error.parameter), code(&error.message), allowed.unwrap_or_default())
    };
    format!("Nothing was changed:\n\n{}", listed(errors.iter().map(line)))
}

/// What the gate says against the change.
pub(super) fn findings(message: &str, findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| format!("- {}\n", code(&finding.to_string())));
    format!("Nothing was changed; with these values it would be rejected: {}\n\n{}", code(message), listed(lines))
}

/// The values that are set.
pub(super) fn set(values: &Map<String, Value>, names: &[&str]) -> String {
    let of = |name: &&str| values.get(*name).map(|value| format!("- {} is {}\n", code(name), code(&value.to_string())));
    format!("The change is planned again:\n\n{}", listed(names.iter().filter_map(of)))
}

pub(super) fn listed(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    let more = lines.len().saturating_sub(LINES);
    let mut text: String = lines.into_iter().take(LINES).collect();
    if more > 0 {
        text += &format!("- and {more} more\n");
    }
    text
}

/// One answer to the commands of a comment that held so many.
pub(super) fn together(all: Vec<(&str, CommandAnswer)>, held: usize) -> CommandAnswer {
    let refused = all.iter().any(|(_, answer)| answer.refused) || held > MOST_COMMANDS;
    let alone = held == 1;
    let said = all.into_iter().filter_map(|(line, answer)| {
        let text = answer.text?;
        Some(if alone { text } else { format!("{}\n\n{text}", code(line)) })
    });
    let rest = (held > MOST_COMMANDS).then(|| format!("Only the first {MOST_COMMANDS} of {held} commands were looked at."));
    let said: Vec<String> = said.chain(rest).map(|text| text.trim_end().to_owned()).collect();
    CommandAnswer { refused, text: (!said.is_empty()).then(|| said.join("\n\n")) }
}
