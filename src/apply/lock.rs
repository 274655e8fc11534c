//! One process at a time changes the host.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::error::ApplyError;
use super::state::{STATE_DIR, state_file};
use crate::host::{HostError, Root};

/// How often the lock is asked for while another holds it.
const POLL: Duration = Duration::from_millis(20);

/// The lock of a root; released when dropped, by the kernel too when the process dies.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

impl Lock {
    /// Takes the lock, waiting for at most `patience`. Makes the state directory.
    pub fn take(root: &Root, patience: Duration) -> Result<Self, ApplyError> {
        let path = state_file("lock");
        make_state_dir(root)?;
        let mut file = root.open_or_create(&path)?;
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Self::sign(lock, &path),
                Err((held, nix::errno::Errno::EWOULDBLOCK)) => file = held,
                Err((_, errno)) => return Err(HostError::new("lock", &path, errno).into()),
            }
            if start.elapsed() >= patience {
                return Err(ApplyError::Locked { holder: holder(&mut file), waited: patience });
            }
            std::thread::sleep(POLL.min(patience));
        }
    }

    /// Writes down who holds the lock, for the error of those who wait in vain.
    fn sign(mut lock: Flock<File>, path: &Path) -> Result<Self, ApplyError> {
        let written = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(*lock, "{}", std::process::id()));
        written.map_err(|error| HostError::io("lock", path, &error))?;
        Ok(Self(lock))
    }
}

/// Who signed the lock file.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.rewind().and_then(|()| file.take(20).read_to_string(&mut text)) {
        Ok(read) if read > 0 => format!("pid {text}"),
        _ => "its pid is unknown".into(),
    }
}

fn make_state_dir(root: &Root) -> Result<(), HostError> {
    let (mut parent, missing): (PathBuf, _) = root.way_to(&Path::new(STATE_DIR).join("lock"))?;
    for dir in missing {
        root.make_dir(&dir)?;
        root.sync(&parent)?;
        parent = dir;
    }
    Ok(())
}
