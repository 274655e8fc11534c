//! Many paths change together, or none does (rule H1).
//!
//! 1. The journal says which names will be staged; then every new file is staged beside its
//!    target, and what stands there gets a second name. Until here nothing has changed.
//! 2. Once all of that is durable the journal says so, and the staged files are renamed.
//! 3. Once the renames are durable the journal says so, and the second names go.
//!
//! An error in 1 or 2 brings everything back. After a crash in 1 the leftovers go, after a crash
//! in 2 or 3 the rest is done: all that it takes is on the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::ApplyError;
use super::journal::{self, Journal, Phase, Step};
use crate::host::{Cause, Durable, HostError, Node, Owner, Root};

/// What a path becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Put {
    File { bytes: Vec<u8>, mode: u32, owner: Owner },
    Link(PathBuf),
    Nothing,
}

/// The change of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub path: PathBuf,
    pub put: Put,
}

/// What became of a transaction that a crash had left half-done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// There was none.
    Nothing,
    /// Its last steps were done: its files are in place.
    Finished,
    /// It was taken back: the files are as before it.
    Undone,
}

/// What remains to be told of a transaction that took effect.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// What was kept for undoing it is not all gone.
    pub untidied: Option<HostError>,
    /// Extended attributes of replaced files that their replacements lack.
    pub unkept: Vec<HostError>,
}

/// Makes all edits, or none. Directories that are missing are made; those of `remove_dirs`
/// are removed if they are empty in the end.
///
/// # Errors
/// Nothing has changed then, but for [`ApplyError::Unfinished`].
pub(super) fn commit(
    root: &Root,
    edits: &[Edit],
    remove_dirs: BTreeSet<PathBuf>,
) -> Result<Committed, ApplyError> {
    let journal = lay_out(root, edits, remove_dirs)?;
    journal.begin(root)?;
    let unkept = match stage(root, edits, &journal) {
        Ok(unkept) => unkept,
        Err(error) => {
            // What cannot be removed now is in the journal for the next start.
            let _ = drop_staged(root, &journal).and_then(|()| journal::end(root));
            return Err(error.into());
        }
    };
    let committed = journal::advance(root, Phase::Commit)
        .and_then(|()| finish(root, &journal, false))
        .and_then(|()| journal::advance(root, Phase::Tidy));
    if let Err(cause) = committed {
        return Err(match take_back(root, &journal) {
            Ok(()) => cause.into(),
            Err(then) => ApplyError::Unfinished { cause, then },
        });
    }
    Ok(Committed { untidied: tidy(root, &journal).err(), unkept })
}

/// Finishes or undoes what a crash left half-done.
///
/// # Errors
/// [`ApplyError::Newer`] leaves a newer agent's journal untouched (H12); after any other the
/// journal remains.
pub(super) fn recover(root: &Root) -> Result<Recovery, ApplyError> {
    let Some((phase, journal)) = Journal::pending(root)? else {
        journal::drop_draft(root)?;
        return Ok(Recovery::Nothing);
    };
    match phase {
        Phase::Staging => {
            drop_staged(root, &journal)?;
            journal::end(root)?;
            Ok(Recovery::Undone)
        }
        Phase::Undo => {
            take_back(root, &journal)?;
            Ok(Recovery::Undone)
        }
        Phase::Commit => {
            let finished =
                finish(root, &journal, true).and_then(|()| journal::advance(root, Phase::Tidy));
            if let Err(cause) = finished {
                return match take_back(root, &journal) {
                    Ok(()) => Ok(Recovery::Undone),
                    Err(then) => Err(ApplyError::Unfinished { cause, then }),
                };
            }
            tidy(root, &journal)?;
            Ok(Recovery::Finished)
        }
        Phase::Tidy => {
            tidy(root, &journal)?;
            Ok(Recovery::Finished)
        }
    }
}

/// Says which names are used for what. The new file is staged in the deepest directory on its
/// way that exists: an empty host directory in certs.d would mask another one before its time.
/// No engine reads the names, whatever the directory.
fn lay_out(
    root: &Root,
    edits: &[Edit],
    remove_dirs: BTreeSet<PathBuf>,
) -> Result<Journal, HostError> {
    let mut journal = Journal { steps: Vec::new(), make_dirs: BTreeSet::new(), remove_dirs };
    for (number, Edit { path, put }) in edits.iter().enumerate() {
        let there = match root.node(path)? {
            Some(Node::Dir | Node::Other) => {
                return Err(HostError::new("manage", path, Cause::NotAFile));
            }
            node => node.is_some(),
        };
        let (dir, missing) = root.way_to(path)?;
        let name = |suffix| dir.join(format!(".image-config-agent.{number}.{suffix}"));
        let new = (*put != Put::Nothing).then(|| name("new"));
        let old = there.then(|| name("old"));
        if new.is_some() {
            journal.make_dirs.extend(missing);
        }
        journal.steps.push(Step { path: path.clone(), new, old });
    }
    Ok(journal)
}

