//! The sequence of one change, as a pure function: what is done next, whatever happens.
//!
//! The driver writes each phase down before it performs the action that comes with it. So a crash
//! loses nothing: the next start asks the machine where to go on ([`Phase::resume`]).

mod steps;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Digests, Severity};
use crate::node::Sign;
use crate::plan::Tell;
use steps::{
    awaiting, begin, changed, changing, claiming, cordoning, draining, end, leaving, retelling,
    telling, undoing, undone,
};

/// What a change is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The documents mean other files.
    Apply,
    /// Others changed files that are ours (rule H9).
    Heal,
    /// Somebody wants to go one step back (rule X3).
    Rollback,
    /// Somebody wants the host's own files back (rule X3).
    Revert,
    /// The engine has yet to be restarted for an earlier change; no file changes (rule H7).
    Restart,
}

impl Kind {
    /// Whether somebody asked for it, so that no look would find out that it is to be made.
    #[must_use]
    pub fn is_asked_for(self) -> bool {
        matches!(self, Self::Rollback | Self::Revert)
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Heal => "heal",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
            Self::Restart => "restart",
        }
    }
}

/// One change of the host, from its begin to the engine's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// What it is for.
    pub kind: Kind,
    /// What is applied once the files have changed, where the documents say it.
    pub target: Option<Digests>,
    /// What the engine must be told afterwards.
    pub tell: Option<Tell>,
    /// The engine was failing beforehand: its failing is no reason to undo (rule H6).
    pub was_failing: bool,
    /// Units that need the engine's and were active, or about to be: a failed restart leaves them dead
    /// (rule H5).
    pub dependents: Vec<String>,
    /// What it asks of the cluster's node that this host is; none where it disturbs nobody, or where
    /// the host is no node (rule H4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeSteps>,
}

/// What a change that disturbs a node does around itself: slot and cordon before, and uncordon and
/// the slot's end afterwards (rule H4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeSteps {
    /// How long pods may take to go; none: they stay (rules K3, K4).
    pub drain: Option<Duration>,
    /// Whether too many degraded nodes stop it: not a rollback, nor a retry (rule K1).
    pub obeys_brake: bool,
}

/// How far a change is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No change is under way.
    #[default]
    Idle,
    /// A slot of the roll-out is asked for; nothing has happened yet (rule K1).
    Claiming(Change),
    /// The slot is ours; the node is about to take no new pods.
    Cordoning(Change),
    /// Pods are being evicted (rule K4).
    Draining(Change),
    /// The files are about to change.
    Changing(Change),
    /// They have changed; the engine is being told.
    Telling {
        /// What changed.
        change: Change,
        /// How often it could not be told so far.
        tries: u32,
    },
    /// The engine did not take the files: the old ones are about to go back (rule H5).
    Undoing {
        /// What is undone.
        change: Change,
        /// Why.
        why: String,
        /// How often that failed so far.
        tries: u32,
    },
    /// The old files are back; the engine is being told.
    Retelling {
        /// What was undone.
        change: Change,
        /// Why.
        why: String,
        /// How often it could not be told so far.
        tries: u32,
    },
    /// All is done on the host; the node is to be Ready again.
    Awaiting {
        /// What was done.
        change: Change,
        /// How it ended.
        ending: Ending,
        /// The kubelet's last sign of life before it is waited for; none before it was looked at.
        sign: Option<Sign>,
    },
    /// The node is to take pods again, and the slot is to be freed.
    Leaving {
        /// How the change ended.
        ending: Ending,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A change shall be made.
    Begin(Change),
    /// The transaction took effect.
    Changed,
    /// It did not: the files are as they were.
    NotChanged(String),
    /// The engine has taken the files.
    Told,
    /// It was told, but does not say whether it took them (rule H7).
    Unconfirmed,
    /// It has not taken them, or nobody knows.
    NotTold {
        /// Why.
        why: String,
        /// Whether that may be over by itself soon: a deadline, the bus away.
        is_passing: bool,
    },
    /// The engine has taken the files, but a unit that needs it does not start (rule H5).
    NotStarted {
        /// Why.
        why: String,
        /// Whether that may be over by itself soon.
        is_passing: bool,
    },
    /// The slot is ours.
    Claimed,
    /// The node takes no new pods.
    Cordoned {
        /// It is the only node of its cluster: its pods could go nowhere (rule K4).
        is_alone: bool,
    },
    /// No pod is left that had to go.
    Drained,
    /// What the kubelet last gave as a sign of life.
    Seen(Sign),
    /// The node is Ready, and its kubelet lives.
    Ready,
    /// The node takes pods again and the slot is free.
    Left,
    /// The cluster does not let this step be done yet, or cannot be reached.
    NotYet {
        /// Why.
        why: String,
        /// How long the step has been tried.
        after: Duration,
    },
    /// The change is not to be made after all: a stop, a hold, another's slot, other documents.
    Abandon(String),
    /// A wait is over, or the process was started again.
    Due,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask for a slot of the roll-out.
    Claim,
    /// Let the node take no new pods.
    Cordon,
    /// Evict what is to go, once.
    Drain,
    /// See whether the node is Ready with a sign of life newer than this one.
    LookAtNode(Option<Sign>),
    /// Let the node take pods again, then free the slot.
    Leave,
    /// Change the files, as the kind of change says.
    Change,
    /// Bring back the files of before.
    Undo,
    /// Tell the engine, and start what needs it.
    Tell(Tell),
    /// Wait, then say [`Event::Due`].
    Wait(Duration),
    /// Say how it went.
    Finish(Ending),
    /// Nothing: the event has no meaning in this phase.
    Nothing,
}

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result", content = "why")]
pub enum Ending {
    /// The files are in place and the engine obeys them.
    Done,
    /// Nothing changed.
    NotChanged(String),
    /// The files are in place; the engine was failing before and still is (rule H6), or a unit that needs
    /// it does not start, which no other files would mend (rule H5).
    StillFailing(String),
    /// The files are in place; whether the engine took them will show after a restart (rule H7).
    Unconfirmed,
    /// The files of before are back and the engine obeys them.
    RolledBack(String),
    /// Nothing changed: pods did not go in time; which, and what keeps them (rule K4).
    NotDrained(String),
    /// Nothing changed, because it was no longer to be.
    Abandoned(String),
}

