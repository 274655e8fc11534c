//! The real skopeo and podman obey the files that this agent renders.
//!
//! Every test has a small machine of its own ([`host::Host`]): own network with nothing but
//! loopback, own mounts, own processes. On it run real registries, each with a name and an address
//! of its own; the agent's files lie where the engine looks for them. A test states what shall
//! become of a pull; the harness lets both tools pull, reads in the registries' access logs who was
//! asked, and holds all that against what `check` says.
//!
//! The suite needs root and fails, rather than skips, where a tool is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent;
mod certificates;
mod documents;
mod expectations;
mod host;
mod image;
mod registry;
mod tools;

mod mirrors;
mod policy;
mod pushes;
mod short_names;
mod transport;