/// Creates the staged files and second names, and makes them durable.
fn stage(root: &Root, edits: &[Edit], journal: &Journal) -> Result<Vec<HostError>, HostError> {
    drop_staged(root, journal)?;
    let (mut unkept, mut durable) = (Vec::new(), Vec::new());
    for (step, edit) in journal.steps.iter().zip(edits) {
        if let Some(old) = &step.old {
            let copy = root.keep(&step.path, old)?;
            durable.extend(copy.map(|file| Durable::Content(old, file)));
        }
        match (&step.new, &edit.put) {
            (Some(new), Put::File { bytes, mode, owner }) => {
                let (file, lost) = root.create_like(new, bytes, *mode, *owner, &step.path)?;
                unkept.extend(lost);
                durable.push(Durable::Content(new, file));
            }
            (Some(new), Put::Link(target)) => root.create_link(new, target)?,
            (_, Put::Nothing) | (None, _) => {}
        }
    }
    durable.extend(dirs(journal).into_iter().map(Durable::Names));
    root.sync_all(&durable)?;
    Ok(unkept)
}

/// Removes staged files and second names while no path has changed.
fn drop_staged(root: &Root, journal: &Journal) -> Result<(), HostError> {
    for step in &journal.steps {
        for name in step.new.iter().chain(&step.old) {
            root.remove(name)?;
        }
    }
    Ok(())
}

/// Changes every path. `resuming`: a staged file that is gone was renamed before the crash.
fn finish(root: &Root, journal: &Journal, resuming: bool) -> Result<(), HostError> {
    for dir in &journal.make_dirs {
        root.make_dir(dir)?;
    }
    for step in &journal.steps {
        match &step.new {
            Some(new) => {
                if !root.rename(new, &step.path)? && !resuming {
                    return Err(HostError::new("replace", new, nix::errno::Errno::ENOENT));
                }
            }
            None => {
                root.remove(&step.path)?;
            }
        }
    }
    sync(root, journal)
}

/// Removes what was kept for undoing, and directories that became empty; ends the transaction.
fn tidy(root: &Root, journal: &Journal) -> Result<(), HostError> {
    for old in journal.steps.iter().filter_map(|step| step.old.as_ref()) {
        root.remove(old)?;
    }
    for dir in journal.remove_dirs.iter().rev() {
        root.remove_dir(dir)?;
    }
    sync(root, journal)?;
    // A journal that a crash brings back has it all tidied up once more, which changes nothing.
    journal::drop_all(root)
}

/// Brings every path back and ends the transaction.
fn take_back(root: &Root, journal: &Journal) -> Result<(), HostError> {
    journal::advance(root, Phase::Undo)?;
    for step in journal.steps.iter().rev() {
        match (&step.old, &step.new) {
            (Some(old), _) => {
                root.rename(old, &step.path)?;
                // Where the path had not changed, the two were one file, and rename leaves both.
                root.remove(old)?;
                if let Some(new) = &step.new {
                    root.remove(new)?;
                }
            }
            (None, Some(new)) => {
                // Still staged: the path was never made.
                if !root.remove(new)? {
                    root.remove(&step.path)?;
                }
            }
            (None, None) => {}
        }
    }
    for dir in journal.make_dirs.iter().rev() {
        root.remove_dir(dir)?;
    }
    sync(root, journal)?;
    journal::end(root)
}

/// Makes the names in every directory of the transaction durable.
fn sync(root: &Root, journal: &Journal) -> Result<(), HostError> {
    root.sync_all(&dirs(journal).into_iter().map(Durable::Names).collect::<Vec<_>>())
}

/// Every directory of the transaction.
fn dirs(journal: &Journal) -> BTreeSet<&Path> {
    let steps = journal.steps.iter().flat_map(|step| std::iter::once(&step.path).chain(&step.new));
    steps
        .chain(&journal.make_dirs)
        .chain(&journal.remove_dirs)
        .filter_map(|path| path.parent())
        .collect()
}
