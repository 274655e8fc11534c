//! The engine of an agent's host: a systemd and a socket that do as the test says.

use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;

use crate::fake::{self, Job, State};
use crate::support::Host;

/// It runs until it is dropped.
pub struct Engine {
    state: Arc<Mutex<State>>,
    /// The address of its bus.
    pub bus: String,
    host: fake::Host,
    executor: Runtime,
}

impl Engine {
    /// One that runs, and whose socket lies on `host` where [`Engine::SETTINGS`] say.
    pub fn on(host: &Host) -> Self {
        let executor =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let executor = executor.unwrap();
        let fake = executor.block_on(async { fake::Host::new() });
        std::os::unix::fs::symlink(&fake.settings.socket, host.at("/crio.sock")).unwrap();
        let bus = fake.settings.bus.clone().unwrap();
        Self { state: fake.state.clone(), bus, host: fake, executor }
    }

    pub const SETTINGS: &str = "runtime.manager = \"systemd\"\nruntime.socket = \"/crio.sock\"\n";

    /// How often it was restarted.
    pub fn restarts(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.told.iter().filter(|told| told.contains("RestartUnit")).count()
    }

    /// What becomes of its next jobs.
    pub fn job(&self, job: Job) {
        let _guard = self.executor.enter();
        self.host.job(job);
    }
}
