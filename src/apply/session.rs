//! Apply, roll back, revert: the changes of the host that a caller can ask for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::base::{Origin, copy_of, origins_file};
use super::change::{Files, Planned, State, entries, files_of, plan, replan, stored_files};
use super::error::ApplyError;
use super::journal::Journal;
use super::lock::Lock;
use super::outcome::{Outcome, Warning};
use super::state::{
    AppliedSet, BENEATH, Digests, FOREIGN, Held, encode, held_file, load, mirrored, previous_file,
};
use super::transaction::{Edit, Put, Recovery, commit, recover};
use crate::host::{Owner, Root};
use crate::render::{FileSet, Want};

/// What shall be applied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// What each managed path shall hold. A path of ours that it does not name becomes the
    /// host's own again.
    pub files: &'r FileSet,
    /// The digests of the configuration that the files come from.
    pub digests: &'r Digests,
    /// Paths at or below these that `files` does not name stay as applied (rules D4, K2).
    pub keep: &'r [PathBuf],
    /// It is not all that the documents say, which are paused: what is held stays so (rules K2, X3).
    pub is_partial: bool,
}

/// The sole right to change a host, with nothing half-done.
#[derive(Debug)]
pub struct Session<'r> {
    root: &'r Root,
    recovery: Recovery,
    _lock: Lock,
}

impl<'r> Session<'r> {
    /// Takes the lock, waiting for at most `patience`, and finishes or undoes what a crash left.
    ///
    /// # Errors
    /// [`ApplyError::Locked`]; [`ApplyError::Newer`] where a newer agent's journal waits; or
    /// the state cannot be written.
    pub fn open(root: &'r Root, patience: Duration) -> Result<Self, ApplyError> {
        let lock = Lock::take(root, patience)?;
        let recovery = recover(root)?;
        Ok(Self { root, recovery, _lock: lock })
    }

    /// What became of a transaction that a crash had left half-done.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Makes the host hold what is asked for, all or nothing (rule H1). Nothing is written
    /// where nothing differs (rule H2). Whether the digests are [`held`] is the caller's to
    /// ask: an apply is the explicit retry that ends a hold.
    ///
    /// # Errors
    /// The managed files are as they were then, but for [`ApplyError::Unfinished`].
    pub fn apply(&self, request: Request<'_>) -> Result<Outcome, ApplyError> {
        self.execute(plan_apply(self.root, &self.state()?, request)?)
    }

    /// Goes back to the set before the last apply that changed files, and holds what was applied
    /// (rule X3). `None`: there is nothing to go back to.
    ///
    /// # Errors
    /// As [`Session::apply`].
    pub fn rollback(&self) -> Result<Option<Outcome>, ApplyError> {
        let now = self.state()?;
        let Some(previous) = now.previous.clone() else {
            return Ok(None);
        };
        let held = now.applied.set.digests.clone().map(|digests| Held { digests, why: None });
        self.go_back(&now, previous, State { held, ..State::default() }).map(Some)
    }

    /// Goes back to `before`, from which the last apply came, because the engine does not take what was
    /// applied (rule H5); `verdict`: why that is not to be tried again, if that is so.
    ///
    /// # Errors
    /// As [`Session::apply`].
    pub fn undo(&self, before: &AppliedSet, verdict: Option<&str>) -> Result<(), ApplyError> {
        let now = self.state()?;
        let held = now.applied.set.digests.clone().zip(verdict);
        let held = held.map(|(digests, why)| Held { digests, why: Some(why.to_owned()) });
        // Where only the documents were others, the step of before is still there.
        let is_step = before.files != now.applied.set.files;
        let previous = now.previous.clone().filter(|_| !is_step);
        let next = State { held, previous, ..State::default() };
        self.go_back(&now, before.clone(), next).map(drop)
    }

    fn go_back(&self, now: &State, to: AppliedSet, mut next: State) -> Result<Outcome, ApplyError> {
        let files = stored_files(self.root, &to)?;
        next.applied.set = to;
        self.execute(plan(self.root, now, &files, next)?)
    }

    /// Forgets what is held, so that it can be applied again.
    ///
    /// # Errors
    /// The disk fails.
    pub fn lift_hold(&self) -> Result<(), ApplyError> {
        Ok(self.root.remove(&held_file()).map(drop)?)
    }

    /// Removes what going back to the host's own files needs not, where it is damaged: such a file must
    /// not keep [`Session::revert`] from its work. Which files these were.
    ///
    /// # Errors
    /// A file is of a newer agent, or the disk fails.
    pub fn discard_damaged(&self) -> Result<Vec<PathBuf>, ApplyError> {
        let previous = load::<AppliedSet>(self.root, &previous_file()).map(drop);
        let held = load::<Held>(self.root, &held_file()).map(drop);
        let mut discarded = Vec::new();
        for loaded in [previous, held] {
            discarded.extend(discard(self.root, loaded)?);
        }
        Ok(discarded)
    }

    /// Puts `paths`, which others changed, back to what was applied (rule H9).
    ///
    /// # Errors
    /// As [`Session::apply`].
    pub fn heal(&self, paths: &[PathBuf]) -> Result<Outcome, ApplyError> {
        let now = self.state()?;
        let mut files = stored_files(self.root, &now.applied.set)?;
        files.retain(|path, _| paths.contains(path));
        self.execute(replan(self.root, &now, &files)?)
    }

    /// Gives every path back to the host and forgets everything (rules R1, X3); only what
    /// others wrote over our files stays kept.
    ///
    /// # Errors
    /// As [`Session::apply`].
    pub fn revert(&self) -> Result<Outcome, ApplyError> {
        let now = self.state()?;
        self.execute(plan(self.root, &now, &Files::new(), State::default())?)
    }

