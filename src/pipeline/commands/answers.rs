//! What is answered to commands, in Markdown. Whatever comes from outside is code in it.

use crate::automation::ParameterError;
use crate::forge::Remark;
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

/// Done, where the forge allows no sign.
pub(super) fn instead_of_a_sign(what: &str) -> String {
    let lines: Vec<String> = what.lines().map(code).collect();
    format!("👍 Done: {}.", lines.join(", "))
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
    format!(
        "Whoever may write to this repository can steer this request with a command a line: in a comment here, on a line of the change, or in a review.\n\n{lines}"
    )
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
    let lines = findings.iter().map(|finding| format!("- {} (rule {})\n", code(&finding.to_string()), code(&finding.rule)));
    format!("Nothing was changed; with these values it would be rejected: {}\n\n{}", code(message), listed(lines))
}

/// The values that are set.
pub(super) fn set(values: &Map<String, Value>, names: &[&str]) -> String {
    let of = |name: &&str| values.get(*name).map(|value| format!("- {} is {}\n", code(name), code(&value.to_string())));
    format!("The change is planned again:\n\n{}", listed(names.iter().filter_map(of)))
}

/// An answer in the conversation to what a review asks for: it says which review, and does what a sign would do.
pub(super) fn about_a_review(answer: CommandAnswer, review: &Remark) -> CommandAnswer {
    let (sign, came_of_it) = if answer.refused { ("😕", "was not done, or not all of it") } else { ("👍", "was done") };
    let is_an_address = review.url.starts_with("https://") || review.url.starts_with("http://");
    let plain = is_an_address && review.url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\\`".contains(&b));
    // By the forge's own word, and to this very pull request: it tells nobody else.
    let which = if plain { format!("[the review](<{}>)", review.url) } else { format!("review {}", review.at.id) };
    let head = format!("{sign} What {which} of {} asks for {came_of_it}.", code(&review.author));
    CommandAnswer { text: Some(answer.text.map_or_else(|| head.clone(), |text| format!("{head}\n\n{text}"))), ..answer }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{RemarkAddress, RemarkPlace};

    #[test]
    fn an_answer_to_a_review_says_which_and_what_came_of_it_and_no_address_leaves_its_link() {
        let review = |url: &str| Remark {
            at: RemarkAddress { pull: 3, place: RemarkPlace::Review, id: 7 },
            author: "ada".to_owned(),
            is_bot: false,
            is_ours: false,
            edited: Some(false),
            body: "/kubeops rebase".to_owned(),
            url: url.to_owned(),
            updated_at: "2026-11-20T12:00:00Z".parse().expect("a time"),
            raw: Value::Null,
        };
        let url = "https://github.com/acme/gitops/pull/3#pullrequestreview-7";
        let text = |answer, url: &str| about_a_review(answer, &review(url)).text.expect("words");
        assert_eq!(text(done(), url), format!("👍 What [the review](<{url}>) of `ada` asks for was done."));
        assert_eq!(text(refused("Why."), url), format!("😕 What [the review](<{url}>) of `ada` asks for was not done, or not all of it.\n\nWhy."));
        assert!(about_a_review(refused("Why."), &review(url)).refused);
        for hostile in ["https://a> @everybody", "javascript:alert(1)", "https://a\n/kubeops close", "https://a`b", ""] {
            assert!(text(done(), hostile).starts_with("👍 What review 7 of `ada`"), "{hostile}");
        }
    }
}
