//! Where the files of the host are.

use std::path::{Path, PathBuf};

/// Where the agent keeps its state, below the root.
pub const STATE_DIR: &str = "/var/lib/image-config-agent";

/// Where the status and the sockets of a running agent lie, below the root.
pub const RUN_DIR: &str = "/run/image-config-agent";

/// Every path that the agent reads or writes, absolute as the host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The engine's main registries file.
    pub registries_conf: PathBuf,
    /// Drop-ins over it, in name order.
    pub registries_conf_d: PathBuf,
    /// Further directories of drop-ins that newer engines read (rule R4).
    pub other_drop_ins: Vec<PathBuf>,
    /// The vendor's registries file, read where `registries_conf` is absent (rule R1).
    pub vendor_registries_conf: PathBuf,
    /// The file in `registries_conf_d` that holds the search list.
    pub search_drop_in: PathBuf,
    /// The policy of podman, and of CRI-O unless its settings name another (rule R10).
    pub policy: PathBuf,
    /// The vendor's policy, read where `policy` is absent (rule R1).
    pub vendor_policy: PathBuf,
    /// Where trusted CAs are written, a directory a host (rule R9).
    pub certs_d: PathBuf,
    /// The directory that masks it, host by host: the engine takes the first that exists.
    pub masking_certs_d: PathBuf,
    /// CRI-O's main settings.
    pub crio_conf: PathBuf,
    /// Drop-ins over them.
    pub crio_conf_d: PathBuf,
    /// Policies a namespace, where CRI-O's settings name no other directory (rule R10).
    pub crio_policies: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            registries_conf: "/etc/containers/registries.conf".into(),
            registries_conf_d: "/etc/containers/registries.conf.d".into(),
            other_drop_ins: vec![
                "/etc/containers/registries.rootful.conf.d".into(),
                "/usr/share/containers/registries.conf.d".into(),
                "/usr/share/containers/registries.rootful.conf.d".into(),
            ],
            vendor_registries_conf: "/usr/share/containers/registries.conf".into(),
            search_drop_in: "/etc/containers/registries.conf.d/01-image-searchRegistries.conf"
                .into(),
            policy: "/etc/containers/policy.json".into(),
            vendor_policy: "/usr/share/containers/policy.json".into(),
            certs_d: "/etc/docker/certs.d".into(),
            masking_certs_d: "/etc/containers/certs.d".into(),
            crio_conf: "/etc/crio/crio.conf".into(),
            crio_conf_d: "/etc/crio/crio.conf.d".into(),
            crio_policies: "/etc/crio/policies".into(),
        }
    }
}

impl Paths {
    /// What the engine reads where `path` is absent, if there is such a file (rule R1).
    #[must_use]
    pub fn vendor(&self, path: &Path) -> Option<&Path> {
        if path == self.registries_conf {
            Some(&self.vendor_registries_conf)
        } else if path == self.policy {
            Some(&self.vendor_policy)
        } else {
            None
        }
    }
}
