//! The transaction on disk: a set of files becomes the host's, wholly or not at all.
//!
//! State lies below [`STATE_DIR`]: `applied.json` says which files are ours, `base/` keeps
//! what stood in their place, `content/` the bytes of the applied set and of the one before
//! it, `foreign/` what others wrote over ours, `beneath/` what they wrote it over. State and managed files change in the same
//! transaction, so neither can run ahead of the other.

pub mod base;
mod change;
pub mod drift;
pub mod error;
mod journal;
mod lock;
mod new_base;
pub mod outcome;
pub mod session;
pub mod state;
mod transaction;

pub use base::{Base, Origin};
pub use drift::{Drift, DriftKind, drift};
pub use error::ApplyError;
pub use new_base::adopted;
pub use outcome::{Change, ChangeKind, Outcome, Warning};
pub use session::{
    Request, Session, given_back, held, is_applied, is_interrupted, one_step_back, preview,
    previous_digests,
};
pub use state::{Applied, AppliedSet, Digests, Entry, Held, STATE_DIR};
pub use transaction::Recovery;
