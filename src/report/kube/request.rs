//! One request to the cluster: who asks, how long it may take, and why it failed.

use std::time::Instant;

use kube::api::PatchParams;

use crate::cluster::ClusterError;

/// The name under which the agent owns the fields that it writes.
pub const FIELD_MANAGER: &str = "image-config-agent";

/// Why the cluster could not be told.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The Node is missing: nothing can be owned by it.
    #[error("the cluster has no Node {0}: it was deleted, or the agent has a wrong name for it")]
    NoNode(String),
    /// The kind is missing.
    #[error(
        "the cluster does not know NodeImageConfig: apply what `image-config-agent crds` prints"
    )]
    NoKind,
    /// There is no way to the cluster.
    #[error(transparent)]
    Client(#[from] ClusterError),
    /// A request failed.
    #[error("cannot {what}: {source}")]
    Request {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        source: ClusterError,
    },
    /// No answer came in time.
    #[error("cannot {0}: the API server gave no answer in time")]
    Deadline(&'static str),
}

impl ReportError {
    /// The code of the API server's answer, if it was that which failed.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Request { source: ClusterError::Refused { code, .. }, .. } => Some(*code),
            _ => None,
        }
    }
}

/// The parameters of a patch that names its writer.
pub(super) fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// A request with its deadline.
pub(super) async fn request<T>(
    what: &'static str,
    deadline: Instant,
    work: impl Future<Output = kube::Result<T>>,
) -> Result<T, ReportError> {
    match tokio::time::timeout_at(deadline.into(), work).await {
        Err(_) => Err(ReportError::Deadline(what)),
        Ok(answer) => answer.map_err(|error| ReportError::Request { what, source: error.into() }),
    }
}
