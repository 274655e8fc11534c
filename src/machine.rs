//! The sequence of one change, as a pure function: what is done next, whatever happens.
//!
//! The driver writes each phase down before it performs the action that comes with it. So a crash
//! loses nothing: the next start asks the machine where to go on ([`Phase::resume`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Digests;
use crate::plan::Tell;

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
    /// Units that were active and need the engine's: a failed restart leaves them dead (rule H5).
    pub dependents: Vec<String>,
}

/// How far a change is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No change is under way.
    #[default]
    Idle,
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
    /// A wait is over, or the process was started again.
    Due,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result", content = "why")]
pub enum Ending {
    /// The files are in place and the engine obeys them.
    Done,
    /// Nothing changed.
    NotChanged(String),
    /// The files are in place; the engine was failing before and still is (rule H6).
    StillFailing(String),
    /// The files are in place; whether the engine took them will show after a restart (rule H7).
    Unconfirmed,
    /// The files of before are back and the engine obeys them.
    RolledBack(String),
}

/// A reason that may pass by itself gets so many tries before it counts as lasting (rule H5).
const TRIES: u32 = 3;

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(300);

/// How long to wait after so many tries, without the jitter: 2 s, doubled each time.
#[must_use]
pub fn backoff(tries: u32) -> Duration {
    Duration::from_secs(2).saturating_mul(1 << tries.min(10)).min(LONGEST)
}

impl Phase {
    /// One word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Changing(_) => "Changing",
            Self::Telling { .. } => "Telling",
            Self::Undoing { .. } => "Undoing",
            Self::Retelling { .. } => "Retelling",
        }
    }

    /// The change that is under way.
    #[must_use]
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Idle => None,
            Self::Changing(change)
            | Self::Telling { change, .. }
            | Self::Undoing { change, .. }
            | Self::Retelling { change, .. } => Some(change),
        }
    }

    /// Where to go on after a crash. `at_target`: whether what is applied is what the change
    /// goes to; the journal has already finished or undone a transaction that was half-done.
    #[must_use]
    pub fn resume(self, at_target: bool) -> (Self, Action) {
        match self {
            Self::Idle => (Self::Idle, Action::Nothing),
            Self::Changing(change) if at_target => changed(change),
            // What was not done is decided anew: the documents may be others by now.
            Self::Changing(_) => (Self::Idle, Action::Nothing),
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
            Self::Changing(change) => match event {
                Event::Changed => changed(change),
                Event::NotChanged(why) => finish(Ending::NotChanged(why)),
                Event::Due => (Self::Changing(change), Action::Change),
                _ => (Self::Changing(change), Action::Nothing),
            },
            Self::Telling { change, tries } => telling(change, tries, event),
            Self::Undoing { change, why, tries } => undoing(change, why, tries, event),
            Self::Retelling { change, why, tries } => retelling(change, why, tries, event),
        }
    }
}

fn begin(change: Change) -> (Phase, Action) {
    match change.kind {
        Kind::Restart => changed(change),
        _ => (Phase::Changing(change), Action::Change),
    }
}

/// The files are in place.
fn changed(change: Change) -> (Phase, Action) {
    match change.tell {
        None => finish(Ending::Done),
        Some(tell) => (Phase::Telling { change, tries: 0 }, Action::Tell(tell)),
    }
}

/// The files of before are back.
fn undone(change: Change, why: String) -> (Phase, Action) {
    let tell = change.tell.unwrap_or(Tell::Restart);
    (Phase::Retelling { change, why, tries: 0 }, Action::Tell(tell))
}

fn finish(ending: Ending) -> (Phase, Action) {
    (Phase::Idle, Action::Finish(ending))
}

fn telling(mut change: Change, tries: u32, event: Event) -> (Phase, Action) {
    let tell = change.tell.unwrap_or(Tell::Restart);
    match event {
        Event::Due => (Phase::Telling { change, tries }, Action::Tell(tell)),
        Event::Told => finish(Ending::Done),
        Event::Unconfirmed if matches!(change.kind, Kind::Heal | Kind::Revert) => {
            finish(Ending::Unconfirmed)
        }
        Event::Unconfirmed => {
            change.tell = Some(Tell::Restart);
            (Phase::Telling { change, tries }, Action::Tell(Tell::Restart))
        }
        Event::NotTold { why, .. } if change.was_failing => finish(Ending::StillFailing(why)),
        Event::NotTold { why, is_passing }
            if change.kind == Kind::Apply && !(is_passing && tries + 1 < TRIES) =>
        {
            (Phase::Undoing { change, why, tries: 0 }, Action::Undo)
        }
        Event::NotTold { .. } => (
            Phase::Telling { change, tries: tries.saturating_add(1) },
            Action::Wait(backoff(tries)),
        ),
        // Files that were in place before are told over and over; other documents may mend it.
        Event::Begin(next) if change.kind != Kind::Apply => begin(next),
        _ => (Phase::Telling { change, tries }, Action::Nothing),
    }
}

fn undoing(change: Change, why: String, tries: u32, event: Event) -> (Phase, Action) {
    match event {
        Event::Due => (Phase::Undoing { change, why, tries }, Action::Undo),
        Event::Changed => undone(change, why),
        Event::NotChanged(_) => {
            let phase = Phase::Undoing { change, why, tries: tries.saturating_add(1) };
            (phase, Action::Wait(backoff(tries)))
        }
        _ => (Phase::Undoing { change, why, tries }, Action::Nothing),
    }
}

fn retelling(mut change: Change, why: String, tries: u32, event: Event) -> (Phase, Action) {
    let tell = change.tell.unwrap_or(Tell::Restart);
    match event {
        Event::Due => (Phase::Retelling { change, why, tries }, Action::Tell(tell)),
        Event::Told => finish(Ending::RolledBack(why)),
        Event::Unconfirmed => {
            change.tell = Some(Tell::Restart);
            (Phase::Retelling { change, why, tries }, Action::Tell(Tell::Restart))
        }
        Event::NotTold { .. } => {
            let phase = Phase::Retelling { change, why, tries: tries.saturating_add(1) };
            (phase, Action::Wait(backoff(tries)))
        }
        // The engine fails even with the old files: other documents may be what mends it.
        Event::Begin(next) => begin(next),
        _ => (Phase::Retelling { change, why, tries }, Action::Nothing),
    }
}
