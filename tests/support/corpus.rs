//! The corpora of tests/corpus: one JSON value a line, gzip'ed.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

/// The lines of a corpus of tests/corpus.
pub fn corpus(name: &str) -> impl Iterator<Item = Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}
