//! A bus with nothing but a systemd on it, a journalctl and an engine's socket, all of which do as
//! a test says.
// Each test target uses its part of it.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use image_config_agent::runtime::{Runtime, RuntimeSettings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, fdo, interface};

const GUID: &str = "0123456789abcdef0123456789abcdef";
/// The bus's own name, under which the systemd speaks as well.
const BUS: &str = "org.freedesktop.DBus";
const SYSTEMD: &str = "/org/freedesktop/systemd1";

/// A unit of the systemd.
#[derive(Clone)]
pub struct Fake {
    pub load: &'static str,
    pub active: &'static str,
    pub sub: &'static str,
    pub invocation: u8,
    pub required_by: Vec<String>,
    pub bound_by: Vec<String>,
    /// By how much the clock was set forward since.
    pub clock_set_by: Duration,
    /// What becomes of a job.
    pub job: Job,
}

/// What becomes of a job.
#[derive(Clone, Copy, PartialEq)]
pub enum Job {
    /// It ends with a result, the unit in a state, and with a new invocation or not.
    Ends(&'static str, &'static str, bool),
    /// It never ends.
    Hangs,
    /// The bus goes away.
    LosesBus,
}

pub const DONE: Job = Job::Ends("done", "active", true);

/// The systemd's units, and what it was told.
#[derive(Default)]
pub struct State {
    pub units: HashMap<String, Fake>,
    pub told: Vec<String>,
    /// Lines that the engine logs at a reload.
    pub logs: Vec<String>,
}

pub struct Host {
    pub dir: TempDir,
    pub state: Arc<Mutex<State>>,
    pub settings: RuntimeSettings,
    bus: Option<JoinHandle<()>>,
}

/// The engine's unit, which runs.
pub fn running() -> Fake {
    Fake {
        load: "loaded",
        active: "active",
        sub: "sub",
        invocation: 1,
        required_by: Vec::new(),
        bound_by: Vec::new(),
        clock_set_by: Duration::ZERO,
        job: DONE,
    }
}

impl Host {
    /// A host on which crio.service runs and the socket answers.
    pub fn new() -> Self {
        let host = Self::without_socket();
        host.serve(vec![]);
        host
    }

    pub fn without_socket() -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("journalctl"), include_str!("journalctl")).unwrap();
        let settings = RuntimeSettings {
            unit: "crio.service".into(),
            socket: at("crio.sock"),
            bus: Some(format!("unix:path={}", at("bus").display())),
            journalctl: vec!["sh".into(), at("journalctl").into(), at("log").into()],
            restart_deadline: Duration::from_secs(30),
            reload_deadline: Duration::from_secs(30),
            answer_deadline: Duration::from_secs(30),
        };
        let mut host = Self { state: Arc::default(), settings, bus: None, dir };
        host.unit("crio.service", running());
        host.start_bus();
        host
    }

    pub fn runtime(&self) -> Runtime {
        Runtime::new(self.settings.clone())
    }

    pub fn unit(&self, name: &str, unit: Fake) {
        self.state.lock().unwrap().units.insert(name.into(), unit);
    }

    /// What becomes of the engine's next jobs.
    pub fn job(&self, job: Job) {
        self.state.lock().unwrap().units.get_mut("crio.service").unwrap().job = job;
    }

    pub fn told(&self) -> Vec<String> {
        self.state.lock().unwrap().told.clone()
    }

    /// The log of an invocation of the fakes, one entry a line.
    pub fn log(&self, invocation: u8) -> PathBuf {
        self.dir.path().join(format!("log.{}", format!("{invocation:02x}").repeat(16)))
    }

    pub fn start_bus(&mut self) {
        let path = self.dir.path().join("bus");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        let (state, log) = (self.state.clone(), self.log(1));
        self.bus = Some(tokio::spawn(async move {
            let mut clients = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                // A client may be killed before it has said hello.
                clients.extend(serve_bus(stream, state.clone(), log.clone()).await);
            }
        }));
    }

    /// Ends the bus, and every connection to it.
    pub fn stop_bus(&mut self) {
        self.bus.take().unwrap().abort();
    }

    /// Answers on the engine's socket: first these, one a connection, then 200 for ever. An empty
    /// answer is a connection that is closed.
    pub fn serve(&self, mut first: Vec<&'static str>) {
        let listener = UnixListener::bind(&self.settings.socket).unwrap();
        first.reverse();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = first.pop().unwrap_or("200 OK\r\ncontent-length: 6\r\n\r\n[crio]");
                let _ = stream.read(&mut [0; 1024]).await;
                if !answer.is_empty() {
                    let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
                }
            }
        });
    }
}

async fn serve_bus(
    stream: UnixStream,
    state: Arc<Mutex<State>>,
    log: PathBuf,
) -> zbus::Result<Connection> {
    let guid = zbus::Guid::try_from(GUID).unwrap();
    let units: Vec<String> = state.lock().unwrap().units.keys().cloned().collect();
    let mut builder = zbus::connection::Builder::unix_stream(stream.into_std().unwrap())
        .server(guid)
        .p2p()
        .unique_name(BUS)
        .serve_at("/org/freedesktop/DBus", Dbus)
        .serve_at(SYSTEMD, Manager { state: state.clone(), log });
    for name in units.into_iter().chain(["unknown.service".to_owned()]) {
        let path = unit_path(&name);
        builder = builder
            .serve_at(path.clone(), Unit { name: name.clone(), state: state.clone() })
            .serve_at(path, Service);
    }
    builder.build().await
}

