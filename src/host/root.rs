//! A directory that is `/` to everything looked up below it (rule X2).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use crate::engine::Content;

use super::error::{Cause, HostError};

/// Files larger than this are not read: none that an engine can use comes near it.
pub const SIZE_LIMIT: u64 = 16 * 1024 * 1024;

/// A race of `..` against a rename makes the kernel say EAGAIN; so often it is asked again.
const TRIES: usize = 32;

/// A directory handle that stands for the host's `/` (rule X2).
///
/// Every path is an absolute path as the host sees it. The kernel resolves it inside the
/// root (openat2 with `RESOLVE_IN_ROOT`, so Linux 5.6 or newer): absolute symbolic links
/// lead to the root, `..` stops at it, and nothing outside is read or touched.
#[derive(Debug)]
pub struct Root {
    handle: OwnedFd,
    path: PathBuf,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A directory.
    Dir,
    /// A symbolic link to this target.
    Link(PathBuf),
    /// A device, socket or pipe.
    Other,
}

impl Root {
    /// Opens `path`, an existing directory of this machine, as root.
    ///
    /// # Errors
    /// When it does not exist, is not a directory or may not be read.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let handle = open(path, flags, Mode::empty())
            .map_err(|errno| HostError::new("open", path, errno))?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Where the root lies on this machine; for messages only.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the regular file at `path`, links followed; `None` where nothing is.
    ///
    /// # Errors
    /// When it is no regular file, larger than [`SIZE_LIMIT`], or cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        let fail = |cause: Cause| HostError::new("read", path, cause);
        // A pipe or a device without carrier must not make the agent wait.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd = match self.open_at(path, flags) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENXIO) => return Err(fail(Cause::NotAFile)),
            Err(errno) => return Err(fail(errno.into())),
        };
        let stat = fstat(&fd).map_err(|errno| fail(errno.into()))?;
        if kind(&stat) != SFlag::S_IFREG {
            return Err(fail(Cause::NotAFile));
        }
        let mut bytes = Vec::new();
        File::from(fd)
            .take(SIZE_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| HostError::io("read", path, &error))?;
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(fail(Cause::TooLarge(SIZE_LIMIT)));
        }
        Ok(Some(bytes))
    }

    /// As [`Root::read`], with the reason in place of an error.
    #[must_use]
    pub fn content(&self, path: &Path) -> Content {
        match self.read(path) {
            Ok(None) => Content::Absent,
            Ok(Some(bytes)) => Content::Bytes(bytes),
            Err(error) => Content::Unreadable(error.cause.to_string()),
        }
    }

    /// What stands at `path` itself, a last link not followed; `None` where nothing does.
    ///
    /// # Errors
    /// When its directory cannot be searched.
    pub fn node(&self, path: &Path) -> Result<Option<Node>, HostError> {
        let fail = |errno| HostError::new("look up", path, errno);
        let (parent, name) = match self.parent(path, "look up") {
            Ok(found) => found,
            Err(error) if error.cause == Cause::Errno(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = match fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(fail(errno)),
        };
        if kind(&stat) == SFlag::S_IFLNK {
            let target = readlinkat(&parent, name).map_err(fail)?;
            return Ok(Some(Node::Link(target.into())));
        }
        Ok(Some(node_of(&stat)))
    }

    /// What `path` leads to, links followed; `None` where nothing is.
    ///
    /// # Errors
    /// When a link loops or a directory on the way cannot be searched.
    pub fn follow(&self, path: &Path) -> Result<Option<Node>, HostError> {
        let fail = |errno| HostError::new("look up", path, errno);
        match self.open_at(path, OFlag::O_PATH) {
            Ok(fd) => Ok(Some(node_of(&fstat(fd).map_err(fail)?))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// Tells what `path` leads to from everything else, links followed; `None` where nothing can be
    /// looked at.
    #[must_use]
    pub fn identity(&self, path: &Path) -> Option<(u64, u64)> {
        let fd = self.open_at(path, OFlag::O_PATH).ok()?;
        fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// `path` without `.` and `..`; as it is, where that would lead elsewhere, as a directory on the way
    /// that is a link may have it.
    #[must_use]
    pub fn plain(&self, path: PathBuf) -> PathBuf {
        let plain = without_steps(&path);
        let directory = |path: &Path| path.parent().and_then(|parent| self.identity(parent));
        let is_same = directory(&plain).is_some_and(|dir| directory(&path) == Some(dir));
        if is_same { plain } else { path }
    }

    /// When the file at `path` last changed in any way; `None` where nothing is.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn changed(&self, path: &Path) -> Result<Option<SystemTime>, HostError> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let fd = match self.open_at(path, flags) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(HostError::new("look at", path, errno)),
        };
        let stat = fstat(&fd).map_err(|errno| HostError::new("look at", path, errno))?;
        let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
        let nanoseconds = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
        Ok(Some(UNIX_EPOCH + Duration::new(seconds, nanoseconds)))
    }

    /// The names in the directory `path` in byte order; `None` where nothing is.
    ///
    /// # Errors
    /// When it is not a directory or cannot be read.
    pub fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, HostError> {
        let fail = |errno| HostError::new("list", path, errno);
        let fd = match self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(fail(errno)),
        };
        let mut names = Vec::new();
        for entry in Dir::from_fd(fd).map_err(fail)?.iter() {
            let entry = entry.map_err(fail)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(Some(names))
    }

    /// A handle of the directory `path`.
    ///
    /// # Errors
    /// When it is missing, no directory, or out of reach.
    pub fn open_dir(&self, path: &Path) -> Result<OwnedFd, HostError> {
        self.open_at(path, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .map_err(|errno| HostError::new("open", path, errno))
    }

    /// Opens what `path` leads to inside the root.
    pub(super) fn open_at(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        for _ in 1..TRIES {
            match openat2(self.handle.as_fd(), path, how) {
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
        }
        openat2(self.handle.as_fd(), path, how)
    }

    /// The directory that holds `path`, and the name in it.
    pub(super) fn parent<'p>(
        &self,
        path: &'p Path,
        action: &'static str,
    ) -> Result<(OwnedFd, &'p OsStr), HostError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(HostError::new(action, path, Cause::BadPath));
        };
        self.open_at(parent, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .map(|fd| (fd, name))
            .map_err(|errno| HostError::new(action, path, errno))
    }
}

fn without_steps(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    whole
}

/// The type of a file.
fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// A stat as a value; a link seen through O_PATH is already followed.
fn node_of(stat: &FileStat) -> Node {
    match kind(stat) {
        SFlag::S_IFREG => {
            Node::File { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
        }
        SFlag::S_IFDIR => Node::Dir,
        _ => Node::Other,
    }
}
