//! Why a transaction did not happen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{Cause, HostError};

/// Why nothing was applied, rolled back or reverted.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file of the host cannot be read or written; what was begun has been undone (H1).
    #[error("{0}; the managed files are as they were")]
    Host(HostError),
    /// An operation failed, and so did putting it right: the journal stays, and the next
    /// transaction finishes or undoes it before anything else (H1).
    #[error(
        "{cause}; undoing it failed too: {then}. The host is between two states; the next \
         apply, rollback or revert, or the next start of the agent, puts it right"
    )]
    Unfinished {
        /// What failed first.
        cause: HostError,
        /// What failed while it was being put right.
        then: HostError,
    },
    /// A newer agent wrote this file; it is left untouched (H12).
    #[error(
        "{} has format {found}, this agent knows up to {supported}; nothing was touched: \
         use the agent that wrote it, or a newer one",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The version it states.
        found: u64,
        /// The newest version this agent reads and writes.
        supported: u64,
    },
    /// A file of the agent's state is not what the agent wrote.
    #[error("{} is damaged: {why}; restore it from a backup, or see docs/recovery.md for what it is and how to do without", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the host that the engine would refuse cannot become a base.
    #[error("{} cannot be built upon: {why}; mend it first", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two paths lead to one file, by links among their directories, and are to hold different things.
    #[error("{} and {} are one file, and cannot both be written: remove the link among their directories", .0.display(), .1.display())]
    OneFile(PathBuf, PathBuf),
    /// State cannot be written down: a path that is not UTF-8, in practice.
    #[error("cannot write {}: {why}", file.display())]
    Unencodable {
        /// The file.
        file: PathBuf,
        /// What the encoder says.
        why: String,
    },
    /// Another process has held the lock for all of the time given.
    #[error(
        "another image-config-agent ({holder}) has held the lock for {waited:?}; \
         wait for it or stop it"
    )]
    Locked {
        /// "pid N", or that it is unknown.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The path holds the host's own file: it has no base apart from that (R1).
    #[error(
        "{} is not managed at present: the file itself is its base, edit it directly",
        .0.display()
    )]
    NoBase(PathBuf),
    /// The path is as it was applied, and nothing that others wrote is kept.
    #[error("{} is as it was applied: there is nothing of others in it to adopt", .0.display())]
    NothingForeign(PathBuf),
}

impl ApplyError {
    /// The path that could not be written because its file system is read-only, if that is why.
    #[must_use]
    pub fn read_only(&self) -> Option<&Path> {
        match self {
            Self::Host(error) if error.cause == Cause::ReadOnly => Some(&error.path),
            _ => None,
        }
    }
}

/// By hand, because the message has all of the cause in it: as a source it would be said twice.
impl From<HostError> for ApplyError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}
