//! The service on a real systemd. `tests/run systemd` runs it: it needs root and the double of CRI-O.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../pulls/certificates.rs"]
mod certificates;
mod engine;
mod host;
#[path = "../pulls/image.rs"]
#[expect(dead_code, reason = "nobody asks for its digest here")]
mod image;
mod life;
mod packages;
mod pulls;
mod undo;
