//! Which model drafts, as far as the flow knows it.

use crate::automation::{ModelSpec, PriceSpec};
use crate::draft::{Model, ModelError};
use crate::store::Limit;
use std::sync::Arc;

/// Gives the models that draft.
pub trait Models: Send + Sync + 'static {
    /// The model of an automation's `draft.model`, and in whatever that does not say, of the settings.
    ///
    /// # Errors
    /// [`ModelError::NotConfigured`] when neither names one, or it cannot be called.
    fn model(&self, wanted: Option<&ModelSpec>) -> Result<ChosenModel, ModelError>;
}

/// A model that drafts, and what it may use.
#[derive(Clone)]
pub struct ChosenModel {
    /// The model.
    pub model: Arc<dyn Model>,
    /// Tokens one answer may have.
    pub max_tokens: u32,
    /// What it costs; none when nobody said.
    pub price: Option<PriceSpec>,
    /// What everything may use in a day (UTC).
    pub per_day: Limit,
}
