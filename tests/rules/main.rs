//! The rules of docs/behaviour.md, from outside: the binary on a scratch folder that plays the
//! host. Each test carries the name of the rule that it shows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../support/agent.rs"]
mod agent;

mod advice;
mod back;
mod base;
mod check;
mod commands;
mod documents;
mod engine;
mod foreign;
mod guard;
mod hostile;
mod output;
mod pause;
mod plan;
mod render;
