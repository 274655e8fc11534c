//! The cluster's API: the way to it for everyone who watches, asks or reports there.

mod client;
pub mod crds;
mod mco;

pub use client::{Cluster, ClusterError, within};
pub use mco::{OBSERVED, is_of_mco};

use crate::settings::Settings;

/// The name of this host's Node: what the settings say, else the host's name, as the kubelet
/// takes it.
#[must_use]
pub fn node_name(settings: &Settings) -> Option<String> {
    let host = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_lowercase()).filter(|name| !name.is_empty())
    };
    settings.kube.node.clone().or_else(host)
}
