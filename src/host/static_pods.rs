//! The files of static pods, as the kubelet collects them.

use std::path::{Path, PathBuf};

use super::HostError;
use super::root::{Node, Root};
use crate::engine::{Content, File};

/// Every file below `paths` that the kubelet takes for a static pod (`pkg/kubelet/config/file.go`,
/// `extractFromDir`): each path is a file, or a directory whose regular files count whatever
/// their names, but for hidden ones, and no deeper. A path that is missing holds none.
#[must_use]
pub fn static_pods(root: &Root, paths: &[PathBuf]) -> Vec<File> {
    let unreadable = |path: &Path, error: HostError| File {
        path: path.to_owned(),
        content: Content::Unreadable(error.cause.to_string()),
    };
    let of_path =
        |path: &PathBuf| members(root, path).unwrap_or_else(|error| vec![unreadable(path, error)]);
    paths.iter().flat_map(of_path).collect()
}

fn members(root: &Root, path: &Path) -> Result<Vec<File>, HostError> {
    let paths = match root.follow(path)? {
        None => return Ok(Vec::new()),
        Some(Node::Dir) => {
            let mut names = root.list(path)?.unwrap_or_default();
            names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
            names.into_iter().map(|name| path.join(name)).collect()
        }
        Some(_) => vec![path.to_owned()],
    };
    // Whatever is no file the kubelet passes over as well; what cannot be looked at may be one.
    let may_be_file = |path: &PathBuf| {
        !matches!(root.follow(path), Ok(None | Some(Node::Dir | Node::Other | Node::Link(_))))
    };
    let file = |path: PathBuf| File { content: root.content(&path), path };
    Ok(paths.into_iter().filter(may_be_file).map(file).collect())
}
