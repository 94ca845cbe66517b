//! Drafts by a language model.

mod models;
