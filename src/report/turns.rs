//! What is worth a line of the log, as a pure function of what was said before and what is said now.

use super::{Condition, Truth};
use crate::model::Severity;
use crate::model::finding::PENDING;

/// Conditions that have turned, for one and the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// How bad it is.
    pub severity: Severity,
    /// The conditions, each with its status.
    pub conditions: String,
    /// Why, in one word in CamelCase.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// The conditions whose status or reason is another than `before`; a failure turns too where another
/// thing fails. Those that one thing turned come as one. An agent that has said nothing yet says what is
/// not well.
#[must_use]
pub fn turns(before: &[Condition], now: &[Condition], is_idle: bool) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for condition in now {
        let severity = severity(condition, is_idle);
        let is_news = match before.iter().find(|old| old.kind == condition.kind) {
            Some(old) => has_turned(old, condition),
            None => severity != Severity::Info,
        };
        if !is_news {
            continue;
        }
        let said = format!("{} {:?}", condition.kind, condition.status);
        let is_of_one =
            |turn: &&mut Turn| turn.reason == condition.reason && turn.message == condition.message;
        if let Some(turn) = turns.iter_mut().find(is_of_one) {
            turn.severity = turn.severity.min(severity);
            turn.conditions.push_str(&format!(", {said}"));
            continue;
        }
        turns.push(Turn {
            severity,
            conditions: said,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        });
    }
    turns
}

fn has_turned(old: &Condition, new: &Condition) -> bool {
    let is_another = |reason: &str| new.reason == reason && new.message != old.message;
    new.status != old.status || new.reason != old.reason || is_another("Failed")
}

/// How bad a condition is. What a change is just about to end is no matter; nor is what nobody can know yet.
fn severity(condition: &Condition, is_idle: bool) -> Severity {
    let reason = condition.reason.as_str();
    match (condition.kind.as_str(), condition.status) {
        _ if condition.is_good() || PENDING.contains(&reason) => Severity::Info,
        (_, Truth::Unknown)
            if matches!(reason, "NotRead" | "NotAsked" | "NotYet" | "Starting" | "BeingTold") =>
        {
            Severity::Info
        }
        ("Applied", Truth::False) if !is_idle => Severity::Info,
        // Nobody has given any yet, as after an installation; or somebody wants it so.
        ("Valid" | "Applied", _)
            if matches!(
                reason,
                "NoDocuments" | "Paused" | "Held" | "WaitingForEngine" | "ChangedByOthers"
            ) =>
        {
            Severity::Warning
        }
        ("Valid" | "Applied" | "Degraded", Truth::True | Truth::False) => Severity::Error,
        _ => Severity::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::node_status::tests::condition;

    fn lines(before: &[Condition], now: &[Condition], is_idle: bool) -> Vec<String> {
        let line = |turn: Turn| {
            format!("{:?} {} {}: {}", turn.severity, turn.conditions, turn.reason, turn.message)
        };
        turns(before, now, is_idle).into_iter().map(line).collect()
    }

    #[test]
    fn h11_each_condition_that_turns_is_one_line_as_grave_as_it_is() {
        let good = condition("Valid", Truth::True, "AsExpected", "fine");
        let bad = condition("Valid", Truth::False, "MalformedDocument", "x.json: cut off");
        let applied = Condition { kind: "Applied".to_owned(), ..bad.clone() };
        let both = [bad.clone(), applied];
        assert_eq!(
            lines(std::slice::from_ref(&good), &both, true),
            ["Error Valid False, Applied False MalformedDocument: x.json: cut off"]
        );
        assert!(lines(&both, &both, true).is_empty(), "nothing turned");
        assert_eq!(lines(&both, &[good], true), ["Info Valid True AsExpected: fine"]);
    }

    #[test]
    fn h11_what_is_well_or_on_its_way_at_the_start_is_no_line() {
        let now = [
            condition("Valid", Truth::True, "AsExpected", "fine"),
            condition("Drifted", Truth::False, "AsExpected", "fine"),
            condition("RuntimeReady", Truth::Unknown, "NotAsked", "not yet"),
            condition("Applied", Truth::False, "TellingEngine", "at it"),
        ];
        assert!(lines(&[], &now, false).is_empty());
        let held = [condition("Held", Truth::True, "Requested", "somebody asked")];
        assert_eq!(lines(&[], &held, true), ["Warning Held True Requested: somebody asked"]);
    }

    #[test]
    fn h13_another_failure_is_said_and_the_same_one_is_not() {
        let failed = |message| [condition("Degraded", Truth::True, "Failed", message)];
        assert!(lines(&failed("no space"), &failed("no space"), true).is_empty());
        assert_eq!(lines(&failed("no space"), &failed("read-only"), true).len(), 1);
        // What is waited for changes with each try, and is no news.
        let waits = |message| [condition("Applied", Truth::False, "Draining", message)];
        assert!(lines(&waits("2 pods left"), &waits("1 pod left"), false).is_empty());
    }
}
