//! The steps of a change on the cluster's node that this host is, each one attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::place::Place;
use super::{Asking, Driver};
use crate::apply::{Applied, previous_digests};
use crate::machine::{Action, Change, Ending, Event, Kind, Phase};
use crate::node::{Claim, Claimed, Drained, Node, NodeError, Readiness, Sign};
use crate::report::{Drain, NodeState, Truth};
use crate::waits::jittered;
use crate::wish::NodeSeen;

/// How long a stop may take to let the node go; what is left the next start does.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How long a slot is kept for the cluster to know that the node is degraded, from when it first answers.
const KNOWN_WITHIN: Duration = Duration::from_secs(120);

/// How soon a slot is renewed again where that failed: it may take two attempts before it runs out.
const RENEW_AGAIN: Duration = Duration::from_secs(5);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(60);

/// How many pods are named.
const MOST_NAMED: usize = 5;

/// Why a change is given up before its first write (rule K5).
const SLOT_LOST: &str = "another node has taken the slot";

/// Renews a slot for as long as it lives.
pub(super) struct Keeper {
    task: JoinHandle<()>,
    is_lost: Arc<AtomicBool>,
}

impl Keeper {
    /// Renews it for the first time after so long.
    fn new(place: Arc<Place>, first: Duration) -> Self {
        let is_lost = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(keep(place, first, Arc::clone(&is_lost)));
        Self { task, is_lost }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An API server that is away for a while loses no slot: nobody else can take it meanwhile.
async fn keep(place: Arc<Place>, mut wait: Duration, is_lost: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(jittered(wait)).await;
        wait = match renew(Arc::clone(&place)).await {
            Ok(true) => place.renew_every(),
            Ok(false) => return is_lost.store(true, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!("the slot could not be renewed: {error}");
                RENEW_AGAIN
            }
        };
    }
}

async fn renew(place: Arc<Place>) -> Result<bool, NodeError> {
    attempt(place, |node| async move { node.renew().await }).await
}

/// Lifts our cordon; false where there is no such Node any more, and so nothing to lift.
async fn uncordon(node: &Node) -> Result<bool, NodeError> {
    match node.uncordon().await {
        Ok(_) => Ok(true),
        Err(NodeError::Absent { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// One attempt, which does not take for ever.
async fn attempt<T, F>(place: Arc<Place>, work: impl FnOnce(Node) -> F) -> Result<T, NodeError>
where
    F: Future<Output = Result<T, NodeError>>,
{
    let name = place.name.clone();
    let attempt = async move { work(place.node().await?).await };
    let late = |_| NodeError::Unreachable {
        object: format!("Node {name}"),
        why: format!("there was no answer within {} s", ATTEMPT.as_secs()),
    };
    tokio::time::timeout(ATTEMPT, attempt).await.map_err(late)?
}

impl Driver<'_> {
    /// The node, as far as it decides. A command that somebody typed goes on without it if nobody can
    /// be asked (rule X3).
    pub(super) fn node_seen(&self, asking: Asking, is_reached: bool) -> Option<NodeSeen> {
        self.place.as_ref()?;
        if asking.is_typed && !is_reached {
            tracing::warn!("without slot, cordon and drain, because the cluster cannot be asked");
            return None;
        }
        Some(NodeSeen {
            drain: self.settings.node.drain,
            drain_deadline: self.settings.node.drain_deadline,
            obeys_brake: !self.is_retrying,
        })
    }

    /// Asks for the Node: who manages it, because the agent only observes where the Machine Config
    /// Operator does. Whether there was an answer; without one, what was known before holds, and
    /// where nothing was, the agent only observes.
    pub(super) async fn look_at_node_object(&mut self) -> bool {
        let Some(place) = self.place.clone() else {
            self.facts.observes = None;
            return false;
        };
        let answer = self.ask(place, |node| async move { node.manager().await }).await;
        let is_reached = !matches!(answer, Err(NodeError::Unreachable { .. }));
        match answer {
            Ok(manager) => {
                self.memory.is_of_mco = Some(manager.is_some());
                self.remember();
                self.facts.observes = manager;
                self.tidy().await;
            }
            // It has not joined yet: whatever managed it would be known by it.
            Err(NodeError::Absent { .. }) if self.memory.is_of_mco != Some(true) => {
                self.facts.observes = None;
                self.tidy().await;
            }
            Err(error) => {
                tracing::warn!("the cluster cannot be asked about this node: {error}");
                let unknown = "nobody can say yet whether something else manages this node";
                match self.memory.is_of_mco {
                    Some(false) => self.facts.observes = None,
                    _ if self.facts.observes.is_some() => {}
                    _ => self.facts.observes = Some(unknown.to_owned()),
                }
            }
        }
        if self.settings.kube.changes_mco_nodes {
            self.facts.observes = None;
        }
        is_reached
    }

    /// Takes the place that new settings name, unless a change is under way: what it holds is given back
    /// where it was taken. Of one that waits for a slot there is nothing yet.
    pub(super) async fn move_place(&mut self) {
        if !self.is_moving {
            return;
        }
        let next = Place::of(&self.settings);
        let is_another = self.place.as_deref() != next.as_deref();
        if is_another && matches!(self.memory.phase, Phase::Claiming(_)) {
            self.abandon("the settings of the node are others now").await;
        }
        if self.memory.phase != Phase::Idle {
            return;
        }
        self.is_moving = false;
        if is_another {
            self.place = next;
            self.is_tidy = false;
        }
    }

    /// Before what somebody typed while the cluster cannot be asked: what waits for it is let go of, and
    /// the node is uncordoned once it can be asked again (rule X3).
    pub(super) async fn let_go_of_node(&mut self) {
        let phase = &self.memory.phase;
        let waits =
            phase.is_pending() || matches!(phase, Phase::Awaiting { .. } | Phase::Leaving { .. });
        if self.place.is_none() || !waits || self.look_at_node_object().await {
            return;
        }
        self.memory.phase = Phase::Idle;
        self.memory.before = None;
        self.due = None;
        self.is_tidy = false;
        self.keep_slot();
        self.remember();
    }

    pub(super) async fn claim(&mut self) -> Event {
        let Some((place, change)) = self.place.clone().zip(self.memory.phase.change()) else {
            return Event::Claimed;
        };
        let target = match (change.kind, &change.target) {
            (Kind::Apply, Some(target)) => Some(target.clone()),
            (Kind::Rollback, _) => previous_digests(self.root).ok().flatten(),
            _ => Applied::load(self.root).unwrap_or_default().set.digests,
        };
        let target = target.map(|digests| digests.without_cas).unwrap_or_default();
        let claim = Claim {
            target,
            obeys_brake: change.node.as_ref().is_some_and(|node| node.obeys_brake),
            is_degraded_here: self.is_degraded(),
        };
        match self.ask(place, |node| async move { node.claim(&claim).await }).await {
            Ok(Claimed::Taken) => Event::Claimed,
            Ok(Claimed::NotYet(why)) => self.not_yet(why),
            Err(error) => {
                // It may be ours all the same.
                self.is_tidy = false;
                self.not_yet(error.to_string())
            }
        }
    }

    pub(super) async fn cordon(&mut self) -> Event {
        let Some(place) = self.place.clone() else { return Event::Cordoned { is_alone: false } };
        let node = self.memory.phase.change().and_then(|change| change.node.as_ref());
        let is_to_drain = node.is_some_and(|node| node.drain.is_some());
        let cordon = |node: Node| async move {
            node.cordon().await?;
            if is_to_drain { node.is_single_node().await } else { Ok(false) }
        };
        match self.ask(place, cordon).await {
            Ok(is_alone) => Event::Cordoned { is_alone },
            Err(error) => self.not_yet(error.to_string()),
        }
    }

    pub(super) async fn drain(&mut self) -> Event {
        if self.has_lost_slot() {
            return Event::Abandon(SLOT_LOST.to_owned());
        }
        let Some(place) = self.place.clone() else { return Event::Drained };
        match self.ask(place, |node| async move { node.drain().await }).await {
            Ok(Drained::Done) => Event::Drained,
            Ok(Drained::Remaining { pods, why }) => self.not_yet(remaining(&pods, &why)),
            Err(error) => self.not_yet(error.to_string()),
        }
    }

    /// Before the first write: somebody else may have taken the slot of a node that was silent.
    pub(super) async fn confirm_slot(&mut self) -> Option<Event> {
        self.memory.phase.change()?.node.as_ref()?;
        let place = self.place.clone()?;
        match self.attend(renew(place)).await {
            Ok(true) => None,
            Ok(false) => Some(Event::Abandon(SLOT_LOST.to_owned())),
            Err(error) => Some(self.not_yet(error.to_string())),
        }
    }

    pub(super) async fn look_at_node(&mut self, sign: Option<Sign>) -> Event {
        let Some(place) = self.place.clone() else { return Event::Ready };
        let event = match sign {
            None => {
                let sign = self.ask(place, |node| async move { node.sign_of_life().await }).await;
                sign.map(Event::Seen)
            }
            Some(before) => {
                let look = |node: Node| async move { node.is_ready(&before).await };
                self.ask(place, look).await.map(|readiness| match readiness {
                    Readiness::Ready => Event::Ready,
                    Readiness::NotYet(why) => self.not_yet(why),
                })
            }
        };
        match event {
            Ok(event) => event,
            Err(NodeError::Absent { .. }) => Event::Abandon("the Node was deleted".to_owned()),
            Err(error) => self.not_yet(error.to_string()),
        }
    }

    /// Lets the node go. A slot is freed only once the cluster knows that the change has degraded this
    /// node, or the next one would take it too (rule K1).
    pub(super) async fn leave(&mut self) -> Event {
        let is_degraded =
            matches!(self.memory.phase, Phase::Leaving { ending: Ending::RolledBack(_) });
        let is_in_time = self.unknown_since.is_none_or(|since| since.elapsed() < KNOWN_WITHIN);
        let must_be_known = is_degraded && self.is_service && is_in_time;
        let Some(place) = self.place.clone() else { return Event::Left };
        let leave = |node: Node| async move {
            let is_there = uncordon(&node).await?;
            if is_there && must_be_known && !node.says_degraded().await? {
                return Ok(false);
            }
            node.free().await.map(|()| true)
        };
        match self.ask(place, leave).await {
            Ok(true) => Event::Left,
            Ok(false) => {
                self.unknown_since.get_or_insert_with(Instant::now);
                self.not_yet("the cluster is to know first that it degraded".to_owned())
            }
            Err(error) => self.not_yet(error.to_string()),
        }
    }

    /// Once after the start: nothing is left of a change that an earlier process could not remember.
    async fn tidy(&mut self) {
        if self.is_tidy || self.memory.phase != Phase::Idle {
            return;
        }
        let Some(place) = self.place.clone().filter(|_| self.is_service) else { return };
        let leave = |node: Node| async move {
            uncordon(&node).await?;
            node.free().await
        };
        match self.ask(place, leave).await {
            Ok(()) => self.is_tidy = true,
            Err(error) => tracing::debug!("nobody knows what an earlier process left: {error}"),
        }
    }

    /// One attempt on the node, while the watchdog is told that all is well.
    async fn ask<T, F>(
        &mut self,
        place: Arc<Place>,
        work: impl FnOnce(Node) -> F,
    ) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        self.attend(attempt(place, work)).await
    }

    fn not_yet(&self, why: String) -> Event {
        Event::NotYet { why, after: self.entered.elapsed() }
    }

    /// Keeps the slot while one is held.
    pub(super) fn keep_slot(&mut self) {
        let first = self.place.as_ref().map(|place| place.renew_every()).unwrap_or_default();
        self.keep_slot_from(first);
    }

    fn keep_slot_from(&mut self, first: Duration) {
        match &self.place {
            Some(place) if self.memory.phase.has_slot() => {
                self.keeper.get_or_insert_with(|| Keeper::new(Arc::clone(place), first));
            }
            _ => self.keeper = None,
        }
    }

    /// Goes on with the slot that an earlier process held: it may have run out meanwhile, and be another
    /// node's. What comes next, where it is not to be as it was meant.
    pub(super) async fn take_up_slot(&mut self, action: Action) -> Action {
        self.keep_slot_from(Duration::ZERO);
        let event = match action {
            Action::Cordon | Action::Drain => self.confirm_slot().await,
            // What has begun is brought to its end.
            _ => None,
        };
        match event {
            Some(event) => self.step(event),
            None => action,
        }
    }

    /// Whether somebody else has taken the slot.
    fn has_lost_slot(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.is_lost.load(Ordering::Relaxed))
    }

    /// Before the agent stops (rule H10): files that the engine has not taken go back, and the node is
    /// let go if nothing on the host has changed yet or all has.
    pub(super) async fn stop(&mut self) {
        let latest = Instant::now() + STOP_WITHIN;
        self.abandon("the agent is stopping").await;
        self.end_telling().await;
        while let Some(due) = self.due.take() {
            if !matches!(self.memory.phase, Phase::Leaving { .. }) || due > latest {
                return;
            }
            tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
            let action = self.step(Event::Due);
            self.perform(action).await;
        }
    }

    /// Files that the engine has not taken so far are told once more, or go back. That is no verdict on
    /// them: they are tried again at the next start, or after `release`.
    pub(super) async fn end_telling(&mut self) {
        if !self.is_telling_of_new_files() {
            return;
        }
        let action = self.step(Event::Due);
        self.perform(action).await;
        if !self.is_telling_of_new_files() {
            return;
        }
        let why = "the agent was to end it before the engine had taken the files".to_owned();
        self.is_cut_short = true;
        let action = self.step(Event::NotTold { why, is_passing: false });
        self.remember();
        self.perform(action).await;
    }

    fn is_telling_of_new_files(&self) -> bool {
        matches!(&self.memory.phase, Phase::Telling { change, .. } if change.kind == Kind::Apply)
    }

    /// How the host stands as a node of its cluster.
    pub(super) fn node_state(&self) -> Option<NodeState> {
        let place = self.place.as_ref()?;
        let phase = &self.memory.phase;
        let has_slot = phase.has_slot();
        Some(NodeState {
            pool: place.pool(),
            has_slot,
            is_cordoned: has_slot && !matches!(phase, Phase::Cordoning(_)),
            drain: drain_state(phase, self.facts.ending.as_ref()),
            retried: self.memory.retried.clone(),
            untold: self.published.untold.clone(),
        })
    }

    fn is_degraded(&self) -> bool {
        let last = self.published.statuses.borrow();
        let conditions = last.as_ref().map_or(&[][..], |status| &status.conditions);
        conditions.iter().any(|c| c.kind == "Degraded" && c.status == Truth::True)
    }
}

/// Which pods are left, and what keeps them.
fn remaining(pods: &[String], why: &[String]) -> String {
    let named = pods.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match pods.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let why = if why.is_empty() { "they take their time".to_owned() } else { why.join("; ") };
    format!("{named}{more} left: {why}")
}

/// How far the drain of the change under way is; of the last one, where it came to nothing.
fn drain_state(phase: &Phase, ending: Option<&Ending>) -> Drain {
    let is_asked = |change: &Change| change.node.as_ref().is_some_and(|node| node.drain.is_some());
    match (phase, ending) {
        (Phase::Draining(_), _) => Drain::Running,
        (Phase::Idle, Some(Ending::NotDrained(why)))
        | (Phase::Leaving { ending: Ending::NotDrained(why) }, _) => Drain::Failed(why.clone()),
        (phase, _) if phase.is_pending() => Drain::None,
        (phase, _) if phase.change().is_some_and(is_asked) => Drain::Done,
        _ => Drain::None,
    }
}
