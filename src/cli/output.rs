//! What people see: findings, errors, diffs.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use image_config_agent::apply::{ChangeKind, Outcome};
use image_config_agent::model::{Finding, Severity};
use serde_json::{Value, json};

/// Prints findings to standard error.
pub fn findings(findings: &[Finding]) {
    for finding in findings {
        let color = match finding.severity {
            Severity::Error => AnsiColor::Red,
            Severity::Warning => AnsiColor::Yellow,
            Severity::Info => AnsiColor::Cyan,
        };
        let style = Style::new().fg_color(Some(color.into()));
        let text = finding.to_string();
        let (severity, rest) = text.split_once(':').unwrap_or(("", &text));
        anstream::eprintln!("{style}{severity}{style:#}:{rest}");
    }
}

/// Prints findings to standard error, but for mere information.
pub fn warnings(findings: &[Finding]) {
    let weighty = findings.iter().filter(|finding| finding.severity != Severity::Info);
    self::findings(&weighty.cloned().collect::<Vec<_>>());
}

/// Prints an error with all of its causes to standard error.
pub fn error(error: &anyhow::Error) {
    let style = Style::new().fg_color(Some(AnsiColor::Red.into()));
    for line in format!("{error:#}").lines() {
        anstream::eprintln!("{style}error{style:#}: {line}");
    }
}

/// A unified diff in colour.
pub fn diff(text: &str) {
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
        // Writing to a String cannot fail.
        let _ = writeln!(coloured, "{style}{line}{style:#}");
    }
    anstream::print!("{coloured}");
}

/// What happened to a path, in one word.
pub fn change(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => "created",
        ChangeKind::Changed => "changed",
        ChangeKind::Removed => "removed",
        ChangeKind::Restored => "restored",
    }
}

/// The changes and warnings of an outcome as JSON.
pub fn outcome_json(outcome: &Outcome) -> Value {
    let changes: Vec<Value> = outcome
        .changes
        .iter()
        .map(|one| json!({"path": one.path.to_string_lossy(), "change": change(one.kind)}))
        .collect();
    let warnings: Vec<String> = outcome.warnings.iter().map(ToString::to_string).collect();
    json!({"changes": changes, "warnings": warnings})
}

/// Prints the changes of an outcome, and its warnings to standard error.
pub fn outcome(outcome: &Outcome) {
    if outcome.changes.is_empty() {
        anstream::println!("nothing to do");
    }
    for one in &outcome.changes {
        anstream::println!("{} {}", change(one.kind), one.path.display());
    }
    let style = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    for warning in &outcome.warnings {
        anstream::eprintln!("{style}warning{style:#}: {warning}");
    }
}
