//! From one applied set to another: which paths and which files of the state must change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::base::{Base, Live, Origin, copy_of, origins_file};
use super::error::ApplyError;
use super::outcome::{Change, ChangeKind, Outcome, Warning};
use super::state::{
    Applied, AppliedSet, BENEATH, Entry, FOREIGN, Held, STATE_DIR, applied_file, content_file,
    encode, held_file, load, mirrored, previous_file, read_content, sha256,
};
use super::transaction::{Edit, Put};
use crate::host::{Cause, HostError, Node, Owner, Root};
use crate::render::{FileSet, Want};

/// All of the agent's state, but for the bytes of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub applied: Applied,
    pub base: Base,
    /// What a rollback goes back to.
    pub previous: Option<AppliedSet>,
    /// What a rollback went away from.
    pub held: Option<Held>,
}

impl State {
    pub fn load(root: &Root) -> Result<Self, ApplyError> {
        Ok(Self {
            applied: Applied::load(root)?,
            base: Base::load(root)?,
            previous: load(root, &previous_file())?,
            held: load(root, &held_file())?,
        })
    }

    /// Whether base and applied set speak of the same paths. Where one of them is lost, the other would
    /// take what is ours for the host's own, or leave it where it is.
    ///
    /// # Errors
    /// [`ApplyError::Damaged`].
    pub fn check(&self, root: &Root) -> Result<(), ApplyError> {
        if self.applied.set.files.keys().eq(self.base.origins.keys()) {
            return Ok(());
        }
        for file in [applied_file(), origins_file()] {
            if root.node(&file)?.is_none() {
                return Err(ApplyError::Damaged { file, why: "it is missing".into() });
            }
        }
        let why = "it speaks of other paths than applied.json".into();
        Err(ApplyError::Damaged { file: origins_file(), why })
    }

    /// Every content that the state refers to.
    fn contents(&self) -> BTreeSet<&str> {
        let sets = std::iter::once(&self.applied.set).chain(&self.previous);
        sets.flat_map(|set| set.files.values()).map(|entry| entry.sha256.as_str()).collect()
    }
}

/// What a path of ours shall hold; a path that is not ours is in no [`Files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ours {
    bytes: Vec<u8>,
    mode: u32,
}

impl From<Ours> for Want {
    fn from(ours: Ours) -> Self {
        Self::File { bytes: ours.bytes, mode: ours.mode }
    }
}

/// A whole set, with its bytes.
pub(super) type Files = BTreeMap<PathBuf, Ours>;

/// The set that a render means. Paths of ours that it does not name become the host's own
/// again, but for those below `keep`, which stay as applied.
pub(super) fn files_of(
    root: &Root,
    state: &State,
    set: &FileSet,
    keep: &[PathBuf],
) -> Result<Files, ApplyError> {
    let mut files = Files::new();
    for (path, want) in set.iter() {
        if let Want::File { bytes, mode } = want {
            let mode = mode_of(root, state, path)?.unwrap_or(*mode);
            files.insert(path.to_owned(), Ours { bytes: bytes.clone(), mode });
        }
    }
    for (path, entry) in &state.applied.set.files {
        if set.get(path).is_none() && keep.iter().any(|dir| path.starts_with(dir)) {
            files.insert(path.clone(), stored(root, entry)?);
        }
    }
    Ok(files)
}

/// The permissions of the host's own file, which ours takes over (rule H1); none where the host has
/// no file of its own.
fn mode_of(root: &Root, state: &State, path: &Path) -> Result<Option<u32>, HostError> {
    let kept = |mode: u32| Some(mode & 0o777);
    match state.base.origin(path) {
        Some(Origin::File { mode, .. }) => Ok(kept(*mode)),
        Some(Origin::Link { .. } | Origin::Absent) => Ok(None),
        None => match root.node(path)? {
            Some(Node::File { mode, .. }) => Ok(kept(mode)),
            _ => Ok(None),
        },
    }
}

