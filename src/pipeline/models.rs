//! Where the pipeline gets language models from.

use crate::automation::{ModelSpec, PriceSpec};
use crate::draft::{Model, ModelError};
use crate::store::Limit;
use std::sync::Arc;

/// Gives the language models that are configured.
pub trait Models: Send + Sync + 'static {
    /// The model an automation asks for; without a wish that of the settings.
    ///
    /// # Errors
    /// When none is configured, or what it needs is missing.
    fn model(&self, wanted: Option<&ModelSpec>) -> Result<ChosenModel, ModelError>;
}

/// A model, and what is to be known to use it.
pub struct ChosenModel {
    /// The model.
    pub model: Arc<dyn Model>,
    /// Tokens one answer may have.
    pub max_tokens: u32,
    /// What it costs, where that is known.
    pub price: Option<PriceSpec>,
    /// What may be used of all models in a day (UTC).
    pub per_day: Limit,
}
