//! certs.d: which CAs are trusted for which registry (containers-certs.d(5); rule R9).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::fileset::{FileSet, Want};
use crate::model::config::TrustedCa;
use crate::model::{Finding, Origin, Severity};

/// What certs.d directories hold at present, as far as a render needs to know.
#[derive(Debug, Clone, Default)]
pub struct CertsOnHost {
    /// The content of `ca.crt` by `host[:port]`, in the directory that is written to.
    pub ca_crt: BTreeMap<String, Vec<u8>>,
    /// Hosts with a directory in the tree that masks it, an empty one included.
    pub masked: BTreeSet<String>,
    /// Files below it that the agent wrote.
    pub ours: BTreeSet<PathBuf>,
}

/// Adds the wanted CA files to `files`, and takes away those of ours that are wanted no more.
pub fn render(
    trusted_ca: &TrustedCa,
    directory: &Path,
    on_host: &CertsOnHost,
    files: &mut FileSet,
) -> Vec<Finding> {
    let wanted = match trusted_ca {
        TrustedCa::Unset => &BTreeMap::new(),
        // Until the ConfigMap is back nothing is concluded from its absence (rule D4).
        TrustedCa::Missing(_) => return Vec::new(),
        TrustedCa::Present(wanted) => wanted,
    };
    for path in &on_host.ours {
        files.insert(path, Want::Base);
    }
    let mut findings = Vec::new();
    for (host, pem) in wanted {
        let mut path = directory.join(host).join("ca.crt");
        let theirs = on_host.ca_crt.get(host).filter(|_| !on_host.ours.contains(&path));
        if theirs.is_some_and(|theirs| theirs != pem.as_bytes()) {
            findings.push(foreign(&path));
            path = path.with_file_name("image-config-agent.crt");
        }
        files.insert(path, Want::file(pem.as_str()));
        if on_host.masked.contains(host) {
            findings.push(masked(host, directory));
        }
    }
    findings
}

fn foreign(path: &Path) -> Finding {
    Finding::new(
        Severity::Info,
        "ForeignCa",
        Origin::object(path.display().to_string()),
        "somebody else wrote this file; it stays, and ours goes beside it.",
        "Remove it if its CA is to be trusted no more.",
    )
}

fn masked(host: &str, directory: &Path) -> Finding {
    Finding::new(
        Severity::Warning,
        "MaskedCa",
        Origin::object(directory.join(host).display().to_string()),
        "the engine takes /etc/containers/certs.d for this registry and never looks here.",
        "Remove that directory, or put the CA there by hand.",
    )
}
