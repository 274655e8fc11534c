//! What is worth an Event, as a pure function of two statuses of one host, the former and the new.
//!
//! What the documents themselves are to blame for is said of the Image, and the whole cluster says it
//! once: every host finds the same name for it ([`Said::name_on_image`]).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::node_status::message;
use super::{Drain, LastChange, Status, Truth};
use crate::machine::{Ending, Kind};
use crate::model::digest::sha256;
use crate::model::finding::PENDING;
use crate::model::{Finding, Severity};
use crate::plan::Tell;

/// How many findings of a status become Events, the gravest first.
const MOST_FINDINGS: usize = 10;

/// What an Event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// This host's Node.
    Node,
    /// The Image, for all documents.
    Image,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it is about.
    pub about: About,
    /// Whether somebody should look.
    pub is_warning: bool,
    /// What happened, in one word in CamelCase.
    pub reason: String,
    /// What was done, or not done, about it, in one word.
    pub action: &'static str,
    /// The same in words.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// What tells it from others of its reason on the Image: where it stands, in which configuration.
    pub key: String,
}

impl Said {
    /// The name of the Event on the Image of this uid: the same on every host, so that only the first
    /// one can create it.
    #[must_use]
    pub fn name_on_image(&self, uid: &str) -> String {
        let digest = sha256(format!("{uid}\n{}\n{}", self.reason, self.key).as_bytes());
        format!("cluster.{}", digest.get(..32).unwrap_or_default())
    }
}

/// What happened between `old` and `new`; at the start of the agent there is no old one.
#[must_use]
pub fn events(old: Option<&Status>, new: &Status) -> Vec<Said> {
    let mut said = Vec::new();
    of_the_node(old, new, &mut said);
    of_the_change(old, new, &mut said);
    of_the_conditions(old, new, &mut said);
    of_the_findings(old, new, &mut said);
    said
}

fn on_node(new: &Status, reason: &str, action: &'static str, note: &str) -> Said {
    Said {
        about: About::Node,
        is_warning: false,
        reason: reason.to_owned(),
        action,
        note: message(note),
        at: new.written,
        key: String::new(),
    }
}

fn warning(said: Said) -> Said {
    Said { is_warning: true, ..said }
}

/// Slot, cordon and drain.
fn of_the_node(old: Option<&Status>, new: &Status, said: &mut Vec<Said>) {
    let before = old.and_then(|old| old.node.clone()).unwrap_or_default();
    let after = new.node.clone().unwrap_or_default();
    let mut say = |reason, action, note: &str| said.push(on_node(new, reason, action, note));
    if !before.has_slot && after.has_slot {
        say("SlotTaken", "TakeSlot", &format!("a slot of pool {}", after.pool));
    }
    if !before.is_cordoned && after.is_cordoned {
        say("Cordon", "Cordon", "no new pods come here while the configuration changes");
    }
    match &after.drain {
        drain if *drain == before.drain => {}
        Drain::None => {}
        Drain::Running => say("Drain", "Drain", "pods are being evicted"),
        Drain::Done => say("Drained", "Drain", "all pods that had to go have gone"),
        Drain::Failed(why) => said.push(warning(on_node(new, "FailedToDrain", "Drain", why))),
    }
    let mut say = |reason, action, note: &str| said.push(on_node(new, reason, action, note));
    if before.is_cordoned && !after.is_cordoned {
        say("Uncordon", "Uncordon", "pods may come here again");
    }
    if before.has_slot && !after.has_slot {
        say("SlotFreed", "FreeSlot", &format!("a slot of pool {}", before.pool));
    }
}

/// A change that has ended.
fn of_the_change(old: Option<&Status>, new: &Status, said: &mut Vec<Said>) {
    let Some(change) = &new.last_change else { return };
    let Some(ending) = &change.ending else { return };
    let before = old.and_then(|old| old.last_change.as_ref());
    if before.is_some_and(|old| old.began == change.began && old.ending.is_some()) {
        return;
    }
    let node = |reason, action, note: &str| on_node(new, reason, action, note);
    if change.told == Some(Tell::Restart)
        && matches!(ending, Ending::Done | Ending::RolledBack(_) | Ending::StillFailing(_))
    {
        said.push(node("RuntimeRestarted", "Restart", "the container engine was restarted"));
    }
    match (ending, change.kind) {
        (Ending::Done | Ending::Unconfirmed, kind) => said.extend(of_a_success(new, change, kind)),
        (Ending::RolledBack(why), _) => {
            let note = format!("{} was undone: {why}", target(change));
            said.push(warning(node("ConfigRolledBack", "RollBack", &note)));
        }
        (Ending::NotChanged(why), _) => {
            said.push(warning(node("ConfigNotApplied", "Apply", why)));
        }
        (Ending::StillFailing(why), _) => {
            said.push(warning(node("RuntimeFailing", "Restart", why)));
        }
        // FailedToDrain says it.
        (Ending::NotDrained(_), _) => {}
        (Ending::Abandoned(why), _) => said.push(node("ConfigAbandoned", "Abandon", why)),
    }
}

