//! Makes a host's container engine obey what the cluster says about images.
//!
//! ARCHITECTURE.md is the map. A configuration flows one way: documents are decoded
//! into the [`model`] (what is meant), rendered over the host's own files (what the
//! files say), planned against the host (what changes, and what it costs) and applied
//! as one transaction. [`engine`] answers what containers/image does with such files;
//! it judges what is written before it is.

pub mod apply;
pub mod check;
pub mod cluster;
pub mod decode;
pub mod driver;
pub mod engine;
pub mod explain;
pub mod forecast;
pub mod host;
pub mod http;
pub mod machine;
pub mod model;
pub mod node;
pub mod plan;
pub mod proposal;
pub mod render;
pub mod report;
pub mod runtime;
pub mod settings;
pub mod source;
pub mod waits;
pub mod wish;
