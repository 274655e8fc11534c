//! What the engine logs, read by the host's own journalctl.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use crate::model::finding::printable;

/// The longest wait for a journalctl that only looks back.
const LOOK_BACK: Duration = Duration::from_secs(10);
/// The most bytes of one entry; journald splits lines long before.
const MOST_BYTES: u64 = 1 << 20;
/// The most characters of a line that an error shows.
const MOST_SHOWN: usize = 400;

/// The log of one invocation of a unit: entries of an earlier one, or of another unit, never
/// count.
pub(super) struct Journal<'s> {
    /// The command that reads the host's journal, with its first arguments.
    pub(super) command: &'s [OsString],
    /// The invocation, in hexadecimal.
    pub(super) invocation: &'s str,
}

/// Where in the log something begins: behind an entry, or at the invocation's start.
pub(super) struct Mark(Option<String>);

/// What the engine says about the files that it read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It took them.
    Applied,
    /// It refuses them.
    Refused(String),
    /// Its own settings are wrong, and it never came to them.
    Elsewhere(String),
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "MESSAGE", default)]
    message: Value,
}

impl Journal<'_> {
    /// The present end of the log.
    ///
    /// It is taken with the same match as what follows it: older journalctls skip one entry too
    /// many behind a cursor whose own entry does not match.
    pub(super) async fn end(&self) -> Result<Mark, String> {
        Ok(Mark(self.last(1).await?.pop().map(|entry| entry.cursor)))
    }

    /// The last lines of the log, fit to be shown; none where it cannot be read.
    pub(super) async fn last_lines(&self, count: usize) -> Vec<String> {
        let entries = self.last(count).await.unwrap_or_default();
        entries.iter().map(|entry| shown(&text(&entry.message))).collect()
    }

    /// The first verdict behind the mark; an error says why there is none.
    pub(super) async fn verdict(&self, mark: &Mark, patience: Duration) -> Result<Verdict, String> {
        let mut command = self.command(&["--follow", "--no-tail"])?;
        if let Mark(Some(cursor)) = mark {
            command.arg(format!("--after-cursor={cursor}"));
        }
        let mut child = command.spawn().map_err(|error| self.not_run(&error))?;
        let Some(out) = child.stdout.take() else {
            return Err("journalctl has no output".to_owned());
        };
        let mut out = BufReader::new(out);
        let first = async {
            while let Some(entry) = next(&mut out).await {
                if let Some(verdict) = verdict(&text(&entry.message)) {
                    return Ok(verdict);
                }
            }
            Err("journalctl ended before the engine said anything".to_owned())
        };
        let first = timeout(patience, first).await;
        let _ = child.start_kill();
        first.unwrap_or_else(|_| Err(format!("its log says nothing of it within {patience:?}")))
    }

    async fn last(&self, count: usize) -> Result<Vec<Entry>, String> {
        let mut child = self
            .command(&[&format!("--lines={count}")])?
            .spawn()
            .map_err(|error| self.not_run(&error))?;
        let Some(out) = child.stdout.take() else {
            return Err("journalctl has no output".to_owned());
        };
        let all = async {
            let mut out = BufReader::new(out);
            let mut entries = Vec::new();
            while let Some(entry) = next(&mut out).await {
                entries.push(entry);
            }
            (child.wait().await, entries)
        };
        match timeout(LOOK_BACK, all).await {
            Ok((Ok(status), entries)) if status.success() => Ok(entries),
            Ok((Ok(status), _)) => Err(format!("journalctl ended with {status}")),
            Ok((Err(error), _)) => Err(self.not_run(&error)),
            Err(_) => Err(format!("journalctl did not end within {LOOK_BACK:?}")),
        }
    }

    /// journalctl over this log. `--all`: else a long message, such as the list of all
    /// registries, is left out.
    fn command(&self, more: &[&str]) -> Result<Command, String> {
        let Some((program, first)) = self.command.split_first() else {
            return Err("no journalctl is set".to_owned());
        };
        let mut command = Command::new(program);
        command
            .args(first)
            // --merge: else --follow shows this boot alone, by an ID that a /proc of the unit's own
            // can hide or have wrong.
            .args(["--output=json", "--output-fields=MESSAGE", "--all", "--no-pager", "--quiet"])
            .arg("--merge")
            .args(more)
            .arg(format!("_SYSTEMD_INVOCATION_ID={}", self.invocation))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    fn not_run(&self, error: &std::io::Error) -> String {
        let program = self.command.first().map(|name| name.to_string_lossy().into_owned());
        format!("{} cannot be run: {error}", printable(&program.unwrap_or_default()))
    }
}

/// The next entry that can be read; `None` at the end.
async fn next(out: &mut BufReader<ChildStdout>) -> Option<Entry> {
    loop {
        let mut line = Vec::new();
        let read = out.take(MOST_BYTES).read_until(b'\n', &mut line).await;
        if matches!(read, Err(_) | Ok(0)) {
            return None;
        }
        if let Ok(entry) = serde_json::from_slice(&line) {
            return Some(entry);
        }
    }
}

/// A message as text; journalctl prints what is not UTF-8 as an array of bytes.
fn text(message: &Value) -> String {
    match message {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => {
            let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
            String::from_utf8_lossy(&bytes.iter().filter_map(byte).collect::<Vec<_>>()).into_owned()
        }
        _ => String::new(),
    }
}

/// What a line of CRI-O's log says about its files (`pkg/config/reload.go`, `ReloadRegistries`,
/// and `server/server.go`, `startReloadWatcher`).
fn verdict(line: &str) -> Option<Verdict> {
    if says(line, "Applied new registry configuration") {
        Some(Verdict::Applied)
    } else if says(line, "Unable to reload configuration") {
        Some(match line.contains("system registries reload failed") {
            true => Verdict::Refused(shown(line)),
            false => Verdict::Elsewhere(shown(line)),
        })
    } else {
        None
    }
}

/// Whether the message of a line of CRI-O's log, of either `log_format`, begins with `what`. The
/// beginning, because the rest may hold what a pod's author wrote: there the quotes are escaped.
fn says(line: &str, what: &str) -> bool {
    line.contains(&format!("msg=\"{what}")) || line.contains(&format!("\"msg\":\"{what}"))
}

/// A line, fit for an error: escaped, and cut where it is long.
fn shown(line: &str) -> String {
    let mut shown = printable(line.trim_end());
    if let Some((end, _)) = shown.char_indices().nth(MOST_SHOWN) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}
