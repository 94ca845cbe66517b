//! That a language model drafted the change: its words, and where they come from. What changes is told before this, by us.

use super::markdown::{code, fenced};
use crate::request::Request;
use std::fmt::Write as _;

/// The section; none where no model was asked.
pub(super) fn drafted(request: &Request) -> Option<String> {
    let drafted = request.changes.as_ref()?.drafted.as_ref()?;
    let mut text = String::from(
        "### Drafted by a language model\n\nWhat stands above was computed from the change itself. What follows are the model's own words, which nobody has checked:\n\n",
    );
    let words = drafted.explanation.trim();
    let words = if words.is_empty() { "(it said nothing)" } else { words };
    let _ = writeln!(text, "{}", fenced(words));
    let reported: Vec<String> = drafted.reported.iter().map(|model| code(model)).collect();
    let broke: Vec<String> = drafted.broke.iter().map(|rule| code(rule)).collect();
    let refused = match (drafted.refused, broke.as_slice()) {
        (0, _) => "none".to_owned(),
        (count, []) => count.to_string(),
        (count, rules) => format!("{count}, for {}", rules.join(", ")),
    };
    let digest = |hex: &str| code(&format!("sha256:{hex}"));
    let rows = [
        ("Model asked", format!("{} of {}", code(&drafted.model), code(drafted.provider.as_str()))),
        ("Model that answered", if reported.is_empty() { "not told".to_owned() } else { reported.join(", ") }),
        ("Turns", drafted.turns.to_string()),
        ("Answers refused before", refused),
        ("Tokens", drafted.tokens.to_string()),
        ("Cost", drafted.cost().unwrap_or_else(|| "no price is known".to_owned())),
        ("Prompt", digest(&drafted.prompt)),
        ("Context", digest(&drafted.context)),
        ("Answer", digest(&drafted.answer)),
    ];
    text.push_str("| | |\n|---|---|\n");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    }
    let _ = writeln!(text, "\nEverything that was said: {}.", code(&format!("kubeops drafts show {}", request.id)));
    Some(text)
}
