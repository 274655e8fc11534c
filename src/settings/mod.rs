//! The agent's own settings: TOML files, then the environment, then flags; what comes later wins.
//! All that is wrong with them is said at once, with where it stands.

mod endpoint;
mod keys;
mod load;
mod value;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Paths;
use crate::model::finding::{Finding, Origin, Severity};
use crate::model::paths::{RUN_DIR, STATE_DIR};
use crate::node::NodeSettings;
use crate::plan::RuntimeAction;

pub use endpoint::{Endpoint, Report, ReportMethod, Server};
pub use keys::{GROUPS, Group, Key, keys};
pub use load::{DIRECTORIES, Loaded, MAIN_FILE, SettingsError};

/// What becomes of a change that would lock the host out (rule H8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guard {
    /// It is refused.
    #[default]
    Enforce,
    /// It is made, with a warning.
    Warn,
    /// Nobody looks.
    Off,
}

/// What becomes of files of ours that others change (rule H9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriftAction {
    /// They are put right.
    #[default]
    Heal,
    /// It is said.
    Report,
}

/// Where documents come from, as `source.order` names it (rule E1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceName {
    /// The API of a cluster.
    Kube,
    /// A URL.
    Endpoint,
    /// Files of the host.
    Files,
}

impl SourceName {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kube => "kube",
            Self::Endpoint => "endpoint",
            Self::Files => "files",
        }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time and colour.
    Pretty,
    /// For the journal, which has times of its own.
    Journal,
    /// For programs: an object a line.
    Json,
}

/// An address to serve at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port of the host.
    Tcp(SocketAddr),
    /// A socket below the root.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The engine, and how it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Whether systemd is asked at all; unset: for the root `/` it is (rule X2).
    pub is_managed: Option<bool>,
    /// What the engine is told.
    pub action: RuntimeAction,
    /// Its unit.
    pub unit: String,
    /// Its socket, below the root.
    pub socket: PathBuf,
    /// How long a restart may take until the engine answers.
    pub restart_deadline: Duration,
    /// How long a reload may take until the engine confirms it.
    pub reload_deadline: Duration,
}

/// What becomes of the configuration once the cluster has no Image any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMissing {
    /// The last Image stays in force.
    #[default]
    Keep,
    /// It counts as one that says nothing.
    Revert,
}

/// The cluster, and this host's place in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kube {
    /// The credentials, as the agent itself sees the file; unset: the service account of its pod.
    pub kubeconfig: Option<PathBuf>,
    /// The name of this host's Node; unset: the host's name.
    pub node: Option<String>,
    /// What becomes of an Image that is deleted.
    pub on_missing: OnMissing,
    /// Whether the release payload's image is taken from the cluster's ClusterVersion.
    pub takes_release_image: bool,
    /// Whether nodes that the Machine Config Operator manages are changed all the same.
    pub changes_mco_nodes: bool,
}

/// All settings, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Every path that is read or written, as the host sees it.
    pub paths: Paths,
    /// Where the ConfigMap that `additionalTrustedCA` names lives.
    pub trusted_ca_namespace: String,
    /// What becomes of a change that would lock the host out.
    pub guard: Guard,
    /// Images that the host cannot live without, beside those found on it.
    pub guard_images: Vec<String>,
    /// Where documents come from, the source that outranks all others first (rule E1).
    pub order: Vec<SourceName>,
    /// After so long without good documents from a source a lower one is obeyed; else never.
    pub fallback_after: Option<Duration>,
    /// The URL that documents come from.
    pub endpoint: Endpoint,
    /// The URL that the status goes to.
    pub report: Report,
    /// Files and directories of documents that `run` obeys.
    pub sources: Vec<PathBuf>,
    /// The release payload's image, which is never locked out.
    pub release_image: Option<String>,
    /// The engine, and how it is told.
    pub runtime: Runtime,
    /// What becomes of the cluster's node that this host is, during a change.
    pub node: NodeSettings,
    /// The cluster, and this host's place in it.
    pub kube: Kube,
    /// What becomes of files of ours that others change.
    pub drift: DriftAction,
    /// How long documents must have stayed as they are before they count.
    pub quiet: Duration,
    /// How often all is looked at again although nobody said that anything changed.
    pub recheck: Duration,
    /// What is logged.
    pub log_filter: String,
    /// How the log is written; unset: for the journal where it reads it, else pretty.
    pub log_format: Option<LogFormat>,
    /// Where metrics and probes are served; unset: nowhere.
    pub metrics_listen: Option<Listen>,
    /// The image that the agent itself runs from, if it runs from one.
    pub agent_image: Option<String>,
    /// Where the kubelet finds static pods: directories or files.
    pub static_pods: Vec<PathBuf>,
}

