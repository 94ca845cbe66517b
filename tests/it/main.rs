//! The integration tests: one binary, so that shared support is compiled and linked once.

mod forge;
mod git;
mod support;
