//! One integration binary: flows against the real program, its API, its command line, its parts behind real servers.

mod api;
mod arch;
mod cli;
mod corpus;
mod flow;
mod forge;
mod git;
mod hostile_trees;
mod render;
mod sandbox;
mod signing;
mod stacks;
mod standing;
mod store;
mod support;
mod templates;
mod upkeep;
