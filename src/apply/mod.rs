//! The transaction on disk: a set of files becomes the host's, wholly or not at all.
//!
//! State lies below [`STATE_DIR`]: `applied.json` says which files are ours, `base/` keeps
//! what stood in their place, `content/` the bytes of the applied set and of the one before
//! it. State and managed files change in the same transaction, so neither can run ahead.

pub mod base;
pub mod error;
pub mod state;

pub use base::{Base, Origin};
pub use error::ApplyError;
pub use state::STATE_DIR;
