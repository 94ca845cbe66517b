//! Drafts by a language model.

mod fixture;
mod guard;
mod limits;
mod models;
mod torture;
