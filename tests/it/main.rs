//! One integration binary: flows against the real program, its API, its command line, its parts behind real servers.

mod api;
mod arch;
mod cli;
mod corpus;
mod drafts;
mod feedback;
mod flow;
mod forge;
mod git;
mod github_deliveries;
mod hostile_trees;
mod orders;
mod policies;
mod render;
mod sandbox;
mod seal;
mod signing;
mod stacks;
mod standing;
mod store;
mod support;
mod template_kinds;
mod templates;
mod torture;
mod upkeep;
