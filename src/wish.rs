//! What a look asks for: the change to make next, as a pure function of what was seen.

use std::time::Duration;

use crate::machine::{Change, Kind, NodeSteps};
use crate::model::Digests;
use crate::node::DrainAction;
use crate::plan::{Asked, Tell};

/// How the engine stands before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none to be told, or it is stopped and stays so (rule H6).
    Silent,
    /// Nobody could ask.
    Unreachable,
    /// It is being started, and may or may not have read its files.
    Starting,
    /// It runs.
    Running,
    /// It should run, and does not (rule H6).
    Failing,
}

/// The cluster's node that this host is, as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    /// When pods are made to go.
    pub drain: DrainAction,
    /// How long they may take.
    pub drain_deadline: Duration,
    /// Whether too many degraded nodes stop a change; a retry goes on in spite of them (rule K1).
    pub obeys_brake: bool,
}

/// What a look showed, as far as it decides.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Somebody said `hold` (rule X3).
    pub is_held: bool,
    /// What the documents mean, if that can be applied and is not.
    pub target: Option<Digests>,
    /// What applying it asks to be told to the engine.
    pub asked: Asked,
    /// Whether applying it could hurt running pods (rule K3).
    pub hurts_pods: bool,
    /// The node; none where the host is none, or where nobody can be asked for a slot and somebody
    /// on the host wants the change in spite of that (rule X3).
    pub node: Option<NodeSeen>,
    /// Files of ours that others changed and that are to be put right (rule H9).
    pub heals: bool,
    /// Whether the engine may have read what others wrote.
    pub has_read_foreign: bool,
    /// The engine has yet to be restarted for an earlier change.
    pub owes_restart: bool,
    /// Whether it can read its files as they are.
    pub is_readable: bool,
    /// How the engine stands.
    pub standing: Standing,
    /// The active units that need the engine's (rule H5).
    pub dependents: Vec<String>,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Nothing yet: the engine would have to be told, and cannot be, or is just starting: whether it
    /// bears the files that there are is to be seen first (rule H6).
    Wait,
    /// This change; then a restart is owed, or not.
    Change {
        /// The change.
        change: Change,
        /// Whether the engine is to be restarted once it can read its files.
        owes_restart: bool,
    },
}

impl Seen {
    /// The change to make next.
    #[must_use]
    pub fn wish(self) -> Wish {
        let owed = self.owes_restart;
        match &self.target {
            _ if self.is_held => Wish::Nothing,
            Some(_) => match self.asked {
                Asked::Now(_)
                    if matches!(self.standing, Standing::Unreachable | Standing::Starting) =>
                {
                    Wish::Wait
                }
                Asked::Now(tell) => self.change(Kind::Apply, Some(tell), owed),
                Asked::Nothing => self.change(Kind::Apply, None, owed),
                Asked::Later => self.change(Kind::Apply, None, true),
            },
            None if self.heals => {
                let is_told =
                    self.has_read_foreign && self.is_readable && self.standing == Standing::Running;
                let owes_restart = owed || (self.has_read_foreign && !is_told);
                self.change(Kind::Heal, is_told.then_some(Tell::Reload), owes_restart)
            }
            None if owed && self.is_readable && self.standing == Standing::Running => {
                self.change(Kind::Restart, Some(Tell::Restart), owed)
            }
            None => Wish::Nothing,
        }
    }

    fn change(self, kind: Kind, tell: Option<Tell>, owes_restart: bool) -> Wish {
        let target = self.target.filter(|_| kind == Kind::Apply);
        let hurts_pods = kind == Kind::Apply && self.hurts_pods;
        let change = change(kind, tell, self.standing, self.dependents);
        let node = self.node.and_then(|node| node.steps(&change, self.standing, hurts_pods));
        Wish::Change { change: Change { target, node, ..change }, owes_restart }
    }
}

impl NodeSeen {
    /// What a change asks of the node: nothing where it neither disturbs the engine nor hurts a pod
    /// (rule K1). A heal is written at once (rule H9), and a revert disturbs nobody (rule X3).
    #[must_use]
    pub fn steps(self, change: &Change, standing: Standing, hurts_pods: bool) -> Option<NodeSteps> {
        let is_quiet = matches!(change.kind, Kind::Heal | Kind::Revert);
        let runs = !matches!(standing, Standing::Silent | Standing::Unreachable);
        if is_quiet || !runs || (change.tell.is_none() && !hurts_pods) {
            return None;
        }
        let is_drained = match self.drain {
            DrainAction::Auto => hurts_pods,
            DrainAction::Always => true,
            DrainAction::Never => false,
        };
        let drain = is_drained.then_some(self.drain_deadline);
        // A rollback leads away from what degrades nodes.
        let obeys_brake = self.obeys_brake && change.kind != Kind::Rollback;
        Some(NodeSteps { drain, obeys_brake })
    }
}

/// A change of an engine that stands so: one that is stopped is told nothing (rule H6).
#[must_use]
pub fn change(
    kind: Kind,
    tell: Option<Tell>,
    standing: Standing,
    dependents: Vec<String>,
) -> Change {
    let is_told = matches!(standing, Standing::Running | Standing::Failing);
    let was_failing = standing == Standing::Failing;
    let tell = tell.filter(|_| is_told);
    Change { kind, target: None, tell, was_failing, dependents, node: None }
}
