//! Why an attempt came to nothing.

use kube::core::Status;

use crate::model::finding::printable;

/// Why the API server did not do what was asked. Every attempt may be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// There is no such object.
    #[error("{object} does not exist: see whether the node was deleted, or has another name")]
    Absent {
        /// Its kind and name.
        object: String,
    },
    /// Somebody else has changed it since it was read.
    #[error("{object} was changed by somebody else just now; it is read again")]
    Conflict {
        /// Its kind and name.
        object: String,
    },
    /// The credentials do not allow it.
    #[error(
        "the API server does not allow this agent what it asks of {object}: {why}; see its \
         ClusterRole and the admission policy"
    )]
    Forbidden {
        /// Its kind and name.
        object: String,
        /// What the API server says.
        why: String,
    },
    /// It cannot be asked, or cannot answer now.
    #[error("the API server cannot be asked about {object}: {why}")]
    Unreachable {
        /// Its kind and name.
        object: String,
        /// What the connection says.
        why: String,
    },
    /// It refuses for a reason that lies in the request, or answers what cannot be read.
    #[error("the API server's answer about {object} is not what was asked for: {why}")]
    Unexpected {
        /// Its kind and name.
        object: String,
        /// The answer.
        why: String,
    },
}

impl NodeError {
    /// What makes an error of the client one about an object.
    pub(super) fn of(object: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |error| {
            let object = object.into();
            match error {
                kube::Error::Api(status) => Self::of_status(object, &status),
                kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => {
                    Self::Unexpected { object, why: printable(&error.to_string()) }
                }
                // Credentials that cannot be had or renewed are no answer either.
                _ => Self::Unreachable { object, why: printable(&error.to_string()) },
            }
        }
    }

    fn of_status(object: String, status: &Status) -> Self {
        let why = printable(&status.message);
        match status.code {
            404 => Self::Absent { object },
            409 => Self::Conflict { object },
            // 422: an admission policy says no.
            403 | 422 => Self::Forbidden { object, why },
            // 401: a token that has run out, and is read anew.
            401 | 429 | 500.. => Self::Unreachable { object, why },
            _ => Self::Unexpected { object, why },
        }
    }
}
