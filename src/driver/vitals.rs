//! What others see of the loop while it works: what it counted, and whether it is alive; beside what it said last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::report::Status;
use crate::report::metrics::{Counts, Page};

/// A loop that beat so recently is alive: while it waits for an engine it beats every 5 s.
const FRESH: Duration = Duration::from_secs(15);

/// How long a loop that sleeps may take to wake up and beat.
const PATIENCE: Duration = Duration::from_secs(10);

/// The loop's end: it says what happens.
#[derive(Debug)]
pub(super) struct Vitals {
    state: watch::Sender<State>,
    nudge: Arc<Notify>,
}

/// The others' end.
#[derive(Debug, Clone)]
pub(super) struct Onlooker {
    statuses: watch::Receiver<Option<Status>>,
    state: watch::Receiver<State>,
    nudge: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    counts: Counts,
    beat: Instant,
}

impl Vitals {
    pub(super) fn new() -> Self {
        let state = State { counts: Counts::default(), beat: Instant::now() };
        Self { state: watch::Sender::new(state), nudge: Arc::default() }
    }

    pub(super) fn onlooker(&self, statuses: watch::Receiver<Option<Status>>) -> Onlooker {
        Onlooker { statuses, state: self.state.subscribe(), nudge: self.nudge.clone() }
    }

    /// The loop is alive.
    pub(super) fn beat(&self) {
        self.state.send_modify(|state| state.beat = Instant::now());
    }

    /// Waits until somebody wants to know whether the loop is alive.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    pub(super) fn count(&self, what: impl FnOnce(&mut Counts)) {
        self.state.send_modify(|state| what(&mut state.counts));
    }
}

impl Onlooker {
    /// What the metrics show.
    pub(super) fn page(&self) -> Page {
        let status = self.statuses.borrow().clone();
        Page { status, counts: self.state.borrow().counts.clone() }
    }

    /// Whether the loop is alive: it beat of late, or does so when it is asked to. A loop with nothing to do
    /// sleeps, so that a host at rest is not woken up.
    pub(super) async fn is_alive(&mut self) -> bool {
        let is_fresh = self.state.borrow().beat.elapsed() < FRESH;
        is_fresh || self.beats_within(PATIENCE).await
    }

    async fn beats_within(&mut self, patience: Duration) -> bool {
        let asked = Instant::now();
        self.nudge.notify_one();
        let beat = self.state.wait_for(|state| state.beat >= asked);
        tokio::time::timeout(patience, beat).await.is_ok_and(|state| state.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn h11_a_loop_that_sleeps_is_alive_and_one_that_hangs_is_not() {
        let vitals = Vitals::new();
        let mut onlooker = vitals.onlooker(watch::Sender::new(None).subscribe());
        assert!(onlooker.is_alive().await, "it just began");
        assert!(!onlooker.beats_within(Duration::from_millis(50)).await, "nobody beats");
        vitals.state.send_modify(|state| state.beat -= FRESH);
        let (is_alive, ()) = tokio::join!(onlooker.is_alive(), async {
            vitals.nudged().await;
            vitals.beat();
        });
        assert!(is_alive);
    }
}
