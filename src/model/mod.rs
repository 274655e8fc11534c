//! What is meant: scopes, references, mirrors, and the cluster's image configuration.

pub mod reference;

pub use reference::{Digest, Reference};