/// A set with its bytes from the store.
pub(super) fn stored_files(root: &Root, set: &AppliedSet) -> Result<Files, ApplyError> {
    set.files.iter().map(|(path, entry)| Ok((path.clone(), stored(root, entry)?))).collect()
}

fn stored(root: &Root, entry: &Entry) -> Result<Ours, ApplyError> {
    Ok(Ours { bytes: read_content(root, &entry.sha256)?, mode: entry.mode })
}

/// What a set is called in the state.
pub(super) fn entries(files: &Files) -> BTreeMap<PathBuf, Entry> {
    let entry = |ours: &Ours| Entry { sha256: sha256(&ours.bytes), mode: ours.mode };
    files.iter().map(|(path, ours)| (path.clone(), entry(ours))).collect()
}

/// Everything that one transaction does.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub edits: Vec<Edit>,
    pub remove_dirs: BTreeSet<PathBuf>,
    pub outcome: Outcome,
}

/// Plans the way from `now` to the set `files` and the state `next`, whose base and directories
/// are filled in here. Copies are edited before the files they stand for, records last.
pub(super) fn plan(
    root: &Root,
    now: &State,
    files: &Files,
    mut next: State,
) -> Result<Planned, ApplyError> {
    check_apart(root, files)?;
    let mut planned = Planned::default();
    let mut managed = Vec::new();
    next.base = now.base.clone();
    let paths: BTreeSet<&PathBuf> = files.keys().chain(now.applied.set.files.keys()).collect();
    for path in paths {
        check_path(path)?;
        let live = Live::read(root, path)?;
        let put = match files.get(path) {
            Some(ours) => {
                planned.keep_base(&mut next.base, path, &live);
                put_ours(ours)
            }
            None => match planned.release_base(root, &mut next.base, path)? {
                // Others removed its directory, and it with that. All of it is for a revert to bring back.
                Put::File { .. } | Put::Link(_) if !files.is_empty() && !has_place(root, path)? => {
                    Put::Nothing
                }
                put => put,
            },
        };
        managed.extend(planned.put(root, now, (path, &live), put, files.contains_key(path)));
    }
    let made = made_dirs(root, now, &managed)?;
    next.applied.directories = planned.sort_dirs(root, made, &managed)?;
    if next.applied.set == AppliedSet::default() && next.previous.is_none() {
        // All of the host is its own again: what others put into our directories, too.
        next.applied.directories.clear();
    }
    planned.store_contents(root, now, &next, files)?;
    planned.edits.append(&mut managed);
    planned.record(now, &next)?;
    Ok(planned)
}

/// Plans to put `files`, which are of the applied set, back in place; the state stays as it is.
pub(super) fn replan(root: &Root, now: &State, files: &Files) -> Result<Planned, ApplyError> {
    let mut planned = Planned::default();
    let mut managed = Vec::new();
    for (path, ours) in files {
        let live = Live::read(root, path)?;
        managed.extend(planned.put(root, now, (path, &live), put_ours(ours), true));
    }
    planned.edits.append(&mut managed);
    Ok(planned)
}

impl Planned {
    /// Says what becomes of a path, and keeps what others made of it; the edit, if one is needed.
    fn put(
        &mut self,
        root: &Root,
        now: &State,
        (path, live): (&Path, &Live),
        put: Put,
        ours: bool,
    ) -> Option<Edit> {
        self.report(path, live, &put, ours);
        if live.is(&put) {
            return None;
        }
        self.keep_foreign(root, now.applied.set.files.get(path), path, live);
        Some(Edit { path: path.to_owned(), put })
    }

    fn put_file(&mut self, path: PathBuf, bytes: Vec<u8>, mode: u32) {
        let put = Put::File { bytes, mode, owner: Owner::ours() };
        self.edits.push(Edit { path, put });
    }

