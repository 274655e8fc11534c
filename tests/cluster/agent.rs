//! The agent of one node, on a scratch root.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::{Process, until_or};
use crate::support::Host;

/// A running agent and its host. It is killed when it is dropped.
pub struct Agent {
    pub node: String,
    pub host: Host,
    /// The address of its system bus, if it has one.
    bus: Option<String>,
    /// The pod in whose stead it runs, if it does.
    pod: Option<Pod>,
    process: Process,
}

/// What a pod has to reach the API server: a port, and the folder of its service account's files.
pub struct Pod {
    pub port: u16,
    pub account: PathBuf,
}

impl Agent {
    /// Runs the agent of a node. It knows the cluster by a kubeconfig, which lies on its host as
    /// `/etc/image-config-agent/kubeconfig`; `settings` is TOML that comes on top.
    pub fn start(node: &str, kubeconfig: &str, settings: &str) -> Self {
        Self::on(Host::new(), node, kubeconfig, settings)
    }

    /// The same on a host that is there already.
    pub fn on(host: Host, node: &str, kubeconfig: &str, settings: &str) -> Self {
        Self::with_bus(host, node, kubeconfig, settings, None)
    }

    /// The same with a system bus.
    pub fn with_bus(
        host: Host,
        node: &str,
        kubeconfig: &str,
        settings: &str,
        bus: Option<&str>,
    ) -> Self {
        host.write("/etc/image-config-agent/kubeconfig", kubeconfig);
        host.mode("/etc/image-config-agent/kubeconfig", 0o600);
        let base = format!("log.filter = \"debug\"\nsource.quiet_seconds = 1\n{settings}");
        host.write("/etc/image-config-agent/config.d/10-tests.toml", base);
        let process = run(&host, node, bus, None);
        Self { node: node.to_owned(), host, bus: bus.map(str::to_owned), pod: None, process }
    }

    /// Runs the agent of a node as its pod would: it knows the cluster by the environment, and by the
    /// files of a service account, which lie where every pod has them, for this one process.
    pub fn in_pod(node: &str, pod: Pod, settings: &str) -> Self {
        let host = Host::new();
        let base = format!("log.filter = \"debug\"\nsource.quiet_seconds = 1\n{settings}");
        host.write("/etc/image-config-agent/config.d/10-tests.toml", base);
        let process = run(&host, node, None, Some(&pod));
        Self { node: node.to_owned(), host, bus: None, pod: Some(pod), process }
    }

    pub fn status(&self) -> Value {
        let file = self.host.at("/run/image-config-agent/status.json");
        std::fs::read(file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// What it logged last.
    pub fn said(&self) -> String {
        self.process.said()
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

    /// Asks until it is so.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        until_or(
            &format!("{}: {what}", self.node),
            || format!("{:#}\n{}", self.status(), self.said()),
            is_so,
        );
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

    /// Other credentials, put in place as a rotation does.
    pub fn rotate(&self, kubeconfig: &str) {
        let at = self.host.at("/etc/image-config-agent/kubeconfig");
        let draft = at.with_extension("new");
        std::fs::write(&draft, kubeconfig).unwrap();
        std::fs::rename(draft, at).unwrap();
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops it as a kubelet or systemd does.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Kills it, and starts it again.
    pub fn crash_and_restart(&mut self) {
        self.process.signal(Signal::SIGKILL);
        self.start_again();
    }

    /// Starts it again after a stop.
    pub fn start_again(&mut self) {
        self.process = run(&self.host, &self.node, self.bus.as_deref(), self.pod.as_ref());
    }
}

/// A service account's files where a pod has them, in a mount namespace of the process's own.
const MOUNTED: &str = "mount --make-rprivate / && mount -t tmpfs none /run \
    && mkdir -p /run/secrets/kubernetes.io/serviceaccount \
    && mount --bind \"$0\" /run/secrets/kubernetes.io/serviceaccount && exec \"$@\"";

fn run(host: &Host, node: &str, bus: Option<&str>, pod: Option<&Pod>) -> Process {
    let program = env!("CARGO_BIN_EXE_image-config-agent");
    let with = |command: &mut Command| {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("IMAGE_CONFIG_AGENT_KUBE_NODE", node);
        command.envs(bus.map(|bus| ("DBUS_SYSTEM_BUS_ADDRESS", bus)));
        if let Some(pod) = pod {
            command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
            command.env("KUBERNETES_SERVICE_PORT", pod.port.to_string());
            command.args(["-m", "sh", "-c", MOUNTED]).arg(&pod.account).arg(program);
        }
        command.args(["run", "--root"]).arg(host.root());
    };
    let log = host.root().with_file_name("agent.log");
    Process::start(if pod.is_some() { "unshare" } else { program }, with, log)
}
