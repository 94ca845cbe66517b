//! The integration tests: one binary, one module per subject.

mod render;
mod sandbox;
mod templates;
