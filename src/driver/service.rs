//! `run`: the loop around the driver. It waits for what wakes it and keeps systemd informed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::control::{Asked, Control};
use super::engine::{EngineWatch, runtime_of};
use super::listen::Served;
use super::reports::Reports;
use super::watch::{Wake, Watches};
use super::{Driver, Feeds, Source, sealed};
use crate::apply::{ApplyError, Recovery};
use crate::host::Root;
use crate::machine::{Event, Phase};
use crate::report::Status;
use crate::settings::{Settings, SettingsError};
use crate::waits::jittered;

/// How soon after a change of our files they are put right.
const HEAL_AFTER: Duration = Duration::from_millis(50);

/// How soon after a change of the engine's unit it is looked at: systemd says several things at once.
const SETTLED: Duration = Duration::from_millis(500);

/// How long a predecessor that is just stopping is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The host is another's, or the state cannot be used.
    #[error(transparent)]
    State(#[from] ApplyError),
    /// The kernel refuses what every process may have.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
}

/// Where settings and documents come from.
pub struct Service<'r> {
    /// The host.
    pub root: &'r Root,
    /// Reads the settings, at the start and on SIGHUP.
    pub settings: &'r dyn Fn() -> Result<Settings, SettingsError>,
    /// Documents in place of those that the settings name.
    pub files: Vec<PathBuf>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// It could not begin.
pub fn run(service: &Service<'_>) -> Result<(), ServiceError> {
    super::block_on(serve(service)).map_err(|error| ServiceError::System("start", error))?
}

async fn serve(service: &Service<'_>) -> Result<(), ServiceError> {
    let settings = (service.settings)()?;
    let (waking, wakes) = mpsc::unbounded_channel();
    let source = service.source(&settings, &waking, None);
    let signals = Signals::new().map_err(|error| ServiceError::System("take signals", error))?;
    let end = Signals::new().map_err(|error| ServiceError::System("take signals", error))?;
    let mut driver = Driver::open(service.root, settings, source, PATIENCE)?;
    tokio::spawn(announce_end(end, Arc::clone(&driver.is_stopping)));
    driver.begin_to_serve();
    match driver.recovery() {
        Recovery::Nothing => {}
        Recovery::Finished => tracing::warn!("an interrupted change was finished first"),
        Recovery::Undone => tracing::warn!("an interrupted change was undone first"),
    }
    let control = Control::open(service.root)
        .map_err(|error| ServiceError::System("open the control socket", error))?;
    let mut around = Around::new(&waking);
    around.follow(&mut driver).await;
    notify(&[NotifyState::Ready]);
    driver.resume().await;
    let mut inbox = Inbox { signals, wakes, control, times: Times::new() };
    while let Some(occasion) = inbox.next(&mut driver, &mut around.reports).await {
        match occasion {
            Occasion::Reload => reload(service, &mut driver, &mut inbox.times, &waking),
            Occasion::Look => inbox.times.look = Instant::now(),
            Occasion::Wake(wake) => inbox.times.wake(wake, &driver.settings),
            Occasion::Asked((request, answer)) => {
                // A client that has gone wants no answer.
                let _ = answer.send(driver.answer(request).await);
                inbox.times.look_within(driver.look_again_in());
            }
            Occasion::Time => driver.work(&mut inbox.times).await,
            Occasion::Nudge => {}
            Occasion::Retry(name) => {
                driver.retry_for(name).await;
                inbox.times.look_within(driver.look_again_in());
            }
        }
        inbox.control.keep(service.root);
        around.follow(&mut driver).await;
        if driver.published.unwatched.is_some() {
            inbox.times.look_within(driver.recheck());
        }
        driver.beat();
        if driver.is_to_start_anew() {
            break;
        }
    }
    if !driver.is_stopping.swap(true, Ordering::Relaxed) {
        say_end();
    }
    tracing::info!(phase = driver.memory.phase.name(), "stopping");
    driver.stop().await;
    drop(driver);
    tokio::join!(inbox.control.end(), around.reports.end());
    Ok(())
}

impl Service<'_> {
    /// The sources that the settings name; those of `old` that stay as they are go on.
    fn source(
        &self,
        settings: &Settings,
        waking: &UnboundedSender<Wake>,
        old: Option<Source>,
    ) -> Source {
        let paths = if self.files.is_empty() { &settings.sources } else { &self.files };
        let old = match old {
            Some(Source::Feeds(feeds)) => Some(feeds),
            _ => None,
        };
        Source::Feeds(Feeds::open(settings, paths, waking, old))
    }
}

