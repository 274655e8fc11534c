//! Healing: what others did to our files is put right at once, whoever else can be asked; whether the
//! engine has to hear of it is seen afterwards (rule H9).

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::Driver;
use crate::apply::{ApplyError, Drift, Outcome, drift};
use crate::machine::{Kind, Phase};
use crate::plan::Asked;
use crate::runtime::{ActiveState, Unit};
use crate::settings::DriftAction;
use crate::wish::{Foreign, Standing, after_heal, heal, may_have_read};

/// When each file that the engine keeps in memory was changed by others, as far as anybody knows.
pub(super) type Since = Vec<Option<SystemTime>>;

impl Driver<'_> {
    /// Puts right what others just changed, without a look at the documents.
    pub(super) async fn heal_at_once(&mut self) {
        let drift = match drift(self.root) {
            Ok(drift) => drift,
            Err(error) => return self.fail(error.to_string()),
        };
        self.note_drift(&drift);
        self.facts.is_applied &= drift.is_empty();
        if self.is_to_heal()
            && let Some(foreign) = self.foreign(&drift)
        {
            if self.memory.phase == Phase::Idle {
                self.begin(heal(foreign)).await;
            } else {
                self.heal_aside().await;
            }
        }
        self.report();
    }

    /// Puts right what others change while something is waited for, which may take minutes.
    pub(super) fn heal_meanwhile(&mut self) {
        let is_told = matches!(self.memory.phase, Phase::Telling { .. } | Phase::Retelling { .. });
        if !self.is_to_heal() || !(is_told || self.is_service) {
            return;
        }
        let Ok(drift) = drift(self.root) else { return };
        if self.foreign(&drift).is_none() {
            return;
        }
        self.note_drift(&drift);
        match self.heal() {
            // Which of the two files it reads nobody knows.
            Ok((_, since)) if is_told => self.notes.is_told_in_vain |= !since.is_empty(),
            Ok((_, since)) => {
                self.notes.has_healed |= !since.is_empty();
                self.memory.owes_restart |= !since.is_empty();
            }
            Err(error) => self.fail(error.to_string()),
        }
        self.remember();
        self.report();
    }

    /// Puts right what others changed while a change waits. The engine is not told on the side: if it
    /// may have read what others wrote, it is restarted once the change has ended.
    async fn heal_aside(&mut self) {
        let since = match self.heal() {
            Ok((_, since)) => since,
            Err(error) => return self.fail(error.to_string()),
        };
        if since.is_empty() {
            return;
        }
        // Whoever is asked may take long to answer, and a crash must not forget what may be owed.
        let was_owed = std::mem::replace(&mut self.memory.owes_restart, true);
        self.remember();
        self.notes.has_healed = false;
        let unit = self.look_at_engine().await;
        let has_read = self.notes.has_healed || self.has_read(Some(&since), unit.as_ref());
        self.memory.owes_restart = was_owed || has_read;
        self.remember();
    }

    /// Puts files right, and says when those were changed that the engine keeps in memory.
    pub(super) fn heal(&mut self) -> Result<(Outcome, Since), ApplyError> {
        let paths = self.healable(&drift(self.root)?);
        let kept = paths.iter().filter(|path| self.is_kept_in_memory(path));
        let since = kept.map(|path| self.root.changed(path).ok().flatten()).collect();
        let outcome = match self.session.heal(&paths) {
            Err(error) if paths.len() > 1 => self.heal_each(&paths, error)?,
            result => result?,
        };
        let now = Instant::now();
        for change in &outcome.changes {
            self.heals.record(&change.path, now);
        }
        self.vitals.count(|counts| counts.healed(outcome.changes.len()));
        Ok((outcome, since))
    }

    /// One by one, because of an error: a file that cannot be put right keeps no other from it. The next
    /// look finds it again, and says why.
    fn heal_each(&self, paths: &[PathBuf], error: ApplyError) -> Result<Outcome, ApplyError> {
        let mut all = Outcome::default();
        for path in paths {
            if let Ok(outcome) = self.session.heal(std::slice::from_ref(path)) {
                all.changes.extend(outcome.changes);
                all.warnings.extend(outcome.warnings);
            }
        }
        if all.changes.is_empty() { Err(error) } else { Ok(all) }
    }

    /// Whether the engine has to hear of the change whose files are in place: of a heal only if it may
    /// have read what others wrote. Where it cannot hear of it now, a restart is owed.
    pub(super) async fn has_to_hear(&mut self) -> bool {
        let is_heal = self.memory.phase.change().is_some_and(|change| change.kind == Kind::Heal);
        if !is_heal {
            return true;
        }
        let unit = self.look_at_engine().await;
        let has_read = self.has_read(self.notes.healed.as_deref(), unit.as_ref());
        let is_readable = has_read && self.host().view().registries.is_ok();
        match after_heal(has_read, is_readable, self.standing(unit.as_ref())) {
            Asked::Now(_) => return true,
            Asked::Later => self.memory.owes_restart = true,
            Asked::Nothing => {}
        }
        false
    }

    /// Whether the engine may have read what others wrote into files that it keeps in memory; none in
    /// `since` where an earlier process has put them right.
    fn has_read(&self, since: Option<&[Option<SystemTime>]>, unit: Option<&Unit>) -> bool {
        let Some(since) = since else { return true };
        let by_start = match self.standing(unit) {
            Standing::Silent => false,
            Standing::Starting | Standing::Unreachable => true,
            // It may start by itself at any time.
            Standing::Failing => unit.is_some_and(|unit| unit.active == ActiveState::Activating),
            Standing::Running => {
                let last_read = unit.and_then(|unit| unit.last_read);
                let now = SystemTime::now();
                return since.iter().any(|since| may_have_read(*since, last_read, now));
            }
        };
        by_start && !since.is_empty()
    }

    /// What is being undone is not put right; and nobody else's wish is to be crossed.
    fn is_to_heal(&self) -> bool {
        let is_undone = matches!(self.memory.phase, Phase::Undoing { .. });
        !(is_undone || self.memory.is_held || self.facts.observes.is_some())
    }

    /// What others did, if it is to be put right.
    pub(super) fn foreign(&self, drift: &[Drift]) -> Option<Foreign> {
        let paths = self.healable(drift);
        let is_kept = paths.iter().any(|path| self.is_kept_in_memory(path));
        let foreign = if is_kept { Foreign::KeptInMemory } else { Foreign::ReadAnew };
        (!paths.is_empty()).then_some(foreign)
    }

    /// Files that are to be put right: not those that somebody keeps changing.
    fn healable(&self, drift: &[Drift]) -> Vec<PathBuf> {
        if self.settings.drift == DriftAction::Report {
            return Vec::new();
        }
        let now = Instant::now();
        let paths = drift.iter().map(|drift| &drift.path);
        paths.filter(|path| !self.heals.is_contested(path, now)).cloned().collect()
    }

    /// Whether there is an engine that reads a file at its start and at a reload, and not at every pull.
    pub(super) fn is_kept_in_memory(&self, path: &Path) -> bool {
        let paths = &self.settings.paths;
        let is_kept = path == paths.registries_conf || path.starts_with(&paths.registries_conf_d);
        is_kept && self.runtime.is_some()
    }
}
