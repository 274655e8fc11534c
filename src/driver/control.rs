//! The control socket: what the other commands ask of a running agent (rule X3).
//!
//! One line of JSON each way. The socket is the agent user's alone.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::host::{HostError, Root};
use crate::report::RUN_DIR;
use crate::settings::SourceName;

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub enum Request {
    /// To look at everything now and apply it.
    Apply {
        /// Even if the host can then not pull an image that it needs.
        accept_lockout: bool,
        /// Even what a rollback went away from.
        #[serde(default)]
        retry: bool,
    },
    /// To go one step back.
    Rollback,
    /// To give every file back, and change nothing until `release`.
    Revert,
    /// To change nothing.
    Hold,
    /// To change things again.
    Release,
    /// To try again what was undone, rolled back or is contested.
    Retry,
    /// To forget which serials a source gave (rule E2).
    ResetSource {
        /// The source, as `source.order` names it.
        name: SourceName,
    },
}

impl Request {
    /// The word for it, as on the command line.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::ResetSource { .. } => "source reset",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// In words.
    pub message: String,
}

/// A request, and where its answer goes.
pub type Asked = (Request, oneshot::Sender<Answer>);

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest request.
const LONGEST: u64 = 4096;

/// Listens on the control socket below `root`.
///
/// # Errors
/// The directory cannot be made or the socket not be bound.
pub fn listen(root: &Root) -> io::Result<UnixListener> {
    bind(root, &Path::new(RUN_DIR).join("control.sock"), 0o600)
}

/// Listens on a socket of the host. The path goes through a handle of its directory: the name of a socket
/// must be short.
///
/// # Errors
/// The directory cannot be made, something that is no socket stands there, or it cannot be bound.
pub(super) fn bind(root: &Root, socket: &Path, mode: u32) -> io::Result<UnixListener> {
    let directory = directory(root, socket).map_err(io::Error::other)?;
    let name = socket.file_name().unwrap_or_default();
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    // What an earlier process left; the lock says that there is no other.
    let is_left = path.symlink_metadata().is_ok_and(|left| left.file_type().is_socket());
    if is_left {
        std::fs::remove_file(&path)?;
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

fn directory(root: &Root, socket: &Path) -> Result<std::os::fd::OwnedFd, HostError> {
    for missing in root.way_to(socket)?.1 {
        root.make_dir(&missing)?;
    }
    root.open_dir(socket.parent().unwrap_or(socket))
}

/// Takes requests until the driver is gone.
pub async fn serve(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, in practice: that passes.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let asked = asked.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, asked).await {
                tracing::debug!("a request came to nothing: {error}");
            }
        });
    }
}

async fn converse(mut stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, BufReader::new(read.take(LONGEST)).read_line(&mut line))
        .await??;
    let answer = match serde_json::from_str(&line) {
        Err(error) => Answer { ok: false, message: format!("no such request: {error}") },
        Ok(request) => {
            let (sender, receiver) = oneshot::channel();
            asked.send((request, sender)).await.map_err(io::Error::other)?;
            receiver.await.map_err(io::Error::other)?
        }
    };
    write.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await
}

/// Asks the agent that runs for `root`; `None` where none runs.
///
/// # Errors
/// The agent is there but gives no answer in time.
pub fn ask(root: &Root, request: &Request, patience: Duration) -> io::Result<Option<Answer>> {
    use std::io::{BufRead as _, Write as _};
    let Some(mut stream) = connect(root)? else { return Ok(None) };
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut line = String::new();
    std::io::BufReader::new(stream).read_line(&mut line)?;
    Ok(Some(serde_json::from_str(&line)?))
}

/// Whether an agent runs for `root`.
///
/// # Errors
/// The socket is there but may not be used.
pub fn is_running(root: &Root) -> io::Result<bool> {
    connect(root).map(|stream| stream.is_some())
}

fn connect(root: &Root) -> io::Result<Option<std::os::unix::net::UnixStream>> {
    let Ok(directory) = root.open_dir(Path::new(RUN_DIR)) else { return Ok(None) };
    let path = format!("/proc/self/fd/{}/control.sock", directory.as_raw_fd());
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
