//! The tools that pull and push, and how they say why they refuse.

use crate::host::OCI_LAYOUT;

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
    /// The registry does not speak TLS.
    PlainHttp,
    /// The registry's certificate is signed by a CA that is not trusted.
    UnknownAuthority,
    /// The registry's certificate has expired.
    Expired,
    /// The registry does not have the image.
    NotFound,
}

impl Reason {
    /// What the tools print for this reason and for no other.
    pub fn message(self) -> &'static str {
        match self {
            Self::Rejected => "is rejected by policy",
            Self::Blocked => "is blocked in",
            Self::PlainHttp => "server gave HTTP response to HTTPS client",
            Self::UnknownAuthority => "x509: certificate signed by unknown authority",
            Self::Expired => "x509: certificate has expired",
            Self::NotFound => "manifest unknown",
        }
    }
}
