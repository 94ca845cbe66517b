//! Drafts by a language model.

mod eval;
mod fixture;
mod guard;
mod limits;
mod mcp;
mod models;
mod torture;
