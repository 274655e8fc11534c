//! The service with the real CRI-O, on a real systemd. `tests/run crio` runs it: it needs root, crio, crictl and
//! pinns. What is asked is what the double is asked; only the engine is another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../systemd/alike.rs"]
mod alike;
#[path = "../pulls/certificates.rs"]
mod certificates;
#[path = "../systemd/engine.rs"]
mod engine;
#[path = "../systemd/host.rs"]
#[expect(dead_code, reason = "the double is asked for more")]
mod host;
#[path = "../pulls/image.rs"]
mod image;
mod peer;
#[path = "../systemd/pulls.rs"]
mod pulls;
mod undo;
