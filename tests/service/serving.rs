//! A running agent.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::agent::{Host, Run, image};

/// Long enough for a busy machine; what goes well takes a fraction of it.
pub const SOON: Duration = Duration::from_secs(30);

/// An agent that serves a host, and the host. It ends with the test.
pub struct Serving {
    pub host: Host,
    child: Child,
}

pub fn blocking(registry: &str) -> Value {
    image(json!({"blockedRegistries": [registry]}))
}

/// A host whose agent has applied that `a.io` is blocked.
pub fn serving() -> Serving {
    let serving = Serving::on(Host::with(&[blocking("a.io")]), &[]);
    serving.converges();
    serving
}

impl Serving {
    pub fn on(host: Host, arguments: &[&str]) -> Self {
        Self::with_environment(host, arguments, &[])
    }

    pub fn with_environment(host: Host, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let child = spawn(&host, arguments, variables);
        let serving = Self { host, child };
        serving.until("the status", || serving.host.exists("/run/image-config-agent/status.json"));
        serving
    }

    /// Asks until it is so.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < SOON, "{what} does not come: {}", self.status());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn status(&self) -> Value {
        let file = self.host.at("/run/image-config-agent/status.json");
        std::fs::read(file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// A condition's status and reason.
    pub fn condition(&self, kind: &str) -> (String, String) {
        let status = self.status();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition["type"] == kind);
        let text = |key: &str| {
            found.as_ref().and_then(|found| found[key].as_str()).unwrap_or("").to_owned()
        };
        (text("status"), text("reason"))
    }

    #[track_caller]
    pub fn until_condition(&self, kind: &str, status: &str, reason: &str) {
        let wanted = (status.to_owned(), reason.to_owned());
        self.until(&format!("{kind} {status} {reason}"), || self.condition(kind) == wanted);
    }

    #[track_caller]
    pub fn converges(&self) {
        self.until("convergence", || self.host.run(&["status"]).code == 0);
    }

    /// Until the files say so of an image.
    #[track_caller]
    pub fn until_verdict(&self, reference: &str, verdict: &str) {
        self.until(&format!("{reference} {verdict}"), || self.host.verdict(reference) == verdict);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log(&self.host)).unwrap()
    }

    /// Its lines that say `what`.
    pub fn logged(&self, what: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }

    pub fn ask(&self, command: &str) -> Run {
        self.host.run(&[command])
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it as systemd does.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < SOON, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts another after a stop.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.host, &[], &[]);
    }

    /// Signals an agent that was just started, once it has said something.
    pub fn signal_when_ready(&self, signal: Signal) {
        self.is_there();
        self.signal(signal);
    }

    /// Waits for the first status of this agent: what an earlier one said stays until then.
    pub fn is_there(&self) {
        let pid = self.child.id();
        self.until("its status", || self.status()["pid"] == pid);
    }

    /// Kills it, and starts another.
    pub fn crash_and_restart(&mut self) {
        self.restart_with(&[]);
    }

    /// Kills it, and starts another with these arguments.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
        self.child = spawn(&self.host, arguments, &[]);
    }
}

fn spawn(host: &Host, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let docs: PathBuf = host.docs();
    Command::new(env!("CARGO_BIN_EXE_image-config-agent"))
        .env_clear()
        .envs(variables.iter().copied())
        .args(["run", "--set", "source.quiet_seconds=1", "-f"])
        .arg(docs)
        .arg("--root")
        .arg(host.root())
        .args(arguments)
        .stderr(std::fs::File::options().append(true).create(true).open(log(host)).unwrap())
        .spawn()
        .unwrap()
}

/// In a directory of its own: what is written beside the documents would wake the agent up.
fn log(host: &Host) -> PathBuf {
    let dir = host.root().with_file_name("log");
    std::fs::create_dir_all(&dir).unwrap();
    dir.join("agent.log")
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