fn of_a_success(new: &Status, change: &LastChange, kind: Kind) -> Option<Said> {
    let files = change.paths.len();
    let node = |reason, action, note: String| Some(on_node(new, reason, action, &note));
    match kind {
        Kind::Apply => {
            node("ConfigApplied", "Apply", format!("{} is applied, {files} files", target(change)))
        }
        Kind::Heal => {
            let paths: Vec<_> =
                change.paths.iter().map(|path| path.display().to_string()).collect();
            let note = format!("others changed {}; put right", paths.join(", "));
            node("ConfigDriftDetected", "Heal", note).map(warning)
        }
        Kind::Rollback => {
            let note = format!("by request, {files} files went one step back");
            node("ConfigRolledBack", "RollBack", note)
        }
        Kind::Revert => {
            let note = format!("by request, {files} files are the host's own again");
            node("ConfigReverted", "Revert", note)
        }
        Kind::Restart => None,
    }
}

/// The begin of the digest that a change went to.
fn target(change: &LastChange) -> String {
    let digest = change.target.as_ref().and_then(|target| target.configuration.get(..12));
    format!("configuration {}", digest.unwrap_or("unknown"))
}

/// A condition whose becoming true or false is worth an Event, on the Node. What is wrong with the
/// documents is a finding, and said of the Image.
struct Turn {
    kind: &'static str,
    to: Truth,
    reason: &'static str,
    action: &'static str,
    is_warning: bool,
}

const TURNS: [Turn; 6] = [
    turn("Drifted", Truth::True, "ConfigDriftDetected", "Compare", true),
    turn("Degraded", Truth::True, "Degraded", "Report", true),
    turn("Degraded", Truth::False, "Recovered", "Report", false),
    turn("RuntimeReady", Truth::False, "RuntimeFailing", "Report", true),
    turn("Held", Truth::True, "Held", "Hold", false),
    turn("Held", Truth::False, "Released", "Release", false),
];

const fn turn(
    kind: &'static str,
    to: Truth,
    reason: &'static str,
    action: &'static str,
    is_warning: bool,
) -> Turn {
    Turn { kind, to, reason, action, is_warning }
}

fn of_the_conditions(old: Option<&Status>, new: &Status, said: &mut Vec<Said>) {
    for turn in &TURNS {
        let Some(condition) = new.condition(turn.kind).filter(|one| one.status == turn.to) else {
            continue;
        };
        let before = old.and_then(|old| old.condition(turn.kind));
        let has_turned = match before {
            Some(before) => before.status != turn.to || before.reason != condition.reason,
            // At the start only what is wrong is worth saying.
            None => turn.is_warning,
        };
        if has_turned {
            let event = on_node(new, turn.reason, turn.action, &condition.message);
            said.push(Said { is_warning: turn.is_warning, ..event });
        }
    }
}

/// Findings that were not there before, the gravest first; those that are mere information are none
/// of them, nor is that there was no answer yet.
fn of_the_findings(old: Option<&Status>, new: &Status, said: &mut Vec<Said>) {
    let before: BTreeSet<&Finding> = old.iter().flat_map(|old| &old.findings).collect();
    let is_new = |finding: &&Finding| {
        let is_mere = finding.severity == Severity::Info || PENDING.contains(&&*finding.name);
        !(is_mere || before.contains(finding))
    };
    let mut found: Vec<&Finding> = new.findings.iter().filter(is_new).collect();
    found.sort();
    let (of_documents, of_host): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|finding| is_of_documents(finding));
    for (about, findings) in [(About::Image, of_documents), (About::Node, of_host)] {
        said.extend(findings.iter().take(MOST_FINDINGS).map(|one| of_a_finding(new, about, one)));
        if let Some(more @ 1..) = findings.len().checked_sub(MOST_FINDINGS) {
            let note = format!("{more} more findings; `image-config-agent validate` lists them");
            let event = warning(on_node(new, "MoreFindings", "Validate", &note));
            said.push(Said { about, key: configuration(new), ..event });
        }
    }
}

