//! The conditions of a status, in the form that Kubernetes gives them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::machine::{Ending, Phase};

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `SourceReady`, `Valid`, `Applied`, `RuntimeReady`, `Drifted`, `Degraded` or `Held`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: Truth,
    /// Why, in one word in CamelCase for programs.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Since when the status is as it is.
    pub last_transition_time: Timestamp,
}

impl Condition {
    /// Whether it is as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self.kind.as_str() {
            "SourceReady" | "Valid" | "Applied" | "RuntimeReady" => self.status == Truth::True,
            _ => self.status == Truth::False,
        }
    }
}

/// What is known of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EngineState {
    /// Nobody has asked yet.
    #[default]
    Unasked,
    /// The settings say that no engine is to be told.
    NotManaged,
    /// The host has no such unit.
    Absent,
    /// It does not run, and nobody starts it (rule H6).
    Inactive,
    /// It is being started.
    Starting,
    /// It is being told of the files.
    BeingTold,
    /// It runs, and obeys the files as far as anybody knows.
    Ready,
    /// It could not be told, or does not say whether it took the files: a restart is owed (rule H7).
    Unconfirmed,
    /// It does not run, or does not take the files.
    Failing(String),
    /// It cannot be asked.
    Unreachable(String),
}

/// All that the conditions go by.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Why the source that is obeyed, or one that outranks it, gives nothing newer: a reason and a
    /// message.
    pub source: Option<(String, String)>,
    /// Why the documents cannot be applied as they are: a reason and a message.
    pub invalid: Option<(String, String)>,
    /// Whether documents have been read at all.
    pub is_read: bool,
    /// Why valid documents are not applied, or not wholly: a reason and a message.
    pub refused: Option<(String, String)>,
    /// Whether what the documents mean is what is applied.
    pub is_applied: bool,
    /// Whether it is not, because the engine could not be told of it at present.
    pub is_put_off: bool,
    /// Why what the documents mean was undone, if it was: it is not tried again (rule H5).
    pub undone: Option<String>,
    /// Whether the documents say more than CA files, and are paused (rule K2).
    pub is_paused: bool,
    /// Whether somebody asked the agent to change nothing (rule X3).
    pub is_held: bool,
    /// Files that are not as applied, with what became of them.
    pub drifted: Vec<String>,
    /// Those of them that are left alone (rule H9).
    pub contested: Vec<String>,
    /// What is known of the engine.
    pub engine: EngineState,
    /// What could not be done, of late.
    pub failure: Option<String>,
    /// What is wrong with the settings that were read last, so that those of before stay.
    pub settings: Option<String>,
    /// How the last change ended.
    pub ending: Option<Ending>,
    /// Why the step of the node that is tried cannot be done yet, and for how long it has been tried.
    pub not_yet: Option<(String, Duration)>,
    /// Who else manages this node, so that the agent only observes.
    pub observes: Option<String>,
}

/// A node that is not Ready again so long after its engine obeys counts as degraded: others are not to
/// take the same configuration (rule K1). A kubelet without a Lease may take seven minutes to report.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// What a condition says: its truth, reason and message.
type Said = (Truth, String, String);

fn said(status: Truth, reason: &str, message: impl Into<String>) -> Said {
    (status, reason.to_owned(), message.into())
}

impl Facts {
    /// All conditions; one that says what it said in `before` keeps its time.
    #[must_use]
    pub fn conditions(
        &self,
        phase: &Phase,
        before: &[Condition],
        now: Timestamp,
    ) -> Vec<Condition> {
        let all = [
            ("SourceReady", self.source_ready()),
            ("Valid", self.valid()),
            ("Applied", self.applied(phase)),
            ("RuntimeReady", self.runtime_ready()),
            ("Drifted", self.drifted()),
            ("Degraded", self.degraded(phase)),
            ("Held", self.held()),
        ];
        let condition = |(kind, (status, reason, message)): (&str, Said)| {
            let same = before.iter().find(|old| old.kind == kind && old.status == status);
            Condition {
                kind: kind.to_owned(),
                status,
                reason,
                message,
                last_transition_time: same.map_or(now, |old| old.last_transition_time),
            }
        };
        all.into_iter().map(condition).collect()
    }

    /// Why what the documents mean is not what the files are.
    #[must_use]
    pub fn why_not_applied(&self, phase: &Phase) -> String {
        self.applied(phase).2
    }

    fn source_ready(&self) -> Said {
        match &self.source {
            _ if !self.is_read => said(Truth::Unknown, "NotRead", "no documents were read yet"),
            Some((reason, message)) => said(Truth::False, reason, message),
            None => said(Truth::True, "AsExpected", "the documents are the newest that there are"),
        }
    }

    fn valid(&self) -> Said {
        match &self.invalid {
            _ if !self.is_read => said(Truth::Unknown, "NotRead", "no documents were read yet"),
            Some((reason, message)) => said(Truth::False, reason, message),
            None => said(Truth::True, "AsExpected", "the documents can be applied"),
        }
    }

