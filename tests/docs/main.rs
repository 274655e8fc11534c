//! What is written is true: pages that come from the code are what the code says, every command that a
//! page shows prints what the page says, every link leads somewhere.
//!
//! `UPDATE=1 cargo test --test docs` writes what comes from the code into the pages, and what commands
//! print. Read what it wrote before you keep it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test may panic

mod generated;
mod rules;
mod sessions;

use std::path::{Path, PathBuf};

/// A path of this project.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Holds a page to what it should be, or with `UPDATE` set makes it so.
fn hold(path: &str, wanted: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(at(path), wanted).unwrap();
    }
    let advice = "run this test once more with UPDATE=1, and read what it wrote";
    assert!(read(path) == wanted, "{path} is not what it should be: {advice}");
}