fn of_a_finding(new: &Status, about: About, finding: &Finding) -> Said {
    let is_lock_out = finding.name == "LockOut" && finding.severity == Severity::Error;
    let (reason, action) = match is_lock_out {
        true => ("LockoutRefused", "Refuse"),
        false => (finding.name.as_ref(), "Validate"),
    };
    let key = format!("{}\n{}", key(finding), configuration(new));
    Said { about, key, ..warning(on_node(new, reason, action, &finding.to_string())) }
}

/// What tells one finding from another, whatever version of the agent words it.
fn key(finding: &Finding) -> String {
    let Finding { name, origin, value, .. } = finding;
    format!("{name}\n{origin}\n{}", value.as_deref().unwrap_or_default())
}

fn configuration(status: &Status) -> String {
    status.observed.as_ref().map(|digests| digests.configuration.clone()).unwrap_or_default()
}

/// Whether documents are to blame: their objects are written `Kind/name`, all else is a path of the
/// host or a name of a setting.
fn is_of_documents(finding: &Finding) -> bool {
    let object = &finding.origin.object;
    object.starts_with(|c: char| c.is_ascii_uppercase()) && object.contains('/')
}

#[cfg(test)]
mod tests {
    use super::super::node_status::tests::{condition, config, last_change, status, with};
    use super::*;
    use crate::model::Origin;
    use crate::report::NodeState;

    fn reasons(old: &Status, new: &Status) -> Vec<String> {
        events(Some(old), new).into_iter().map(|said| said.reason).collect()
    }

    fn node(change: impl FnOnce(&mut NodeState)) -> Status {
        let mut status = status();
        change(status.node.get_or_insert_default());
        status
    }

    fn ended(kind: Kind, ending: Ending) -> Status {
        Status { last_change: Some(last_change(kind, Some(ending))), ..status() }
    }

    #[test]
    fn k1_the_sequence_of_a_change_is_said() {
        let slot = node(|node| node.has_slot = true);
        let cordoned = node(|node| (node.has_slot, node.is_cordoned) = (true, true));
        let drain = |drain| node(|node| (node.is_cordoned, node.drain) = (true, drain));
        assert_eq!(reasons(&status(), &slot), ["SlotTaken"]);
        assert_eq!(reasons(&slot, &cordoned), ["Cordon"]);
        assert_eq!(reasons(&drain(Drain::None), &drain(Drain::Running)), ["Drain"]);
        assert_eq!(reasons(&drain(Drain::Running), &drain(Drain::Done)), ["Drained"]);
        assert_eq!(reasons(&cordoned, &status()), ["Uncordon", "SlotFreed"]);
        let failed = Drain::Failed("pod a/b: budget c".to_owned());
        let said = events(Some(&drain(Drain::Running)), &drain(failed));
        assert_eq!(said[0].reason, "FailedToDrain");
        assert!(said[0].is_warning && said[0].note.contains("budget c"));
    }

    /// What has not changed is not said again.
    #[test]
    fn k1_nothing_new_is_nothing_said() {
        let mut all = ended(Kind::Apply, Ending::Done);
        all = with(all, condition("Degraded", Truth::True, "Failed", "x"));
        all.findings.push(finding(Severity::Warning, "Image/cluster"));
        all.node.get_or_insert_default().has_slot = true;
        assert_ne!(events(Some(&status()), &all), []);
        assert_eq!(events(Some(&all), &all), []);
        assert_eq!(events(None, &status()), []);
    }

