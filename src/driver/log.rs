//! What the driver writes into the log: one line a transition, as grave as it is.

use crate::machine::Ending;
use crate::model::Severity;
use crate::model::finding::printable;
use crate::report::Condition;
use crate::report::turns::{Turn, turns};

/// Conditions that have turned. A message of several lines, as of wrong settings, is as many lines.
pub(super) fn turned(before: &[Condition], now: &[Condition], is_idle: bool) {
    for Turn { severity, conditions, reason, message } in turns(before, now, is_idle) {
        for line in message.lines() {
            let line = printable(line);
            match severity {
                Severity::Error => tracing::error!(%conditions, %reason, "{line}"),
                Severity::Warning => tracing::warn!(%conditions, %reason, "{line}"),
                Severity::Info => tracing::info!(%conditions, %reason, "{line}"),
            }
        }
    }
}

/// The end of a change.
pub(super) fn ended(ending: &Ending) {
    let why = ending.why().map(printable);
    let (why, ending, said) = (why.as_deref(), ending, "the change has ended");
    match ending.severity() {
        Severity::Error => tracing::error!(ending = ending.word(), why, "{said}"),
        Severity::Warning => tracing::warn!(ending = ending.word(), why, "{said}"),
        Severity::Info => tracing::info!(ending = ending.word(), why, "{said}"),
    }
}
