//! What a transaction is about to do, written down before it does it (rule H1).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ApplyError;
use super::state::{STATE_DIR, encode, load, state_file};
use crate::host::{HostError, Owner, Root};

/// Everything needed to finish or undo a transaction after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// What happens, path by path, in this order.
    pub steps: Vec<Step>,
    /// Directories that are made for it, outermost first.
    pub make_dirs: BTreeSet<PathBuf>,
    /// Directories that are removed after it if they are empty then.
    pub remove_dirs: BTreeSet<PathBuf>,
}

/// The change of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// The path that changes.
    pub path: PathBuf,
    /// The staged file or link that is renamed to it; none: it is removed.
    pub new: Option<PathBuf>,
    /// The second name of what stands there before; none: nothing does.
    pub old: Option<PathBuf>,
}

/// How far a transaction is. The journal's file name says it, so that going on is one
/// rename, which needs no space on a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Files are being staged; no path has changed. Undone by removing what is staged.
    Staging,
    /// All is staged and durable; paths are changing. Finished or undone.
    Commit,
    /// All paths have changed; what was kept for undoing goes. Finished.
    Tidy,
    /// Paths are being changed back. Finished.
    Undo,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Staging, Self::Commit, Self::Tidy, Self::Undo];

    fn file(self) -> PathBuf {
        state_file(match self {
            Self::Staging => "journal-staging.json",
            Self::Commit => "journal-commit.json",
            Self::Tidy => "journal-tidy.json",
            Self::Undo => "journal-undo.json",
        })
    }
}

impl Journal {
    /// Writes the journal of a transaction that is about to stage its files.
    pub fn begin(&self, root: &Root) -> Result<(), ApplyError> {
        let (file, draft) = (Phase::Staging.file(), draft());
        let bytes = encode(&file, self)?;
        drop_draft(root)?;
        let written = root
            .create(&draft, &bytes, 0o644, Owner::ours())
            .and_then(|()| root.rename(&draft, &file))
            .and_then(|_| root.sync(Path::new(STATE_DIR)));
        if let Err(error) = written {
            // Best effort: a journal without staged files does no harm, nor does a draft.
            let _ = root.remove(&draft).and_then(|_| root.remove(&file));
            return Err(error.into());
        }
        Ok(())
    }

    /// The journal of a transaction that did not end, and how far it came.
    pub fn pending(root: &Root) -> Result<Option<(Phase, Self)>, ApplyError> {
        for phase in Phase::ALL {
            if let Some(journal) = load(root, &phase.file())? {
                return Ok(Some((phase, journal)));
            }
        }
        Ok(None)
    }
}

/// Goes on to a phase, durably.
pub(super) fn advance(root: &Root, to: Phase) -> Result<(), HostError> {
    for from in Phase::ALL.into_iter().filter(|from| *from != to) {
        if root.rename(&from.file(), &to.file())? {
            break;
        }
    }
    root.sync(Path::new(STATE_DIR))
}

/// Ends the transaction, durably.
pub(super) fn end(root: &Root) -> Result<(), HostError> {
    drop_all(root)?;
    root.sync(Path::new(STATE_DIR))
}

/// Removes the journal. The next one's begin, or the kernel in a while, makes that durable.
pub(super) fn drop_all(root: &Root) -> Result<(), HostError> {
    Phase::ALL.into_iter().try_for_each(|phase| root.remove(&phase.file()).map(drop))
}

/// Removes a journal that a crash kept from being written to its end: nothing was staged yet.
pub(super) fn drop_draft(root: &Root) -> Result<(), HostError> {
    root.remove(&draft()).map(drop)
}

fn draft() -> PathBuf {
    state_file("journal.draft")
}
