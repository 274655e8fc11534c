//! The result of a render: what each managed path of the host shall hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What one path shall hold.
#[derive(Clone, PartialEq, Eq)]
pub enum Want {
    /// A regular file, owned by root, with this content and these permission bits.
    File {
        /// The whole content.
        bytes: Vec<u8>,
        /// Permission bits, as `0o644`.
        mode: u32,
    },
    /// What stood there before the agent's first write: a file, a link, or nothing.
    Base,
}

impl Want {
    /// A file with the mode that all managed files have.
    #[must_use]
    pub fn file(bytes: impl Into<Vec<u8>>) -> Self {
        Self::File { bytes: bytes.into(), mode: 0o644 }
    }
}

impl std::fmt::Debug for Want {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { bytes, mode } => {
                write!(f, "File({mode:o}, {})", String::from_utf8_lossy(bytes))
            }
            Self::Base => f.write_str("Base"),
        }
    }
}

/// Every managed path, absolute as the host sees it, and what it shall hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSet {
    files: BTreeMap<PathBuf, Want>,
}

impl FileSet {
    /// Sets what `path` shall hold.
    pub fn insert(&mut self, path: impl Into<PathBuf>, want: Want) {
        self.files.insert(path.into(), want);
    }

    /// What `path` shall hold, if it is managed.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Want> {
        self.files.get(path)
    }

    /// All paths in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Want)> {
        self.files.iter().map(|(path, want)| (path.as_path(), want))
    }
}
