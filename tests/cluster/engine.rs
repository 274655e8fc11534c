//! The engine of an agent's host: a systemd and a socket that do as the test says.

use std::sync::{Arc, Mutex};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::fake::{self, Job, State};
use crate::support::Host;

/// It runs until it is dropped.
pub struct Engine {
    state: Arc<Mutex<State>>,
    /// The address of its bus.
    pub bus: String,
    host: fake::Host,
    executor: Handle,
    /// The thread that drives the executor ends when this is dropped.
    _end: oneshot::Sender<()>,
}

impl Engine {
    /// One that runs, and whose socket lies on `host` where [`Engine::SETTINGS`] say.
    pub fn on(host: &Host) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let executor = runtime.handle().clone();
        let fake = runtime.block_on(async { fake::Host::new() });
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || runtime.block_on(ended));
        std::os::unix::fs::symlink(&fake.settings.socket, host.at("/crio.sock")).unwrap();
        let bus = fake.settings.bus.clone().unwrap();
        Self { state: fake.state.clone(), bus, host: fake, executor, _end: end }
    }

    pub const SETTINGS: &str = "runtime.manager = \"systemd\"\nruntime.socket = \"/crio.sock\"\n";

    /// How often it was restarted.
    pub fn restarts(&self) -> usize {
        self.told("restart ")
    }

    /// How often it was told to read its files again.
    pub fn reloads(&self) -> usize {
        self.told("reload ")
    }

    fn told(&self, verb: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.told.iter().filter(|told| told.starts_with(verb)).count()
    }

    /// Its unit stands so from now on, as if others had started or stopped it.
    pub fn stands(&self, active: &'static str) {
        self.state.lock().unwrap().units.get_mut("crio.service").unwrap().active = active;
    }

    /// What becomes of its next jobs.
    pub fn job(&self, job: Job) {
        let _guard = self.executor.enter();
        self.host.job(job);
    }
}