/// Reads the settings anew. Wrong ones change nothing, and are said.
fn reload(
    service: &Service<'_>,
    driver: &mut Driver<'_>,
    times: &mut Times,
    waking: &UnboundedSender<Wake>,
) {
    notify(&[
        NotifyState::Reloading,
        NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading),
    ]);
    match (service.settings)() {
        Ok(settings) => {
            let old = std::mem::replace(&mut driver.source, Source::Nowhere);
            driver.source = service.source(&settings, waking, Some(old));
            let engine = |settings: &Settings| {
                let is_managed = settings.manages_engine(driver.root.path());
                is_managed.then(|| settings.runtime.unit.clone())
            };
            driver.notes.is_another |= engine(&settings) != engine(&driver.settings);
            driver.runtime = runtime_of(driver.root, &settings);
            *times = Times::new();
            driver.is_moving = true;
            driver.settings = settings;
            driver.facts.settings = None;
            tracing::info!("the settings were read again");
        }
        Err(error) => {
            driver.facts.settings = Some(error.to_string());
        }
    }
    driver.report();
    notify(&[NotifyState::Ready]);
}

impl Driver<'_> {
    /// Whether another process could write what this one cannot: its directory was made too late for
    /// this one. Never in the middle of a change.
    fn is_to_start_anew(&mut self) -> bool {
        let is_idle = self.memory.phase == Phase::Idle;
        let Some(path) = self.sealed.take_if(|_| is_idle) else { return false };
        let is_to = sealed::may_be_opened(self.root, &path);
        if is_to {
            let path = path.display();
            tracing::warn!(
                "{path} is read-only to this process; it starts anew, in case its directory is newer"
            );
        }
        is_to
    }

    /// Does what is due.
    async fn work(&mut self, times: &mut Times) {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.waiting = None;
            let action = self.step(Event::Due);
            self.perform(action).await;
            self.look_after(times).await;
        }
        if times.heal.is_some_and(|heal| heal <= now) {
            times.heal = None;
            self.heal_at_once().await;
        }
        if times.look <= now {
            // What comes in the middle of a change is looked at when that has ended.
            times.is_missed = !self.memory.phase.is_open();
            if !self.retry_deferred().await {
                self.settle(super::Asking::default()).await;
            }
            times.looked(self.look_again_in());
        }
    }

    /// A change that was waited for has ended: another may be due, or the same one later again.
    async fn look_after(&mut self, times: &mut Times) {
        if self.memory.phase != Phase::Idle {
            return;
        }
        if self.retry_deferred().await {
            return times.look_within(self.look_again_in());
        }
        if self.goes_on() || std::mem::take(&mut times.is_missed) {
            times.look = Instant::now();
            return;
        }
        self.count_failures();
        self.report();
        times.look_within(self.look_again_in());
    }
}

/// What ended a wait, but a stop.
enum Occasion {
    Reload,
    Look,
    Wake(Wake),
    Asked(Asked),
    Time,
    /// Nothing but what every turn of the loop does: it is alive, and says how reports go.
    Nudge,
    Retry(String),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// What the next one asks for; none where it ends the service.
    async fn next(&mut self) -> Option<Occasion> {
        tokio::select! {
            _ = self.terminate.recv() => None,
            _ = self.interrupt.recv() => None,
            _ = self.hangup.recv() => Some(Occasion::Reload),
            _ = self.user.recv() => Some(Occasion::Look),
        }
    }
}

/// Says at once that the service is to end, whatever is being done just then: it may take longer than a stop
/// is given otherwise.
async fn announce_end(mut signals: Signals, is_stopping: Arc<AtomicBool>) {
    while signals.next().await.is_some() {}
    if !is_stopping.swap(true, Ordering::Relaxed) {
        say_end();
        beat(true);
    }
}

fn say_end() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// All that the loop waits for.
struct Inbox {
    signals: Signals,
    wakes: UnboundedReceiver<Wake>,
    control: Control,
    times: Times,
}

impl Inbox {
    /// The next occasion; none when the service is to stop.
    async fn next(&mut self, driver: &mut Driver<'_>, reports: &mut Reports) -> Option<Occasion> {
        let occasion = tokio::select! {
            signal = self.signals.next() => return signal,
            Some(wake) = self.wakes.recv() => Occasion::Wake(wake),
            Some(request) = self.control.next() => Occasion::Asked(request),
            () = sleep(self.times.next(driver.due)) => Occasion::Time,
            () = driver.vitals.nudged() => Occasion::Nudge,
            retry = reports.news() => retry.map_or(Occasion::Nudge, Occasion::Retry),
        };
        Some(occasion)
    }
}

