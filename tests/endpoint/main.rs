//! The agent against endpoints: a real nginx, and servers of the tests' own that fail in every way.
//!
//! The real binary runs on a scratch root. In each test nothing on the host may change that should
//! not, and the status has to tell the story. The suite needs Debian's nginx and minisign, and
//! fails, rather than skips, where they are missing.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; each module uses its part of what is shared"
)]

#[path = "../support/agent.rs"]
mod agent;
mod certificates;
mod example;
mod faults;
mod identity;
mod nginx;
mod order;
mod report;
mod server;
#[path = "../service/serving.rs"]
mod serving;
mod signed;
mod tls;
mod world;
