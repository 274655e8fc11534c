//! What others did to the files that are ours.

use std::path::PathBuf;

use super::base::{Live, Origin};
use super::error::ApplyError;
use super::state::{Applied, Entry, sha256};
use crate::host::{Owner, Root};

/// One path that is not as it was applied (rule H9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Absolute, as the host sees it.
    pub path: PathBuf,
    /// What became of it.
    pub kind: DriftKind,
}

/// What became of a file of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriftKind {
    /// It is gone.
    #[error("it is gone")]
    Missing,
    /// It has other bytes.
    #[error("it has other content")]
    Content,
    /// It has these permission bits.
    #[error("it has mode {0:o}")]
    Mode(u32),
    /// It is this user's and group's.
    #[error("its owner is {}:{}", .0.uid, .0.gid)]
    Owner(Owner),
    /// Something other than a regular file took its place.
    #[error("it is no regular file any more")]
    NotAFile,
    /// It cannot be read, and why.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// Compares the live files with the applied set, not with a desired one (rule H9).
///
/// # Errors
/// The state cannot be read.
pub fn drift(root: &Root) -> Result<Vec<Drift>, ApplyError> {
    let applied = Applied::load(root)?;
    let differing = |(path, entry): (PathBuf, Entry)| {
        drift_of(root, &path, &entry).map(|kind| Drift { path, kind })
    };
    Ok(applied.set.files.into_iter().filter_map(differing).collect())
}

fn drift_of(root: &Root, path: &std::path::Path, entry: &Entry) -> Option<DriftKind> {
    let live = match Live::read(root, path) {
        Ok(live) => live,
        Err(error) if error.cause == crate::host::Cause::NotAFile => {
            return Some(DriftKind::NotAFile);
        }
        Err(error) => return Some(DriftKind::Unreadable(error.cause.to_string())),
    };
    match live.origin {
        Origin::Absent => Some(DriftKind::Missing),
        Origin::Link { .. } => Some(DriftKind::NotAFile),
        Origin::File { .. } if entry.sha256 != sha256(&live.bytes) => Some(DriftKind::Content),
        Origin::File { mode, .. } if mode != entry.mode => Some(DriftKind::Mode(mode)),
        Origin::File { owner, .. } => (owner != Owner::ours()).then_some(DriftKind::Owner(owner)),
    }
}
