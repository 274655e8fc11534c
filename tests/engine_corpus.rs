//! The engine gives the answers that the real library gave, on every line of the corpora.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod engine;

use engine::answer::Engine;
use engine::corpus;
use engine::host::Host;

/// Compares a whole corpus and returns how many references that were.
fn compare(name: &str) -> usize {
    let mut references = 0;
    let mut differences = Vec::new();
    for line in corpus(name) {
        let id = line["id"].as_str().unwrap();
        let engine = Engine::new(&Host::from_line(&line));
        references += line["refs"].as_array().unwrap().len();
        differences.extend(engine.difference(&line).map(|text| format!("{name} {id}: {text}")));
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    println!("{name}: {references} references compared");
    references
}

#[test]
fn files_of_real_hosts() {
    assert!(compare("engine.jsonl.gz") >= 17_126);
}

#[test]
fn files_that_upstream_renders() {
    assert!(compare("pull-docs.jsonl.gz") >= 401);
    assert!(compare("pull-random.jsonl.gz") >= 28_022);
    assert!(compare("pull-invalid.jsonl.gz") >= 967);
}