    /// Removes a file of the state, and its directories once they are empty.
    pub(super) fn remove_state(&mut self, path: PathBuf) {
        let dirs = path.ancestors().skip(1).take_while(|dir| *dir != Path::new(STATE_DIR));
        self.remove_dirs.extend(dirs.map(Path::to_owned));
        self.edits.push(Edit { path, put: Put::Nothing });
    }

    /// Before our first write the host's own copy is kept (rule R1).
    fn keep_base(&mut self, base: &mut Base, path: &Path, live: &Live) {
        if base.origins.contains_key(path) {
            return;
        }
        if let Origin::File { mode, .. } = live.origin {
            self.put_file(copy_of(path), live.bytes.clone(), mode);
        }
        base.origins.insert(path.to_owned(), live.origin.clone());
    }

    /// What makes `path` the host's own again; its base goes, for the file is its base then.
    fn release_base(
        &mut self,
        root: &Root,
        base: &mut Base,
        path: &Path,
    ) -> Result<Put, ApplyError> {
        let damaged = |file: PathBuf| ApplyError::Damaged { file, why: "it is missing".into() };
        match base.origins.remove(path) {
            None => Err(damaged(origins_file())),
            Some(Origin::Absent) => Ok(Put::Nothing),
            Some(Origin::Link { target }) => Ok(Put::Link(target)),
            Some(Origin::File { mode, owner }) => {
                let copy = copy_of(path);
                let bytes = root.read(&copy)?.ok_or_else(|| damaged(copy.clone()))?;
                self.remove_state(copy);
                Ok(Put::File { bytes, mode, owner })
            }
        }
    }

    /// What is to be said of one path.
    fn report(&mut self, path: &Path, live: &Live, put: &Put, ours: bool) {
        if let Origin::File { owner, .. } = live.origin
            && ours
            && owner != Owner::ours()
        {
            self.outcome.warnings.push(Warning::ForeignOwner { path: path.to_owned(), owner });
        }
        if live.is(put) {
            self.outcome.unchanged.push(path.to_owned());
            return;
        }
        let kind = match (put, &live.origin) {
            (Put::Nothing, _) => ChangeKind::Removed,
            _ if !ours => ChangeKind::Restored,
            (_, Origin::Absent) => ChangeKind::Created,
            _ => ChangeKind::Changed,
        };
        self.outcome.changes.push(Change { path: path.to_owned(), kind });
    }

    /// What others wrote over a file of ours is kept, the newest of it (rule R1), with what they wrote
    /// it over: only that tells what is theirs in it.
    fn keep_foreign(&mut self, root: &Root, applied: Option<&Entry>, path: &Path, live: &Live) {
        let Some(Entry { sha256: ours, .. }) = applied else { return };
        let Origin::File { mode, .. } = live.origin else { return };
        if *ours == sha256(&live.bytes) {
            return;
        }
        // Where ours is damaged nobody knows what is theirs: as much as nothing.
        let beneath = read_content(root, ours).unwrap_or_else(|_| live.bytes.clone());
        let kept = mirrored(FOREIGN, path);
        self.put_file(mirrored(BENEATH, path), beneath, 0o600);
        self.put_file(kept.clone(), live.bytes.clone(), mode);
        self.outcome.warnings.push(Warning::ForeignKept { path: path.to_owned(), kept });
    }

    /// Those of the directories we made that stay; the others are empty now, and go (rule R9).
    fn sort_dirs(
        &mut self,
        root: &Root,
        made: BTreeSet<PathBuf>,
        managed: &[Edit],
    ) -> Result<BTreeSet<PathBuf>, HostError> {
        let (gone, put): (Vec<_>, Vec<_>) =
            managed.iter().partition(|edit| edit.put == Put::Nothing);
        let mut gone: BTreeSet<PathBuf> = gone.iter().map(|edit| edit.path.clone()).collect();
        let mut stay = BTreeSet::new();
        // Deepest first: a directory is empty once those in it are gone.
        for dir in made.into_iter().rev() {
            let names = root.list(&dir)?;
            let left = names.iter().flatten().any(|name| !gone.contains(&dir.join(name)));
            if left || put.iter().any(|edit| edit.path.starts_with(&dir)) {
                stay.insert(dir);
            } else {
                self.remove_dirs.insert(dir.clone());
                gone.insert(dir);
            }
        }
        Ok(stay)
    }

