//! How far a whole cluster is, from what its nodes say of themselves (rules K1, K2).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{NodeImageConfig, NodeImageConfigStatus};

/// A node that has said nothing for so long is silent: it says something every six minutes.
const SILENCE: Duration = Duration::from_secs(900);

/// The reason of `Held` where somebody else looks after the node's files.
const OBSERVED: &str = "ManagedByOthers";

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Standing {
    /// It is as the documents mean it.
    Converged,
    /// A change is under way, or to come.
    Changing,
    /// Its agent is held: it changes nothing until somebody releases it.
    Held,
    /// Somebody else looks after its files, so that its agent only observes them.
    Observed,
    /// Something is wrong with it.
    Degraded,
    /// Its agent has said nothing for long, or nothing that can be read.
    Silent,
    /// No agent has said anything of it yet.
    NoAgent,
}

/// What is shown of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub node: String,
    /// The pool whose slots it takes.
    pub pool: Option<String>,
    /// What is being done.
    pub phase: Option<String>,
    /// The digest of the configuration that is applied.
    pub applied: Option<String>,
    /// The digest of the configuration that was read last.
    pub desired: Option<String>,
    /// The container engine in one word.
    pub runtime: Option<String>,
    /// Since when there is something said of it.
    pub since: Option<Timestamp>,
    /// How it stands.
    pub standing: Standing,
    /// Why it is not converged, or what it waits for.
    pub why: Option<String>,
}

/// What a node says of itself, by its name; where that cannot be read, why.
pub type Said = (String, Result<Box<NodeImageConfig>, String>);

/// The whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Its nodes by name.
    pub nodes: Vec<Row>,
    /// Whether every node that an agent looks after is converged, all of them to one configuration.
    pub is_converged: bool,
    /// Whether the roll-out is paused (rule K2).
    pub is_paused: bool,
}

impl Rollout {
    /// The nodes of these names, by what they say; `is_paused` as the Image has it.
    #[must_use]
    pub fn of(nodes: Vec<String>, said: Vec<Said>, is_paused: bool, now: Timestamp) -> Self {
        let mut said: BTreeMap<_, _> = said.into_iter().collect();
        let names: BTreeSet<String> = nodes.into_iter().collect();
        let rows = names.into_iter().map(|name| match said.remove(&name) {
            Some(Err(why)) => unreadable(name, &why),
            Some(Ok(config)) => row(name, Some(*config), now),
            None => row(name, None, now),
        });
        let nodes: Vec<Row> = rows.collect();
        let mut ours = nodes.iter().filter(|row| row.standing != Standing::Observed);
        let desired: BTreeSet<_> = ours.clone().map(|row| &row.desired).collect();
        let all = ours.all(|row| row.standing == Standing::Converged);
        Self { is_converged: all && desired.len() <= 1, is_paused, nodes }
    }

    /// How many nodes stand so.
    #[must_use]
    pub fn count(&self, standing: Standing) -> usize {
        self.nodes.iter().filter(|row| row.standing == standing).count()
    }
}

impl fmt::Display for Rollout {
    /// One line that sums up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} nodes converged", self.count(Standing::Converged), self.nodes.len())?;
        for (standing, word) in [
            (Standing::Changing, "changing"),
            (Standing::Held, "held"),
            (Standing::Observed, "only observed"),
            (Standing::Degraded, "degraded"),
            (Standing::Silent, "silent"),
            (Standing::NoAgent, "without an agent"),
        ] {
            match self.count(standing) {
                0 => {}
                count => write!(f, ", {count} {word}")?,
            }
        }
        let desired: BTreeSet<_> =
            self.nodes.iter().filter_map(|row| row.desired.as_ref()).collect();
        if desired.len() > 1 {
            write!(f, "; they have read {} different configurations", desired.len())?;
        }
        if self.is_paused {
            f.write_str("; paused")?;
        }
        Ok(())
    }
}

fn unreadable(node: String, why: &str) -> Row {
    let why = Some(format!("what its agent says cannot be read: {why}"));
    Row { standing: Standing::Silent, why, ..row(node, None, Timestamp::UNIX_EPOCH) }
}

