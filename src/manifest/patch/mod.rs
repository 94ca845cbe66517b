//! Patches as Kustomize applies them to an object that was read: strategic merges and JSON patches.
//! Pure, and within a budget: what a patch does is paid for, so that no file of patches multiplies into more than there is room for.
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/patches/>

mod json;
mod strategic;

pub use json::json_patch;
pub use strategic::strategic_merge;

use serde_json::Value;

/// How much may be done, in values and pieces of 64 bytes of text.
#[derive(Debug, Clone)]
pub struct Room(usize);

/// Why a patch is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It does not fit the object.
    #[error("{0}")]
    Misfit(String),
    /// It, or all of them together, do more than there is room for.
    #[error("the patches make more of the objects than there is room for")]
    TooMuch,
}

impl Room {
    /// Room for so much.
    pub fn new(room: usize) -> Self {
        Self(room)
    }

    /// Takes some of it.
    ///
    /// # Errors
    /// When there is not enough; then nothing is left.
    pub fn take(&mut self, amount: usize) -> Result<(), PatchError> {
        let left = self.0.checked_sub(amount);
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(PatchError::TooMuch)
    }

    /// Takes what a value weighs.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn weigh(&mut self, value: &Value) -> Result<(), PatchError> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => self.take(1),
            Value::String(text) => self.take(1 + text.len() / 64),
            Value::Array(items) => {
                self.take(1)?;
                items.iter().try_for_each(|item| self.weigh(item))
            }
            Value::Object(fields) => {
                self.take(1)?;
                fields.iter().try_for_each(|(key, value)| self.take(key.len() / 64).and_then(|()| self.weigh(value)))
            }
        }
    }
}

fn misfit(message: impl Into<String>) -> PatchError {
    PatchError::Misfit(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_that_fits_exactly_fits_and_one_more_leaves_nothing() {
        let mut room = Room::new(3);
        assert_eq!(room.take(3), Ok(()));
        assert_eq!((room.take(0), room.take(1)), (Ok(()), Err(PatchError::TooMuch)));
        let mut room = Room::new(3);
        assert_eq!((room.take(4), room.take(1)), (Err(PatchError::TooMuch), Err(PatchError::TooMuch)));
    }
}
