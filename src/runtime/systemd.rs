//! systemd over its bus: units read, jobs run to their end.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

use super::error::RuntimeError;
use super::unit::{ActiveState, Properties, Unit};
use crate::model::finding::printable;

const SERVICE: &str = "org.freedesktop.systemd1";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_UNIT: &str = "org.freedesktop.systemd1.Service";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// The longest wait for the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest wait for the answer to one call; a large host's daemon-reload keeps systemd from
/// answering for seconds.
const CALL: Duration = Duration::from_secs(20);
/// Signals that may arrive while the answer to a call is awaited.
const QUEUED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// The most units that are looked at for dependents.
const MOST_DEPENDENTS: usize = 200;

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: zbus::ObjectPath<'_>,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

/// What systemd is asked to do with a unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// StartUnit.
    Start,
    /// RestartUnit.
    Restart,
    /// ReloadUnit: done as soon as ExecReload is, whatever the engine makes of it (rule H7).
    Reload,
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }
}

/// One connection to systemd. Each operation opens its own, so that a bus that was restarted, or
/// a systemd that lost its subscribers, harms one operation at most.
pub(super) struct Bus {
    connection: Connection,
    manager: ManagerProxy<'static>,
}

impl Bus {
    /// Connects, and has systemd send signals: without Subscribe they come only where somebody
    /// else, logind for one, has subscribed.
    pub(super) async fn open(address: Option<&str>) -> Result<Self, RuntimeError> {
        let builder = match address {
            Some(address) => zbus::connection::Builder::address(address),
            None => zbus::connection::Builder::system(),
        };
        let builder = builder.method_timeout(CALL).max_queued(QUEUED);
        let connection = timeout(CONNECT, builder.build())
            .await
            .map_err(|_| deadline("a connection to the system bus".to_owned(), CONNECT))?
            .map_err(|error| RuntimeError::Bus { why: printable(&error.to_string()) })?;
        let manager = ManagerProxy::builder(&connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|error| RuntimeError::of_call("Subscribe", SERVICE, error))?;
        let bus = Self { connection, manager };
        let subscribed = bus.manager.subscribe().await;
        subscribed.map_err(|error| RuntimeError::of_call("Subscribe", SERVICE, error))?;
        Ok(bus)
    }

    /// The unit with its dependents; `None` where there is no such unit.
    pub(super) async fn unit(&self, name: &str) -> Result<Option<Unit>, RuntimeError> {
        let properties = self.properties(name, UNIT).await?;
        let Some(mut unit) = properties.unit()? else {
            return Ok(None);
        };
        unit.dependents = self.dependents(&unit.id, &properties).await?;
        Ok(Some(unit))
    }

    /// Calls `changed` at once, and at every change of the unit.
    pub(super) async fn follow(&self, name: &str, mut changed: impl FnMut()) -> RuntimeError {
        let signals = async {
            let path = self.manager.load_unit(name).await?;
            let proxy = PropertiesProxy::new(&self.connection, SERVICE, path).await?;
            proxy.receive_properties_changed().await
        };
        let mut signals = match timeout(CALL, signals).await {
            Ok(Ok(signals)) => signals,
            Ok(Err(error)) => return RuntimeError::of_call("PropertiesChanged", name, error),
            Err(_) => return deadline("systemd's signals".to_owned(), CALL),
        };
        changed();
        while signals.next().await.is_some() {
            changed();
        }
        RuntimeError::Bus { why: "the connection was lost".to_owned() }
    }

    /// The properties of one interface of a unit.
    async fn properties(
        &self,
        unit: &str,
        interface: &'static str,
    ) -> Result<Properties, RuntimeError> {
        let path = self.manager.load_unit(unit).await;
        let path = path.map_err(|error| RuntimeError::of_call("LoadUnit", unit, error))?;
        let all = async {
            let proxy = PropertiesProxy::new(&self.connection, SERVICE, path).await?;
            Ok(proxy.get_all(InterfaceName::from_static_str(interface)?).await?)
        };
        all.await.map(Properties).map_err(|error| RuntimeError::of_call("GetAll", unit, error))
    }

    /// The units that require the unit, directly or through others, and that are active or that systemd
    /// is about to start: a restart of the unit that fails leaves all of these dead.
    async fn dependents(&self, id: &str, of: &Properties) -> Result<Vec<String>, RuntimeError> {
        let mut seen = HashSet::from([id.to_owned()]);
        let mut next = of.required_by()?;
        let mut active = Vec::new();
        while let Some(name) = next.pop() {
            if seen.len() >= MOST_DEPENDENTS || !seen.insert(name.clone()) {
                continue;
            }
            let properties = self.properties(&name, UNIT).await?;
            next.extend(properties.required_by()?);
            let state = properties.active()?;
            // One that is being started, or started again and again, waits for the engine, and fails with it.
            if state.runs() || state == ActiveState::Activating {
                active.push(name);
            }
        }
        active.sort();
        Ok(active)
    }

    /// Forgets earlier failures of the unit, and with them its start limit (rule H6).
    pub(super) async fn reset_failed(&self, unit: &str) -> Result<(), RuntimeError> {
        match self.manager.reset_failed_unit(unit).await {
            // systemd unloads a unit that does not run and that nothing refers to.
            Err(zbus::Error::MethodError(name, ..)) if name.as_str() == NO_SUCH_UNIT => Ok(()),
            other => other.map_err(|error| RuntimeError::of_call("ResetFailedUnit", unit, error)),
        }
    }

    /// Runs a job to its end.
    pub(super) async fn run(
        &self,
        job: Job,
        unit: &str,
        patience: Duration,
    ) -> Result<(), RuntimeError> {
        let failed = |error| RuntimeError::of_call(job.name(), unit, error);
        // Before the call: the job may be over before its path is known here.
        let mut removed = timeout(CALL, self.manager.receive_job_removed())
            .await
            .map_err(|_| deadline("systemd's signals".to_owned(), CALL))?
            .map_err(failed)?;
        let path = match job {
            Job::Start => self.manager.start_unit(unit, "replace").await,
            Job::Restart => self.manager.restart_unit(unit, "replace").await,
            Job::Reload => self.manager.reload_unit(unit, "replace").await,
        };
        let path = path.map_err(failed)?;
        let ended = async {
            while let Some(signal) = removed.next().await {
                let gone = signal.args().map_err(failed)?;
                // By path: an automatic restart's jobs are of the same unit.
                if gone.job.as_str() == path.as_str() {
                    return Ok(gone.result.to_string());
                }
            }
            Err(RuntimeError::Bus { why: "the connection was lost in mid-job".to_owned() })
        };
        let result = timeout(patience, ended).await.map_err(|_| {
            deadline(format!("the end of the {} of {}", job.name(), printable(unit)), patience)
        })??;
        if result == "done" {
            return Ok(());
        }
        Err(RuntimeError::Job {
            job: job.name(),
            unit: printable(unit),
            result: printable(&result),
            evidence: String::new(),
        })
    }

    /// How the unit's main process ended, as `systemctl status` has it.
    pub(super) async fn result(&self, unit: &str) -> Result<String, RuntimeError> {
        let service = self.properties(unit, SERVICE_UNIT).await?;
        let result: String = service.get("Result")?;
        let status: i32 = service.get("ExecMainStatus")?;
        Ok(format!("result {}, status {status}", printable(&result)))
    }
}

fn deadline(what: String, waited: Duration) -> RuntimeError {
    RuntimeError::Deadline { what, waited }
}
