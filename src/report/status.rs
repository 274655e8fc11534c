//! The status: one value that says what the agent sees, does and waits for.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::conditions::{Condition, Truth};
use crate::machine::{Change, Ending, Kind};
use crate::model::{Digests, Finding};
use crate::plan::Tell;

pub use crate::model::paths::RUN_DIR;

/// The format of the status; it grows when a reader of an older one would go wrong.
pub const FORMAT: u64 = 1;

/// What the agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The format of this value.
    pub format: u64,
    /// The agent's version.
    pub version: String,
    /// The process that wrote it.
    pub pid: u32,
    /// The host's name, as `{node}` in a URL stands for it.
    #[serde(default)]
    pub host: String,
    /// When it was written.
    pub written: Timestamp,
    /// What is being done: `Idle`, or the step of a change.
    pub phase: String,
    /// The configuration that was read last.
    pub observed: Option<Digests>,
    /// The configuration that is applied.
    pub applied: Option<Digests>,
    /// What holds, and what does not.
    pub conditions: Vec<Condition>,
    /// What of the host is ours.
    pub files: Vec<ManagedFile>,
    /// What is to be said of the documents and the host.
    pub findings: Vec<Finding>,
    /// The change before, or the one under way.
    pub last_change: Option<LastChange>,
    /// What is waited for.
    pub waiting: Option<Waiting>,
    /// Where documents come from, in order of precedence (rule E1).
    pub sources: Vec<SourceStatus>,
    /// The URL that the status goes to; none where it goes to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportStatus>,
    /// How the host stands as a node of its cluster; none outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeState>,
}

/// How a host stands as a node of its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// The pool whose slots it takes (rule K1).
    pub pool: String,
    /// Whether it has a slot.
    pub has_slot: bool,
    /// Whether the agent cordoned it.
    pub is_cordoned: bool,
    /// How far the drain of the change under way is.
    pub drain: Drain,
    /// The request to try again that was obeyed last, as its sender named it.
    pub retried: Option<String>,
    /// Why the cluster is not told all at present, if it is not.
    #[serde(default)]
    pub untold: Option<String>,
}

/// How far a drain is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "why")]
pub enum Drain {
    /// There is none.
    #[default]
    None,
    /// Pods are being evicted.
    Running,
    /// Those that had to go have gone.
    Done,
    /// Some did not go in time: which, and what kept them (rule K4).
    Failed(String),
}

/// A source of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// `kube`, `endpoint` or `files`.
    pub name: String,
    /// Where it is: paths, or a URL without what is secret in it.
    pub origin: String,
    /// Whether it is the one that is obeyed.
    pub used: bool,
    /// What tells its documents from others, as it names them itself.
    pub revision: Option<String>,
    /// Why it gives nothing newer at present.
    pub trouble: Option<SourceTrouble>,
}

/// Why a source gives nothing newer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceTrouble {
    /// In one word in CamelCase, for programs.
    pub reason: String,
    /// In one sentence, for people.
    pub message: String,
    /// When it is asked again.
    pub retry: Option<Timestamp>,
}

/// The URL that the status goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportStatus {
    /// The URL, without what is secret in it.
    pub url: String,
    /// Why it is told nothing at present, if it is not.
    pub trouble: Option<ReportTrouble>,
}

/// Why the status cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportTrouble {
    /// In one word in CamelCase, for programs.
    pub reason: String,
    /// In one sentence, for people.
    pub message: String,
    /// Since when nothing could be sent.
    pub since: Timestamp,
    /// When it is tried again.
    pub retry: Option<Timestamp>,
}

/// A file that is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedFile {
    /// Absolute, as the host sees it.
    pub path: PathBuf,
    /// The digest of its bytes, in hexadecimal.
    pub sha256: String,
    /// Why it exists: objects and fields.
    pub because: Vec<String>,
}

/// A change, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastChange {
    /// What it was for.
    pub kind: Kind,
    /// When it began.
    pub began: Timestamp,
    /// The configuration it went to.
    pub target: Option<Digests>,
    /// The paths that changed.
    pub paths: Vec<PathBuf>,
    /// How long the files took, in milliseconds.
    pub files_ms: Option<u64>,
    /// What the engine was told and has confirmed.
    #[serde(default)]
    pub told: Option<Tell>,
    /// How long the engine took, in milliseconds; none where it was not told.
    pub engine_ms: Option<u64>,
    /// How it ended; none while it is under way.
    pub ending: Option<Ending>,
}

impl LastChange {
    /// One that begins now.
    #[must_use]
    pub fn new(change: &Change) -> Self {
        Self {
            kind: change.kind,
            began: Timestamp::now(),
            target: change.target.clone(),
            paths: Vec::new(),
            files_ms: None,
            told: None,
            engine_ms: None,
            ending: None,
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// In words.
    #[serde(rename = "for")]
    pub what: String,
    /// When the wait ends at the latest.
    pub until: Timestamp,
}

impl Status {
    /// A condition by its type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether the host is as the documents mean it and nothing stands in the way. An engine that has
    /// not said that it took the files, or cannot be asked, is never a success (rule H7).
    #[must_use]
    pub fn is_converged(&self) -> bool {
        self.obstacle().is_none()
    }

    /// What stands in the way most of all.
    #[must_use]
    pub fn obstacle(&self) -> Option<&Condition> {
        let wanted = [
            ("Degraded", Truth::False),
            ("Applied", Truth::True),
            ("RuntimeReady", Truth::True),
            ("Drifted", Truth::False),
        ];
        let is_wrong = |(kind, truth): &(&str, Truth)| {
            self.condition(kind).filter(|condition| condition.status != *truth)
        };
        wanted.iter().find_map(is_wrong)
    }
}