fn row(node: String, config: Option<NodeImageConfig>, now: Timestamp) -> Row {
    let since = config.as_ref().and_then(|config| config.metadata.creation_timestamp.clone());
    let status = config.and_then(|config| config.status);
    let (standing, why) = match &status {
        None => (Standing::NoAgent, None),
        Some(status) => standing(status, now),
    };
    let digest = |digests: Option<super::node_image_config::ConfigDigests>| {
        digests.map(|digests| digests.configuration)
    };
    let (pool, phase, runtime, applied, desired) = match status {
        None => (None, None, None, None, None),
        Some(said) => {
            let (applied, desired) = (digest(said.applied), digest(said.desired));
            (said.pool, Some(said.phase), Some(said.runtime), applied, desired)
        }
    };
    let since = since.map(|time| time.0);
    Row { node, pool, phase, applied, desired, runtime, since, standing, why }
}

fn standing(status: &NodeImageConfigStatus, now: Timestamp) -> (Standing, Option<String>) {
    let said = |kind: &str, truth: &str| {
        let mut conditions = status.conditions.iter();
        conditions.find(|one| one.type_ == kind && one.status == truth)
    };
    let why = |kind, truth| said(kind, truth).map(|one| one.message.clone());
    let silent = now.duration_since(status.last_heartbeat.0).unsigned_abs();
    let waiting = status.waiting.as_ref().map(|waiting| waiting.what.clone());
    if now > status.last_heartbeat.0 && silent > SILENCE {
        let minutes = silent.as_secs() / 60;
        return (
            Standing::Silent,
            Some(format!("its agent has said nothing for {minutes} minutes")),
        );
    }
    for (kind, truth) in [("Degraded", "True"), ("RuntimeReady", "False"), ("Drifted", "True")] {
        if let Some(why) = why(kind, truth) {
            return (Standing::Degraded, Some(why));
        }
    }
    if status.phase == "Idle"
        && said("Applied", "True").is_some()
        && status.applied == status.desired
    {
        return (Standing::Converged, None);
    }
    match said("Held", "True") {
        Some(held) if held.reason == OBSERVED => (Standing::Observed, Some(held.message.clone())),
        Some(held) => (Standing::Held, Some(held.message.clone())),
        None => (Standing::Changing, waiting.or_else(|| why("Applied", "False"))),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::node_status::Spec;
    use super::super::node_status::tests::{condition, config, status, with};
    use super::*;
    use crate::report::{NodeImageConfigSpec, Status, Truth, Waiting};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn said(name: &str, status: &Status) -> NodeImageConfig {
        let mut config = NodeImageConfig::new(name, NodeImageConfigSpec::default());
        config.status = Some(NodeImageConfigStatus::of(status, &Spec::default(), NOW));
        config
    }

    fn all(configs: Vec<NodeImageConfig>) -> Vec<Said> {
        let named = |one: NodeImageConfig| (one.metadata.name.clone().unwrap(), Ok(Box::new(one)));
        configs.into_iter().map(named).collect()
    }

    fn of(configs: Vec<NodeImageConfig>) -> Rollout {
        let said = all(configs);
        let names = said.iter().map(|(name, _)| name.clone()).collect();
        Rollout::of(names, said, false, NOW)
    }

    fn standing_of(status: &Status) -> Standing {
        of(vec![said("a", status)]).nodes[0].standing
    }

    #[test]
    fn k1_a_node_stands_as_it_says() {
        assert_eq!(standing_of(&status()), Standing::Converged);
        let phase = Status { phase: "Telling".to_owned(), ..status() };
        assert_eq!(standing_of(&phase), Standing::Changing);
        let behind = Status { observed: Some(config("b")), ..status() };
        assert_eq!(standing_of(&behind), Standing::Changing);
        let unapplied = with(status(), condition("Applied", Truth::False, "LockOut", "why"));
        assert_eq!(standing_of(&unapplied), Standing::Changing);
        for (kind, truth) in
            [("Degraded", Truth::True), ("RuntimeReady", Truth::False), ("Drifted", Truth::True)]
        {
            let status = with(status(), condition(kind, truth, "Reason", "why"));
            assert_eq!(standing_of(&status), Standing::Degraded, "{kind}");
            assert_eq!(of(vec![said("a", &status)]).nodes[0].why.as_deref(), Some("why"));
        }
    }

    #[test]
    fn k1_a_silent_node_is_not_converged_whatever_it_said() {
        let mut config = said("a", &status());
        config.status.as_mut().unwrap().last_heartbeat = Time(NOW - Duration::from_secs(901));
        let rollout = of(vec![config.clone()]);
        assert_eq!(rollout.nodes[0].standing, Standing::Silent);
        assert!(!rollout.is_converged);
        // A clock that is ahead does no harm.
        config.status.as_mut().unwrap().last_heartbeat = Time(NOW + Duration::from_secs(901));
        assert_eq!(of(vec![config]).nodes[0].standing, Standing::Converged);
    }

    #[test]
    fn k1_a_node_without_a_word_counts_and_a_word_without_a_node_does_not() {
        let configs = vec![said("a", &status()), said("gone", &status())];
        let rollout = Rollout::of(vec!["a".into(), "b".into()], all(configs), true, NOW);
        assert_eq!(rollout.nodes.len(), 2);
        assert_eq!(rollout.nodes[1].standing, Standing::NoAgent);
        assert!(!rollout.is_converged);
        assert_eq!(rollout.to_string(), "1 of 2 nodes converged, 1 without an agent; paused");
    }

    #[test]
    fn k1_a_node_that_is_held_waits_for_somebody_and_one_of_others_for_nobody() {
        let unapplied = with(status(), condition("Applied", Truth::False, "Held", "held"));
        let held = |reason: &str| {
            let held = condition("Held", Truth::True, reason, "who holds it");
            with(unapplied.clone(), held)
        };
        let (held, observed) = (held("Requested"), held("ManagedByOthers"));
        let rollout = of(vec![said("a", &held), said("b", &status()), said("c", &observed)]);
        let standings = [0, 1, 2].map(|index: usize| rollout.nodes[index].standing);
        assert_eq!(standings, [Standing::Held, Standing::Converged, Standing::Observed]);
        assert_eq!(rollout.nodes[0].why.as_deref(), Some("who holds it"));
        assert_eq!(rollout.to_string(), "1 of 3 nodes converged, 1 held, 1 only observed");
        assert!(!rollout.is_converged);
        assert!(of(vec![said("b", &status()), said("c", &observed)]).is_converged);
        assert!(of(vec![said("c", &observed)]).is_converged);
        // Nothing is kept from it.
        let idle = with(status(), condition("Held", Truth::True, "Requested", "who holds it"));
        assert_eq!(standing_of(&idle), Standing::Converged);
        let broken = with(observed, condition("RuntimeReady", Truth::False, "Failing", "why"));
        assert_eq!(standing_of(&broken), Standing::Degraded);
    }

    #[test]
    fn k1_what_one_node_says_and_nobody_can_read_hides_no_other() {
        let mut configs = all(vec![said("a", &status())]);
        configs.push(("b".to_owned(), Err("a time".to_owned())));
        let rollout = Rollout::of(vec!["a".into(), "b".into()], configs, false, NOW);
        assert_eq!(rollout.to_string(), "1 of 2 nodes converged, 1 silent");
        assert!(rollout.nodes[1].why.as_ref().unwrap().ends_with("cannot be read: a time"));
    }

    /// Each may be at its goal, and yet they are not at one.
    #[test]
    fn k1_nodes_of_different_minds_are_not_converged() {
        let one = Some(config("b"));
        let other = Status { observed: one.clone(), applied: one, ..status() };
        let rollout = of(vec![said("a", &status()), said("b", &other)]);
        assert_eq!(rollout.count(Standing::Converged), 2);
        assert!(!rollout.is_converged);
        assert!(rollout.to_string().ends_with("read 2 different configurations"), "{rollout}");
        assert!(of(vec![said("a", &status()), said("b", &status())]).is_converged);
    }

    #[test]
    fn k1_what_a_node_waits_for_is_shown() {
        let waiting = Some(Waiting { what: "a slot".to_owned(), until: NOW });
        let behind = Status { observed: Some(config("b")), waiting, ..status() };
        assert_eq!(of(vec![said("a", &behind)]).nodes[0].why.as_deref(), Some("a slot"));
    }
}
