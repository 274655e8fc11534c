//! Wake-ups: something that matters has changed. What it was, a look will tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use notify::{
    Config, Error, ErrorKind, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _,
};
use tokio::sync::mpsc::UnboundedSender;

use super::trail::Trail;
use crate::model::finding::{Finding, Origin, Severity};

/// How often to look at what cannot be watched.
pub const UNWATCHED: Duration = Duration::from_secs(10);

/// Why the driver should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Documents may have changed.
    Source,
    /// Files of the host may have changed.
    Host,
    /// The engine's unit has changed.
    Engine,
}

/// What is watched. The kernel is not even asked for reads, which are no change, nor on the way to what
/// matters for writes: a host on which programs start is not to wake the agent up.
pub struct Watches {
    contents: Watch,
    ways: Watch,
    trails: Arc<Mutex<Trails>>,
}

#[derive(Debug, Default)]
struct Trails {
    sources: Trail,
    host: Trail,
}

/// What comes, goes, and is put in the place of another.
const NAMES: EventKindMask =
    EventKindMask::CREATE.union(EventKindMask::REMOVE).union(EventKindMask::MODIFY_NAME);

/// The same, and what becomes of what is there.
const CHANGES: EventKindMask =
    NAMES.union(EventKindMask::MODIFY_DATA).union(EventKindMask::MODIFY_META);

impl Watches {
    /// Watches nothing yet.
    pub fn new(wakes: &UnboundedSender<Wake>) -> Self {
        let trails = Arc::default();
        let watch = |kinds| Watch::new(kinds, Arc::clone(&trails), wakes.clone());
        Self { contents: watch(CHANGES), ways: watch(NAMES), trails: Arc::clone(&trails) }
    }

    /// Watches what can change these paths: `sources` as this process sees them, those of the host below
    /// `root`. To be called again after each change: directories come, go, and are made again. What the kernel
    /// does not let it watch is tried again the next time; a finding says so.
    pub fn follow(
        &mut self,
        sources: &[PathBuf],
        root: &Path,
        host: &[PathBuf],
    ) -> Option<Finding> {
        let mut trails = Trails::default();
        for path in sources {
            // Without a working directory there is nothing to be found there either.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            trails.sources.add(Path::new("/"), &path);
        }
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        host.iter().for_each(|path| trails.host.add(&root, path));
        let contents = &trails.sources.contents | &trails.host.contents;
        let ways = &(&trails.sources.ways | &trails.host.ways) - &contents;
        // First: what happens right after a watch begins is to count.
        *self.trails.lock().unwrap_or_else(PoisonError::into_inner) = trails;
        let denials = [self.contents.follow(contents), self.ways.follow(ways)];
        denials.into_iter().flatten().next().map(unwatched)
    }
}

fn unwatched((path, error): (PathBuf, notify::Error)) -> Finding {
    Finding::new(
        Severity::Warning,
        "NotWatched",
        Origin::object(path.display().to_string()),
        format!(
            "changes here, and perhaps elsewhere, are seen within {} s only: {}.",
            UNWATCHED.as_secs(),
            Error { paths: Vec::new(), ..error }
        ),
        "Let this user have more of inotify: fs.inotify.max_user_instances and max_user_watches.",
    )
}

impl Trails {
    /// Whom an event concerns; one that names nothing, as an overflow, may hide anything.
    fn wakes(&self, event: notify::Result<notify::Event>) -> Vec<Wake> {
        let paths = event.map(|event| event.paths).unwrap_or_default();
        let concerns =
            |trail: &Trail| paths.is_empty() || paths.iter().any(|path| trail.concerns(path));
        let all = [(Wake::Source, &self.sources), (Wake::Host, &self.host)];
        all.into_iter().filter(|(_, trail)| concerns(trail)).map(|(wake, _)| wake).collect()
    }
}

/// The directories that are watched for one kind of events.
struct Watch {
    kinds: EventKindMask,
    trails: Arc<Mutex<Trails>>,
    wakes: UnboundedSender<Wake>,
    /// None as long as the kernel gives none.
    watcher: Option<RecommendedWatcher>,
    /// Each with what tells whether it is still the same directory.
    watched: BTreeMap<PathBuf, Identity>,
}

impl Watch {
    fn new(kinds: EventKindMask, trails: Arc<Mutex<Trails>>, wakes: UnboundedSender<Wake>) -> Self {
        Self { kinds, trails, wakes, watcher: None, watched: BTreeMap::new() }
    }

    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let (trails, wakes) = (Arc::clone(&self.trails), self.wakes.clone());
        let handler = move |event| {
            let trails = trails.lock().unwrap_or_else(PoisonError::into_inner);
            for wake in trails.wakes(event) {
                // Nobody to wake: the process ends.
                let _ = wakes.send(wake);
            }
        };
        RecommendedWatcher::new(handler, Config::default().with_event_kinds(self.kinds))
    }

    /// Watches these, and no others; the first that cannot be watched, and why.
    fn follow(&mut self, wanted: BTreeSet<PathBuf>) -> Option<(PathBuf, notify::Error)> {
        let wanted: BTreeMap<_, _> = wanted.into_iter().filter_map(identified).collect();
        let mut watcher = match self.watcher.take().map_or_else(|| self.watcher(), Ok) {
            Ok(watcher) => watcher,
            Err(error) => return Some((wanted.into_keys().next()?, error)),
        };
        self.watched.retain(|path, identity| {
            let is_wanted = wanted.get(path) == Some(identity);
            if !is_wanted {
                // The kernel has dropped the watch of a directory that is gone.
                let _ = watcher.unwatch(path);
            }
            is_wanted
        });
        let mut denied = None;
        for (path, identity) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, identity);
                }
                // It has gone meanwhile, and what is above it is watched.
                Err(Error { kind: ErrorKind::PathNotFound, .. }) => {}
                Err(error) => {
                    denied.get_or_insert((path, error));
                }
            }
        }
        self.watcher = Some(watcher);
        denied
    }
}

/// Device, number, and birth in nanoseconds: a new directory may get the number of one that is gone.
pub(super) type Identity = (u64, u64, u128);

/// What tells a directory from every other.
pub(super) fn identity_of(metadata: &Metadata) -> Identity {
    let birth = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let birth = birth.map(|birth| birth.as_nanos()).unwrap_or_default();
    (metadata.dev(), metadata.ino(), birth)
}

fn identified(path: PathBuf) -> Option<(PathBuf, Identity)> {
    let identity = identity_of(&path.metadata().ok()?);
    Some((path, identity))
}
