//! `run` from outside, on a scratch root without systemd: what it watches, heals, refuses and says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/agent.rs"]
mod agent;
mod heal;
mod log;
mod metrics;
mod requests;
mod serving;
mod sources;
