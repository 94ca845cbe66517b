//! The API, route by route, over small stand-ins for the store and for what the rest of the program does.

mod access;
mod copilot;
mod deliveries;
mod docs;
mod errors;
mod events;
mod fuzz;
mod health;
mod jobs;
mod members;
mod metrics;
mod pulls;
mod requests;
mod resources;
mod serve;
mod store;
mod tokens;
mod webhooks;
mod world;
