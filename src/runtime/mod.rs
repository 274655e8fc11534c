//! The engine told to take its files, and asked whether it did.
//!
//! This is an edge: it does what it is told and says what it saw. Whether to restart, whether to
//! go back, whether to try again is decided by its caller. Every wait in here has a deadline
//! (rule H13).

mod error;
mod journal;
mod socket;
mod systemd;
mod unit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use journal::{Journal, Verdict};
use socket::Socket;
use systemd::{Bus, Job};

pub use crate::plan::Tell;
pub use error::RuntimeError;
pub use unit::{ActiveState, Load, Unit};

/// What is known once the engine was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It runs with the files.
    Confirmed,
    /// It runs, but nothing proves that it took the files, for the reason given: never a success,
    /// and no reason to undo anything (rule H7).
    Unconfirmed(String),
}

/// Where the engine is, and how patient to be with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// The engine's unit, as `crio.service`.
    pub unit: String,
    /// The engine's socket, as this process opens it.
    pub socket: PathBuf,
    /// The address of the system bus; `None`: where the environment, or else the standard, has it.
    pub bus: Option<String>,
    /// The command that reads the host's journal: journalctl, and what it needs before all else
    /// (as `--root=/host`).
    pub journalctl: Vec<OsString>,
    /// How long a job that starts or restarts may take, with the engine's first answer on its socket.
    pub restart_deadline: Duration,
    /// How long a reload may take, with its mark in the journal.
    pub reload_deadline: Duration,
    /// How long an engine that runs may take to answer on its socket.
    pub answer_deadline: Duration,
}

/// The engine of this host.
#[derive(Clone, Debug)]
pub struct Runtime {
    settings: RuntimeSettings,
}

/// A job that ends at the last moment leaves at least so much for the answer to it.
const LEAST: Duration = Duration::from_secs(1);

/// The lines of its log that the failure of a unit comes with.
const LAST_LINES: usize = 5;

impl Runtime {
    /// The engine that the settings describe; nothing is opened yet.
    #[must_use]
    pub fn new(settings: RuntimeSettings) -> Self {
        Self { settings }
    }

