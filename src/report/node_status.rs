//! The status of a `NodeImageConfig`, from the one that the agent writes for its host.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as Said, Time};

use super::node_image_config::{
    ConfigDigests, FindingCounts, LONGEST_MESSAGE, NodeChange, NodeImageConfigStatus, NodeWaiting,
};
use super::{Condition, LastChange, NodeImageConfig, Status, Truth};
use crate::machine::Ending;
use crate::model::finding::printable;
use crate::model::{Digests, Finding, Severity};

/// The longest name in a status, in bytes.
const LONGEST_NAME: usize = 64;

/// What the object itself says, as far as the agent's answer depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    /// The generation of the object.
    pub generation: Option<i64>,
    /// The request to try again that was obeyed last, as the object has it.
    pub retried: Option<String>,
}

impl Spec {
    /// That of `object`.
    #[must_use]
    pub fn of(object: &NodeImageConfig) -> Self {
        let retried = object.status.as_ref().and_then(|status| status.retried.clone());
        Self { generation: object.metadata.generation, retried }
    }
}

impl NodeImageConfigStatus {
    /// What `status` says to the cluster, written at `now` on an object that is as in `spec`.
    #[must_use]
    pub fn of(status: &Status, spec: &Spec, now: Timestamp) -> Self {
        let node = status.node.as_ref();
        let retried = node.and_then(|node| node.retried.clone()).or_else(|| spec.retried.clone());
        let condition = |condition: &Condition| said(condition, spec.generation);
        Self {
            observed_generation: spec.generation,
            version: shortened(&status.version, LONGEST_NAME),
            pool: node.map(|node| node.pool.clone()),
            phase: shortened(&status.phase, LONGEST_NAME),
            desired: digests(status.observed.as_ref()),
            applied: digests(status.applied.as_ref()),
            degraded_on: digests(degraded_on(status)),
            runtime: runtime(status),
            last_heartbeat: Time(now),
            findings: counts(&status.findings),
            last_change: status.last_change.as_ref().map(change),
            waiting: status.waiting.as_ref().map(|waiting| NodeWaiting {
                what: message(&waiting.what),
                until: Time(waiting.until),
            }),
            retried,
            conditions: status.conditions.iter().map(condition).collect(),
        }
    }
}

/// The configuration on which the host is Degraded, if it is (rule K1): the one that a change under
/// way went to, else what the documents mean.
#[must_use]
pub fn degraded_on(status: &Status) -> Option<&Digests> {
    let degraded = status.condition("Degraded").filter(|found| found.status == Truth::True)?;
    if ["Contested", "WrongSettings", "EngineFailing"].contains(&degraded.reason.as_str()) {
        // Not the fault of what was read last, which may be what mends it.
        return status.applied.as_ref();
    }
    let under_way = status.last_change.as_ref().filter(|change| change.ending.is_none());
    under_way.and_then(|change| change.target.as_ref()).or(status.observed.as_ref())
}

fn digests(digests: Option<&Digests>) -> Option<ConfigDigests> {
    digests.map(ConfigDigests::from)
}

/// The engine in one word.
fn runtime(status: &Status) -> String {
    match status.condition("RuntimeReady") {
        None => "NotAsked".to_owned(),
        Some(ready) if ready.status == Truth::True && ready.reason == "AsExpected" => {
            "Ready".to_owned()
        }
        Some(condition) => shortened(&condition.reason, LONGEST_NAME),
    }
}

fn counts(findings: &[Finding]) -> FindingCounts {
    let count = |severity| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    FindingCounts {
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        infos: count(Severity::Info),
    }
}

fn change(change: &LastChange) -> NodeChange {
    let milliseconds = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    let (result, why) = change.ending.as_ref().map(ending).unzip();
    NodeChange {
        kind: change.kind,
        began: Time(change.began),
        target: digests(change.target.as_ref()),
        files: i32::try_from(change.paths.len()).unwrap_or(i32::MAX),
        files_milliseconds: change.files_ms.map(milliseconds),
        engine_milliseconds: change.engine_ms.map(milliseconds),
        result: result.map(str::to_owned),
        why: why.flatten().map(message),
    }
}

fn ending(ending: &Ending) -> (&'static str, Option<&str>) {
    match ending {
        Ending::Done => ("Done", None),
        Ending::NotChanged(why) => ("NotChanged", Some(why)),
        Ending::StillFailing(why) => ("StillFailing", Some(why)),
        Ending::Unconfirmed => ("Unconfirmed", None),
        Ending::RolledBack(why) => ("RolledBack", Some(why)),
        Ending::NotDrained(why) => ("NotDrained", Some(why)),
        Ending::Abandoned(why) => ("Abandoned", Some(why)),
    }
}

fn said(condition: &Condition, generation: Option<i64>) -> Said {
    Said {
        type_: condition.kind.clone(),
        status: format!("{:?}", condition.status),
        reason: shortened(&condition.reason, LONGEST_NAME),
        message: message(&condition.message),
        last_transition_time: Time(condition.last_transition_time),
        observed_generation: generation,
    }
}

/// A text as the cluster shows it: nothing in it steers a terminal, and it is not too long.
#[must_use]
pub fn message(text: impl AsRef<str>) -> String {
    shortened(&printable(text.as_ref()), LONGEST_MESSAGE)
}

