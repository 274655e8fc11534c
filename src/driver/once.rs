//! One change, start to end, for a command that runs once while no agent does.

use std::time::Instant;

use super::control::Answer;
use super::look::Sight;
use super::{Asking, Driver};
use crate::apply::Outcome;
use crate::machine::{Event, Kind, Phase};
use crate::model::Finding;
use crate::plan::Impact;

/// How a change went.
#[derive(Debug, Clone, Default)]
pub struct Once {
    /// Whether all was done, and if not, why.
    pub answer: Answer,
    /// Whether nothing shows that the engine took the files; the answer says what to do then.
    pub is_untaken: bool,
    /// What became of the files.
    pub outcome: Outcome,
    /// What is to be said of the documents and the host.
    pub findings: Vec<Finding>,
    /// What the change cost; none where it was refused.
    pub impact: Option<Impact>,
    /// How long the engine took, in milliseconds; none where it was not told.
    pub told: Option<u64>,
}

/// After so many tries of the engine a command gives up. The next start of the agent goes on.
const MOST_TRIES: u32 = 3;

impl Driver<'_> {
    /// Applies the documents, `retry` even where a rollback holds them.
    pub async fn apply_once(&mut self, accepts_lock_out: bool, retry: bool) -> Once {
        self.resume().await;
        self.work_to_the_end().await;
        if retry && let Err(error) = self.session.lift_hold() {
            self.fail(error.to_string());
        }
        let mut once = self.beforehand(accepts_lock_out);
        self.settle(Asking { accepts_lock_out, is_typed: true, is_retry: retry }).await;
        self.work_to_the_end().await;
        self.report_on(&mut once);
        if once.answer.ok {
            once.answer = self.outcome_in_words();
        }
        once
    }

    /// Goes back one step, or all the way.
    pub async fn step_back_once(&mut self, kind: Kind) -> Once {
        self.resume().await;
        self.work_to_the_end().await;
        let mut once = Once::default();
        let result = self.step_back(kind).await;
        self.work_to_the_end().await;
        self.report_on(&mut once);
        match result {
            Ok(answer) if once.answer.ok => once.answer = answer,
            Ok(_) => {}
            Err(error) => once.answer = Answer { ok: false, message: error.to_string() },
        }
        if kind == Kind::Revert {
            self.owe_nothing();
        }
        once
    }

    /// What is to be said beforehand: afterwards before and after are the same.
    fn beforehand(&mut self, accepts_lock_out: bool) -> Once {
        match self.look(accepts_lock_out) {
            Ok(Sight { proposal, .. }) => Once {
                impact: proposal.is_applicable().then(|| proposal.impact()),
                findings: proposal.findings,
                ..Once::default()
            },
            // It is said again by the change itself.
            Err(_) => Once::default(),
        }
    }

    fn report_on(&mut self, once: &mut Once) {
        once.answer = self.ending_in_words();
        once.is_untaken = self.memory.owes_restart;
        once.outcome = std::mem::take(&mut self.outcome);
        if !once.answer.ok && self.memory.phase == Phase::Idle {
            // What did not go well was undone: nothing of it lasts.
            once.outcome.changes.clear();
        }
        once.told = self.last.as_ref().and_then(|last| last.engine_ms);
    }

    /// Waits where there is something to wait for: for pods until their deadline, for all else a few
    /// times. A node is not left in the middle of it (rule H10).
    async fn work_to_the_end(&mut self) {
        let mut tries = 0;
        while let Some(due) = self.due.take() {
            let most = match self.memory.phase {
                Phase::Draining(_) => u32::MAX,
                // A kubelet may take ten seconds to give a sign of life.
                Phase::Awaiting { .. } => 4 * MOST_TRIES,
                _ => MOST_TRIES,
            };
            tries += 1;
            if tries > most {
                return self.abandon("this command does not wait any longer").await;
            }
            tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
            let action = self.step(Event::Due);
            self.perform(action).await;
        }
    }
}
