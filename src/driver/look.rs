//! Looking: what the documents mean for the host, and what that asks for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Driver, Source};
use crate::apply::{ApplyError, Drift, drift, is_applied};
use crate::machine::{Change, Kind, Phase};
use crate::model::{Digests, Finding, Severity};
use crate::plan::Tell;
use crate::plan::impact::tell;
use crate::proposal::{Documents, Engine, Input, Proposal};
use crate::report::EngineState;
use crate::report::reasons::reasons;
use crate::runtime::{ActiveState, Load, Unit};

/// How long an engine may take to say which settings it runs with.
const ASK_SETTINGS: Duration = Duration::from_secs(5);

/// What was seen.
pub(super) struct Sight {
    /// What the documents mean for the host.
    pub proposal: Proposal,
    /// Whether that is what is applied, drift or not.
    pub is_applied: bool,
    /// What others changed.
    pub drift: Vec<Drift>,
}

impl Driver<'_> {
    /// Reads documents and host, and says what was seen in the facts.
    pub(super) fn look(&mut self) -> Result<Sight, ApplyError> {
        let host = self.host();
        let documents = match &self.source {
            Source::Files(input) => host.documents(input),
            Source::Read(documents) => Documents::clone(documents),
            Source::Nowhere => host.documents(&Input::default()),
        };
        let digests = documents.digests.clone();
        let mut proposal = Proposal::of(self.root, host, documents)?;
        let invalid = proposal.findings.iter().find(|finding| is_in_the_way(finding)).map(said);
        if proposal.is_applicable() {
            let is_accepted = self.accepts_lockout;
            let lock_outs = proposal.lock_outs(self.root, is_accepted);
            proposal.findings.extend(lock_outs);
        }
        let is_retried = self.memory.retry.as_ref() == Some(&digests.without_cas);
        if proposal.is_applicable() && !is_retried {
            let hold = proposal.hold(self.root, Severity::Error)?;
            proposal.findings.extend(hold);
        }
        let is_applied = proposal.is_applicable() && is_applied(self.root, proposal.request())?;
        let refused = proposal.findings.iter().find(|finding| finding.severity == Severity::Error);
        self.facts.refused = refused.filter(|_| invalid.is_none()).map(|finding| {
            match (&self.memory.undone, &*finding.name) {
                (Some(why), "HeldByRollback") => ("RolledBack".to_owned(), why.clone()),
                _ => said(finding),
            }
        });
        self.facts.invalid = invalid;
        self.facts.is_read = true;
        self.observed = Some(digests).filter(|_| self.facts.invalid.is_none());
        self.findings.clone_from(&proposal.findings);
        if proposal.is_applicable() {
            let config = &proposal.documents.config;
            let reason =
                |path: &Path| (path.to_owned(), reasons(config, &self.settings.paths, path));
            self.reasons = proposal.files.iter().map(|(path, _)| reason(path)).collect();
        }
        let drift = drift(self.root)?;
        self.note_drift(&drift);
        self.facts.is_applied = is_applied && drift.is_empty();
        Ok(Sight { proposal, is_applied, drift })
    }

    /// The change that what was seen asks for, if any.
    pub(super) fn wish(&mut self, sight: &Sight, unit: Option<&Unit>) -> Option<Change> {
        if self.memory.is_held {
            return None;
        }
        if sight.proposal.is_applicable() && !sight.is_applied {
            let (asked, is_owed) = self.tell_of(&sight.proposal);
            self.memory.owes_restart |= is_owed;
            // Without the bus nobody could tell the engine: that is waited for, unless nobody has to.
            if asked.is_some() && matches!(self.facts.engine, EngineState::Unreachable(_)) {
                return None;
            }
            let target = Some(sight.proposal.documents.digests.clone());
            return Some(change(Kind::Apply, target, asked, unit));
        }
        if !self.healable(&sight.drift).is_empty() {
            let told = self.tell_of_heal(&sight.drift, unit);
            return Some(change(Kind::Heal, None, told, unit));
        }
        self.memory
            .owes_restart
            .then(|| change(Kind::Restart, None, Some(Tell::Restart), unit))
            .filter(|_| {
                unit.is_some_and(is_running) && sight.proposal.host.view().registries.is_ok()
            })
    }

    /// What the engine must be told after the proposal's change, and whether that has to wait:
    /// an engine that is told of files it cannot read dies.
    fn tell_of(&self, proposal: &Proposal) -> (Option<Tell>, bool) {
        let before = proposal.host.view();
        let after = proposal.engine_files(Engine::Crio).view();
        let action = self.settings.runtime.action;
        let asked = tell(&proposal.impact(), &before, &after, action);
        let asked = asked.filter(|_| self.runtime.is_some());
        match after.registries {
            Ok(_) => (asked, false),
            Err(_) => (None, asked.is_some()),
        }
    }

    /// The engine reads again what it may have read of others (rule H9).
    fn tell_of_heal(&self, drift: &[Drift], unit: Option<&Unit>) -> Option<Tell> {
        let last_read = unit.filter(|unit| is_running(unit))?.last_read?;
        let paths = &self.settings.paths;
        let is_kept_in_memory = |drift: &&Drift| {
            drift.path == paths.registries_conf || drift.path.starts_with(&paths.registries_conf_d)
        };
        let may_be_read = |drift: &Drift| {
            // What is gone, or says nothing of its age, may have been so for long.
            let changed = self.root.changed(&drift.path).ok().flatten();
            changed.is_none_or(|changed| changed <= last_read)
        };
        drift.iter().filter(is_kept_in_memory).any(may_be_read).then_some(Tell::Reload)
    }

    /// Puts right what others just changed, without a look at the documents (rule H9).
    pub(super) async fn heal_at_once(&mut self) {
        let drift = match drift(self.root) {
            Ok(drift) => drift,
            Err(error) => return self.fail(error.to_string()),
        };
        let is_idle = self.memory.phase == Phase::Idle && !self.memory.is_held;
        self.note_drift(&drift);
        if is_idle && !self.healable(&drift).is_empty() {
            let unit = self.look_at_engine().await;
            let told = self.tell_of_heal(&drift, unit.as_ref());
            self.begin(change(Kind::Heal, None, told, unit.as_ref())).await;
        }
        self.report();
    }

    /// Files that are to be put right: not those that somebody keeps changing (rule H9).
    pub(super) fn healable(&self, drift: &[Drift]) -> Vec<PathBuf> {
        if self.settings.drift == crate::settings::DriftAction::Report {
            return Vec::new();
        }
        let now = std::time::Instant::now();
        let paths = drift.iter().map(|drift| &drift.path);
        paths.filter(|path| !self.heals.is_contested(path, now)).cloned().collect()
    }

    fn note_drift(&mut self, drift: &[Drift]) {
        let now = std::time::Instant::now();
        let line = |drift: &Drift| format!("{}: {}", drift.path.display(), drift.kind);
        self.facts.drifted = drift.iter().map(line).collect();
        let contested = drift.iter().filter(|drift| self.heals.is_contested(&drift.path, now));
        self.facts.contested = contested.map(line).collect();
    }

    /// Asks systemd for the engine's unit.
    pub(super) async fn look_at_engine(&mut self) -> Option<Unit> {
        let Some(runtime) = self.runtime.clone() else {
            self.facts.engine = EngineState::NotManaged;
            return None;
        };
        match self.attend(async move { runtime.unit().await }).await {
            Err(error) => {
                self.facts.engine = EngineState::Unreachable(error.to_string());
                None
            }
            Ok(None) => {
                self.facts.engine = EngineState::Absent;
                None
            }
            Ok(Some(unit)) => {
                self.note_engine(&unit);
                self.ask_settings(&unit).await;
                Some(unit)
            }
        }
    }

    /// Asks an engine that runs which settings it runs with, once an invocation (rule R10).
    async fn ask_settings(&mut self, unit: &Unit) {
        let is_known =
            self.engine_settings.as_ref().is_some_and(|(run, _)| *run == unit.invocation);
        let Some(runtime) = self.runtime.clone().filter(|_| is_running(unit) && !is_known) else {
            return;
        };
        let asked = tokio::time::timeout(ASK_SETTINGS, async move { runtime.config().await });
        match self.attend(asked).await {
            Err(_) => tracing::warn!("the engine does not say which settings it runs with"),
            Ok(Ok(answer)) => self.engine_settings = Some((unit.invocation.clone(), answer)),
            Ok(Err(error)) => {
                tracing::warn!("its settings files stand in for the engine's answer: {error}")
            }
        }
    }

    fn note_engine(&mut self, unit: &Unit) {
        self.facts.engine = match unit.active {
            _ if unit.load == Load::Masked => EngineState::Inactive,
            ActiveState::Inactive | ActiveState::Deactivating => EngineState::Inactive,
            ActiveState::Failed | ActiveState::Activating => {
                EngineState::Failing(format!("{} is {}", self.settings.runtime.unit, unit.sub))
            }
            ActiveState::Active | ActiveState::Reloading => match &self.facts.engine {
                EngineState::Unconfirmed => EngineState::Unconfirmed,
                _ => EngineState::Ready,
            },
        };
    }
}

/// A change, with what must be known of the engine before it (rules H5, H6).
pub(super) fn change(
    kind: Kind,
    target: Option<Digests>,
    tell: Option<Tell>,
    unit: Option<&Unit>,
) -> Change {
    let is_told = unit.is_some_and(|unit| is_running(unit) || is_failing(unit));
    Change {
        kind,
        target,
        tell: tell.filter(|_| is_told),
        was_failing: unit.is_some_and(is_failing),
        dependents: unit.map(|unit| unit.dependents.clone()).unwrap_or_default(),
    }
}

fn is_running(unit: &Unit) -> bool {
    unit.load != Load::Masked && unit.active.runs()
}

fn is_failing(unit: &Unit) -> bool {
    unit.load != Load::Masked
        && matches!(unit.active, ActiveState::Failed | ActiveState::Activating)
}

/// Whether a finding keeps everything from being applied.
fn is_in_the_way(finding: &Finding) -> bool {
    finding.severity == Severity::Error && finding.name != "Overridden"
}

fn said(finding: &Finding) -> (String, String) {
    (finding.name.to_string(), finding.to_string())
}
