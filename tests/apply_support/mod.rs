//! A scratch folder that plays the host's `/`.
// Each test target uses its part of it.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use image_config_agent::apply::Digests;
use image_config_agent::host::Root;
use image_config_agent::render::{FileSet, Want};
use tempfile::TempDir;

pub const REGISTRIES: &str = "/etc/containers/registries.conf";
pub const SEARCH: &str = "/etc/containers/registries.conf.d/01-image-searchRegistries.conf";
pub const POLICY: &str = "/etc/containers/policy.json";
pub const CRIO_POLICY: &str = "/etc/crio/policy.json";
pub const CA_A: &str = "/etc/docker/certs.d/a.io:5000/ca.crt";
pub const CA_B: &str = "/etc/docker/certs.d/b.io/ca.crt";

pub fn digests(name: &str) -> Digests {
    Digests { configuration: name.into(), without_cas: format!("{name} without CAs") }
}

pub fn set(files: &[(&str, &str)]) -> FileSet {
    let mut set = FileSet::default();
    for (path, text) in files {
        set.insert(*path, Want::file(*text));
    }
    set
}

/// Every kind of path: own file, link, absent in a directory there is and in one there is not.
pub fn first_set() -> FileSet {
    let mut set = set(&[
        (REGISTRIES, "ours 1"),
        (POLICY, "ours 1 policy"),
        (CRIO_POLICY, "ours 1 policy"),
        (SEARCH, "search 1"),
        (CA_A, "CA a"),
        (CA_B, "CA b"),
    ]);
    set.insert("/etc/untouched", Want::Base);
    set
}

/// Changes, removes and restores parts of the first.
pub fn second_set() -> FileSet {
    let mut set = set(&[(REGISTRIES, "ours 2"), (CRIO_POLICY, "ours 1 policy"), (CA_A, "CA a 2")]);
    set.insert(POLICY, Want::Base);
    set.insert(SEARCH, Want::Base);
    set
}

/// A host with files of its own of every kind.
pub fn host() -> Scratch {
    let host = Scratch::new();
    host.write_mode(REGISTRIES, "own", 0o640).write("/usr/lib/policy.json", "linked");
    host.link(POLICY, "/usr/lib/policy.json").mkdir("/etc/crio").mkdir("/etc/docker/certs.d");
    host.write("/etc/untouched", "untouched").write("/etc/docker/certs.d/c.io/ca.crt", "foreign");
    host
}

pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub fn root(&self) -> Root {
        Root::open(self.dir.path()).unwrap()
    }

    pub fn outer(&self) -> &Path {
        self.dir.path()
    }

    /// Where an absolute path of the host lies on this machine.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path.as_ref().strip_prefix("/").unwrap())
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Self {
        self.write_mode(path, bytes, 0o644)
    }

    pub fn write_mode(&self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> &Self {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, bytes).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn mkdir(&self, path: &str) -> &Self {
        fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    /// A link with `target` as written, not mapped into the root.
    pub fn link(&self, path: &str, target: impl AsRef<Path>) -> &Self {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
        self
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    pub fn mode(&self, path: &str) -> u32 {
        self.at(path).symlink_metadata().unwrap().permissions().mode() & 0o7777
    }

    /// Every path below the root with what it is, those below `skip` left out.
    pub fn tree(&self, skip: &str) -> Vec<String> {
        let mut lines = Vec::new();
        walk(self.dir.path(), &mut |path| {
            let host = Path::new("/").join(path.strip_prefix(self.dir.path()).unwrap());
            if !skip.is_empty() && host.starts_with(skip) {
                return false;
            }
            let meta = path.symlink_metadata().unwrap();
            let what = if meta.is_dir() {
                "dir".into()
            } else if meta.is_symlink() {
                format!("-> {}", fs::read_link(path).unwrap().display())
            } else {
                String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
            };
            let mode = meta.permissions().mode() & 0o7777;
            lines.push(format!("{} {mode:o} {what}", host.display()));
            true
        });
        lines
    }
}

/// Visits everything below `dir` in order; a visitor that says false is not led deeper.
fn walk(dir: &Path, visit: &mut dyn FnMut(&Path) -> bool) {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if visit(&path) && path.symlink_metadata().unwrap().is_dir() {
            walk(&path, visit);
        }
    }
}