impl Settings {
    /// What is wrong with settings that do not go together, each with the one to look at.
    fn problems(&self) -> Vec<(String, String)> {
        let servers = [("endpoint", &self.endpoint.server), ("report", &self.report.server)];
        let node = self.node_name();
        let of = |(prefix, server): (&str, &Server)| {
            let (name, problem) = server.problem(&node)?;
            Some((format!("{prefix}.{name}"), problem))
        };
        let mut problems: Vec<_> = servers.into_iter().filter_map(of).collect();
        if self.order.contains(&SourceName::Endpoint) && self.endpoint.server.url.is_none() {
            problems.push((
                "source.order".to_owned(),
                "it names endpoint: set endpoint.url".to_owned(),
            ));
        }
        problems.extend(self.misplaced());
        problems
    }

    /// What is set and of no use.
    #[must_use]
    pub fn unused(&self) -> Option<Finding> {
        let is_asked = self.order.contains(&SourceName::Endpoint);
        self.endpoint.server.url.as_ref().filter(|_| !is_asked)?;
        Some(Finding::new(
            Severity::Warning,
            "EndpointNotAsked",
            Origin::field("settings", "endpoint.url"),
            "the URL is not asked for documents: source.order does not name endpoint.",
            "Set source.order, for instance to [\"endpoint\", \"files\"], or remove the URL.",
        ))
    }

    /// Paths to which nothing could be written, or where it would be of no use.
    fn misplaced(&self) -> Vec<(String, String)> {
        let paths = &self.paths;
        let written = [
            ("paths.policy", &paths.policy),
            ("paths.registries_conf", &paths.registries_conf),
            ("paths.search_drop_in", &paths.search_drop_in),
            ("paths.certs_d", &paths.certs_d),
        ];
        let mut problems = Vec::new();
        let mut problem = |name: &str, why: String| problems.push((name.to_owned(), why));
        for (at, (name, path)) in written.iter().enumerate() {
            if path.starts_with(STATE_DIR) {
                problem(name, format!("the agent keeps its own state below {STATE_DIR}"));
            }
            if let Some((other, _)) = written.iter().take(at).find(|(_, other)| other == path) {
                problem(name, format!("{other} is the same path"));
            }
        }
        let drop_in = &paths.search_drop_in;
        let is_conf = drop_in.extension().is_some_and(|extension| extension == "conf");
        if drop_in.parent() != Some(&paths.registries_conf_d) || !is_conf {
            let dir = paths.registries_conf_d.display();
            problem("paths.search_drop_in", format!("the engine reads none but {dir}/*.conf"));
        }
        if let Some(Listen::Unix(socket)) = &self.metrics_listen {
            let own = ["control.sock", "status.json"].map(|name| Path::new(RUN_DIR).join(name));
            if *socket == self.runtime.socket || own.contains(socket) {
                problem("metrics.listen", format!("{} is there already", socket.display()));
            }
        }
        problems
    }

    /// Whether the engine of the host below `root` is told anything (rule X2).
    #[must_use]
    pub fn manages_engine(&self, root: &Path) -> bool {
        self.runtime.is_managed.unwrap_or(root == Path::new("/"))
    }

    /// Whether this host is a node of a cluster: where that is a source of its documents, or where
    /// there is a kubeconfig.
    #[must_use]
    pub fn is_node(&self) -> bool {
        let is_in_cluster =
            self.order.contains(&SourceName::Kube) || self.kube.kubeconfig.is_some();
        is_in_cluster && !self.node_name().is_empty()
    }

    /// The value of the setting `name`, as it is written after `--set`.
    #[must_use]
    pub fn shown(&self, name: &str) -> String {
        keys().find(|key| key.name == name).map(|key| (key.show)(self)).unwrap_or_default()
    }

    /// The name of this node: else the host's.
    #[must_use]
    pub fn node_name(&self) -> String {
        let host = || {
            let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
            Some(name.to_lowercase())
        };
        self.kube.node.clone().or_else(host).unwrap_or_default()
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            is_managed: None,
            action: RuntimeAction::default(),
            unit: "crio.service".to_owned(),
            socket: PathBuf::from("/var/run/crio/crio.sock"),
            restart_deadline: Duration::from_secs(90),
            reload_deadline: Duration::from_secs(15),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            paths: Paths::default(),
            trusted_ca_namespace: "openshift-config".to_owned(),
            guard: Guard::default(),
            guard_images: Vec::new(),
            order: vec![SourceName::Files],
            fallback_after: None,
            endpoint: Endpoint::default(),
            report: Report::default(),
            sources: vec![PathBuf::from("/etc/image-config-agent/cluster.d")],
            release_image: None,
            runtime: Runtime::default(),
            node: NodeSettings::default(),
            kube: Kube::default(),
            drift: DriftAction::default(),
            quiet: Duration::from_secs(1),
            recheck: Duration::from_secs(600),
            log_filter: "info".to_owned(),
            log_format: None,
            metrics_listen: None,
            agent_image: None,
            // Of kubeadm and OpenShift.
            static_pods: vec!["/etc/kubernetes/manifests".into()],
        }
    }
}
