//! Documents in local files and directories.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

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
            Ok(members) if members.is_empty() => findings.push(unreadable(
                path,
                "UnreadableSource",
                "the directory holds no *.yaml, *.yml or *.json",
            )),
            Ok(members) => members.iter().for_each(|path| read(path, &mut files, &mut findings)),
            Err(error) => {
                findings.push(unreadable(path, "UnreadableSource", &error.to_string()));
            }
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
        Ok(bytes) if bytes.len() > MAX_FILE_BYTES => {
            let why = format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20);
            findings.push(unreadable(path, "DocumentTooLarge", &why));
        }
        Ok(bytes) => files.push(SourceFile { name: path.display().to_string(), bytes }),
        Err(error) => findings.push(unreadable(path, "UnreadableSource", &error.to_string())),
    }
}

/// At most one byte more than what is allowed, so that a device or a pipe cannot fill the
/// memory.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let limit = MAX_FILE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if is_standard_input(path) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        bytes.reserve_exact(length.min(MAX_FILE_BYTES + 1));
        file.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn unreadable(path: &Path, name: &'static str, problem: &str) -> Finding {
    Finding::new(
        Severity::Error,
        name,
        Origin::object(path.display().to_string()),
        format!("the input cannot be used: {problem}."),
        "Give a path that can be read, and split what is too large.",
    )
}
