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
use tokio::task::JoinHandle;

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
    /// To make a file, with the agent's entries taken out, its base (rule R1).
    AdoptBase {
        /// The file, as the host sees it.
        file: PathBuf,
    },
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
            Self::AdoptBase { .. } => "base adopt",
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

/// How long the last answers may take to be read.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The longest request: a path has 4,096 bytes at most.
const LONGEST: u64 = 8192;

/// The control socket of a running agent, and what is asked over it.
pub struct Control {
    asked: mpsc::Receiver<Asked>,
    asking: mpsc::Sender<Asked>,
    accepting: JoinHandle<()>,
}

impl Control {
    /// Listens on the socket below `root`.
    ///
    /// # Errors
    /// The directory cannot be made or the socket not be bound.
    pub fn open(root: &Root) -> io::Result<Self> {
        let (asking, asked) = mpsc::channel(8);
        let accepting = tokio::spawn(serve(bind(root, &socket(), 0o600)?, asking.clone()));
        Ok(Self { asked, asking, accepting })
    }

    /// Listens anew where somebody has removed the socket.
    pub fn keep(&mut self, root: &Root) {
        if !matches!(root.node(&socket()), Ok(None)) {
            return;
        }
        match bind(root, &socket(), 0o600) {
            Ok(listener) => {
                self.accepting.abort();
                self.accepting = tokio::spawn(serve(listener, self.asking.clone()));
            }
            Err(error) => tracing::warn!("nobody can ask for anything: {error}"),
        }
    }

    /// What is asked next.
    pub async fn next(&mut self) -> Option<Asked> {
        self.asked.recv().await
    }

    /// Lets everybody hear what was answered; who asks now is told that it is too late.
    pub async fn end(mut self) {
        self.accepting.abort();
        drop(self.asking);
        let rest = async {
            while let Some((_, answer)) = self.asked.recv().await {
                let message = "the agent is stopping".to_owned();
                // A client that has gone wants no answer.
                let _ = answer.send(Answer { ok: false, message });
            }
        };
        // Who does not listen is not waited for.
        let _ = tokio::time::timeout(LAST_ANSWERS, rest).await;
    }
}

fn socket() -> PathBuf {
    Path::new(RUN_DIR).join("control.sock")
}

/// Listens on a socket of the host. The path goes through a handle of its directory: the name of a socket
/// must be short.
///
/// # Errors
/// The directory cannot be made, something that is no socket stands there, somebody listens there, or it
/// cannot be bound.
pub(super) fn bind(root: &Root, socket: &Path, mode: u32) -> io::Result<UnixListener> {
    let directory = directory(root, socket).map_err(io::Error::other)?;
    let name = socket.file_name().unwrap_or_default();
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    let is_socket = path.symlink_metadata().is_ok_and(|left| left.file_type().is_socket());
    if is_socket {
        // What an earlier process left refuses every connection.
        match std::os::unix::net::UnixStream::connect(&path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&path)?;
            }
            _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
        }
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
async fn serve(listener: UnixListener, asked: mpsc::Sender<Asked>) {
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

/// Asks the agent that runs for `root`; `None` where none runs, or it ends before it answers.
///
/// # Errors
/// The agent is there but gives no answer in time.
pub fn ask(root: &Root, request: &Request, patience: Duration) -> io::Result<Option<Answer>> {
    let Some(stream) = connect(root)? else { return Ok(None) };
    let request = format!("{}\n", serde_json::to_string(request)?);
    match exchange(stream, &request, patience) {
        Ok(line) if line.is_empty() => Ok(None),
        Ok(line) => Ok(Some(serde_json::from_str(&line)?)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn exchange(
    mut stream: std::os::unix::net::UnixStream,
    request: &str,
    patience: Duration,
) -> io::Result<String> {
    use std::io::{BufRead as _, Write as _};
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    std::io::BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
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
