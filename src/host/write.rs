//! The few operations that change the host; each on one path inside the root.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, mkdirat};
use nix::unistd::{
    Gid, Uid, UnlinkatFlags, fchown, fsync, getegid, geteuid, linkat, symlinkat, unlinkat,
};

use xattr::FileExt as _;

use super::error::{Cause, HostError};
use super::root::{Node, Root};

/// So many syncs wait for the disk at once.
const SYNCS_AT_ONCE: usize = 8;

/// Who owns a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Owner {
    /// Whom this process runs as: root on a host, so that managed files are root:root.
    #[must_use]
    pub fn ours() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }
}

/// What is to become durable.
#[derive(Debug)]
pub enum Durable<'a> {
    /// The content of a file that is open.
    Content(&'a Path, File),
    /// The names in a directory.
    Names(&'a Path),
}

impl Root {
    /// Creates a file that must not exist yet, and makes its content durable.
    ///
    /// # Errors
    /// When it exists or cannot be written; what was created then stays for the caller to remove.
    pub fn create(
        &self,
        path: &Path,
        bytes: &[u8],
        mode: u32,
        owner: Owner,
    ) -> Result<(), HostError> {
        let file = self.create_new(path, bytes, mode, owner)?;
        fsync(&file).map_err(|errno| HostError::new("write", path, errno))
    }

    /// As [`Root::create`], with the extended attributes of the file `like`: a SELinux label, an
    /// access list. Those that cannot be set come back, each with why. To make the content durable
    /// is left to [`Root::sync_all`]: the file comes back open, because its mode or its owner may keep
    /// this process from opening it again, and only who has it open is told of a late error.
    ///
    /// # Errors
    /// As [`Root::create`].
    pub fn create_like(
        &self,
        path: &Path,
        bytes: &[u8],
        mode: u32,
        owner: Owner,
        like: &Path,
    ) -> Result<(File, Vec<HostError>), HostError> {
        let file = self.create_new(path, bytes, mode, owner)?;
        let unkept = self.copy_attributes(like, &file);
        Ok((file, unkept))
    }

    /// Gives `file` the extended attributes of the regular file at `like`.
    fn copy_attributes(&self, like: &Path, file: &File) -> Vec<HostError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        // A link, or nothing, has none that its replacement should have.
        let Ok(like_file) = self.open_at(like, flags).map(File::from) else { return Vec::new() };
        let names = like_file.list_xattr().into_iter().flatten();
        let copy = |name: OsString| -> std::io::Result<()> {
            let value = like_file.get_xattr(&name)?;
            // The kernel labels a new file by itself, and mostly well.
            match value {
                Some(value) if file.get_xattr(&name).ok().flatten().as_ref() != Some(&value) => {
                    file.set_xattr(&name, &value)
                }
                _ => Ok(()),
            }
        };
        let failure = |error| HostError::io("keep the extended attributes of", like, &error);
        names.filter_map(|name| copy(name).err()).map(failure).collect()
    }

    fn create_new(
        &self,
        path: &Path,
        bytes: &[u8],
        mode: u32,
        owner: Owner,
    ) -> Result<File, HostError> {
        let fail = |errno| HostError::new("write", path, errno);
        let (parent, name) = self.parent(path, "write")?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(fail)?;
        let mut file = File::from(fd);
        file.write_all(bytes).map_err(|error| HostError::io("write", path, &error))?;
        let stat = fstat(&file).map_err(fail)?;
        let fail_to_give = |errno| match errno {
            Errno::EPERM => HostError::new("write", path, Cause::OfAnother(owner)),
            errno => fail(errno),
        };
        if (stat.st_uid, stat.st_gid) != (owner.uid, owner.gid) {
            fchown(&file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
                .map_err(fail_to_give)?;
        }
        // After the change of owner, which drops set-id bits; from then on it takes CAP_FOWNER.
        fchmod(&file, Mode::from_bits_truncate(mode)).map_err(fail_to_give)?;
        Ok(file)
    }

    /// Puts `bytes` in place of a file, or makes it, so that after a crash either is there whole.
    ///
    /// # Errors
    /// The file is as it was then, unless all that failed is to make the change durable.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), HostError> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        self.remove(&draft)?;
        let written = self.create(&draft, bytes, 0o644, Owner::ours());
        if let Err(error) = written.and_then(|()| self.rename(&draft, path)) {
            // Best effort: the next one removes it first.
            let _ = self.remove(&draft);
            return Err(error);
        }
        self.sync(path.parent().unwrap_or(path))
    }

    /// Opens a file for reading and writing, an empty new one where there is none.
    ///
    /// # Errors
    /// When a link or a directory stands there, or the kernel refuses.
    pub fn open_or_create(&self, path: &Path) -> Result<File, HostError> {
        let (parent, name) = self.parent(path, "open")?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| HostError::new("open", path, errno))
    }

    /// Creates a symbolic link that must not exist yet.
    ///
    /// # Errors
    /// When it exists or its directory cannot be written.
    pub fn create_link(&self, path: &Path, target: &Path) -> Result<(), HostError> {
        let (parent, name) = self.parent(path, "link")?;
        symlinkat(target, &parent, name).map_err(|errno| HostError::new("link", path, errno))
    }

    /// Gives the file or link `from` a second name `to`, which must not exist yet.
    ///
    /// # Errors
    /// When `from` is missing, or the two are on different file systems.
    fn hard_link(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        let (old_parent, old) = self.parent(from, "keep")?;
        let (new_parent, new) = self.parent(to, "keep")?;
        linkat(&old_parent, old, &new_parent, new, AtFlags::empty())
            .map_err(|errno| HostError::new("keep", from, errno))
    }

    /// Keeps the file or link `from` as `to`, which must not exist yet: by a second name, or, where the
    /// kernel allows that to nobody but its owner (`fs.protected_hardlinks`), by a copy, which is ours and
    /// comes back open as in [`Root::create_like`].
    ///
    /// # Errors
    /// When `from` is missing or may not be read, or the two are on different file systems.
    pub fn keep(&self, from: &Path, to: &Path) -> Result<Option<File>, HostError> {
        let denied = match self.hard_link(from, to) {
            Err(error) if error.cause == Cause::Denied => error,
            other => return other.map(|()| None),
        };
        let (Some(Node::File { mode, .. }), Some(bytes)) = (self.node(from)?, self.read(from)?)
        else {
            return Err(denied);
        };
        self.create_like(to, &bytes, mode, Owner::ours(), from).map(|(file, _)| Some(file))
    }

    /// Renames `from` to `to`, in place of what stands there; false where `from` is missing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<bool, HostError> {
        let Some((old_parent, old)) = present(self.parent(from, "replace"))? else {
            return Ok(false);
        };
        let (new_parent, new) = self.parent(to, "replace")?;
        present(
            renameat(&old_parent, old, &new_parent, new)
                .map_err(|errno| HostError::new("replace", to, errno)),
        )
        .map(|renamed| renamed.is_some())
    }

    /// Removes a file or link; false where there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&self, path: &Path) -> Result<bool, HostError> {
        self.unlink(path, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty directory; false where there is none or something is in it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_dir(&self, path: &Path) -> Result<bool, HostError> {
        match self.unlink(path, UnlinkatFlags::RemoveDir) {
            Err(HostError { cause: Cause::Errno(Errno::ENOTEMPTY | Errno::EEXIST), .. }) => {
                Ok(false)
            }
            other => other,
        }
    }

    fn unlink(&self, path: &Path, flags: UnlinkatFlags) -> Result<bool, HostError> {
        let Some((parent, name)) = present(self.parent(path, "remove"))? else {
            return Ok(false);
        };
        let removed = match unlinkat(&parent, name, flags) {
            // The kernel says so before it looks whether there is anything.
            Err(Errno::EROFS) if self.node(path)?.is_none() => Err(Errno::ENOENT),
            other => other,
        };
        present(removed.map_err(|errno| HostError::new("remove", path, errno)))
            .map(|removed| removed.is_some())
    }

    /// Creates a directory with mode 0755; false where one is already.
    ///
    /// # Errors
    /// When something else stands there, or its parent is missing or cannot be written.
    pub fn make_dir(&self, path: &Path) -> Result<bool, HostError> {
        let fail = |cause: Cause| HostError::new("make the directory", path, cause);
        let (parent, name) = self.parent(path, "make the directory")?;
        let mode = Mode::from_bits_truncate(0o755);
        match mkdirat(&parent, name, mode) {
            Ok(()) => {}
            Err(Errno::EEXIST) if self.follow(path)? == Some(Node::Dir) => return Ok(false),
            Err(Errno::EEXIST) => return Err(fail(Cause::NotADirectory)),
            Err(errno) => return Err(fail(errno.into())),
        }
        // mkdir heeds the umask.
        fchmodat(&parent, name, mode, FchmodatFlags::FollowSymlink)
            .map_err(|errno| fail(errno.into()))?;
        Ok(true)
    }

    /// Makes the content of a file, or the names in a directory, durable; nothing to do where
    /// there is none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self, path: &Path) -> Result<(), HostError> {
        let fail = |errno| HostError::new("sync", path, errno);
        let opened = self.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK).map_err(fail);
        match present(opened)? {
            Some(fd) => fsync(fd).map_err(fail),
            None => Ok(()),
        }
    }

    /// As [`Root::sync`], much at once, in threads: what waits for the disk together is made
    /// durable together, in little more time than one of it takes alone.
    ///
    /// # Errors
    /// As [`Root::sync`], one of them where several fail.
    pub fn sync_all(&self, all: &[Durable<'_>]) -> Result<(), HostError> {
        let sync = |part: &[Durable<'_>]| part.iter().try_for_each(|one| self.sync_one(one));
        let mut parts = all.chunks(all.len().div_ceil(SYNCS_AT_ONCE).max(1));
        let ours = parts.next().unwrap_or_default();
        thread::scope(|scope| {
            let spawn = |part| {
                let spawned = thread::Builder::new().spawn_scoped(scope, move || sync(part));
                // Where there can be no thread the part is left for this one.
                spawned.map_err(|_| part)
            };
            let threads: Vec<_> = parts.map(spawn).collect();
            threads.into_iter().fold(sync(ours), |result, thread| {
                result.and(match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    Err(part) => sync(part),
                })
            })
        })
    }

    fn sync_one(&self, one: &Durable<'_>) -> Result<(), HostError> {
        match one {
            Durable::Content(path, file) => {
                fsync(file).map_err(|errno| HostError::new("sync", path, errno))
            }
            Durable::Names(directory) => self.sync(directory),
        }
    }

    /// The deepest directory on the way to the file `path` that exists, and those below it
    /// that are missing, outermost first.
    ///
    /// # Errors
    /// When something that is not a directory stands in the way.
    pub fn way_to(&self, path: &Path) -> Result<(PathBuf, Vec<PathBuf>), HostError> {
        let mut missing = Vec::new();
        for dir in path.ancestors().skip(1) {
            let blocked = || HostError::new("reach", dir, Cause::NotADirectory);
            match self.follow(dir) {
                Ok(Some(Node::Dir)) => {
                    missing.reverse();
                    return Ok((dir.to_owned(), missing));
                }
                Ok(None) if self.node(dir)?.is_none() => missing.push(dir.to_owned()),
                // A file, or a link that leads nowhere.
                Ok(_) => return Err(blocked()),
                Err(error) if error.cause == Cause::NotADirectory => return Err(blocked()),
                Err(error) => return Err(error),
            }
        }
        Err(HostError::new("reach", path, Cause::BadPath))
    }
}

/// `None` in place of "no such file or directory".
fn present<T>(result: Result<T, HostError>) -> Result<Option<T>, HostError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(HostError { cause: Cause::Errno(Errno::ENOENT), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
