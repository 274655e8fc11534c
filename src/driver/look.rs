//! Looking: what the documents mean for the host, and how the host and its engine stand.

use std::path::Path;
use std::time::Instant;

use super::engine::{ASK_SETTINGS, EngineSaid};
use super::{Driver, Source};
use crate::apply::{Applied, ApplyError, Drift, drift, is_applied};
use crate::machine::{Ending, Phase};
use crate::model::{Finding, Severity};
use crate::plan::{Asked, Impact};
use crate::proposal::{Documents, HostFiles, Input, Proposal};
use crate::report::EngineState;
use crate::report::reasons::reasons;
use crate::runtime::{ActiveState, Load, Unit};
use crate::source::Trouble;
use crate::wish::{NodeSeen, Seen, Standing, Wish};

/// What was seen.
pub(super) struct Sight {
    /// What the documents mean for the host, judged.
    pub proposal: Proposal,
    /// Whether that is what is applied, drift or not.
    pub is_applied: bool,
    /// What others changed.
    pub drift: Vec<Drift>,
}

impl Driver<'_> {
    /// Reads documents and host, and says what was seen in the facts.
    pub(super) fn look(&mut self, accepts_lock_out: bool) -> Result<Sight, ApplyError> {
        let host = self.host();
        let documents = self.documents(&host)?;
        let mut proposal = Proposal::of(self.root, host, documents)?;
        let obstacle = proposal.obstacle().map(said);
        self.facts.invalid = obstacle.or(self.facts.invalid.take());
        proposal.judge(self.root, accepts_lock_out, Some(Severity::Error))?;
        let refused = proposal.findings.iter().find(|finding| finding.severity == Severity::Error);
        self.facts.refused = refused.filter(|_| self.facts.invalid.is_none()).map(said);
        self.facts.undone = proposal.held(self.root)?.and_then(|held| held.why);
        self.facts.is_read = true;
        let is_applicable = proposal.is_applicable();
        let is_applied = is_applicable && is_applied(self.root, proposal.request())?;
        self.facts.is_paused = is_applicable && proposal.is_behind();
        let digests = proposal.documents.digests.clone();
        self.observed = Some(digests).filter(|_| self.facts.invalid.is_none());
        self.findings.clone_from(&proposal.findings);
        if is_applicable {
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

    /// The documents that are obeyed; what is wrong with their source goes to the facts.
    fn documents(&mut self, host: &HostFiles) -> Result<Documents, ApplyError> {
        self.facts.invalid = None;
        match &mut self.source {
            Source::Read(documents) => Ok(Documents::clone(documents)),
            Source::Nowhere => Ok(host.documents(&Input::default())),
            Source::Feeds(feeds) => {
                let chosen = feeds.choose(self.root, host)?;
                let said = |trouble: Trouble| (trouble.reason.into_owned(), trouble.message);
                self.facts.invalid = chosen.refusal.map(said);
                self.facts.source = chosen.trouble.map(said);
                self.sources = chosen.sources;
                Ok(chosen.documents)
            }
        }
    }

    /// The same, where nothing is to come of it.
    pub(super) fn refresh(&mut self) {
        if let Err(error) = self.look(false) {
            self.fail(error.to_string());
        }
    }

    /// What is to be done about what was seen.
    pub(super) fn wish(&self, sight: &Sight, unit: Option<&Unit>, node: Option<NodeSeen>) -> Wish {
        let proposal = &sight.proposal;
        let is_wanted = proposal.is_applicable() && !sight.is_applied;
        let impact = self.runtime.as_ref().filter(|_| is_wanted).map(|_| proposal.impact());
        let asks = |impact: &Impact| impact.asks(self.settings.runtime.action);
        Seen {
            target: is_wanted.then(|| proposal.digests.clone()),
            asked: impact.as_ref().map_or(Asked::Nothing, asks),
            hurts_pods: impact.is_some_and(|impact| impact.drain.needed),
            node,
            ..self.seen(&sight.drift, &proposal.host, unit)
        }
        .wish()
    }

    /// What there is to be seen beside the documents.
    fn seen(&self, drift: &[Drift], host: &HostFiles, unit: Option<&Unit>) -> Seen {
        let owes_restart = self.memory.owes_restart;
        Seen {
            is_held: self.memory.is_held || self.facts.observes.is_some(),
            target: None,
            asked: Asked::Nothing,
            hurts_pods: false,
            node: None,
            heals: self.foreign(drift),
            owes_restart,
            is_readable: owes_restart && host.view().registries.is_ok(),
            standing: self.standing(unit),
            dependents: unit.map(|unit| unit.dependents.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn note_drift(&mut self, drift: &[Drift]) {
        let now = Instant::now();
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
                self.forget_said();
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
            self.notes.said.as_ref().is_some_and(|said| said.invocation == unit.invocation);
        let is_asked = self.standing(Some(unit)) == Standing::Running && !is_known;
        let Some(runtime) = self.runtime.clone().filter(|_| is_asked) else { return };
        let asked = tokio::time::timeout(ASK_SETTINGS, async move { runtime.config().await });
        let why = match self.attend(asked).await {
            Err(_) => format!("no answer within {} s", ASK_SETTINGS.as_secs()),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(answer)) => return self.note_said(&unit.invocation, &answer),
        };
        if self.notes.mute.as_ref() != Some(&unit.invocation) {
            tracing::warn!("the engine does not say which settings it runs with: {why}");
            self.notes.mute = Some(unit.invocation.clone());
        }
    }

    /// An engine that the host no longer has has no policy that could be ours.
    fn forget_said(&mut self) {
        if self.notes.said.take().is_some()
            && let Err(error) = EngineSaid::forget(self.root)
        {
            self.fail(error.to_string());
        }
    }

    fn note_said(&mut self, invocation: &str, answer: &[u8]) {
        let said = EngineSaid {
            invocation: invocation.to_owned(),
            settings: String::from_utf8_lossy(answer).into_owned(),
        };
        if let Err(error) = said.save(self.root) {
            self.fail(error.to_string());
        }
        self.notes.said = Some(said);
    }

    /// How the engine stands; without a unit, by what is known of why there is none.
    pub(super) fn standing(&self, unit: Option<&Unit>) -> Standing {
        match unit {
            None if matches!(self.facts.engine, EngineState::Unreachable(_)) => {
                Standing::Unreachable
            }
            None => Standing::Silent,
            Some(unit) if unit.load == Load::Masked => Standing::Silent,
            Some(unit) if unit.is_starting() && !self.starts_too_long() => Standing::Starting,
            Some(unit) => match unit.active {
                ActiveState::Active | ActiveState::Reloading => Standing::Running,
                ActiveState::Failed | ActiveState::Activating => Standing::Failing,
                ActiveState::Inactive | ActiveState::Deactivating => Standing::Silent,
            },
        }
    }

    /// Whether its start takes longer than a restart of ours may: then it counts as failing.
    fn starts_too_long(&self) -> bool {
        let deadline = self.settings.runtime.restart_deadline;
        self.notes.starting_since.is_some_and(|since| since.elapsed() >= deadline)
    }

    fn note_engine(&mut self, unit: &Unit) {
        self.notes.starting_since = match unit.is_starting() {
            true => self.notes.starting_since.or_else(|| Some(Instant::now())),
            false => None,
        };
        if std::mem::take(&mut self.notes.is_another) && self.is_behind_files(unit) {
            self.memory.owes_restart = true;
        }
        let is_undone =
            matches!(self.memory.phase, Phase::Undoing { .. } | Phase::Retelling { .. });
        self.facts.engine = match self.standing(Some(unit)) {
            Standing::Starting => EngineState::Starting,
            Standing::Failing => {
                EngineState::Failing(format!("{} is {}", self.settings.runtime.unit, unit.sub))
            }
            Standing::Silent | Standing::Unreachable if !unit.active.runs() => {
                EngineState::Inactive
            }
            // One that is masked, too: it runs until somebody stops it.
            _ if is_undone || self.memory.owes_restart => EngineState::Unconfirmed,
            _ => EngineState::Ready,
        };
        let is_mended = self.facts.engine == EngineState::Ready;
        // It failed before the last change, and after it.
        self.facts.ending.take_if(|ending| is_mended && matches!(ending, Ending::StillFailing(_)));
    }

    /// Whether a unit that nobody has told so far runs since before files of ours changed that it keeps in
    /// memory.
    fn is_behind_files(&self, unit: &Unit) -> bool {
        let ours = Applied::load(self.root).unwrap_or_default().set.files;
        let kept = ours.keys().filter(|path| self.is_kept_in_memory(path));
        let newest = kept.filter_map(|path| self.root.changed(path).ok().flatten()).max();
        let is_newer = |changed| unit.last_read.is_none_or(|last_read| changed > last_read);
        unit.active.runs() && newest.is_some_and(is_newer)
    }
}

fn said(finding: &Finding) -> (String, String) {
    (finding.name.to_string(), finding.to_string())
}
