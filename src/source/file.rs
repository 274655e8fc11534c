//! Documents in local files and directories.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::decode::{MAX_FILE_BYTES, SourceFile};
use crate::model::{Finding, Origin, Severity};

/// Reads every path: a file whatever its name, of a directory its `*.yaml`, `*.yml` and `*.json`
/// that are not hidden, in name order and no deeper; `-` is standard input (rule X1).
///
/// What cannot be read is a finding: nothing may be concluded from the rest (rule D5).
#[must_use]
pub fn read_all(paths: &[PathBuf]) -> (Vec<SourceFile>, Vec<Finding>) {
    let (mut files, mut findings) = (Vec::new(), Vec::new());
    for path in paths {
        match members(path) {
            Ok(members) if members.is_empty() => {
                findings.push(empty(path));
            }
            Ok(members) => members.iter().for_each(|path| read(path, &mut files, &mut findings)),
            Err(error) => findings.push(unreadable(path, &error.to_string())),
        }
    }
    (files, findings)
}

fn members(path: &Path) -> io::Result<Vec<PathBuf>> {
    if is_standard_input(path) || !path.metadata()?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut members = Vec::new();
    for entry in path.read_dir()? {
        let member = entry?.path();
        let name = member.file_name().unwrap_or_default().as_encoded_bytes();
        let is_document =
            [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end.as_bytes()));
        if is_document && !name.starts_with(b".") && !member.is_dir() {
            members.push(member);
        }
    }
    members.sort();
    Ok(members)
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read(path: &Path, files: &mut Vec<SourceFile>, findings: &mut Vec<Finding>) {
    match read_limited(path) {
        Ok(bytes) if bytes.len() > MAX_FILE_BYTES => findings.push(too_large(path)),
        Ok(bytes) => files.push(SourceFile { name: path.display().to_string(), bytes }),
        Err(error) => findings.push(unreadable(path, &error.to_string())),
    }
}

/// At most one byte more than what is allowed, so that what never ends cannot fill the memory.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let limit = MAX_FILE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if is_standard_input(path) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        let file = open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        bytes.reserve_exact(length.min(MAX_FILE_BYTES + 1));
        file.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Opens a regular file, or whatever the caller has opened for us: a pipe of `<(command)` is
/// one of the latter. Any other pipe could keep us waiting for ever, and a device could do
/// worse.
fn open(path: &Path) -> io::Result<File> {
    if is_inherited(path) {
        return File::open(path);
    }
    if !path.metadata()?.is_file() {
        return Err(io::Error::other(NO_FILE));
    }
    // In case it has become another thing since.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other(NO_FILE)) }
}

/// A small regular file, as one of credentials is.
///
/// # Errors
/// It is none, is too large, or cannot be read.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    const MOST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

const NO_FILE: &str = "it is a pipe, a socket or a device, not a regular file";

fn is_inherited(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"].iter().any(|fds| path.parent() == Some(Path::new(fds)))
}

/// Nothing says that nothing is wanted: it would be taken for an empty configuration (rule D5).
fn empty(path: &Path) -> Finding {
    Finding::new(
        Severity::Error,
        "NoDocuments",
        Origin::object(path.display().to_string()),
        "the directory holds no *.yaml, *.yml or *.json; the host stays as it is.",
        "Put documents there, or an Image named cluster with an empty spec.",
    )
}

fn unreadable(path: &Path, problem: &str) -> Finding {
    Finding::new(
        Severity::Error,
        "UnreadableSource",
        Origin::object(path.display().to_string()),
        format!("the input cannot be used: {problem}."),
        "Give a file or a directory that can be read, or - for standard input.",
    )
}

fn too_large(path: &Path) -> Finding {
    Finding::new(
        Severity::Error,
        "DocumentTooLarge",
        Origin::object(path.display().to_string()),
        format!("the input cannot be used: it is larger than {} MiB.", MAX_FILE_BYTES >> 20),
        "Split it into several files.",
    )
}