    /// Makes `bytes` the base of a path that is ours (`base adopt`, rule R1); the file itself
    /// changes with the next apply. What others wrote over it is not kept any longer: it is in the base.
    ///
    /// # Errors
    /// [`ApplyError::NoBase`] where the path is the host's own; else as [`Session::apply`].
    pub fn replace_base(&self, path: &Path, bytes: Vec<u8>) -> Result<(), ApplyError> {
        let mut base = self.state()?.base;
        let origin =
            base.origins.get_mut(path).ok_or_else(|| ApplyError::NoBase(path.to_owned()))?;
        let (mode, owner) = match *origin {
            Origin::File { mode, owner } => (mode, owner),
            Origin::Link { .. } | Origin::Absent => (0o644, Owner::ours()),
        };
        *origin = Origin::File { mode, owner };
        let file =
            |path, bytes, mode| Edit { path, put: Put::File { bytes, mode, owner: Owner::ours() } };
        let records = encode(&origins_file(), &base)?;
        let mut planned = Planned::default();
        planned.edits.push(file(copy_of(path), bytes, mode));
        for kept in [FOREIGN, BENEATH].map(|dir| mirrored(dir, path)) {
            if self.root.node(&kept)?.is_some() {
                planned.remove_state(kept);
            }
        }
        planned.edits.push(file(origins_file(), records, 0o644));
        self.execute(planned).map(drop)
    }

    /// The state, nothing of which is missing. Whoever reads it without the lock may meet a writer.
    fn state(&self) -> Result<State, ApplyError> {
        let state = State::load(self.root)?;
        state.check(self.root)?;
        Ok(state)
    }

    fn execute(&self, planned: Planned) -> Result<Outcome, ApplyError> {
        let Planned { edits, remove_dirs, mut outcome } = planned;
        if edits.is_empty() && remove_dirs.is_empty() {
            return Ok(outcome);
        }
        let committed = commit(self.root, &edits, remove_dirs)?;
        outcome.warnings.extend(committed.unkept.into_iter().map(Warning::AttributesLost));
        outcome.warnings.extend(committed.untidied.map(Warning::Untidied));
        Ok(outcome)
    }
}

/// Removes the file that could not be loaded because it is damaged, if that is why; which it was.
///
/// # Errors
/// It could not be loaded for another reason, or the disk fails.
pub fn discard(root: &Root, loaded: Result<(), ApplyError>) -> Result<Option<PathBuf>, ApplyError> {
    match loaded {
        Ok(()) => Ok(None),
        Err(ApplyError::Damaged { file, .. }) => {
            root.remove(&file)?;
            Ok(Some(file))
        }
        Err(error) => Err(error),
    }
}

/// What [`Session::apply`] would do. Takes no lock and writes nothing.
///
/// # Errors
/// The host or the state cannot be read.
pub fn preview(root: &Root, request: Request<'_>) -> Result<Outcome, ApplyError> {
    plan_apply(root, &State::load(root)?, request).map(|planned| planned.outcome)
}

/// Whether what is asked for is what is applied, whatever others did to the files since.
///
/// # Errors
/// The state cannot be read.
pub fn is_applied(root: &Root, request: Request<'_>) -> Result<bool, ApplyError> {
    let now = State::load(root)?;
    let files = files_of(root, &now, request.files, request.keep)?;
    let set = AppliedSet { digests: Some(request.digests.clone()), files: entries(&files) };
    Ok(set == now.applied.set)
}

/// What every path of ours holds after a [`Session::rollback`]; `None` where there is nothing to go back to.
///
/// # Errors
/// The state cannot be read.
pub fn one_step_back(root: &Root) -> Result<Option<FileSet>, ApplyError> {
    let now = State::load(root)?;
    let Some(previous) = &now.previous else { return Ok(None) };
    let mut set = all_given_back(&now);
    for (path, ours) in stored_files(root, previous)? {
        set.insert(path, ours.into());
    }
    Ok(Some(set))
}

/// The configuration that a [`Session::rollback`] goes back to, if it came from one.
///
/// # Errors
/// The state cannot be read.
pub fn previous_digests(root: &Root) -> Result<Option<Digests>, ApplyError> {
    Ok(State::load(root)?.previous.and_then(|set| set.digests))
}

/// What every path of ours holds after a [`Session::revert`].
///
/// # Errors
/// The state cannot be read.
pub fn given_back(root: &Root) -> Result<FileSet, ApplyError> {
    Ok(all_given_back(&State::load(root)?))
}

fn all_given_back(now: &State) -> FileSet {
    let mut set = FileSet::default();
    for path in now.applied.set.files.keys() {
        set.insert(path, Want::Base);
    }
    set
}

/// Whether a crash left a transaction half-done, which [`Session::open`] would end.
///
/// # Errors
/// The journal cannot be read.
pub fn is_interrupted(root: &Root) -> Result<bool, ApplyError> {
    Ok(Journal::pending(root)?.is_some())
}

/// What a rollback went away from, if anything (rules H5, X3).
///
/// # Errors
/// The state cannot be read.
pub fn held(root: &Root) -> Result<Option<Held>, ApplyError> {
    load(root, &held_file())
}

fn plan_apply(root: &Root, now: &State, request: Request<'_>) -> Result<Planned, ApplyError> {
    let files = files_of(root, now, request.files, request.keep)?;
    let held = now.held.clone().filter(|_| request.is_partial);
    let mut next = State { held, ..State::default() };
    next.applied.set =
        AppliedSet { digests: Some(request.digests.clone()), files: entries(&files) };
    // A step back is a step of files: other documents with the same meaning are none.
    next.previous = if next.applied.set.files == now.applied.set.files {
        now.previous.clone()
    } else {
        Some(now.applied.set.clone())
    };
    plan(root, now, &files, next)
}
