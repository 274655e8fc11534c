//! Settling: looking and changing until nothing is to be done, and when to look again.

use std::time::{Duration, Instant};

use super::watch::UNWATCHED;
use super::{Asking, Driver, Source, waiting};
use crate::machine::{Change, Ending, Kind, Phase};
use crate::report::EngineState;
use crate::waits::backoff;
use crate::wish::{Standing, Wish};

/// How many failures a drain that came to nothing counts for.
const LONG_WAIT: u32 = 8;

impl Driver<'_> {
    /// Looks, and does what is to be done, until nothing is or something must be waited for.
    pub async fn settle(&mut self, asking: Asking) {
        self.is_retrying |= asking.is_retry;
        // A change may show that another is due: a heal that a restart is. Never without end.
        for _ in 0..4 {
            if !self.memory.phase.is_open() {
                break;
            }
            self.move_place().await;
            self.waiting = None;
            self.facts.is_put_off = false;
            let is_reached = self.look_at_node_object().await;
            // Last, because the cluster may take long to answer.
            let unit = self.look_at_engine().await;
            if asking.is_typed && !is_reached && self.memory.is_of_mco.is_none() {
                // Whoever types here knows what manages this host.
                self.facts.observes = None;
            }
            let sight = match self.look(asking.accepts_lock_out) {
                Ok(sight) => sight,
                Err(error) => {
                    self.facts.is_applied = false;
                    self.fail(error.to_string());
                    break;
                }
            };
            if !matches!(self.facts.ending, Some(Ending::NotChanged(_))) {
                self.facts.failure = None;
            }
            self.remember();
            let now = self.memory.phase.change().map(|change| change.kind);
            if self.memory.phase.is_pending() && now == Some(Kind::Rollback) {
                // Somebody asked for it, whatever the documents say.
                break;
            }
            let node = self.node_seen(asking, is_reached);
            match self.wish(&sight, unit.as_ref(), node) {
                Wish::Change { change, owes_restart } => {
                    if matches!(self.memory.phase, Phase::Awaiting { .. }) {
                        if change.kind != Kind::Apply {
                            break;
                        }
                        self.end_awaiting().await;
                        continue;
                    }
                    let standing = self.standing(unit.as_ref());
                    self.judged = Some(sight.proposal);
                    self.is_retrying = false;
                    if !self.begin_owing(change, owes_restart, standing).await {
                        break;
                    }
                }
                Wish::Nothing => {
                    self.is_retrying = false;
                    self.facts.failure = None;
                    // What could not be written down still fails.
                    self.remember();
                    if self.memory.phase.is_pending() {
                        self.abandon("nothing is to be changed any more").await;
                    }
                    break;
                }
                Wish::Wait => {
                    self.facts.is_put_off = true;
                    break;
                }
            }
        }
        self.count_failures();
        self.report();
    }

    /// What somebody wants does not wait for a node that does not get Ready: it may be what mends that.
    pub(super) async fn end_awaiting(&mut self) {
        if matches!(self.memory.phase, Phase::Awaiting { .. }) {
            self.abandon("another change is to be made").await;
        }
    }

    /// Begins a change for which a restart of the engine may be owed. One that was stopped owes none if it
    /// still is once the files are in place: it reads them when it starts.
    pub(super) async fn begin_owing(
        &mut self,
        change: Change,
        owes_restart: bool,
        was: Standing,
    ) -> bool {
        let was_owed = self.memory.owes_restart;
        self.memory.owes_restart |= owes_restart;
        let goes_on = self.begin(change).await;
        if owes_restart && was == Standing::Silent && (!goes_on || self.is_stopped().await) {
            self.memory.owes_restart = was_owed;
            self.remember();
        }
        goes_on
    }

    async fn is_stopped(&mut self) -> bool {
        match self.look_at_engine().await {
            Some(unit) => !unit.active.runs(),
            None => self.standing(None) == Standing::Silent,
        }
    }

    pub(super) fn count_failures(&mut self) {
        let is_untidy = self.is_service && self.place.is_some() && !self.is_tidy;
        let is_unsaved = self.memory != self.remembered || self.published.is_unwritten;
        let is_stuck =
            self.facts.failure.is_some() || self.facts.is_put_off || is_untidy || is_unsaved;
        self.failures = match &self.facts.ending {
            // A drain has taken its time already.
            Some(Ending::NotDrained(_)) => LONG_WAIT,
            _ if is_stuck => self.failures.saturating_add(1),
            _ => 0,
        };
    }

    /// How soon to look again without an occasion: sooner while something fails that may pass.
    pub(super) fn look_again_in(&mut self) -> Duration {
        let Some(earlier) = self.failures.checked_sub(1) else {
            let turn = match &self.source {
                Source::Feeds(feeds) => feeds.next_turn(Instant::now()),
                Source::Read(_) | Source::Nowhere => None,
            };
            return turn.map_or(self.recheck(), |turn| turn.min(self.recheck()));
        };
        let again = backoff(earlier).min(self.recheck());
        let what = match (&self.facts.failure, &self.facts.ending) {
            (Some(_), _) => "another try of what failed",
            (None, Some(Ending::NotDrained(_))) => "another try to drain the node",
            (None, _) if self.facts.engine == EngineState::Starting => "the engine to be up",
            (None, _) if self.facts.is_put_off => "the system bus, to tell the engine",
            (None, _) if self.published.is_unwritten => "another try to write the status",
            (None, _) => "the cluster, to see how this node stands",
        };
        if self.due.is_none() {
            self.waiting = waiting(what, again);
            self.report();
        }
        again
    }

    /// How often to look although nothing is heard of.
    pub(super) fn recheck(&self) -> Duration {
        match self.published.unwatched {
            Some(_) => self.settings.recheck.min(UNWATCHED),
            None => self.settings.recheck,
        }
    }
}
