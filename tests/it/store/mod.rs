//! The store: one contract that every implementation is held to, and what is particular to each.
//! A new implementation passes `contract_suite!` and adds its own file here.

#[macro_use]
mod contract;
mod copies;
mod inbox;
mod migrations;
mod model;
mod postgres;
mod sqlite;
mod support;
