//! The agent's own files below the state directory, and their format (rule H12).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ApplyError;
use crate::host::Root;
pub use crate::model::digest::{Digests, sha256};
pub use crate::model::paths::STATE_DIR;

/// The format of every file of the state; a newer one is left untouched.
const FORMAT: u64 = 1;

/// A file of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The digest of its bytes, in hexadecimal; they are kept under this name.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
}

/// Files that were applied together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedSet {
    /// The configuration they came from; none before the first apply.
    pub digests: Option<Digests>,
    /// Every path that is not the host's own.
    pub files: BTreeMap<PathBuf, Entry>,
}

/// `applied.json`: what of the host is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The files.
    #[serde(flatten)]
    pub set: AppliedSet,
    /// Directories that the agent made; removed once they are empty (rule R9).
    pub directories: BTreeSet<PathBuf>,
}

impl Applied {
    /// Reads what is applied; nothing on a host that the agent never wrote to.
    ///
    /// # Errors
    /// [`ApplyError::Newer`], [`ApplyError::Damaged`], or the file cannot be read.
    pub fn load(root: &Root) -> Result<Self, ApplyError> {
        Ok(load(root, &applied_file())?.unwrap_or_default())
    }
}

/// Bytes of an applied set, from the store.
///
/// # Errors
/// [`ApplyError::Damaged`] where they are missing or others than their name says.
pub fn read_content(root: &Root, sha256: &str) -> Result<Vec<u8>, ApplyError> {
    let file = content_file(sha256);
    match root.read(&file)? {
        Some(bytes) if self::sha256(&bytes) == sha256 => Ok(bytes),
        Some(_) => Err(ApplyError::Damaged { file, why: "its digest is another".into() }),
        None => Err(ApplyError::Damaged { file, why: "it is missing".into() }),
    }
}

/// What a rollback went away from: not applied again until the documents change or somebody
/// asks for it (rules H5, X3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The configuration.
    #[serde(flatten)]
    pub digests: Digests,
    /// Why the agent undid it; none where somebody rolled it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Reads a file of the state; `None` where it is missing.
///
/// # Errors
/// As [`Applied::load`].
pub fn load<T: DeserializeOwned>(root: &Root, file: &Path) -> Result<Option<T>, ApplyError> {
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    let damaged = |error: serde_json::Error| ApplyError::Damaged {
        file: file.to_owned(),
        why: error.to_string(),
    };
    let Some(bytes) = root.read(file)? else {
        return Ok(None);
    };
    // The version alone first: the rest of a newer file may be of any shape.
    let Version { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format > FORMAT {
        let file = file.to_owned();
        return Err(ApplyError::Newer { file, found: format, supported: FORMAT });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// The bytes of a file of the state.
pub(super) fn encode<T: Serialize>(file: &Path, body: &T) -> Result<Vec<u8>, ApplyError> {
    #[derive(Serialize)]
    struct Versioned<'b, T> {
        format: u64,
        #[serde(flatten)]
        body: &'b T,
    }
    let mut bytes =
        serde_json::to_vec_pretty(&Versioned { format: FORMAT, body }).map_err(|error| {
            ApplyError::Unencodable { file: file.to_owned(), why: error.to_string() }
        })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a file of the state that no transaction writes, atomically and durably.
///
/// # Errors
/// The disk fails.
pub fn save<T: Serialize>(root: &Root, file: &Path, body: &T) -> Result<(), ApplyError> {
    Ok(root.replace(file, &encode(file, body)?)?)
}

/// A file of the state by name.
pub(super) fn state_file(name: &str) -> PathBuf {
    Path::new(STATE_DIR).join(name)
}

pub(super) fn applied_file() -> PathBuf {
    state_file("applied.json")
}

/// The set before the last apply.
pub(super) fn previous_file() -> PathBuf {
    state_file("previous.json")
}

/// The digests that a rollback went away from.
pub(super) fn held_file() -> PathBuf {
    state_file("held.json")
}

/// The bytes of an applied file, by digest.
pub(super) fn content_file(sha256: &str) -> PathBuf {
    state_file("content").join(sha256)
}

/// Where what others wrote over ours is kept.
pub(super) const FOREIGN: &str = "foreign";

/// Where what they wrote it over is kept.
pub(super) const BENEATH: &str = "beneath";

/// `path` below a directory of the state.
pub(super) fn mirrored(dir: &str, path: &Path) -> PathBuf {
    state_file(dir).join(path.strip_prefix("/").unwrap_or(path))
}
