//! What the tests of the engine share.

#![allow(dead_code, reason = "each of the tests takes a part of this")]

pub mod answer;
pub mod generate;
pub mod generate_policy;
pub mod generate_registries;
pub mod host;
pub mod mutate;
pub mod oracle;
pub mod reduce;

#[path = "../support/corpus.rs"]
mod reader;

pub use reader::corpus;
