//! What a transaction did, path by path.

use std::path::PathBuf;

use crate::host::{HostError, Owner};

/// What an apply, rollback or revert did, or what a preview says that it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Paths that changed, in order. None: nothing was to do (rule H2).
    pub changes: Vec<Change>,
    /// Paths that were already as they shall be, in order.
    pub unchanged: Vec<PathBuf>,
    /// What deserves a word although it did not stand in the way.
    pub warnings: Vec<Warning>,
}

/// One path that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute, as the host sees it.
    pub path: PathBuf,
    /// How it changed.
    pub kind: ChangeKind,
}

/// How a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Nothing was there.
    Created,
    /// Other bytes, mode or kind.
    Changed,
    /// Nothing is there any more.
    Removed,
    /// The host's own file or link is back.
    Restored,
}

impl ChangeKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Restored => "restored",
        }
    }
}

/// Something to report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A managed file belongs to another user than the agent's (rule H11).
    #[error(
        "{} belongs to {}:{} and not to the agent's user: who owns it can change what the engine obeys",
        path.display(), owner.uid, owner.gid
    )]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: Owner,
    },
    /// Somebody changed a file of ours; their bytes are kept before ours go back (rule R1).
    #[error("{} was changed by others; their version is kept as {}", path.display(), kept.display())]
    ForeignKept {
        /// The file.
        path: PathBuf,
        /// Where their bytes are.
        kept: PathBuf,
    },
    /// A replaced file had a label or an access list that its replacement lacks.
    #[error("{0}; see with ls -Z and getfacl whether the engine may still read it")]
    AttributesLost(HostError),
    /// Everything is in place, but what was kept for undoing it is not all gone; the next
    /// transaction removes it.
    #[error("applied, but not tidied up: {0}")]
    Untidied(HostError),
}
