//! The command line: the real program, called as a user calls it, in an environment that holds nothing else.

mod automation_tests;
mod calendar;
mod check;
mod demo;
mod documents;
mod edit;
mod help;
mod packaging;
mod policy;
mod render;
mod replay;
mod requests;
mod schema;
mod settings;
mod templates;
mod token;
pub mod world;
