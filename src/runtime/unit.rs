//! What systemd says of a unit.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use zbus::OwnedVariant;

use super::error::RuntimeError;

/// A unit, as systemd sees it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its own name, where it was asked for by an alias.
    pub id: String,
    /// Whether its files could be loaded.
    pub load: Load,
    /// Whether it runs (rule H6).
    pub active: ActiveState,
    /// The same, as its type of unit has it.
    pub sub: String,
    /// The invocation that runs, or ran last, in hexadecimal; empty where it never ran. A restart
    /// changes it, a reload does not.
    pub invocation: String,
    /// The units that cannot be without this one, directly or through others, and that are
    /// active or about to be: systemd stops them with it (rule H5).
    pub dependents: Vec<String>,
    /// When it may last have read its files: its last start or reload. None where it never did, or where
    /// the clock was set since, so that its times are of no use.
    pub last_read: Option<SystemTime>,
}

impl Unit {
    /// Whether it is being started, and does not just wait for its next automatic start.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.active == ActiveState::Activating && !self.is_between_starts()
    }

    /// Whether it has died, and systemd will start it again by itself.
    #[must_use]
    pub fn is_between_starts(&self) -> bool {
        self.active == ActiveState::Activating && self.sub.starts_with("auto-restart")
    }
}

/// Whether systemd could load a unit's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// It could.
    Loaded,
    /// The unit is masked: it cannot be started (rule H6).
    Masked,
    /// There is no file, but the unit still runs.
    NotFound,
    /// Anything else that systemd says: `bad-setting`, `error`.
    Other(String),
}

/// Whether a unit runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActiveState {
    /// It runs.
    Active,
    /// It runs, and reads its files again.
    Reloading,
    /// It does not run.
    Inactive,
    /// It does not run, and not by anybody's wish.
    Failed,
    /// It is being started, or waits for its next automatic start.
    Activating,
    /// It is being stopped.
    Deactivating,
}

impl ActiveState {
    /// Whether the unit runs.
    #[must_use]
    pub fn runs(self) -> bool {
        matches!(self, Self::Active | Self::Reloading)
    }

    fn parse(state: &str) -> Option<Self> {
        Some(match state {
            "active" => Self::Active,
            "reloading" | "refreshing" => Self::Reloading,
            "inactive" | "maintenance" => Self::Inactive,
            "failed" => Self::Failed,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            _ => return None,
        })
    }
}

impl fmt::Display for ActiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
        })
    }
}

/// The properties of one interface of a unit, all of one moment.
pub(super) struct Properties(pub(super) HashMap<String, OwnedVariant>);

impl Properties {
    /// The unit that they describe, without its dependents; `None` where there is no such unit.
    pub(super) fn unit(&self) -> Result<Option<Unit>, RuntimeError> {
        let active = self.active()?;
        let load = match self.get::<String>("LoadState")?.as_str() {
            "loaded" => Load::Loaded,
            "masked" => Load::Masked,
            "not-found" if active == ActiveState::Inactive => return Ok(None),
            "not-found" => Load::NotFound,
            other => Load::Other(other.to_owned()),
        };
        Ok(Some(Unit {
            id: self.get("Id")?,
            load,
            active,
            sub: self.get("SubState")?,
            invocation: hex(&self.get::<Vec<u8>>("InvocationID")?),
            dependents: Vec::new(),
            last_read: self.last_read(active)?,
        }))
    }

    /// Whether the unit runs.
    pub(super) fn active(&self) -> Result<ActiveState, RuntimeError> {
        let state: String = self.get("ActiveState")?;
        ActiveState::parse(&state).ok_or_else(|| unreadable("ActiveState", &state))
    }

    /// The units that systemd stops with this one when this one fails.
    pub(super) fn required_by(&self) -> Result<Vec<String>, RuntimeError> {
        let mut names: Vec<String> = self.get("RequiredBy")?;
        names.extend(self.get::<Vec<String>>("BoundBy")?);
        Ok(names)
    }

    /// A start enters `active`, and a reload enters it again: so the last change of state of a
    /// unit that runs is never before it last read its files. (The times of ExecReload would
    /// say the same, but systemd forgets them at a daemon-reload.)
    fn last_read(&self, active: ActiveState) -> Result<Option<SystemTime>, RuntimeError> {
        let stamp = if active.runs() { "StateChangeTimestamp" } else { "ActiveEnterTimestamp" };
        let micros: u64 = self.get(stamp)?;
        let monotonic: u64 = self.get(&format!("{stamp}Monotonic"))?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros));
        Ok(at.filter(|at| micros != 0 && !was_clock_set(*at, Duration::from_micros(monotonic))))
    }

    /// One property.
    pub(super) fn get<T>(&self, name: &str) -> Result<T, RuntimeError>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: fmt::Display,
    {
        let value = self.0.get(name).ok_or_else(|| unreadable(name, &"it is missing"))?;
        let value = value.try_clone().map_err(|error| unreadable(name, &error))?;
        T::try_from(value).map_err(|error| unreadable(name, &error))
    }
}

/// Whether the clock says another time since then than the one that nobody can set.
fn was_clock_set(at: SystemTime, monotonic: Duration) -> bool {
    const SLACK: Duration = Duration::from_secs(2);
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from) else { return true };
    let Ok(by_clock) = SystemTime::now().duration_since(at) else { return true };
    by_clock.abs_diff(now.saturating_sub(monotonic)) > SLACK
}

fn unreadable(name: &str, why: &dyn fmt::Display) -> RuntimeError {
    RuntimeError::Unreadable { why: format!("property {name}: {why}") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
