//! Changes a language model drafts.

mod fixture;
mod guard;
mod limits;
