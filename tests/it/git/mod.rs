//! The git adapter against real repositories: over the file system, behind `git http-backend`, and behind sshd; with libgit2 and with git.

mod access;
mod child;
mod commits;
mod contract;
pub mod damage;
mod hostile;
mod leaks;
mod merged;
mod partial;
mod search;
mod ssh;
pub mod world;