/// What goes on beside the loop, and follows what the driver knows and its settings say.
struct Around {
    files: Watches,
    engine: EngineWatch,
    waking: UnboundedSender<Wake>,
    served: Served,
    reports: Reports,
}

impl Around {
    fn new(waking: &UnboundedSender<Wake>) -> Self {
        Self {
            files: Watches::new(waking),
            engine: EngineWatch::default(),
            waking: waking.clone(),
            served: Served::default(),
            reports: Reports::default(),
        }
    }

    /// Watches what matters now, and serves and reports as the settings say.
    async fn follow(&mut self, driver: &mut Driver<'_>) {
        self.watch(driver);
        self.engine.follow(driver.runtime.as_ref(), &self.waking);
        self.serve(driver).await;
        self.reports.follow(driver);
    }

    /// Watches files; where that fails the status says so.
    fn watch(&mut self, driver: &mut Driver<'_>) {
        let (sources, host) = (driver.source_paths(), driver.host_paths());
        let unwatched = self.files.follow(&sources, driver.root.path(), &host);
        if unwatched != driver.published.unwatched {
            driver.published.unwatched = unwatched;
            driver.published.unwatched.iter().for_each(|finding| tracing::warn!("{finding}"));
            driver.report();
        }
    }

    /// Serves metrics; where that fails the status says so.
    async fn serve(&mut self, driver: &mut Driver<'_>) {
        let listen = driver.settings.metrics_listen.as_ref();
        let onlooker = || driver.vitals.onlooker(driver.published.statuses.subscribe());
        let unserved = self.served.follow(driver.root, listen, onlooker).await;
        if unserved != driver.published.unserved {
            driver.published.unserved = unserved;
            driver.published.unserved.iter().for_each(|finding| tracing::warn!("{finding}"));
            driver.report();
        }
    }
}

/// When what is due.
struct Times {
    /// To look at everything.
    look: Instant,
    /// Whether the last look came in the middle of a change, and so to nothing.
    is_missed: bool,
    /// To look at our files alone.
    heal: Option<Instant>,
    /// Documents that keep changing are looked at by then at the latest.
    latest: Option<Instant>,
    /// To tell the watchdog that all is well; none where there is no watchdog.
    beat: Option<Duration>,
}

/// So many quiet times after the first change documents are looked at even if they keep changing.
const MOST_QUIET: u32 = 10;

impl Times {
    fn new() -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        Self {
            look: Instant::now(),
            is_missed: false,
            heal: None,
            latest: None,
            beat: watchdog.map(|time| time / 2),
        }
    }

    fn wake(&mut self, wake: Wake, settings: &Settings) {
        let now = Instant::now();
        if wake == Wake::Engine {
            self.look = self.look.min(now + SETTLED);
            return;
        }
        let latest = *self.latest.get_or_insert(now + settings.quiet * MOST_QUIET);
        self.look = (now + settings.quiet).min(latest);
        if wake == Wake::Host {
            self.heal.get_or_insert(now + HEAL_AFTER);
        }
    }

    fn looked(&mut self, again: Duration) {
        self.latest = None;
        self.look = Instant::now() + jittered(again);
    }

    /// What has woken the loop meanwhile is not forgotten.
    fn look_within(&mut self, again: Duration) {
        self.look = self.look.min(Instant::now() + jittered(again));
    }

    /// When to wake up at the latest.
    fn next(&self, due: Option<Instant>) -> Instant {
        let beat = self.beat.map(|beat| Instant::now() + beat);
        [Some(self.look), self.heal, due, beat].into_iter().flatten().min().unwrap_or(self.look)
    }
}

async fn sleep(until: Instant) {
    tokio::time::sleep_until(until.into()).await;
}

/// Tells the watchdog that the loop is alive; a stop that goes on, that it needs so much time more.
pub(super) fn beat(is_stopping: bool) {
    const MORE: u32 = 30_000_000;
    notify(&[NotifyState::Watchdog]);
    if is_stopping {
        notify(&[NotifyState::ExtendTimeoutUsec(MORE)]);
    }
}

/// Tells systemd in one line what goes on.
pub(super) fn say(status: &Status) {
    let line = match status.obstacle() {
        Some(condition) => format!("{}: {}", condition.reason, condition.message),
        None => "converged".to_owned(),
    };
    notify(&[NotifyState::Status(line.lines().next().unwrap_or_default())]);
}

/// systemd is told what it asked to be told; where it did not ask, or has gone, nobody misses it.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