    /// What systemd says of the engine's unit; `None` where there is no such unit.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub async fn unit(&self) -> Result<Option<Unit>, RuntimeError> {
        self.bus().await?.unit(&self.settings.unit).await
    }

    /// Calls `changed` at once, and again whenever systemd says that the engine's unit has changed, until
    /// the bus is lost, or where it cannot be had: then says why.
    pub async fn follow(&self, changed: impl FnMut()) -> RuntimeError {
        match self.bus().await {
            Ok(bus) => bus.follow(&self.settings.unit, changed).await,
            Err(error) => error,
        }
    }

    /// Tells the engine, and sees whether it did it (rules H5, H7). `before` is what
    /// [`Runtime::unit`] said last.
    ///
    /// # Errors
    /// It did not, or systemd or the engine gives no answer: [`RuntimeError::is_passing`] says
    /// whether another try may help. A job that a deadline gave up goes on; the next restart
    /// replaces it.
    pub async fn tell(&self, how: Tell, before: &Unit) -> Result<Confirmation, RuntimeError> {
        let bus = self.bus().await?;
        match how {
            Tell::Restart => self.restart(&bus, before).await,
            Tell::Reload => self.reload(&bus, before).await,
        }
    }

    /// Starts each of the units that does not run (rule H5); one that fails keeps none of the
    /// others from being started. One that dies and that systemd starts again by itself counts as
    /// started: it may have done so all along.
    ///
    /// # Errors
    /// The first that could not be started.
    pub async fn start(&self, units: &[String]) -> Result<(), RuntimeError> {
        let mut outcome = Ok(());
        if units.is_empty() {
            return outcome;
        }
        let bus = self.bus().await?;
        for unit in units {
            outcome = outcome.and(self.start_one(&bus, unit).await);
        }
        outcome
    }

    /// The settings that the engine runs with, as TOML.
    ///
    /// # Errors
    /// It does not answer within the deadline, or not with settings.
    pub async fn config(&self) -> Result<Vec<u8>, RuntimeError> {
        Socket::new(&self.settings.socket)?.config(self.settings.answer_deadline).await
    }

    async fn bus(&self) -> Result<Bus, RuntimeError> {
        Bus::open(self.settings.bus.as_deref()).await
    }

    async fn restart(&self, bus: &Bus, before: &Unit) -> Result<Confirmation, RuntimeError> {
        let start = Instant::now();
        bus.reset_failed(&before.id).await?;
        self.run(bus, Job::Restart, &before.id, self.settings.restart_deadline).await?;
        let after = self.running(bus, &before.id).await?;
        if after.invocation == before.invocation {
            return Err(RuntimeError::SameInvocation { unit: after.id });
        }
        let left = self.settings.restart_deadline.saturating_sub(start.elapsed());
        self.answering(bus, &before.id, left.max(LEAST)).await?;
        Ok(Confirmation::Confirmed)
    }

    /// `systemctl reload` of CRI-O is `kill -HUP`: that it succeeds says nothing about the files.
    /// What CRI-O logs does (rule H7).
    async fn reload(&self, bus: &Bus, before: &Unit) -> Result<Confirmation, RuntimeError> {
        let journal = self.journal(&before.invocation);
        let mark = journal.end().await;
        let start = Instant::now();
        self.run(bus, Job::Reload, &before.id, self.settings.reload_deadline).await?;
        let left = self.settings.reload_deadline.saturating_sub(start.elapsed());
        let verdict = match mark {
            Ok(mark) => journal.verdict(&mark, left.max(LEAST)).await,
            Err(why) => Err(why),
        };
        let confirmation = match verdict {
            Ok(Verdict::Applied) => Confirmation::Confirmed,
            Ok(Verdict::Refused(message)) => return Err(RuntimeError::Rejected { message }),
            Ok(Verdict::Elsewhere(message)) => return Err(RuntimeError::Unsettled { message }),
            Err(why) => Confirmation::Unconfirmed(why),
        };
        self.running(bus, &before.id).await?;
        self.answering(bus, &before.id, self.settings.answer_deadline).await?;
        Ok(confirmation)
    }

    async fn start_one(&self, bus: &Bus, name: &str) -> Result<(), RuntimeError> {
        let is_up = |unit: &Unit| unit.active.runs() || unit.is_between_starts();
        if bus.unit(name).await?.as_ref().is_some_and(is_up) {
            return Ok(());
        }
        bus.reset_failed(name).await?;
        let started = self.run(bus, Job::Start, name, self.settings.restart_deadline).await;
        if bus.unit(name).await?.as_ref().is_some_and(is_up) {
            return Ok(());
        }
        started?;
        self.running(bus, name).await.map(drop)
    }

    /// Runs a job; a failure comes with what is known of its cause.
    async fn run(
        &self,
        bus: &Bus,
        job: Job,
        unit: &str,
        patience: Duration,
    ) -> Result<(), RuntimeError> {
        match bus.run(job, unit, patience).await {
            Err(error @ RuntimeError::Job { .. }) => {
                Err(error.with_evidence(self.evidence(bus, unit).await))
            }
            other => other,
        }
    }

    /// The unit, which runs: a job is done also where the process dies right behind it.
    async fn running(&self, bus: &Bus, name: &str) -> Result<Unit, RuntimeError> {
        let Some(unit) = bus.unit(name).await? else {
            return Err(RuntimeError::NotActive {
                unit: name.to_owned(),
                state: ActiveState::Inactive,
                sub: "not-found".to_owned(),
                evidence: String::new(),
            });
        };
        if unit.active.runs() {
            return Ok(unit);
        }
        let evidence = self.evidence(bus, name).await;
        Err(RuntimeError::NotActive { unit: unit.id, state: unit.active, sub: unit.sub, evidence })
    }

    /// Waits until the engine answers. Where it does not, and does not run any more either,
    /// that is what is wrong.
    async fn answering(
        &self,
        bus: &Bus,
        name: &str,
        patience: Duration,
    ) -> Result<(), RuntimeError> {
        let socket = Socket::new(&self.settings.socket)?;
        let answer = socket.answers(patience).await;
        if answer.is_err() {
            self.running(bus, name).await?;
        }
        answer
    }

    /// How the unit ended and what it logged last, as far as that can be had.
    async fn evidence(&self, bus: &Bus, name: &str) -> String {
        let mut found = Vec::new();
        found.extend(bus.result(name).await);
        if let Ok(Some(unit)) = bus.unit(name).await
            && !unit.invocation.is_empty()
        {
            found.extend(self.journal(&unit.invocation).last_lines(LAST_LINES).await);
        }
        match found.is_empty() {
            true => String::new(),
            false => format!(": {}", found.join(" | ")),
        }
    }

    fn journal<'s>(&'s self, invocation: &'s str) -> Journal<'s> {
        Journal { command: &self.settings.journalctl, invocation }
    }
}
