//! What an answer that is no success means, in our errors. Limits are judged by the budget before.

use super::transport::Answer;
use super::wire::WireError;
use crate::forge::ForgeError;
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
    let message = if words.is_empty() { format!("status {status}") } else { words };
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
