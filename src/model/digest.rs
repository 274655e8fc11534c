//! The digest of a configuration: what two hosts compare to know that they mean the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::config::{ClusterConfig, Entry, MirrorSet, PullKind, SourcePolicy, TrustedCa};

/// SHA-256 over the fields that bear on a host's files, in an order of their own: equal over
/// sources, orders of documents, hosts and versions of the agent (rule D7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Digests {
    /// Over everything that has a meaning.
    pub configuration: String,
    /// The same without the trusted CAs: a hold that goes by this one outlives their rotation
    /// (rule X3).
    pub without_cas: String,
}

impl Digests {
    /// The digests of `config`.
    #[must_use]
    pub fn of(config: &ClusterConfig) -> Self {
        let meant = to_json(&Meant::of(config));
        Self::joined(sha256(meant.as_bytes()), &config.trusted_ca)
    }

    /// The digests of the same configuration with other CAs (rule K2).
    #[must_use]
    pub fn with_cas(&self, cas: &TrustedCa) -> Self {
        Self::joined(self.without_cas.clone(), cas)
    }

    fn joined(without_cas: String, cas: &TrustedCa) -> Self {
        let both = to_json(&(&without_cas, trusted_ca(cas)));
        Self { configuration: sha256(both.as_bytes()), without_cas }
    }
}

/// The SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(serde::Serialize)]
struct Meant<'a> {
    allowed: Option<BTreeSet<&'a str>>,
    blocked: BTreeSet<&'a str>,
    insecure: BTreeSet<&'a str>,
    mirrors: BTreeSet<String>,
    release: Option<String>,
    search: Option<Vec<&'a str>>,
}

impl<'a> Meant<'a> {
    fn of(config: &'a ClusterConfig) -> Self {
        Self {
            allowed: config.allowed.as_deref().map(sorted),
            blocked: sorted(&config.blocked),
            insecure: sorted(&config.insecure),
            mirrors: config.mirrors.iter().map(mirror_set).collect(),
            release: config.release.as_ref().map(|(image, _)| image.to_string()),
            search: config.search.as_deref().map(in_order),
        }
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    // There is nothing in it that JSON could not hold.
    serde_json::to_string(value).unwrap_or_default()
}

fn sorted(entries: &[Entry]) -> BTreeSet<&str> {
    entries.iter().map(|entry| entry.scope.as_str()).collect()
}

fn in_order(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.scope.as_str()).collect()
}

fn mirror_set(set: &MirrorSet) -> String {
    let kind = match set.kind {
        PullKind::Digest => "digest",
        PullKind::Tag => "tag",
    };
    let policy = match set.policy {
        SourcePolicy::Unset => "",
        SourcePolicy::Allow => "AllowContactingSource",
        SourcePolicy::Never => "NeverContactSource",
    };
    let mirrors: Vec<&str> = set.mirrors.iter().map(|mirror| mirror.as_str()).collect();
    to_json(&(kind, set.source.as_str(), mirrors, policy))
}

fn trusted_ca(trusted_ca: &TrustedCa) -> Value {
    match trusted_ca {
        TrustedCa::Unset => Value::Null,
        TrustedCa::Missing(name) => json!({ "missing": name }),
        TrustedCa::Present(certificates) => json!(certificates),
    }
}
