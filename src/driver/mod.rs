//! The driver: the one loop that looks, asks the machine what comes next, and performs it.
//!
//! It decides nothing by itself: what documents mean is the model's to say, what a change costs
//! the plan's, and what follows what the machine's.

pub mod control;
mod engine;
mod feeds;
mod heal;
mod heals;
mod listen;
mod log;
mod look;
mod memory;
mod node;
mod once;
mod perform;
mod place;
mod published;
mod reports;
mod requests;
mod sealed;
mod service;
mod settle;
mod trail;
mod vitals;
mod watch;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
pub use memory::Memory;
pub use once::Once;
pub use service::{Service, ServiceError, run};

use crate::apply::session::discard;
use crate::apply::{Applied, AppliedSet, ApplyError, Outcome, Recovery, Session, one_step_back};
use crate::host::Root;
use crate::machine::{Action, Change, Ending, Event, Kind, Phase};
use crate::model::{Digests, Finding};
use crate::plan::Tell;
use crate::proposal::{Documents, HostFiles, Proposal};
use crate::report::metrics::Counts;
use crate::report::{Facts, LastChange, SourceStatus, Waiting};
use crate::runtime::Runtime;
use crate::settings::Settings;
use engine::{EngineNotes, EngineSaid, runtime_of};
pub use engine::{engine_settings, said_last};
pub use feeds::Feeds;
use heals::Heals;
use node::Keeper;
pub use place::Place;
use published::Published;
use vitals::Vitals;

/// How often the driver looks up while it waits for something.
const BEAT: Duration = Duration::from_millis(500);

/// Where the documents are.
pub enum Source {
    /// Where the settings say: one of several sources is obeyed (rule E1).
    Feeds(Feeds),
    /// Here: they were read before.
    Read(Box<Documents>),
    /// Nowhere: the change needs none.
    Nowhere,
}

/// Who wants a look, and what they allow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asking {
    /// Even if the host can then not pull an image that it needs (rule H8).
    pub accepts_lock_out: bool,
    /// Somebody on the host wants it: it goes on even if the cluster cannot be asked (rule X3).
    pub is_typed: bool,
    /// Not even too many degraded nodes stop it (rule K1).
    pub is_retry: bool,
}

/// Everything that the agent knows while it runs.
pub struct Driver<'r> {
    root: &'r Root,
    session: Session<'r>,
    settings: Settings,
    source: Source,
    runtime: Option<Arc<Runtime>>,
    notes: EngineNotes,
    /// The cluster's node that this host is, if it is one.
    place: Option<Arc<Place>>,
    /// The settings name another place; it is taken once no change is under way.
    is_moving: bool,
    /// Renews the slot while one is held.
    keeper: Option<Keeper>,
    /// Whether what an earlier process may have left on the node is gone.
    is_tidy: bool,
    /// A request to try again that came in the middle of a change.
    deferred_retry: Option<String>,
    /// What is being undone is to be tried again: nobody waited for the engine's verdict.
    is_cut_short: bool,
    /// Somebody wants another try, of which nothing has come yet.
    is_retrying: bool,
    /// Since when the cluster answers, but does not know yet that this node is degraded.
    unknown_since: Option<Instant>,
    /// Since when the phase is what it is.
    entered: Instant,
    memory: Memory,
    /// As it was written down last.
    remembered: Memory,
    /// What is about to be applied.
    judged: Option<Proposal>,
    heals: Heals,
    /// Whether the status is written: a command that runs once says how it went itself.
    is_service: bool,
    /// The service is to end.
    is_stopping: Arc<AtomicBool>,
    /// How often in a row a look came to nothing that may pass.
    failures: u32,
    /// A file that could not be written because its file system is read-only to this process.
    sealed: Option<PathBuf>,
    /// When [`Event::Due`] is due.
    due: Option<Instant>,
    facts: Facts,
    observed: Option<Digests>,
    findings: Vec<Finding>,
    /// Why each managed file exists.
    reasons: BTreeMap<PathBuf, Vec<String>>,
    last: Option<LastChange>,
    outcome: Outcome,
    waiting: Option<Waiting>,
    sources: Vec<SourceStatus>,
    published: Published,
    vitals: Vitals,
}

