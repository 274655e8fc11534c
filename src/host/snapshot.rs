//! Everything the engine reads, read once into plain values.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::crio::Crio;
use super::root::{Node, Root};
use super::walk::{Listing, walk};
use crate::engine::{Content, File};
use crate::model::Paths;

/// The host as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `registries.conf`.
    pub registries_conf: Content,
    /// What stands in for it where it is absent.
    pub vendor_registries_conf: Content,
    /// Its drop-ins, in the order in which the engine reads them.
    pub drop_ins: Listing,
    /// Their directory is a symbolic link, into which the engine does not look.
    pub has_linked_drop_ins: bool,
    /// The drop-ins of further directories, each with its directory.
    pub other_drop_ins: Vec<(PathBuf, Listing)>,
    /// `/etc/containers/policy.json`.
    pub policy: Content,
    /// What stands in for it where it is absent.
    pub vendor_policy: Content,
    /// CRI-O's settings.
    pub crio: Crio,
    /// CRI-O's policies, where its settings name other files than `policy`: first the one that it
    /// judges by, then the one that it will judge by after a restart, if that is another (R10).
    pub crio_policies: Vec<File>,
    /// `NAMESPACE.json` files that replace CRI-O's policy for a namespace (rule R10).
    pub namespace_policies: Listing,
    /// The trees of trusted CAs, in the order in which the engine asks them. What is one directory in
    /// both is in the one that we write to.
    pub certs: Vec<CertsDir>,
}

/// One `certs.d` tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertsDir {
    /// Absolute, as the host sees it.
    pub path: PathBuf,
    /// Its entries by name, `HOST` or `HOST:PORT`; an error where the tree cannot be read.
    pub hosts: Result<BTreeMap<String, HostCerts>, String>,
}

/// What a `certs.d` tree holds for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostCerts {
    /// A directory. An empty one counts too: it masks the same host in later trees.
    Dir {
        /// Every `*.crt`, a CA, by name.
        cas: BTreeMap<String, Content>,
        /// The names of all else in it; keys and client certificates are not read.
        others: Vec<String>,
    },
    /// Something that is no directory, or cannot be read: pulls from this host fail.
    Unreadable(String),
}

impl Snapshot {
    /// Reads the host; `engine` is what CRI-O itself says of its settings, where it was asked. What cannot be read is part of the answer, as the engine stumbles over it too.
    #[must_use]
    pub fn read(root: &Root, paths: &Paths, engine: Option<&[u8]>) -> Self {
        let mut crio = Crio::read(root, paths);
        let plain = |path: Option<PathBuf>| path.map(|path| root.plain(path));
        let by_files = plain(crio.signature_policy.clone());
        if let Some(answer) = engine {
            crio.overrule(answer);
        }
        crio.signature_policy = plain(crio.signature_policy);
        let mut policies: Vec<PathBuf> =
            crio.signature_policy.iter().cloned().chain(by_files).collect();
        policies.dedup();
        policies.retain(|path| *path != paths.policy);
        let file = |path: PathBuf| File { content: root.content(&path), path };
        let crio_policies = policies.into_iter().map(file).collect();
        let policies = crio.signature_policy_dir.as_ref().unwrap_or(&paths.crio_policies);
        let is_json = |name: &OsStr| name.as_encoded_bytes().ends_with(b".json");
        Self {
            registries_conf: root.content(&paths.registries_conf),
            vendor_registries_conf: root.content(&paths.vendor_registries_conf),
            drop_ins: drop_ins(root, &paths.registries_conf_d),
            has_linked_drop_ins: matches!(
                root.node(&paths.registries_conf_d),
                Ok(Some(Node::Link(_)))
            ),
            other_drop_ins: paths
                .other_drop_ins
                .iter()
                .map(|dir| (dir.clone(), drop_ins(root, dir)))
                .collect(),
            policy: root.content(&paths.policy),
            vendor_policy: root.content(&paths.vendor_policy),
            namespace_policies: walk(root, policies, false, &is_json),
            certs: certs_dirs(root, paths),
            crio,
            crio_policies,
        }
    }
}

/// The drop-ins of a directory as containers/image collects them (`sysregistriesv2`,
/// `getConfigFiles`): `*.conf`, hidden ones too, not in sub-directories.
fn drop_ins(root: &Root, dir: &Path) -> Listing {
    walk(root, dir, false, &|name| name.as_encoded_bytes().ends_with(b".conf"))
}

fn certs_dirs(root: &Root, paths: &Paths) -> Vec<CertsDir> {
    let dir = |path: &PathBuf| CertsDir { path: path.clone(), hosts: certs(root, path) };
    let mut masking = dir(&paths.masking_certs_d);
    if let Ok(hosts) = &mut masking.hosts {
        let is_ours = |host: &String| {
            let there = root.identity(&paths.masking_certs_d.join(host));
            there.is_some() && there == root.identity(&paths.certs_d.join(host))
        };
        hosts.retain(|host, _| !is_ours(host));
    }
    vec![masking, dir(&paths.certs_d)]
}

/// The hosts of a `certs.d` tree. Names that are not UTF-8 are no host's.
fn certs(root: &Root, dir: &Path) -> Result<BTreeMap<String, HostCerts>, String> {
    let names = root.list(dir).map_err(|error| error.to_string())?.unwrap_or_default();
    let mut hosts = BTreeMap::new();
    for name in names.into_iter().filter_map(|name| name.into_string().ok()) {
        let path = dir.join(&name);
        match root.follow(&path) {
            // A dangling link: the engine sees no such host.
            Ok(None) => {}
            Ok(Some(Node::Dir)) => {
                hosts.insert(name, host_certs(root, &path));
            }
            Ok(Some(_)) => {
                hosts.insert(name, HostCerts::Unreadable("it is not a directory".into()));
            }
            Err(error) => {
                hosts.insert(name, HostCerts::Unreadable(error.cause.to_string()));
            }
        }
    }
    Ok(hosts)
}

fn host_certs(root: &Root, dir: &Path) -> HostCerts {
    let names = match root.list(dir) {
        Ok(names) => names.unwrap_or_default(),
        Err(error) => return HostCerts::Unreadable(error.cause.to_string()),
    };
    let (mut cas, mut others) = (BTreeMap::new(), Vec::new());
    for name in names {
        let name = name.to_string_lossy().into_owned();
        if name.ends_with(".crt") {
            let content = root.content(&dir.join(&name));
            cas.insert(name, content);
        } else {
            others.push(name);
        }
    }
    HostCerts::Dir { cas, others }
}
