//! Wake-ups: something in a directory that matters has changed. What it was, a look will tell.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::UnboundedSender;

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

/// The directories that are watched for one reason.
pub struct Watch {
    watcher: RecommendedWatcher,
    /// Each with what tells whether it is still the same directory.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// Those that cannot be watched, so that it is said once.
    refused: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel has no more inotify instances to give.
    pub fn new(wake: Wake, wakes: UnboundedSender<Wake>) -> notify::Result<Self> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is no change; an error, as an overflow, may hide one.
            if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                // Nobody to wake: the process ends.
                let _ = wakes.send(wake);
            }
        })?;
        Ok(Self { watcher, watched: BTreeMap::new(), refused: BTreeMap::new() })
    }

    /// Watches what can change `paths`: each directory among them, the one that each is in, and
    /// where links lead. Of what is missing, the nearest that is there. To be called again after
    /// each change: directories come, go, and are made again.
    pub fn follow(&mut self, paths: &[PathBuf]) {
        let wanted: BTreeMap<PathBuf, (u64, u64)> =
            paths.iter().flat_map(|path| directories(path)).filter_map(identified).collect();
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(path, identity)| wanted.get(*path) != Some(identity))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            // The kernel has dropped the watch of a directory that is gone.
            let _ = self.watcher.unwatch(&path);
            self.watched.remove(&path);
        }
        for (path, identity) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, identity);
                }
                Err(_) if self.refused.get(&path) == Some(&identity) => {}
                Err(error) => {
                    tracing::warn!(
                        path = %path.display(),
                        "cannot watch a directory, so changes in it show at the next recheck only: {error}"
                    );
                    self.refused.insert(path, identity);
                }
            }
        }
    }
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![nearest(path.parent().unwrap_or(path))];
    if path.is_dir() {
        found.push(path.to_owned());
    }
    if let Ok(real) = path.canonicalize()
        && real != path
    {
        found.extend(real.parent().map(Path::to_owned));
    }
    found
}

/// The directory itself, or the nearest above it that is there.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn identified(path: PathBuf) -> Option<(PathBuf, (u64, u64))> {
    let metadata = path.metadata().ok()?;
    Some((path, (metadata.dev(), metadata.ino())))
}
