//! The engine of this host, and how it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::heal::Since;
use super::watch::Wake;
use crate::apply::ApplyError;
use crate::apply::state::{self, STATE_DIR};
use crate::host::Root;
use crate::plan::Tell;
use crate::runtime::{ActiveState, Confirmation, Load, Runtime, RuntimeError, RuntimeSettings};
use crate::settings::Settings;
use crate::waits::{backoff, jittered};

/// How long an engine may take to say which settings it runs with.
pub(super) const ASK_SETTINGS: Duration = Duration::from_secs(5);

/// What an engine that was told makes of the files, and whether what needs it runs.
pub(super) type Told = (Confirmation, Result<(), RuntimeError>);

/// Tells the engine, and starts what a failed restart left dead (rule H5). None where there is nobody
/// to be told any more: whoever stopped, masked or removed it meanwhile wants no engine (rule H6).
pub(super) async fn tell_and_start(
    runtime: Arc<Runtime>,
    tell: Tell,
    dependents: Vec<String>,
) -> Result<Option<Told>, RuntimeError> {
    let Some(unit) = runtime.unit().await? else { return Ok(None) };
    let is_masked = unit.load == Load::Masked && !unit.active.runs();
    if unit.active == ActiveState::Inactive || is_masked {
        return Ok(None);
    }
    let told = runtime.tell(tell, &unit).await?;
    // Only now: each of them would start a failing engine once more.
    let started = runtime.start(&dependents).await;
    if let Err(error) = &started {
        tracing::warn!("the engine runs, but what needs it does not start: {error}");
    }
    Ok(Some((told, started)))
}

/// What the engine said last of the settings it runs with (rule R10). It is kept, because a policy that
/// CRI-O's command line names stays ours while CRI-O cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EngineSaid {
    /// The invocation that said it.
    pub invocation: String,
    /// What it said, as TOML.
    pub settings: String,
}

impl EngineSaid {
    pub fn load(root: &Root) -> Result<Option<Self>, ApplyError> {
        state::load(root, &Path::new(STATE_DIR).join("engine.json"))
    }

    pub fn save(&self, root: &Root) -> Result<(), ApplyError> {
        state::save(root, &Path::new(STATE_DIR).join("engine.json"), self)
    }

    pub fn forget(root: &Root) -> Result<(), ApplyError> {
        Ok(root.remove(&Path::new(STATE_DIR).join("engine.json")).map(drop)?)
    }
}

/// What is known of the engine beside how it stands.
#[derive(Default)]
pub(super) struct EngineNotes {
    /// What it said last of its settings.
    pub said: Option<EngineSaid>,
    /// The invocation that did not say it, so that it is logged once.
    pub mute: Option<String>,
    /// The settings name another engine than before: nobody has told it anything.
    pub is_another: bool,
    /// Since when it has been seen to start.
    pub starting_since: Option<Instant>,
    /// Others changed a file while it was told: it has to be told again.
    pub is_told_in_vain: bool,
    /// Others changed a file that it keeps in memory while something was waited for.
    pub has_healed: bool,
    /// What the heal that is under way found; none where an earlier process made it.
    pub healed: Option<Since>,
}

/// Wakes the driver whenever the engine's unit changes.
#[derive(Default)]
pub(super) struct EngineWatch(Option<(Arc<Runtime>, JoinHandle<()>)>);

impl EngineWatch {
    /// Watches this engine, if it is another than before.
    pub fn follow(&mut self, runtime: Option<&Arc<Runtime>>, wakes: &UnboundedSender<Wake>) {
        let now = self.0.as_ref().map(|(runtime, _)| runtime);
        if now.map(Arc::as_ptr) == runtime.map(Arc::as_ptr) {
            return;
        }
        if let Some((_, task)) = self.0.take() {
            task.abort();
        }
        self.0 = runtime.map(|runtime| {
            let task = tokio::spawn(watch(Arc::clone(runtime), wakes.clone()));
            (Arc::clone(runtime), task)
        });
    }
}

/// Goes on for as long as the bus can be had again. What is missed meanwhile, a look will tell.
async fn watch(runtime: Arc<Runtime>, wakes: UnboundedSender<Wake>) {
    let mut failures = 0_u32;
    loop {
        let mut is_watched = false;
        let lost = runtime
            .follow(|| {
                is_watched = true;
                // Nobody to wake: the process ends.
                let _ = wakes.send(Wake::Engine);
            })
            .await;
        failures = if is_watched { 0 } else { failures.saturating_add(1) };
        tracing::debug!("the engine's unit is not watched at present: {lost}");
        let _ = wakes.send(Wake::Engine);
        tokio::time::sleep(jittered(backoff(failures))).await;
    }
}

/// The engine's side, unless the settings or the root say that there is none to be told (X2).
pub(super) fn runtime_of(root: &Root, settings: &Settings) -> Option<Arc<Runtime>> {
    let is_managed = settings.manages_engine(root.path());
    is_managed.then(|| Arc::new(Runtime::new(described(root, settings))))
}

/// The settings that the engine says it runs with, for a command that runs once (rule R10): none
/// where there is no engine to be asked.
///
/// # Errors
/// It is there, and does not say.
pub async fn engine_settings(
    root: &Root,
    settings: &Settings,
) -> Result<Option<Vec<u8>>, RuntimeError> {
    let described = RuntimeSettings { answer_deadline: ASK_SETTINGS, ..described(root, settings) };
    if !settings.manages_engine(root.path()) || !described.socket.exists() {
        return Ok(None);
    }
    Runtime::new(described).config().await.map(Some)
}

/// The settings that the engine said it runs with when the service asked it last.
#[must_use]
pub fn said_last(root: &Root) -> Option<Vec<u8>> {
    EngineSaid::load(root).ok().flatten().map(|said| said.settings.into_bytes())
}

fn described(root: &Root, settings: &Settings) -> RuntimeSettings {
    RuntimeSettings {
        unit: settings.runtime.unit.clone(),
        socket: below(root, &settings.runtime.socket),
        bus: None,
        restart_deadline: settings.runtime.restart_deadline,
        reload_deadline: settings.runtime.reload_deadline,
        answer_deadline: settings.runtime.restart_deadline,
        journalctl: vec!["journalctl".into()],
    }
}

/// Where a path of the host is on this machine.
pub(super) fn below(root: &Root, path: &Path) -> PathBuf {
    root.path().join(path.strip_prefix("/").unwrap_or(path))
}
