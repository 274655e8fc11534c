//! The service on a real systemd. `tests/run systemd` runs it: it needs root and the double of CRI-O.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod engine;
mod host;
mod life;
mod undo;