/// `text`, or as much of its begin as fits in so many bytes with a sign that it is cut.
fn shortened(text: &str, most: usize) -> String {
    const CUT: char = '…';
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(CUT.len_utf8()));
    format!("{}{CUT}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::machine::Kind;
    use crate::report::status::FORMAT;
    use crate::report::{NodeState, Waiting};

    pub fn config(name: &str) -> Digests {
        Digests { configuration: name.repeat(64), without_cas: name.to_uppercase().repeat(64) }
    }

    pub fn condition(kind: &str, status: Truth, reason: &str, message: &str) -> Condition {
        Condition {
            kind: kind.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Timestamp::UNIX_EPOCH,
        }
    }

    /// A host on which all is well and `a` applied.
    pub fn status() -> Status {
        Status {
            format: FORMAT,
            version: "1.2.3".to_owned(),
            pid: 1,
            host: "a".to_owned(),
            written: Timestamp::UNIX_EPOCH,
            phase: "Idle".to_owned(),
            observed: Some(config("a")),
            applied: Some(config("a")),
            conditions: vec![
                condition("Applied", Truth::True, "AsExpected", ""),
                condition("RuntimeReady", Truth::True, "AsExpected", ""),
                condition("Drifted", Truth::False, "AsExpected", ""),
                condition("Degraded", Truth::False, "AsExpected", ""),
            ],
            files: Vec::new(),
            findings: Vec::new(),
            last_change: None,
            waiting: None,
            sources: Vec::new(),
            report: None,
            node: Some(NodeState { pool: "worker".to_owned(), ..NodeState::default() }),
        }
    }

    pub fn with(mut status: Status, condition: Condition) -> Status {
        status.conditions.retain(|old| old.kind != condition.kind);
        status.conditions.push(condition);
        status
    }

    pub fn last_change(kind: Kind, ending: Option<Ending>) -> LastChange {
        LastChange {
            kind,
            began: Timestamp::UNIX_EPOCH,
            target: Some(config("b")),
            paths: vec!["/etc/containers/policy.json".into()],
            files_ms: Some(3),
            told: None,
            engine_ms: None,
            ending,
        }
    }

    fn of(status: &Status) -> NodeImageConfigStatus {
        NodeImageConfigStatus::of(status, &Spec::default(), Timestamp::UNIX_EPOCH)
    }

    /// Both digests are said, and the one that tables show.
    #[test]
    fn d7_both_digests_are_said() {
        let applied = of(&status()).applied.unwrap();
        assert_eq!(applied.configuration, "a".repeat(64));
        assert_eq!(applied.without_cas, "A".repeat(64));
        assert_eq!(applied.short, "a".repeat(12));
    }

    #[test]
    fn k1_what_a_node_is_degraded_on_is_said() {
        assert_eq!(of(&status()).degraded_on, None);
        let degraded = with(status(), condition("Degraded", Truth::True, "RollingBack", "no"));
        assert_eq!(of(&degraded).degraded_on, Some((&config("a")).into()));
        // Under way counts what the change goes to, even if the documents have moved on.
        let under_way = Status { last_change: Some(last_change(Kind::Apply, None)), ..degraded };
        assert_eq!(of(&under_way).degraded_on, Some((&config("b")).into()));
        let ended = Some(last_change(Kind::Apply, Some(Ending::RolledBack("no".to_owned()))));
        let ended = Status { last_change: ended, ..under_way };
        assert_eq!(of(&ended).degraded_on, Some((&config("a")).into()));
    }

    #[test]
    fn the_engine_is_one_word() {
        assert_eq!(of(&status()).runtime, "Ready");
        for (truth, reason) in
            [(Truth::True, "Inactive"), (Truth::Unknown, "Unconfirmed"), (Truth::False, "Failing")]
        {
            let status = with(status(), condition("RuntimeReady", truth, reason, ""));
            assert_eq!(of(&status).runtime, reason);
        }
    }

    #[test]
    fn long_and_hostile_messages_are_cut_and_made_harmless() {
        let text = format!("\u{1b}[31m{}", "ä".repeat(2000));
        let waiting = Some(Waiting { what: text.clone(), until: Timestamp::UNIX_EPOCH });
        let status = Status { waiting, ..status() };
        let said = of(&with(status, condition("Applied", Truth::False, "Failed", &text)));
        for message in [&said.waiting.unwrap().what, &said.conditions.last().unwrap().message] {
            assert!(message.len() <= LONGEST_MESSAGE && message.ends_with("ä…"), "{message}");
            assert!(!message.contains('\u{1b}'));
        }
    }

    #[test]
    fn k1_a_request_that_was_obeyed_stays_said() {
        let spec = Spec { generation: Some(7), retried: Some("x".to_owned()) };
        let said = NodeImageConfigStatus::of(&status(), &spec, Timestamp::UNIX_EPOCH);
        assert_eq!((said.retried.as_deref(), said.observed_generation), (Some("x"), Some(7)));
        assert!(said.conditions.iter().all(|one| one.observed_generation == Some(7)));
        let node = Some(NodeState { retried: Some("y".to_owned()), ..NodeState::default() });
        let said = NodeImageConfigStatus::of(&Status { node, ..status() }, &spec, Timestamp::now());
        assert_eq!(said.retried.as_deref(), Some("y"));
    }
}
