//! The files of a directory, in the order in which the engine meets them.

use std::ffi::OsStr;
use std::path::Path;

use super::HostError;
use super::root::{Node, Root};
use crate::engine::{Content, File};

/// The files of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// In the order in which they are read, none of them absent; none where the directory is missing.
    Files(Vec<File>),
    /// The directory cannot be read, and why.
    Unreadable(String),
}

/// The files below `dir` as Go's filepath.WalkDir meets them: names in byte order, links
/// read but not descended. A `dir` that is itself a link is not walked by Go, so it is empty here;
/// a dangling link among the files is skipped, as the engine does.
pub(super) fn walk(
    root: &Root,
    dir: &Path,
    recursive: bool,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Listing {
    let mut files = Vec::new();
    match collect(root, dir, recursive, wanted, &mut files) {
        Ok(()) => Listing::Files(files),
        Err(error) => Listing::Unreadable(error.to_string()),
    }
}

fn collect(
    root: &Root,
    dir: &Path,
    recursive: bool,
    wanted: &dyn Fn(&OsStr) -> bool,
    files: &mut Vec<File>,
) -> Result<(), HostError> {
    if root.node(dir)? != Some(Node::Dir) {
        return Ok(());
    }
    for name in root.list(dir)?.unwrap_or_default() {
        let path = dir.join(&name);
        if root.node(&path)? == Some(Node::Dir) {
            if recursive {
                collect(root, &path, recursive, wanted, files)?;
            }
        } else if wanted(&name) {
            let content = root.content(&path);
            if content != Content::Absent {
                files.push(File { path, content });
            }
        }
    }
    Ok(())
}