impl<'r> Driver<'r> {
    /// Takes the host for itself. Half-done transactions are finished or undone.
    ///
    /// # Errors
    /// Another agent has the host, or the state cannot be read or is of a newer agent.
    pub fn open(
        root: &'r Root,
        settings: Settings,
        source: Source,
        patience: Duration,
    ) -> Result<Self, ApplyError> {
        let session = Session::open(root, patience)?;
        let known = (Memory::load(root)?, EngineSaid::load(root)?);
        Ok(Self::with(root, session, known, settings, source))
    }

    /// The same for a revert, which does without what is damaged of the state but for base and applied
    /// set (rule X3): such files are removed; which they were.
    ///
    /// # Errors
    /// As [`Driver::open`].
    pub fn open_to_revert(
        root: &'r Root,
        settings: Settings,
        patience: Duration,
    ) -> Result<(Self, Vec<PathBuf>), ApplyError> {
        let session = Session::open(root, patience)?;
        let mut discarded = session.discard_damaged()?;
        discarded.extend(discard(root, Memory::load(root).map(drop))?);
        discarded.extend(discard(root, EngineSaid::load(root).map(drop))?);
        let known = (Memory::load(root)?, EngineSaid::load(root)?);
        Ok((Self::with(root, session, known, settings, Source::Nowhere), discarded))
    }

    fn with(
        root: &'r Root,
        session: Session<'r>,
        (memory, said): (Memory, Option<EngineSaid>),
        settings: Settings,
        source: Source,
    ) -> Self {
        let runtime = runtime_of(root, &settings);
        let place = Place::of(&settings);
        let mut driver = Self {
            root,
            session,
            settings,
            source,
            runtime,
            notes: EngineNotes { said, ..EngineNotes::default() },
            place,
            is_moving: false,
            keeper: None,
            is_tidy: false,
            deferred_retry: None,
            is_cut_short: false,
            is_retrying: false,
            unknown_since: None,
            entered: Instant::now(),
            remembered: memory.clone(),
            memory,
            judged: None,
            heals: Heals::default(),
            failures: 0,
            sealed: None,
            is_service: false,
            is_stopping: Arc::default(),
            due: None,
            facts: Facts::default(),
            observed: None,
            findings: Vec::new(),
            reasons: BTreeMap::new(),
            last: None,
            outcome: Outcome::default(),
            waiting: None,
            sources: Vec::new(),
            published: Published::default(),
            vitals: Vitals::new(),
        };
        driver.facts.is_held = driver.memory.is_held;
        driver
    }