    fn applied(&self, phase: &Phase) -> Said {
        if let Some(why) = self.undone.as_ref().filter(|_| *phase == Phase::Idle) {
            return said(Truth::False, "RolledBack", why);
        }
        if let Some((reason, message)) = self.refused.as_ref().or(self.invalid.as_ref()) {
            return said(Truth::False, reason, message);
        }
        let not_yet = |otherwise: &str| match &self.not_yet {
            Some((why, _)) => why.clone(),
            None => otherwise.to_owned(),
        };
        match phase {
            Phase::Claiming(_) => {
                said(Truth::False, "WaitingForSlot", not_yet("a slot of the roll-out is asked for"))
            }
            Phase::Cordoning(_) => {
                said(Truth::False, "Cordoning", not_yet("the node is being cordoned"))
            }
            Phase::Draining(_) => said(Truth::False, "Draining", not_yet("pods are being evicted")),
            Phase::Awaiting { .. } => {
                said(Truth::False, "WaitingForNode", not_yet("the node is to be Ready again"))
            }
            Phase::Leaving { .. } => {
                said(Truth::False, "Uncordoning", not_yet("the node is being uncordoned"))
            }
            Phase::Changing(_) => said(Truth::False, "Changing", not_yet("the files are changing")),
            Phase::Telling { .. } => said(
                Truth::False,
                "TellingEngine",
                "the files are in place; the engine is being told",
            ),
            Phase::Undoing { why, .. } | Phase::Retelling { why, .. } => {
                said(Truth::False, "RollingBack", why)
            }
            Phase::Idle if self.is_paused && self.is_applied => said(
                Truth::False,
                "Paused",
                "the Image is paused: of the documents only CA files are applied, onto what was applied last",
            ),
            Phase::Idle if self.is_applied => {
                said(Truth::True, "AsExpected", "the files are what the documents mean")
            }
            Phase::Idle if self.is_held || self.observes.is_some() => {
                said(Truth::False, "Held", "the documents mean other files; this node is held")
            }
            Phase::Idle => match (&self.failure, &self.ending) {
                (Some(why), _) => said(Truth::False, "Failed", why),
                (None, Some(Ending::NotDrained(why))) => said(Truth::False, "FailedToDrain", why),
                _ if self.is_put_off => said(Truth::False, "WaitingForEngine", self.put_off()),
                _ if !self.drifted.is_empty() => {
                    said(Truth::False, "ChangedByOthers", self.drifted.join("; "))
                }
                _ => said(Truth::Unknown, "NotYet", "the documents are not applied yet"),
            },
        }
    }

    /// What keeps the engine from being told: a command that runs once leaves no other word of it.
    fn put_off(&self) -> String {
        let (_, _, why) = self.runtime_ready();
        let message = format!("nothing is changed before the engine can be told: {why}");
        match self.engine {
            EngineState::Unreachable(_) => {
                format!("{message}; where no engine is to be told, set runtime.manager = \"none\"")
            }
            _ => message,
        }
    }

    fn runtime_ready(&self) -> Said {
        match &self.engine {
            EngineState::Unasked => {
                said(Truth::Unknown, "NotAsked", "the engine was not asked yet")
            }
            EngineState::NotManaged => {
                said(Truth::True, "NotManaged", "the settings say that no engine is told")
            }
            EngineState::Absent => {
                said(Truth::True, "NoEngine", "this host has no such unit; only files are written")
            }
            EngineState::Inactive => said(
                Truth::True,
                "Inactive",
                "the engine does not run and is left so; only files are written",
            ),
            EngineState::Starting => {
                said(Truth::Unknown, "Starting", "the engine is being started")
            }
            EngineState::BeingTold => {
                said(Truth::Unknown, "BeingTold", "the engine is being told of the files")
            }
            EngineState::Ready => said(Truth::True, "AsExpected", "the engine obeys the files"),
            EngineState::Unconfirmed => said(
                Truth::Unknown,
                "Unconfirmed",
                "nothing shows that the engine has taken the files; it has yet to be restarted",
            ),
            EngineState::Failing(why) => said(Truth::False, "Failing", why),
            EngineState::Unreachable(why) => said(Truth::Unknown, "Unreachable", why),
        }
    }

    fn drifted(&self) -> Said {
        if !self.contested.is_empty() {
            return said(Truth::True, "Contested", self.contested.join("; "));
        }
        if self.drifted.is_empty() {
            return said(Truth::False, "AsExpected", "every file is as applied");
        }
        said(Truth::True, "ChangedByOthers", self.drifted.join("; "))
    }

    fn degraded(&self, phase: &Phase) -> Said {
        match phase {
            Phase::Undoing { why, .. } => return said(Truth::True, "RollingBack", why),
            Phase::Retelling { why, tries: 0, .. } => return said(Truth::True, "RollingBack", why),
            Phase::Retelling { why, .. } => {
                let engine = match &self.engine {
                    EngineState::Failing(then) | EngineState::Unreachable(then) => then.as_str(),
                    _ => "it was not told yet",
                };
                let message = format!("{why}; with the old files the engine fails too: {engine}");
                return said(Truth::True, "RollbackFailed", message);
            }
            Phase::Awaiting { ending: Ending::RolledBack(why), .. }
            | Phase::Leaving { ending: Ending::RolledBack(why) } => {
                return said(Truth::True, "RolledBack", why);
            }
            Phase::Awaiting { .. } => {
                if let Some((why, after)) = &self.not_yet
                    && *after >= READY_WITHIN
                {
                    return said(Truth::True, "NodeNotReady", why);
                }
            }
            _ => {}
        }
        if let Some(why) = &self.failure {
            return said(Truth::True, "Failed", why);
        }
        if let Some(why) = &self.settings {
            return said(Truth::True, "WrongSettings", why);
        }
        if let Some(why) = &self.undone {
            return said(Truth::True, "RolledBack", why);
        }
        match &self.ending {
            Some(Ending::StillFailing(why)) => said(Truth::True, "EngineFailing", why),
            _ if !self.contested.is_empty() => {
                said(Truth::True, "Contested", self.contested.join("; "))
            }
            _ => said(Truth::False, "AsExpected", "nothing is wrong"),
        }
    }

    fn held(&self) -> Said {
        if self.is_held {
            let message = "somebody asked this agent to change nothing";
            return said(Truth::True, "Requested", message);
        }
        if let Some(manager) = &self.observes {
            return said(Truth::True, "ManagedByOthers", manager);
        }
        said(Truth::False, "AsExpected", "changes are made")
    }
}
