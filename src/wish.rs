//! What a look asks for: the change to make next, as a pure function of what was seen.

use std::time::{Duration, SystemTime};

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
    /// What others did to files of ours, if it is to be put right (rule H9).
    pub heals: Option<Foreign>,
    /// The engine has yet to be restarted for an earlier change.
    pub owes_restart: bool,
    /// Whether it can read its files as they are.
    pub is_readable: bool,
    /// How the engine stands.
    pub standing: Standing,
    /// The active units that need the engine's (rule H5).
    pub dependents: Vec<String>,
}

/// Which files others changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Files that the engine reads anew whenever it needs them.
    ReadAnew,
    /// Among them such as the engine keeps in memory: it may obey what others wrote.
    KeptInMemory,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Nothing yet: the engine would have to be told, and cannot be, or is just starting: whether it
    /// bears the files that there are is to be seen first (rule H6).
    Wait,
    /// This change.
    Change {
        /// The change.
        change: Change,
        /// Whether the engine is to be restarted for it later: where it cannot be told, unless it is stopped until
        /// the files are in place and so reads them when it starts.
        owes_restart: bool,
    },
}

impl Seen {
    /// The change to make next.
    #[must_use]
    pub fn wish(self) -> Wish {
        let is_told = self.standing.is_told();
        match (&self.target, self.heals) {
            _ if self.is_held => Wish::Nothing,
            (Some(_), _) => match self.asked {
                Asked::Now(_) if self.standing.is_in_doubt() => Wish::Wait,
                Asked::Now(tell) => self.change(Kind::Apply, Some(tell), !is_told),
                Asked::Nothing => self.change(Kind::Apply, None, false),
                Asked::Later => self.change(Kind::Apply, None, true),
            },
            (None, Some(foreign)) => Wish::Change { change: heal(foreign), owes_restart: false },
            (None, None)
                if self.owes_restart && self.is_readable && self.standing == Standing::Running =>
            {
                self.change(Kind::Restart, Some(Tell::Restart), false)
            }
            (None, None) => Wish::Nothing,
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

impl Standing {
    /// Whether nobody can tell the engine anything yet.
    fn is_in_doubt(self) -> bool {
        matches!(self, Self::Unreachable | Self::Starting)
    }

    /// Whether it is told of a change: one that is stopped is told nothing (rule H6).
    fn is_told(self) -> bool {
        matches!(self, Self::Running | Self::Failing)
    }
}

/// A heal. It is written at once, whoever can be asked: only then it is seen whether the engine has to
/// hear of it ([`after_heal`]).
#[must_use]
pub fn heal(foreign: Foreign) -> Change {
    let tell = (foreign == Foreign::KeptInMemory).then_some(Tell::Reload);
    Change {
        kind: Kind::Heal,
        target: None,
        tell,
        was_failing: false,
        dependents: Vec::new(),
        node: None,
    }
}

/// Whether an engine that last read its files at `last_read` may have read what others wrote into one that
/// was changed at `since`. What is gone, or says nothing of its age, may have been so for long; what is of a
/// time to come was changed under another clock.
#[must_use]
pub fn may_have_read(
    since: Option<SystemTime>,
    last_read: Option<SystemTime>,
    now: SystemTime,
) -> bool {
    let Some((since, last_read)) = since.zip(last_read) else { return true };
    since <= last_read || since > now
}

/// What the engine is told of a heal of files that it keeps in memory, once they are right again.
/// `has_read`: it may have read what others wrote; `is_readable`: it can read its files as they are.
#[must_use]
pub fn after_heal(has_read: bool, is_readable: bool, standing: Standing) -> Asked {
    match (has_read, is_readable && standing == Standing::Running) {
        (false, _) => Asked::Nothing,
        (true, true) => Asked::Now(Tell::Reload),
        (true, false) => Asked::Later,
    }
}

/// A step to files that come from no documents (rule X3), and whether a restart is owed afterwards. It is
/// made at once: an engine that cannot be told of it now is restarted once it can be.
#[must_use]
pub fn step(
    kind: Kind,
    asked: Asked,
    standing: Standing,
    dependents: Vec<String>,
) -> (Change, bool) {
    let (tell, is_owed) = match asked {
        Asked::Nothing => (None, false),
        Asked::Now(tell) => (Some(tell), !standing.is_told()),
        Asked::Later => (None, true),
    };
    (change(kind, tell, standing, dependents), is_owed)
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

/// A change of an engine that stands so.
#[must_use]
pub fn change(
    kind: Kind,
    tell: Option<Tell>,
    standing: Standing,
    dependents: Vec<String>,
) -> Change {
    let was_failing = standing == Standing::Failing;
    let tell = tell.filter(|_| standing.is_told());
    Change { kind, target: None, tell, was_failing, dependents, node: None }
}