    /// What became of a transaction that a crash had left half-done.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.session.recovery()
    }

    /// Goes on where an earlier process stopped in the middle of a change.
    pub async fn resume(&mut self) {
        let phase = std::mem::take(&mut self.memory.phase);
        if phase == Phase::Idle {
            return;
        }
        let at_target = phase.change().is_none_or(|change| self.is_made(change));
        tracing::info!(phase = phase.name(), at_target, "going on with an interrupted change");
        self.last = phase.change().map(LastChange::new);
        let (phase, action) = phase.resume(at_target);
        self.memory.phase = phase;
        let action = self.take_up_slot(action).await;
        self.remember();
        self.perform(action).await;
        if self.is_service {
            self.refresh();
        }
    }

    /// Whether the files have changed as a change wants it, after a crash; where the state cannot be read,
    /// they have not.
    fn is_made(&self, change: &Change) -> bool {
        let applied = || Applied::load(self.root).map(|applied| applied.set);
        match change.kind {
            Kind::Apply => match &self.memory.before {
                Some(before) => applied().is_ok_and(|set| set != *before),
                None => applied().is_ok_and(|set| set.digests == change.target),
            },
            // It takes the step that there was.
            Kind::Rollback => one_step_back(self.root).is_ok_and(|step| step.is_none()),
            Kind::Revert => applied().is_ok_and(|set| set == AppliedSet::default()),
            // What is left of a heal the next look finds.
            Kind::Heal | Kind::Restart => true,
        }
    }

    /// Begins a change and takes it as far as it goes; false where nothing came of it.
    async fn begin(&mut self, change: Change) -> bool {
        let before = self.memory.phase.clone();
        let was_under_way = before.is_pending() && is_at(&before, &change);
        let action = self.step(Event::Begin(change.clone()));
        if is_at(&self.memory.phase, &change) && !was_under_way {
            let drains = change.node.as_ref().is_some_and(|node| node.drain.is_some());
            let (kind, tell) = (change.kind.word(), change.tell.map(Tell::word));
            tracing::info!(
                kind,
                tell,
                takes_slot = change.node.is_some(),
                drains,
                "a change begins"
            );
            self.last = Some(LastChange::new(&change));
        }
        if let Err(error) = self.note_before(&change).and_then(|()| self.save()) {
            // What cannot be written down is not begun.
            self.memory.phase = before;
            self.fail(error.to_string());
            return false;
        }
        self.perform(action).await;
        self.goes_on()
    }

    /// Notes what a change is undone to, if it may be.
    fn note_before(&mut self, change: &Change) -> Result<(), ApplyError> {
        if is_at(&self.memory.phase, change) {
            let now = self.memory.phase.change().filter(|now| now.kind == Kind::Apply);
            let is_told = now.is_some_and(|now| now.tell.is_some());
            self.memory.before = match is_told {
                true => Some(Applied::load(self.root)?.set),
                false => None,
            };
        }
        Ok(())
    }

    /// Whether the last change has ended so that another may be due at once; what was abandoned may be
    /// due in another form.
    fn goes_on(&self) -> bool {
        let ending = self.last.as_ref().and_then(|last| last.ending.as_ref());
        ending.is_some_and(|ending| {
            matches!(ending, Ending::Done | Ending::Unconfirmed | Ending::Abandoned(_))
        })
    }

    fn step(&mut self, event: Event) -> Action {
        let before = self.memory.phase.name();
        if let Event::NotYet { why, after } = &event {
            self.facts.not_yet = Some((why.clone(), *after));
        }
        let (phase, action) = std::mem::take(&mut self.memory.phase).step(event);
        self.memory.phase = phase;
        if self.memory.phase.name() != before {
            self.entered = Instant::now();
            self.unknown_since = None;
            self.facts.not_yet = None;
        }
        self.keep_slot();
        action
    }

    /// Ends a change that has not reached the host yet, and lets the node go (rules H10, X3).
    pub async fn abandon(&mut self, why: &str) {
        let action = self.step(Event::Abandon(why.to_owned()));
        self.remember();
        self.perform(action).await;
    }

    /// Writes down how far the change is. Where that fails the journal and the next look put
    /// things right after a crash; it is said.
    fn remember(&mut self) {
        if let Err(error) = self.save() {
            self.fail(error.to_string());
        }
    }

    fn save(&mut self) -> Result<(), ApplyError> {
        let mut memory = self.memory.clone();
        if let Phase::Changing(change) = &memory.phase
            && change.tell.is_none()
        {
            // Nothing follows the files: their journal remembers all that there is to it.
            memory.phase = Phase::Idle;
        }
        if memory != self.remembered {
            memory.save(self.root)?;
            self.remembered = memory;
        }
        Ok(())
    }

    fn fail(&mut self, why: String) {
        self.vitals.count(Counts::failure);
        self.facts.failure = Some(why);
    }

    /// Waits for `work`, which has a deadline of its own. Meanwhile the watchdog is told that all is well,
    /// and what others change is put right (rule H9).
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                () = tokio::time::sleep(BEAT) => self.heal_meanwhile(),
            }
            self.beat();
        }
    }

    /// The loop is alive: whoever watches it is told.
    fn beat(&self) {
        self.vitals.beat();
        service::beat(self.is_stopping.load(Ordering::Relaxed));
    }

    /// What the engine reads at present.
    fn host(&self) -> HostFiles {
        let engine = self.notes.said.as_ref().map(|said| said.settings.as_bytes());
        HostFiles::read(self.root, &self.settings, engine)
    }
}

/// Runs a future to its end on this thread.
///
/// # Errors
/// The kernel refuses what every process may have.
pub fn block_on<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // A name that is being resolved on another thread is not waited for.
    runtime.shutdown_background();
    Ok(result)
}

/// Whether a phase is one of this change.
fn is_at(phase: &Phase, change: &Change) -> bool {
    phase.change().is_some_and(|now| now.kind == change.kind && now.target == change.target)
}

fn waiting(what: &str, time: Duration) -> Option<Waiting> {
    let until = Timestamp::now().checked_add(time).ok()?;
    Some(Waiting { what: what.to_owned(), until })
}

fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