    /// The bytes of the applied set and of the one before it are kept, all others go.
    fn store_contents(
        &mut self,
        root: &Root,
        now: &State,
        next: &State,
        files: &Files,
    ) -> Result<(), HostError> {
        let mut needed = next.contents();
        for dropped in now.contents().difference(&needed) {
            self.remove_state(content_file(dropped));
        }
        for ours in files.values() {
            let digest = sha256(&ours.bytes);
            // Removed: two paths with the same bytes need them once.
            if needed.remove(digest.as_str()) && root.node(&content_file(&digest))?.is_none() {
                self.put_file(content_file(&digest), ours.bytes.clone(), 0o644);
            }
        }
        Ok(())
    }

    /// Writes down what differs of the state.
    fn record(&mut self, now: &State, next: &State) -> Result<(), ApplyError> {
        self.record_one(origins_file(), some(&now.base), some(&next.base))?;
        self.record_one(previous_file(), now.previous.as_ref(), next.previous.as_ref())?;
        self.record_one(held_file(), now.held.as_ref(), next.held.as_ref())?;
        self.record_one(applied_file(), some(&now.applied), some(&next.applied))
    }

    fn record_one<T: serde::Serialize + PartialEq>(
        &mut self,
        file: PathBuf,
        now: Option<&T>,
        next: Option<&T>,
    ) -> Result<(), ApplyError> {
        if now == next {
            return Ok(());
        }
        match next {
            Some(value) => {
                let bytes = encode(&file, value)?;
                self.put_file(file, bytes, 0o644);
            }
            None => self.remove_state(file),
        }
        Ok(())
    }
}

/// A value that is worth a file.
fn some<T: Default + PartialEq>(value: &T) -> Option<&T> {
    (*value != T::default()).then_some(value)
}

fn put_ours(ours: &Ours) -> Put {
    Put::File { bytes: ours.bytes.clone(), mode: ours.mode, owner: Owner::ours() }
}

/// The directories that we made, and those that these edits make.
fn made_dirs(root: &Root, now: &State, managed: &[Edit]) -> Result<BTreeSet<PathBuf>, HostError> {
    let mut made = now.applied.directories.clone();
    for edit in managed.iter().filter(|edit| edit.put != Put::Nothing) {
        made.extend(root.way_to(&edit.path)?.1);
    }
    Ok(made)
}

/// Whether the directory of a file is there.
fn has_place(root: &Root, path: &Path) -> Result<bool, HostError> {
    path.parent().map_or(Ok(false), |parent| Ok(root.follow(parent)?.is_some()))
}

/// Files that are one by a link of directories can hold one thing alone.
fn check_apart(root: &Root, files: &Files) -> Result<(), ApplyError> {
    let mut known = HashMap::new();
    for (path, ours) in files {
        let place = path.parent().and_then(|parent| root.identity(parent)).zip(path.file_name());
        let Some(place) = place else { continue };
        if let Some((other, theirs)) = known.insert(place, (path, ours))
            && theirs != ours
        {
            return Err(ApplyError::OneFile(other.clone(), path.clone()));
        }
    }
    Ok(())
}

/// Only absolute paths without `..` outside the state can be managed.
fn check_path(path: &Path) -> Result<(), HostError> {
    let plain =
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain && path.file_name().is_some() && !path.starts_with(STATE_DIR) {
        return Ok(());
    }
    Err(HostError::new("manage", path, Cause::BadPath))
}
