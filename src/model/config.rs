//! The cluster's image configuration as its documents state it, before anything is merged.

use std::collections::BTreeMap;

use super::finding::Origin;
use super::{Reference, Scope};

/// An entry of a list of scopes, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it speaks of.
    pub scope: Scope,
    /// Where it stands.
    pub origin: Origin,
}

/// Whether the source may be asked when no mirror served (`mirrorSourcePolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourcePolicy {
    /// The field is not set: a wider set decides, and else the source may be asked.
    Unset,
    /// `AllowContactingSource`.
    Allow,
    /// `NeverContactSource`.
    Never,
}

/// Which pulls a mirror serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullKind {
    /// By digest: ImageDigestMirrorSet and ImageContentSourcePolicy.
    Digest,
    /// By tag: ImageTagMirrorSet.
    Tag,
}

/// The mirrors that one object names for one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSet {
    /// Which pulls it serves.
    pub kind: PullKind,
    /// What is mirrored.
    pub source: Scope,
    /// Where it is mirrored, first choice first; never a wildcard, a tag or a digest.
    pub mirrors: Vec<Scope>,
    /// Whether the source may be asked.
    pub policy: SourcePolicy,
    /// Where it stands.
    pub origin: Origin,
}

/// `additionalTrustedCA`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TrustedCa {
    /// No ConfigMap is named: no CA files are wanted.
    #[default]
    Unset,
    /// The ConfigMap named is not there: the CA files already on the host stay (rule D4).
    Missing(String),
    /// `host[:port]` and the PEM certificates to trust for it.
    Present(BTreeMap<String, String>),
}

/// An element of `allowedRegistriesForImport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// `host[:port]`; `*` and `?` are wildcards in either part.
    pub domain: String,
    /// Whether plain HTTP and unverified TLS are fine.
    pub insecure: bool,
    /// Where it stands.
    pub origin: Origin,
}

/// Where the name of the internal registry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HostnameOrigin {
    /// `status.internalRegistryHostname` of the Image.
    Status,
    /// The environment variable `OPENSHIFT_DEFAULT_REGISTRY`.
    Environment,
}

/// What all documents together state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterConfig {
    /// `insecureRegistries`.
    pub insecure: Vec<Entry>,
    /// `blockedRegistries`.
    pub blocked: Vec<Entry>,
    /// `allowedRegistries`; none where the list is absent or empty.
    pub allowed: Option<Vec<Entry>>,
    /// `containerRuntimeSearchRegistries`, in order.
    pub search: Option<Vec<Entry>>,
    /// All mirrors of all objects.
    pub mirrors: Vec<MirrorSet>,
    /// `additionalTrustedCA` and the ConfigMap it names.
    pub trusted_ca: TrustedCa,
    /// `allowedRegistriesForImport`; none where the list is absent.
    pub import: Option<Vec<ImportRule>>,
    /// `imageStreamImportMode`.
    pub import_mode: Option<String>,
    /// The internal registry's `host[:port]`.
    pub internal_registry: Option<(String, HostnameOrigin)>,
    /// External hostnames of the internal registry, spec before status; the first one is the one
    /// in `publicDockerImageRepository`.
    pub external_registries: Vec<String>,
    /// The image of the release payload.
    pub release: Option<(Reference, Origin)>,
    /// The digest of the configuration whose lock-out is accepted, as the Image's annotation
    /// states it (rule H8).
    pub accepted_lock_out: Option<(String, Origin)>,
    /// Whether the Image's annotation says that nothing but CA files is applied (rule K2).
    pub is_paused: bool,
}
