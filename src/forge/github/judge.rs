//! What an answer that is no success means, in our errors. Limits are judged by the budget before.

use super::transport::Answer;
use super::wire::WireError;
use crate::forge::{ForgeError, cut};
use serde::de::DeserializeOwned;

/// Reads a good answer.
///
/// # Errors
/// When it is cut or foreign: then nobody knows whether the effect happened, and the next attempt will find it.
pub(super) fn read<T: DeserializeOwned>(forge: &str, text: &str) -> Result<T, ForgeError> {
    serde_json::from_str(text).map_err(|error| ForgeError::Unreachable {
        forge: forge.to_owned(),
        message: format!("its answer makes no sense: {:?} at line {}", error.classify(), error.line()),
    })
}

/// What a refusal means.
pub(super) fn judge(forge: &str, answer: &Answer) -> ForgeError {
    let forge = forge.to_owned();
    let words = WireError::read(&answer.text).words();
    let status = answer.status.as_u16();
    let mut message = if words.is_empty() { format!("status {status}") } else { words };
    if let Some(missing) = missing_right(answer, &message) {
        message = format!("{message}; {missing}");
    }
    match status {
        401 => ForgeError::Unauthorised { forge, message },
        403 if message.to_ascii_lowercase().contains("archived") => ForgeError::Archived { forge },
        403 => ForgeError::Forbidden { forge, message },
        404 => ForgeError::NotFound { forge, message },
        410 => ForgeError::Gone { forge, message },
        451 => ForgeError::Blocked { forge, message },
        408 | 409 | 425 | 500..=599 => ForgeError::Unreachable { forge, message },
        _ => ForgeError::Refused { forge, message },
    }
}

/// The right that is missing, where a refusal names it: of an App or a fine-grained token GitHub tells what the call wants; of
/// a classic one what it has as well, and says "not found" where a scope is missing.
/// <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible>
fn missing_right(answer: &Answer, message: &str) -> Option<String> {
    let said = |name: &str| answer.header(name).map(|text| cut(text.trim(), 200));
    match answer.status.as_u16() {
        403 if message.contains("not accessible") && answer.header("x-accepted-github-permissions").is_some() => {
            let wanted = said("x-accepted-github-permissions").filter(|wanted| !wanted.is_empty())?;
            Some(format!("it wants {}", wanted.replace("; ", " or ")))
        }
        403 | 404 => {
            let (wanted, has) = (said("x-accepted-oauth-scopes").filter(|wanted| !wanted.is_empty())?, said("x-oauth-scopes")?);
            let has_one = wanted.split(", ").any(|scope| has.split(", ").any(|own| own == scope));
            let has = if has.is_empty() { "none" } else { has.as_str() };
            (!has_one).then(|| format!("it wants one of the scopes {wanted}, and the token has {has}"))
        }
        _ => None,
    }
}
