//! What people see: findings, errors, diffs.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use image_config_agent::apply::Outcome;
use image_config_agent::driver::Once;
use image_config_agent::model::finding::printable;
use image_config_agent::model::{Finding, Severity};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::Level;

use super::log;

/// Prints to standard output, in colour where that is a terminal.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(&mut anstream::stdout().lock(), text.as_bytes())
}

/// Prints to standard output, byte for byte.
pub fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    write(&mut std::io::stdout().lock(), bytes)
}

/// Where nobody reads any more there is nobody to tell: the exit code still says how it went.
fn write(out: &mut dyn Write, bytes: &[u8]) -> anyhow::Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Prints a value as one line of JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Prints a line to standard error, whoever may read it.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints a warning to standard error.
pub fn warning(text: &str) {
    let style = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    note(&format!("{style}warning{style:#}: {}", printable(text)));
}

/// How many findings are printed for people, the gravest first.
const MOST_FINDINGS: usize = 1_000;

/// Prints findings to standard error.
pub fn findings(findings: &[Finding]) {
    let mut lines = String::new();
    for finding in findings.iter().take(MOST_FINDINGS) {
        let color = match finding.severity {
            Severity::Error => AnsiColor::Red,
            Severity::Warning => AnsiColor::Yellow,
            Severity::Info => AnsiColor::Cyan,
        };
        let style = Style::new().fg_color(Some(color.into()));
        let text = finding.to_string();
        let (severity, rest) = text.split_once(':').unwrap_or(("", &text));
        // Writing to a String cannot fail.
        let _ = std::fmt::Write::write_fmt(
            &mut lines,
            format_args!("{style}{severity}{style:#}:{rest}\n"),
        );
    }
    if let Some(more) = findings.len().checked_sub(MOST_FINDINGS).filter(|more| *more > 0) {
        lines.push_str(&format!("and {more} more; -o json lists them\n"));
    }
    let _ = anstream::stderr().lock().write_all(lines.as_bytes());
}

/// Prints findings to standard error, but for mere information.
pub fn warnings(findings: &[Finding]) {
    let weighty = findings.iter().filter(|finding| finding.severity != Severity::Info);
    self::findings(&weighty.cloned().collect::<Vec<_>>());
}

/// Prints an error with all of its causes to standard error, each line as grave to the journal as it is.
pub fn error(error: &anyhow::Error) {
    let style = Style::new().fg_color(Some(AnsiColor::Red.into()));
    let priority = if log::is_journal() { log::priority(Level::ERROR) } else { "" };
    for line in format!("{error:#}").lines() {
        note(&format!("{priority}{style}error{style:#}: {line}"));
    }
}

/// A unified diff in colour.
pub fn diff(text: &str) -> anyhow::Result<()> {
    let mut coloured = String::with_capacity(text.len());
    for line in text.lines() {
        let color = match line.as_bytes().first() {
            _ if line.starts_with("+++") || line.starts_with("---") => None,
            Some(b'+') => Some(AnsiColor::Green),
            Some(b'-') => Some(AnsiColor::Red),
            Some(b'@') => Some(AnsiColor::Cyan),
            _ => None,
        };
        let style = Style::new().fg_color(color.map(Into::into));
        let line: Vec<String> = line.split('\t').map(printable).collect();
        coloured += &format!("{style}{}{style:#}\n", line.join("\t"));
    }
    print(&coloured)
}

/// The changes and warnings of an outcome as JSON.
pub fn outcome_json(outcome: &Outcome) -> Value {
    let changes: Vec<Value> = outcome
        .changes
        .iter()
        .map(|one| json!({"path": one.path.to_string_lossy(), "change": one.kind.word()}))
        .collect();
    let warnings: Vec<String> = outcome.warnings.iter().map(ToString::to_string).collect();
    json!({"changes": changes, "warnings": warnings})
}

/// The same of a command that ran once: where it did not go well, why.
pub fn once_json(once: &Once) -> Value {
    let error = (!once.answer.ok).then_some(&once.answer.message);
    with(outcome_json(&once.outcome), [("error", json!(error))])
}

/// An object with more in it.
pub fn with<const N: usize>(mut object: Value, more: [(&str, Value); N]) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    object
}

/// Prints the changes of a command that ran once, and its warnings to standard error.
pub fn once(once: &Once) -> anyhow::Result<()> {
    let outcome = &once.outcome;
    if once.answer.ok && outcome.changes.is_empty() {
        print("nothing to do\n")?;
    }
    for one in &outcome.changes {
        print(&format!("{} {}\n", one.kind.word(), one.path.display()))?;
    }
    outcome.warnings.iter().for_each(|text| warning(&text.to_string()));
    Ok(())
}
