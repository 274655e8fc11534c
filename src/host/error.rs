//! What can go wrong with a file of the host, and what to do about it.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::write::Owner;

/// One operation on one path of the host that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {}: {cause}{}", path.display(), self.advice())]
pub struct HostError {
    /// What was tried, as in "cannot *read*".
    pub action: &'static str,
    /// The path as the host sees it.
    pub path: PathBuf,
    /// Why it failed.
    pub cause: Cause,
}

/// Why an operation on a path failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// ENOSPC or EDQUOT.
    #[error("no space left on its file system; free some and try again")]
    NoSpace,
    /// EROFS: mounted read-only, or hidden by systemd's ProtectSystem.
    #[error(
        "its file system is read-only; if a systemd unit runs the agent, and the directory was made \
         after its start, restart the service; else add a drop-in (systemctl edit \
         image-config-agent.service) with [Service] ReadWritePaths= and its directory"
    )]
    ReadOnly,
    /// EACCES or EPERM.
    #[error("permission denied; run as root")]
    Denied,
    /// Only a process with the capability for it gives a file to another user: this one.
    #[error(
        "it belongs to user {}, group {}, and giving it to them takes the capability CAP_CHOWN; if a \
         systemd unit runs the agent, add a drop-in (systemctl edit image-config-agent.service) with \
         [Service] CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER and SystemCallFilter=@chown",
        .0.uid,
        .0.gid
    )]
    OfAnother(Owner),
    /// A regular file is needed, something else is there.
    #[error("it is not a regular file")]
    NotAFile,
    /// A directory is needed, something else is there (a dangling link, perhaps).
    #[error("it is not a directory")]
    NotADirectory,
    /// More bytes than the agent reads.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// The path is relative, has `..` in it, or names no file.
    #[error("it is not an absolute path of a file")]
    BadPath,
    /// The kernel lacks openat2, which came with Linux 5.6.
    #[error("this kernel is too old: Linux 5.6 or newer is needed (openat2)")]
    OldKernel,
    /// Anything else that the kernel says.
    #[error("{}", .0.desc())]
    Errno(Errno),
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOSPC | Errno::EDQUOT => Self::NoSpace,
            Errno::EROFS => Self::ReadOnly,
            Errno::EACCES | Errno::EPERM => Self::Denied,
            Errno::ENOTDIR => Self::NotADirectory,
            Errno::ENOSYS => Self::OldKernel,
            other => Self::Errno(other),
        }
    }
}

impl HostError {
    /// The error of an operation, as in `HostError::new("read", path, errno)`.
    pub fn new(action: &'static str, path: &Path, cause: impl Into<Cause>) -> Self {
        Self { action, path: path.to_owned(), cause: cause.into() }
    }

    /// What else may help. No sandbox keeps anybody from reading.
    fn advice(&self) -> &'static str {
        match (self.cause, self.action) {
            (Cause::Denied, "read" | "list" | "look at" | "look up" | "open" | "reach") => "",
            (Cause::Denied, _) => {
                ", and if a systemd unit runs the agent, add a drop-in (systemctl edit \
                 image-config-agent.service) with [Service] ReadWritePaths= and its directory"
            }
            _ => "",
        }
    }

    /// The same, of an error of the standard library.
    pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Self::new(action, path, errno)
    }
}
