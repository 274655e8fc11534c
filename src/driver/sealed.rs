//! Directories that were made after the agent's start: its unit lets it write to those alone that were
//! there before. systemd opens them to the next process (rule H11).

use std::fs::File;
use std::path::{Path, PathBuf};

use super::watch::identity_of;
use crate::host::{HostError, Root};
use crate::report::RUN_DIR;

/// Whether a start anew may help where the file system of `path` is read-only: once for each directory,
/// so that one that stays read-only leads to no more than that. Only systemd starts the agent anew.
pub(super) fn may_be_opened(root: &Root, path: &Path) -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
        && identity(root, path).is_some_and(|identity| remember(root, &identity).unwrap_or(false))
}

/// What tells the nearest directory that is there from every other.
fn identity(root: &Root, path: &Path) -> Option<String> {
    let directory = path.ancestors().find_map(|path| root.open_dir(path).ok())?;
    let (device, number, birth) = identity_of(&File::from(directory).metadata().ok()?);
    Some(format!("{device}:{number}:{birth}"))
}

/// Whether `identity` is new; it is no longer, until the host starts anew.
fn remember(root: &Root, identity: &str) -> Result<bool, HostError> {
    let file: PathBuf = Path::new(RUN_DIR).join("sealed");
    let known = root.read(&file)?.unwrap_or_default();
    let mut known = String::from_utf8_lossy(&known).into_owned();
    if known.lines().any(|line| line == identity) {
        return Ok(false);
    }
    known.push_str(identity);
    known.push('\n');
    root.replace(&file, known.as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h11_a_directory_that_stays_read_only_leads_to_one_start_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/image-config-agent")).unwrap();
        std::fs::create_dir_all(dir.path().join("etc/crio")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let is_new = |path: &str| {
            let identity = identity(&root, Path::new(path)).unwrap();
            remember(&root, &identity).unwrap()
        };
        assert!(is_new("/etc/crio/policy.json"));
        assert!(!is_new("/etc/crio/policy.json"));
        assert!(!is_new("/etc/crio/missing/file"), "it is the nearest that is there");
        assert!(is_new("/etc/containers/policy.json"));
        std::fs::remove_dir(dir.path().join("etc/crio")).unwrap();
        std::fs::create_dir(dir.path().join("etc/crio")).unwrap();
        assert!(is_new("/etc/crio/policy.json"), "it was made again");
    }
}
