//! What is written is true: pages that come from the code are what the code says, every command that a
//! page shows prints what the page says, every link leads somewhere.
//!
//! `UPDATE=1 cargo test --test docs` writes what comes from the code into the pages, and what commands
//! print. Read what it wrote before you keep it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test may panic

mod generated;
mod links;
mod page;
mod rules;
mod sessions;
