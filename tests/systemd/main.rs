//! The service on a real systemd. `tests/run systemd` runs it: it needs root and the double of CRI-O.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod alike;
#[path = "../pulls/certificates.rs"]
mod certificates;
mod double;
mod engine;
mod host;
#[path = "../pulls/image.rs"]
mod image;
mod life;
mod log;
mod network;
mod packages;
mod peer;
mod pulls;
mod standing;
mod stop;
mod undo;
