//! The tools that pull and push, and how they say why they refuse.

use crate::{host::OCI_LAYOUT, registry::Serves};

/// A real client of the engine's library.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    Skopeo,
    Podman,
}

/// Every tool that each pull is tried with.
pub const TOOLS: [Tool; 2] = [Tool::Skopeo, Tool::Podman];

impl Tool {
    /// The command line that pulls `reference`.
    pub fn pull(self, reference: &str) -> String {
        match self {
            Self::Skopeo => format!("skopeo copy docker://{reference} dir:/run/pulled"),
            Self::Podman => format!("podman pull {reference}"),
        }
    }

    /// The command line that pushes the image to `reference`.
    pub fn push(self, reference: &str) -> String {
        match self {
            Self::Skopeo => format!("skopeo copy oci:{OCI_LAYOUT} docker://{reference}"),
            Self::Podman => {
                format!("podman push $(podman pull --quiet oci:{OCI_LAYOUT}) docker://{reference}")
            }
        }
    }
}

/// Why a tool refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// policy.json rejects the name.
    Rejected,
    /// registries.conf blocks the place.
    Blocked,
    /// A registry that serves like this cannot be verified.
    Unverified(Serves),
    /// The registry does not have the image.
    NotFound,
}

impl Reason {
    /// What the tools print for this reason and for no other.
    pub fn message(self) -> &'static str {
        match self {
            Self::Rejected => "is rejected by policy",
            Self::Blocked => "is blocked in",
            Self::Unverified(Serves::Plainly) => "server gave HTTP response to HTTPS client",
            Self::Unverified(Serves::Privately) => "x509: certificate signed by unknown authority",
            Self::Unverified(Serves::Expired) => "x509: certificate has expired",
            Self::Unverified(Serves::Publicly) => panic!("every tool can verify that"),
            Self::NotFound => "manifest unknown",
        }
    }
}
