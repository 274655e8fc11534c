//! The host's files, read and written below one directory; nothing is decided here.

pub mod crio;
pub mod error;
pub mod root;
pub mod snapshot;
mod static_pods;
mod walk;
mod write;

pub use crate::engine::Content;
pub use crate::model::Paths;
pub use crio::Crio;
pub use error::{Cause, HostError};
pub use root::{Node, Root};
pub use snapshot::{CertsDir, HostCerts, Snapshot};
pub use static_pods::static_pods;
pub use walk::Listing;
pub use write::{Durable, Owner};