fn unit_path(name: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("{SYSTEMD}/unit/{}", name.replace('.', "_2e"))).unwrap()
}

struct Dbus;

#[interface(name = "org.freedesktop.DBus")]
impl Dbus {
    fn hello(&self) -> &str {
        ":1.2"
    }
    fn add_match(&self, _rule: &str) {}
    fn remove_match(&self, _rule: &str) {}
    fn get_name_owner(&self, _name: &str) -> &str {
        BUS
    }
}

struct Manager {
    state: Arc<Mutex<State>>,
    log: PathBuf,
}

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum Refusal {
    #[zbus(error)]
    Bus(zbus::Error),
    NoSuchUnit(String),
}

impl Manager {
    /// One job; its end is signalled before its path is known, behind that of a job of the same
    /// unit that somebody else ran.
    async fn run(
        &self,
        verb: &str,
        name: &str,
        emitter: &SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Refusal> {
        let path = OwnedObjectPath::try_from(format!("{SYSTEMD}/job/7")).unwrap();
        let other = OwnedObjectPath::try_from(format!("{SYSTEMD}/job/6")).unwrap();
        let job = {
            let mut state = self.state.lock().unwrap();
            state.told.push(format!("{verb} {name}"));
            let logs = state.logs.join("\n");
            let unit = state.units.get_mut(name);
            let unit = unit.ok_or_else(|| Refusal::NoSuchUnit(format!("{name} not found.")))?;
            if let Job::Ends(_, active, anew) = unit.job {
                unit.active = active;
                unit.invocation += u8::from(anew && verb != "reload");
            }
            if verb == "reload" && !logs.is_empty() {
                let before = fs::read_to_string(&self.log).unwrap_or_default();
                fs::write(&self.log, format!("{before}{logs}\n")).unwrap();
            }
            unit.job
        };
        match job {
            Job::Ends(result, ..) => {
                Self::job_removed(emitter, 6, &other, name, "canceled").await?;
                Self::job_removed(emitter, 7, &path, name, result).await?;
            }
            Job::Hangs => {}
            Job::LosesBus => emitter.connection().clone().close().await?,
        }
        Ok(path)
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {}

    fn load_unit(&self, name: &str) -> OwnedObjectPath {
        let known = self.state.lock().unwrap().units.contains_key(name);
        unit_path(if known { name } else { "unknown.service" })
    }

    fn reset_failed_unit(&self, name: &str) -> Result<(), Refusal> {
        let mut state = self.state.lock().unwrap();
        state.told.push(format!("reset {name}"));
        match state.units.get(name) {
            Some(unit) if unit.active != "inactive" => Ok(()),
            _ => Err(Refusal::NoSuchUnit(format!("Unit {name} not loaded."))),
        }
    }

    async fn start_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.run("start", name, &emitter).await
    }

    async fn restart_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.run("restart", name, &emitter).await
    }

    async fn reload_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.run("reload", name, &emitter).await
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: &OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

struct Unit {
    name: String,
    state: Arc<Mutex<State>>,
}

impl Unit {
    fn fake(&self) -> Fake {
        let unknown = Fake { load: "not-found", active: "inactive", ..running() };
        self.state.lock().unwrap().units.get(&self.name).cloned().unwrap_or(unknown)
    }
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn id(&self) -> String {
        self.name.clone()
    }
    #[zbus(property)]
    fn load_state(&self) -> &str {
        self.fake().load
    }
    #[zbus(property)]
    fn active_state(&self) -> &str {
        self.fake().active
    }
    #[zbus(property)]
    fn sub_state(&self) -> &str {
        self.fake().sub
    }
    #[zbus(property, name = "InvocationID")]
    fn invocation(&self) -> Vec<u8> {
        vec![self.fake().invocation; 16]
    }
    #[zbus(property)]
    fn required_by(&self) -> Vec<String> {
        self.fake().required_by
    }
    #[zbus(property)]
    fn bound_by(&self) -> Vec<String> {
        self.fake().bound_by
    }
    #[zbus(property)]
    fn state_change_timestamp(&self) -> u64 {
        ago(clock(), RELOADED + self.fake().clock_set_by)
    }
    #[zbus(property)]
    fn state_change_timestamp_monotonic(&self) -> u64 {
        ago(uptime(), RELOADED)
    }
    #[zbus(property)]
    fn active_enter_timestamp(&self) -> u64 {
        ago(clock(), STARTED + self.fake().clock_set_by)
    }
    #[zbus(property)]
    fn active_enter_timestamp_monotonic(&self) -> u64 {
        ago(uptime(), STARTED)
    }
}

/// How long ago a unit was last reloaded, and started.
pub const RELOADED: Duration = Duration::from_secs(1);
const STARTED: Duration = Duration::from_secs(2);

fn clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn uptime() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap().into()
}

/// In microseconds.
fn ago(now: Duration, by: Duration) -> u64 {
    (now - by).as_micros().try_into().unwrap()
}

struct Service;

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn result(&self) -> fdo::Result<String> {
        Ok("exit-code".into())
    }
    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        3
    }
}