    #[test]
    fn k1_how_a_change_ended_is_said() {
        let why = || "crio.service failed".to_owned();
        for (kind, ending, reason) in [
            (Kind::Apply, Ending::Done, "ConfigApplied"),
            (Kind::Apply, Ending::RolledBack(why()), "ConfigRolledBack"),
            (Kind::Apply, Ending::NotChanged(why()), "ConfigNotApplied"),
            (Kind::Apply, Ending::StillFailing(why()), "RuntimeFailing"),
            (Kind::Heal, Ending::Done, "ConfigDriftDetected"),
            (Kind::Rollback, Ending::Done, "ConfigRolledBack"),
            (Kind::Revert, Ending::Done, "ConfigReverted"),
        ] {
            let is_bad = !matches!(ending, Ending::Done) || kind == Kind::Heal;
            let said = events(Some(&status()), &ended(kind, ending));
            assert_eq!(said.len(), 1, "{said:?}");
            assert_eq!((said[0].reason.as_str(), said[0].is_warning), (reason, is_bad));
        }
        let mut restarted = ended(Kind::Apply, Ending::Done);
        restarted.last_change.as_mut().unwrap().told = Some(Tell::Restart);
        assert_eq!(reasons(&status(), &restarted), ["RuntimeRestarted", "ConfigApplied"]);
    }

    #[test]
    fn k1_conditions_that_turn_are_said() {
        let degraded = with(status(), condition("Degraded", Truth::True, "Failed", "why"));
        let said = events(Some(&status()), &degraded);
        assert_eq!((said[0].reason.as_str(), said[0].note.as_str()), ("Degraded", "why"));
        assert_eq!(reasons(&degraded, &status()), ["Recovered"]);
        let otherwise = with(status(), condition("Degraded", Truth::True, "Contested", "x"));
        assert_eq!(reasons(&degraded, &otherwise), ["Degraded"]);
        let drifted = with(status(), condition("Drifted", Truth::True, "ChangedByOthers", "x"));
        assert_eq!(reasons(&status(), &drifted), ["ConfigDriftDetected"]);
        // At the start of the agent only what is wrong is said.
        assert_eq!(events(None, &degraded).len(), 1);
        let released = with(status(), condition("Held", Truth::False, "AsExpected", ""));
        assert_eq!(events(None, &released), []);
    }

    fn finding(severity: Severity, object: &str) -> Finding {
        Finding::new(severity, "Name", Origin::object(object), "why", "fix")
    }

    fn found(findings: Vec<Finding>) -> Status {
        Status { findings, ..status() }
    }

    #[test]
    fn k1_documents_are_blamed_on_the_image_hosts_on_the_node() {
        for (object, about) in [
            ("Image/cluster", About::Image),
            ("ConfigMap/openshift-config/ca", About::Image),
            ("/etc/containers/registries.conf.d/x.conf", About::Node),
            ("registries.conf", About::Node),
            ("OPENSHIFT_DEFAULT_REGISTRY", About::Node),
        ] {
            let said = events(Some(&status()), &found(vec![finding(Severity::Warning, object)]));
            assert_eq!((said.len(), said[0].about), (1, about), "{object}");
        }
        let info = found(vec![finding(Severity::Info, "Image/cluster")]);
        assert_eq!(events(Some(&status()), &info), []);
        let mut lock_out = finding(Severity::Error, "guard_images");
        lock_out.name = "LockOut".into();
        assert_eq!(reasons(&status(), &found(vec![lock_out])), ["LockoutRefused"]);
    }

    /// All hosts find one name for one finding, and another one for another.
    #[test]
    fn k1_a_finding_has_one_name_in_the_whole_cluster() {
        let names = |status: &Status, uid: &str| -> Vec<String> {
            events(None, status).iter().map(|said| said.name_on_image(uid)).collect()
        };
        let one = found(vec![finding(Severity::Warning, "Image/cluster")]);
        let mut worded = one.clone();
        worded.findings[0].why = "in other words".to_owned();
        worded.written = Timestamp::now();
        assert_eq!(names(&one, "u"), names(&worded, "u"));
        let other_value = found(vec![one.findings[0].clone().about("x")]);
        let other_config = Status { observed: Some(config("c")), ..one.clone() };
        for other in [names(&other_value, "u"), names(&other_config, "u"), names(&one, "v")] {
            assert_ne!(names(&one, "u"), other);
        }
    }

    #[test]
    fn k1_many_findings_are_bounded_and_counted() {
        let object = |index: usize| format!("Image/cluster{index:03}");
        let mut findings: Vec<_> =
            (0..50).map(|index| finding(Severity::Warning, &object(index))).collect();
        findings.push(finding(Severity::Error, "Image/cluster"));
        let said = events(Some(&status()), &found(findings));
        assert_eq!(said.len(), MOST_FINDINGS + 1);
        assert!(said[0].note.starts_with("error"), "{}", said[0].note);
        assert!(said[MOST_FINDINGS].note.starts_with("41 more"), "{}", said[MOST_FINDINGS].note);
    }
}
