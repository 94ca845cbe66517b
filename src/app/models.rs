//! The language models of the settings.

use crate::automation::ModelSpec;
use crate::draft::ModelError;
use crate::pipeline::{ChosenModel, Models};

/// None.
pub struct ConfiguredModels;

impl Models for ConfiguredModels {
    fn model(&self, _wanted: Option<&ModelSpec>) -> Result<ChosenModel, ModelError> {
        Err(ModelError::NotConfigured("no language model is configured: set LLM_PROVIDER".to_owned()))
    }
}
