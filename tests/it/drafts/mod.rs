//! Drafts by a language model.

mod eval;
mod fixture;
mod guard;
mod limits;
mod models;
mod torture;
