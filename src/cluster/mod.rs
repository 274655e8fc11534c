//! The cluster's API: the way to it for everyone who watches, asks or reports there.

mod client;
pub mod crds;
mod mco;

pub use client::{Cluster, ClusterError, client_of, within};
pub use mco::{OBSERVED, is_of_mco};
