//! What a path is made of: every name on the way to it, through links, whose change may change what it is.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// So many links the kernel follows, too.
const MOST_LINKS: usize = 40;

/// The names that matter, and the directories that they are in. All lie below a base that counts as `/`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trail {
    /// Names that matter.
    names: BTreeSet<PathBuf>,
    /// Directories in which every name matters.
    whole: BTreeSet<PathBuf>,
    /// Directories of files that matter: what is written into these is a change.
    pub contents: BTreeSet<PathBuf>,
    /// Directories on the way, of which only names matter: what comes there, goes, and is put in its place.
    pub ways: BTreeSet<PathBuf>,
}

impl Trail {
    /// Adds what can change `path`: an absolute path below `base`, which links do not leave.
    pub fn add(&mut self, base: &Path, path: &Path) {
        let mut at = base.to_owned();
        let mut ahead = parts(path);
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            let name = match part {
                Part::Root => {
                    base.clone_into(&mut at);
                    continue;
                }
                Part::Up => {
                    if at != base {
                        at.pop();
                    }
                    continue;
                }
                Part::Name(name) => name,
            };
            let entry = at.join(name);
            let is_last = ahead.is_empty();
            let directories = if is_last { &mut self.contents } else { &mut self.ways };
            directories.insert(at.clone());
            self.names.insert(entry.clone());
            let Ok(metadata) = entry.symlink_metadata() else { return };
            if metadata.is_symlink() {
                links += 1;
                let Ok(target) = entry.read_link() else { return };
                if links > MOST_LINKS {
                    return;
                }
                let mut target = parts(&target);
                target.append(&mut ahead);
                ahead = target;
            } else {
                at = entry;
                if is_last && metadata.is_dir() {
                    self.contents.insert(at.clone());
                    self.whole.insert(at.clone());
                }
            }
        }
    }

    /// Whether a change of this name matters.
    pub fn concerns(&self, path: &Path) -> bool {
        let is_in_whole = || path.parent().is_some_and(|parent| self.whole.contains(parent));
        self.names.contains(path) || self.whole.contains(path) || is_in_whole()
    }
}

enum Part {
    Root,
    Up,
    Name(OsString),
}

fn parts(path: &Path) -> VecDeque<Part> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(Part::Name(name.to_owned())),
        Component::ParentDir => Some(Part::Up),
        Component::RootDir => Some(Part::Root),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::create_dir_all;
    use std::os::unix::fs::symlink;

    use super::*;

    fn trail(base: &Path, path: &str) -> Trail {
        let mut trail = Trail::default();
        trail.add(base, Path::new(path));
        trail
    }

    fn set(base: &Path, names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(|name| base.join(name)).collect()
    }

    #[test]
    fn d5_every_link_on_the_way_to_a_source_matters() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        create_dir_all(base.join("srv/v1/docs")).unwrap();
        symlink("v1", base.join("srv/current")).unwrap();
        let trail = trail(base, "/srv/current/docs");
        assert_eq!(trail.contents, set(base, &["srv/v1", "srv/v1/docs"]));
        assert_eq!(trail.ways, set(base, &["", "srv"]));
        for (name, does) in [
            ("srv/current", true),
            ("srv/v1", true),
            ("srv/v1/docs/x.json", true),
            ("srv/other", false),
            ("srv/v1/docs/x/y", false),
            ("etc", false),
        ] {
            assert_eq!(trail.concerns(&base.join(name)), does, "{name}");
        }
    }

    #[test]
    fn d5_of_what_is_missing_the_nearest_that_is_there_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(dir.path().join("etc")).unwrap();
        let trail = trail(dir.path(), "/etc/crio/crio.conf");
        assert_eq!(trail.ways, set(dir.path(), &["", "etc"]));
        assert!(trail.contents.is_empty(), "nothing that is written into /etc matters");
        assert!(trail.concerns(&dir.path().join("etc/crio")));
        assert!(!trail.concerns(&dir.path().join("etc/hosts")));
    }

    #[test]
    fn x2_no_link_leads_out_of_the_base() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("root");
        create_dir_all(base.join("usr")).unwrap();
        symlink("/usr/x.json", base.join("a")).unwrap();
        symlink("../../../b", base.join("b")).unwrap();
        assert_eq!(trail(&base, "/a").contents, set(&base, &["", "usr"]));
        // A loop ends.
        assert_eq!(trail(&base, "/b").contents, set(&base, &[""]));
    }
}