impl Ending {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotChanged(_) => "not_changed",
            Self::NotDrained(_) => "not_drained",
            Self::Abandoned(_) => "abandoned",
            Self::StillFailing(_) => "still_failing",
            Self::Unconfirmed => "unconfirmed",
            Self::RolledBack(_) => "rolled_back",
        }
    }

    /// Why it ended so, where that is to be said.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Done | Self::Unconfirmed => None,
            Self::NotChanged(why)
            | Self::NotDrained(why)
            | Self::Abandoned(why)
            | Self::StillFailing(why)
            | Self::RolledBack(why) => Some(why),
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Done | Self::Abandoned(_) => Severity::Info,
            Self::Unconfirmed | Self::NotDrained(_) => Severity::Warning,
            Self::NotChanged(_) | Self::StillFailing(_) | Self::RolledBack(_) => Severity::Error,
        }
    }
}

/// A reason that may pass by itself gets so many tries before it counts as lasting (rule H5).
const TRIES: u32 = 3;

/// How long to wait until a step is tried again that the cluster has not let be done for so long,
/// without the jitter: a quarter of that time, from 2 s to 30 s.
#[must_use]
pub fn pace(after: Duration) -> Duration {
    (after / 4).clamp(Duration::from_secs(2), Duration::from_secs(30))
}

impl Phase {
    /// One word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Claiming(_) => "Claiming",
            Self::Cordoning(_) => "Cordoning",
            Self::Draining(_) => "Draining",
            Self::Changing(_) => "Changing",
            Self::Telling { .. } => "Telling",
            Self::Undoing { .. } => "Undoing",
            Self::Retelling { .. } => "Retelling",
            Self::Awaiting { .. } => "Awaiting",
            Self::Leaving { .. } => "Leaving",
        }
    }

    /// The change that is under way.
    #[must_use]
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Idle | Self::Leaving { .. } => None,
            Self::Claiming(change)
            | Self::Cordoning(change)
            | Self::Draining(change)
            | Self::Changing(change)
            | Self::Telling { change, .. }
            | Self::Undoing { change, .. }
            | Self::Retelling { change, .. }
            | Self::Awaiting { change, .. } => Some(change),
        }
    }

    /// Whether a change waits for the node, and nothing on the host has changed for it yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Claiming(_) | Self::Cordoning(_) | Self::Draining(_))
    }

    /// Whether another change may begin now, in place of this one or after it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            // Files that were in place before are told over and over; other documents may mend it.
            Self::Telling { change, .. } => change.kind != Kind::Apply,
            Self::Idle | Self::Retelling { .. } | Self::Awaiting { .. } => true,
            phase => phase.is_pending(),
        }
    }

    /// Whether a slot of the roll-out is held, which must be renewed.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        match self {
            Self::Idle | Self::Claiming(_) => false,
            Self::Leaving { .. } => true,
            phase => phase.change().is_some_and(|change| change.node.is_some()),
        }
    }

    /// Where to go on after a crash. `at_target`: whether what is applied is what the change
    /// goes to; the journal has already finished or undone a transaction that was half-done.
    #[must_use]
    pub fn resume(self, at_target: bool) -> (Self, Action) {
        match self {
            // What was not done is decided anew: the documents may be others by now. A slot that was
            // taken unknowingly is found again or expires.
            Self::Idle | Self::Claiming(_) => (Self::Idle, Action::Nothing),
            Self::Changing(change) if at_target => changed(change),
            Self::Changing(change) if !change.kind.is_asked_for() => {
                end(change, Ending::Abandoned("the agent was interrupted".to_owned()))
            }
            Self::Undoing { change, why, .. } if !at_target => undone(change, why),
            phase => phase.step(Event::Due),
        }
    }

    /// What an event leads to. An event without a meaning in a phase changes nothing.
    #[must_use]
    pub fn step(self, event: Event) -> (Self, Action) {
        match self {
            Self::Idle => match event {
                Event::Begin(change) => begin(change),
                _ => (Self::Idle, Action::Nothing),
            },
            Self::Claiming(change) => claiming(change, event),
            Self::Cordoning(change) => cordoning(change, event),
            Self::Draining(change) => draining(change, event),
            Self::Changing(change) => changing(change, event),
            Self::Telling { change, tries } => telling(change, tries, event),
            Self::Undoing { change, why, tries } => undoing(change, why, tries, event),
            Self::Retelling { change, why, tries } => retelling(change, why, tries, event),
            Self::Awaiting { change, ending, sign } => awaiting(change, ending, sign, event),
            Self::Leaving { ending } => leaving(ending, event),
        }
    }
}
