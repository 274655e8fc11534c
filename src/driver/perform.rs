//! Performing: what the machine asks for is done, and what came of it is told to the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use super::engine::tell_and_start;
use super::{Driver, log, milliseconds, waiting};
use crate::apply::{Applied, ApplyError, Outcome};
use crate::machine::{Action, Ending, Event, Kind, Phase};
use crate::plan::Tell;
use crate::report::EngineState;
use crate::runtime::Confirmation;
use crate::waits::jittered;

impl Driver<'_> {
    /// Performs an action and all that follow from it, until one is to wait or the change ends.
    pub(super) async fn perform(&mut self, mut action: Action) {
        loop {
            if !matches!(action, Action::Finish(_)) {
                // An end is reported with what came of it.
                self.report();
            }
            let event = match action {
                Action::Nothing => return,
                Action::Wait(time) => return self.wait(time),
                Action::Finish(ending) => return self.finish(ending),
                Action::Claim => self.claim().await,
                Action::Cordon => self.cordon().await,
                Action::Drain => self.drain().await,
                Action::LookAtNode(sign) => self.look_at_node(sign).await,
                Action::Leave => self.leave().await,
                Action::Change => match self.confirm_slot().await {
                    Some(event) => event,
                    None => self.change(),
                },
                Action::Undo => self.undo(),
                Action::Tell(tell) => self.tell(tell).await,
            };
            action = self.step(event);
            // The end is written down together with the restart that it may leave owed.
            if !matches!(action, Action::Finish(_)) {
                self.remember();
            }
        }
    }

    /// Changes the files.
    fn change(&mut self) -> Event {
        let start = Instant::now();
        let result = match self.memory.phase.change().map(|change| change.kind) {
            Some(Kind::Apply) => match self.judged.take() {
                Some(judged) => self.session.apply(judged.request()),
                // Begun by an earlier process, and undone by the journal.
                None => return Event::Abandon("the documents are to be read again".to_owned()),
            },
            Some(Kind::Heal) => self.heal().map(|(outcome, since)| {
                self.notes.healed = Some(since);
                outcome
            }),
            Some(Kind::Rollback) => self.session.rollback().map(Option::unwrap_or_default),
            Some(Kind::Revert) => self.session.revert(),
            Some(Kind::Restart) | None => Ok(Outcome::default()),
        };
        match result {
            Ok(outcome) => {
                self.facts.failure = None;
                self.note_changes(outcome, start);
                Event::Changed
            }
            Err(error) => {
                self.sealed = error.read_only().map(Path::to_owned);
                let tells = self.memory.phase.change().is_some_and(|change| change.tell.is_some());
                if tells && matches!(error, ApplyError::Unfinished { .. }) {
                    // The next start may finish it, and the engine has not heard of it (rule H1).
                    self.memory.owes_restart = true;
                }
                Event::NotChanged(error.to_string())
            }
        }
    }

    /// Brings back the files of before; whoever has done so already has nothing to do.
    fn undo(&mut self) -> Event {
        let Phase::Undoing { why, .. } = &self.memory.phase else { return Event::Changed };
        let Some(before) = &self.memory.before else { return Event::Changed };
        let result = Applied::load(self.root).and_then(|applied| match applied.set == *before {
            true => Ok(()),
            false => self.session.undo(before, (!self.is_cut_short).then_some(why.as_str())),
        });
        match result {
            Ok(()) => Event::Changed,
            Err(error) => {
                self.fail(error.to_string());
                Event::NotChanged(error.to_string())
            }
        }
    }

    /// Tells the engine. It may have read what others wrote meanwhile.
    async fn tell(&mut self, tell: Tell) -> Event {
        let event = self.tell_engine(tell).await;
        self.memory.owes_restart |= std::mem::take(&mut self.notes.is_told_in_vain);
        event
    }

    /// Tells the engine, and starts what a failed restart left dead.
    async fn tell_engine(&mut self, tell: Tell) -> Event {
        let start = Instant::now();
        let Some(runtime) = self.runtime.clone() else { return Event::Told };
        if !self.has_to_hear().await {
            return Event::Told;
        }
        let dependents = self.memory.phase.change().map(|change| change.dependents.clone());
        self.facts.engine = EngineState::BeingTold;
        self.waiting = match tell {
            Tell::Restart => {
                waiting("the engine's restart", self.settings.runtime.restart_deadline)
            }
            Tell::Reload => waiting("the engine's reload", self.settings.runtime.reload_deadline),
        };
        self.report();
        let telling = tell_and_start(runtime, tell, dependents.unwrap_or_default());
        let result = self.attend(telling).await;
        self.waiting = None;
        let took = milliseconds(start);
        if let Some(last) = &mut self.last {
            last.engine_ms = Some(last.engine_ms.unwrap_or(0).saturating_add(took));
        }
        match result {
            Ok(None) => {
                self.facts.engine = EngineState::Inactive;
                Event::Told
            }
            Ok(Some((Confirmation::Confirmed, started))) => {
                if let Some(last) = &mut self.last {
                    last.told = Some(tell);
                }
                self.memory.owes_restart &= tell != Tell::Restart;
                self.facts.engine = EngineState::Ready;
                match started {
                    Ok(()) => Event::Told,
                    Err(error) => {
                        Event::NotStarted { why: error.to_string(), is_passing: error.is_passing() }
                    }
                }
            }
            Ok(Some((Confirmation::Unconfirmed(why), _))) => {
                tracing::warn!("nobody knows whether the engine took the files: {why}");
                self.facts.engine = EngineState::Unconfirmed;
                Event::Unconfirmed
            }
            Err(error) => {
                tracing::warn!("the engine could not be told: {error}");
                self.facts.engine = EngineState::Failing(error.to_string());
                Event::NotTold { why: error.to_string(), is_passing: error.is_passing() }
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let time = jittered(time);
        self.due = Instant::now().checked_add(time);
        let what = match &self.memory.phase {
            Phase::Undoing { .. } => "another try to bring the old files back",
            Phase::Claiming(_) => "a slot of the roll-out",
            Phase::Cordoning(_) => "another try to cordon the node",
            Phase::Draining(_) => "pods to go",
            Phase::Changing(_) => "another try to keep the slot",
            Phase::Awaiting { .. } => "the node to be Ready",
            Phase::Leaving { .. } => "another try to uncordon the node",
            Phase::Idle | Phase::Telling { .. } | Phase::Retelling { .. } => {
                "another try to tell the engine"
            }
        };
        self.waiting = match &self.facts.not_yet {
            Some((why, _)) => waiting(&format!("{what}: {why}"), time),
            None => waiting(what, time),
        };
        self.report();
    }

    fn finish(&mut self, ending: Ending) {
        log::ended(&ending);
        self.due = None;
        self.waiting = None;
        self.memory.before = None;
        self.is_cut_short = false;
        match &ending {
            Ending::NotChanged(why) => self.facts.failure = Some(why.clone()),
            Ending::Unconfirmed => self.memory.owes_restart = true,
            Ending::Done
            | Ending::StillFailing(_)
            | Ending::RolledBack(_)
            | Ending::NotDrained(_)
            | Ending::Abandoned(_) => self.facts.failure = None,
        }
        self.facts.ending = Some(ending.clone());
        if let Some(last) = &mut self.last {
            self.vitals.count(|counts| counts.change(last.kind, &ending));
            last.ending = Some(ending);
        }
        self.remember();
        if self.is_service {
            // What is said of it is to be what it brought.
            self.refresh();
        }
        self.report();
    }

    fn note_changes(&mut self, outcome: Outcome, start: Instant) {
        for change in &outcome.changes {
            tracing::info!(path = %change.path.display(), kind = change.kind.word(), "a file changed");
        }
        for warning in &outcome.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(last) = &mut self.last {
            last.paths = outcome.changes.iter().map(|change| change.path.clone()).collect();
            last.files_ms = Some(milliseconds(start));
        }
        self.outcome = outcome;
    }
}
