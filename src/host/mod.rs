//! The host's files, read and written below one directory; nothing is decided here.

pub mod crio;
pub mod error;
pub mod paths;
pub mod root;
pub mod snapshot;
mod write;

pub use crio::Crio;
pub use error::{Cause, HostError};
pub use paths::Paths;
pub use root::{Content, Node, Root};
pub use snapshot::{CertsDir, HostCerts, Listing, NamedFile, Snapshot};
pub use write::Owner;
