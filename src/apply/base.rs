//! The base: what the host itself says where the agent writes (rule R1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ApplyError;
use super::state::{load, mirrored, state_file};
use super::transaction::Put;
use crate::host::{Cause, Content, HostError, Node, Owner, Paths, Root};

/// What stood at a path before the agent's first write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A file of the host's own; its bytes are kept below `base/files`.
    File {
        /// Permission bits.
        mode: u32,
        /// Whose it was.
        #[serde(flatten)]
        owner: Owner,
    },
    /// A symbolic link.
    Link {
        /// Where it led, as written in the link.
        target: PathBuf,
    },
    /// Nothing.
    Absent,
}

/// The base of every path that is not the host's own at present.
///
/// A path has a base exactly as long as the applied set names it: once the host's own file
/// is back, that file is its base again, edits and all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub(super) origins: BTreeMap<PathBuf, Origin>,
}

impl Base {
    /// Reads which paths have a base.
    ///
    /// # Errors
    /// [`ApplyError::Newer`], [`ApplyError::Damaged`], or the file cannot be read.
    pub fn load(root: &Root) -> Result<Self, ApplyError> {
        Ok(load(root, &origins_file())?.unwrap_or_default())
    }

    /// What stood at `path`; `None` where the agent has not written.
    #[must_use]
    pub fn origin(&self, path: &Path) -> Option<&Origin> {
        self.origins.get(path)
    }

    /// Every path that has a base, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.origins.keys().map(PathBuf::as_path)
    }

    /// What a render starts from: what the engine would read at `path` without the agent.
    ///
    /// That is the kept copy where the host had its own file; else, read anew each time,
    /// what its link leads to, or the vendor's file that stands in for a missing one. Where the
    /// agent has not written, the live file by the same rules.
    #[must_use]
    pub fn text(&self, root: &Root, paths: &Paths, path: &Path) -> Content {
        match (self.own(root, path, MOST_LINKS), paths.vendor(path)) {
            (Content::Absent, Some(vendor)) => self.beyond(root, vendor.to_owned(), MOST_LINKS),
            (own, _) => own,
        }
    }

    /// What stood at `path`, after so many links at most.
    fn own(&self, root: &Root, path: &Path, links: u8) -> Content {
        match self.origin(path) {
            Some(Origin::File { .. }) => match root.content(&copy_of(path)) {
                Content::Absent => Content::Unreadable("its base copy is missing".into()),
                copy => copy,
            },
            Some(Origin::Link { target }) => self.beyond(root, beside(path, target), links),
            Some(Origin::Absent) => Content::Absent,
            None => root.content(path),
        }
    }

    /// What a link leads to. Where that is ours its base counts: a render that starts from an earlier one
    /// would keep what the cluster no longer says.
    fn beyond(&self, root: &Root, path: PathBuf, links: u8) -> Content {
        let Some(links) = links.checked_sub(1) else {
            return Content::Unreadable("its links go in a circle".into());
        };
        let path = root.plain(path);
        if self.origins.contains_key(&path) {
            return self.own(root, &path, links);
        }
        match root.node(&path) {
            Ok(Some(Node::Link(target))) => self.beyond(root, beside(&path, &target), links),
            _ => root.content(&path),
        }
    }
}

/// As many links as the kernel follows.
const MOST_LINKS: u8 = 40;

/// Where a link at `path` leads, as the kernel is to read it: a directory on the way may be a link, too.
fn beside(path: &Path, target: &Path) -> PathBuf {
    path.parent().unwrap_or(path).join(target)
}

/// What stands at a path now, bytes and all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Live {
    pub origin: Origin,
    /// Of a file; empty for all else.
    pub bytes: Vec<u8>,
}

impl Live {
    /// Reads the path itself; a last link is not followed.
    pub fn read(root: &Root, path: &Path) -> Result<Self, HostError> {
        let plain = |origin| Ok(Self { origin, bytes: Vec::new() });
        match root.node(path)? {
            None => plain(Origin::Absent),
            Some(Node::Link(target)) => plain(Origin::Link { target }),
            Some(Node::File { mode, uid, gid }) => {
                let bytes = root.read(path)?.unwrap_or_default();
                Ok(Self { origin: Origin::File { mode, owner: Owner { uid, gid } }, bytes })
            }
            Some(Node::Dir | Node::Other) => Err(HostError::new("manage", path, Cause::NotAFile)),
        }
    }

    /// Whether a change to `put` would change nothing: same kind, bytes and mode (rule H2). What is to be
    /// ours, must be; whoever the host's own files belong to, they are left to.
    pub fn is(&self, put: &Put) -> bool {
        match (&self.origin, put) {
            (Origin::Absent, Put::Nothing) => true,
            (Origin::Link { target }, Put::Link(wanted)) => target == wanted,
            (Origin::File { mode: is, owner: whose }, Put::File { bytes, mode, owner }) => {
                let is_theirs = *owner == Owner::ours() && whose != owner;
                is == mode && self.bytes == *bytes && !is_theirs
            }
            _ => false,
        }
    }
}

/// Where the host's copy of `path` is kept.
pub(super) fn copy_of(path: &Path) -> PathBuf {
    mirrored("base/files", path)
}

pub(super) fn origins_file() -> PathBuf {
    state_file("base/origins.json")
}
