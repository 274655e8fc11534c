//! The status: written for people, and passed on to whoever is to be told.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::sync::watch::Sender;

use super::{Driver, log};
use crate::apply::Applied;
use crate::host::HostError;
use crate::machine::Phase;
use crate::model::Finding;
use crate::report::status::FORMAT;
use crate::report::{Condition, ManagedFile, RUN_DIR, ReportStatus, Status};

/// What was said last, and to whom it cannot be said.
pub(super) struct Published {
    /// What was said last, for whoever passes it on.
    pub statuses: Sender<Option<Status>>,
    /// The conditions as an earlier process said them last.
    before: Vec<Condition>,
    /// The status could not be written: its file is missing, or says what was.
    pub is_unwritten: bool,
    /// Why metrics are not served although the settings ask for them.
    pub unserved: Option<Finding>,
    /// Why not all that matters is watched.
    pub unwatched: Option<Finding>,
    /// Why the cluster is not told all at present, if it is not.
    pub untold: Option<String>,
    /// The URL that the status goes to, if it goes to one.
    pub reporting: Option<ReportStatus>,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            statuses: Sender::new(None),
            before: Vec::new(),
            is_unwritten: false,
            unserved: None,
            unwatched: None,
            untold: None,
            reporting: None,
        }
    }
}

impl Driver<'_> {
    /// From now on the status is written. What an earlier process said last says since when each condition
    /// holds, where it can be read; nobody is to take it for what this one says.
    pub(super) fn begin_to_serve(&mut self) {
        self.is_service = true;
        let bytes = self.root.read(&status_file()).ok().flatten().unwrap_or_default();
        let before = serde_json::from_slice::<Status>(&bytes);
        self.published.before = before.map(|status| status.conditions).unwrap_or_default();
        if let Err(error) = self.root.remove(&status_file()) {
            tracing::warn!("the status of an earlier agent stays until the first look: {error}");
        }
    }

    /// Writes the status, if it says anything new. Before the first look there is nothing to be said.
    pub(super) fn report(&mut self) {
        let has_looked = self.facts.is_read || self.facts.failure.is_some();
        let is_under_way = self.memory.phase != Phase::Idle;
        if !self.is_service || !(has_looked || is_under_way) {
            return;
        }
        let now = Timestamp::now();
        let status = self.status_at(now);
        let is_old = |old: &Status| Status { written: now, ..old.clone() } == status;
        let is_said = self.published.statuses.borrow().as_ref().is_some_and(is_old);
        if is_said && !self.published.is_unwritten && self.is_there() {
            return;
        }
        let last = self.published.statuses.borrow().as_ref().map(|last| last.conditions.clone());
        let is_idle = self.memory.phase == Phase::Idle;
        log::turned(&last.unwrap_or_default(), &status.conditions, is_idle);
        self.publish(&status);
        self.published.statuses.send_replace(Some(status));
    }

    fn publish(&mut self, status: &Status) {
        super::service::say(status);
        let written = serde_json::to_vec_pretty(status)
            .map_err(|error| error.to_string())
            .and_then(|bytes| self.write_status(&bytes).map_err(|error| error.to_string()));
        let was_unwritten = std::mem::replace(&mut self.published.is_unwritten, written.is_err());
        let Err(error) = written else { return };
        // What was true before is not to be read as if it were now.
        let removed = self.root.remove(&status_file());
        if !was_unwritten {
            let removed = removed.err().map(|error| format!("; nor removed: {error}"));
            tracing::error!("the status cannot be written: {error}{}", removed.unwrap_or_default());
        }
    }

    /// Whether the file is there: somebody may have removed it.
    fn is_there(&self) -> bool {
        matches!(self.root.changed(&status_file()), Ok(Some(_)))
    }

    fn write_status(&self, bytes: &[u8]) -> Result<(), HostError> {
        for missing in self.root.way_to(&status_file())?.1 {
            self.root.make_dir(&missing)?;
        }
        self.root.replace(&status_file(), bytes)
    }

    /// Those of the documents, and what the agent itself does not do for this host at present.
    fn all_findings(&self) -> impl Iterator<Item = Finding> {
        let own = self.published.unserved.iter().chain(&self.published.unwatched);
        self.findings.iter().chain(own).cloned().chain(self.settings.unused())
    }

    fn status_at(&self, now: Timestamp) -> Status {
        let last = self.published.statuses.borrow();
        let before = last.as_ref().map_or(&self.published.before, |status| &status.conditions);
        let applied = Applied::load(self.root).unwrap_or_default().set;
        let file = |(path, entry): (PathBuf, crate::apply::Entry)| ManagedFile {
            because: self.reasons.get(&path).cloned().unwrap_or_default(),
            path,
            sha256: entry.sha256,
        };
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            host: self.settings.node_name(),
            written: now,
            phase: self.memory.phase.name().to_owned(),
            observed: self.observed.clone(),
            applied: applied.digests,
            conditions: self.facts.conditions(&self.memory.phase, before, now),
            files: applied.files.into_iter().map(file).collect(),
            findings: self.all_findings().collect(),
            last_change: self.last.clone(),
            waiting: self.waiting.clone(),
            sources: self.sources.clone(),
            report: self.published.reporting.clone(),
            node: self.node_state(),
        }
    }
}

fn status_file() -> PathBuf {
    Path::new(RUN_DIR).join("status.json")
}
