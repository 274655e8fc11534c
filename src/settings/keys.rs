//! Every setting there is.

use std::path::Path;

use toml_edit::Value;

use super::endpoint::ReportMethod;
use super::value::{
    amount, count, image, list, listen, log_filter, object_name, path, seconds, seconds_or_never,
    text, truth, unit, word,
};
use super::{DriftAction, Guard, LogFormat, OnMissing, Settings, SourceName};
use crate::node::{DrainAction, selector};
use crate::plan::RuntimeAction;

/// One setting.
pub struct Key {
    /// Its dotted name in TOML and after `--set`.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Takes a value over, or says what to write instead.
    pub(super) set: fn(&mut Settings, &Value) -> Result<(), String>,
    /// Its value as it is written after `--set`; empty where it is unset.
    pub show: fn(&Settings) -> String,
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT}{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// What every variable that sets something begins with.
pub(super) const ENVIRONMENT: &str = "IMAGE_CONFIG_AGENT_";

const GUARDS: [(&str, Guard); 3] =
    [("enforce", Guard::Enforce), ("warn", Guard::Warn), ("off", Guard::Off)];
const DRIFTS: [(&str, DriftAction); 2] =
    [("heal", DriftAction::Heal), ("report", DriftAction::Report)];
const MISSING: [(&str, OnMissing); 2] = [("keep", OnMissing::Keep), ("revert", OnMissing::Revert)];
const MANAGERS: [(&str, bool); 2] = [("systemd", true), ("none", false)];
const DRAINS: [(&str, DrainAction); 3] =
    [("auto", DrainAction::Auto), ("always", DrainAction::Always), ("never", DrainAction::Never)];
/// Every source that there is.
const SOURCES: [(&str, SourceName); 3] =
    [("kube", SourceName::Kube), ("endpoint", SourceName::Endpoint), ("files", SourceName::Files)];
const METHODS: [(&str, ReportMethod); 2] =
    [("PUT", ReportMethod::Put), ("POST", ReportMethod::Post)];
const ACTIONS: [(&str, RuntimeAction); 3] = [
    ("restart", RuntimeAction::Restart),
    ("reload", RuntimeAction::Reload),
    ("auto", RuntimeAction::Auto),
];
const LOG_FORMATS: [(&str, LogFormat); 3] =
    [("pretty", LogFormat::Pretty), ("journal", LogFormat::Journal), ("json", LogFormat::Json)];

/// All of them, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key {
        name: "trusted_ca_namespace",
        about: "namespace of the ConfigMap that additionalTrustedCA names",
        set: |s, v| text(v).map(|name| s.trusted_ca_namespace = name),
        show: |s| s.trusted_ca_namespace.clone(),
    },
    Key {
        name: "guard",
        about: "enforce, warn or off: what becomes of a change that would lock the host out",
        set: |s, v| word(v, &GUARDS).map(|guard| s.guard = guard),
        show: |s| named(s.guard, &GUARDS),
    },
    Key {
        name: "guard_images",
        about: "images that the host cannot live without (a list; comma-separated in flags)",
        set: |s, v| list(v, image).map(|images| s.guard_images = images),
        show: |s| s.guard_images.join(","),
    },
    Key {
        name: "agent_image",
        about: "the agent's own image, which the guard protects; a DaemonSet sets it",
        set: |s, v| image(v).map(|image| s.agent_image = Some(image)),
        show: |s| s.agent_image.clone().unwrap_or_default(),
    },
    Key {
        name: "static_pods",
        about: "directories or files of static pods, which the guard protects (a list; comma-separated in flags)",
        set: |s, v| list(v, path).map(|paths| s.static_pods = paths),
        show: |s| joined(&s.static_pods),
    },
    Key {
        name: "source.order",
        about: "where documents come from, in order of precedence: kube, endpoint, files (a list)",
        set: |s, v| order(v).map(|order| s.order = order),
        show: |s| s.order.iter().map(|name| name.word()).collect::<Vec<_>>().join(","),
    },
    Key {
        name: "source.fallback_after_seconds",
        about: "after how long without good documents from a source a lower one is obeyed; or never",
        set: |s, v| seconds_or_never(v).map(|time| s.fallback_after = time),
        show: |s| s.fallback_after.map_or("never".to_owned(), |time| time.as_secs().to_string()),
    },
    Key {
        name: "source.files",
        about: "files and directories of documents that the service obeys (a list)",
        set: |s, v| list(v, path).map(|paths| s.sources = paths),
        show: |s| joined(&s.sources),
    },
    Key {
        name: "endpoint.url",
        about: "the https:// URL that documents come from; {node} in it stands for the name of this node",
        set: |s, v| text(v).map(|url| s.endpoint.server.url = Some(url)),
        show: |s| s.endpoint.server.url.clone().unwrap_or_default(),
    },
    Key {
        name: "endpoint.allow_http",
        about: "true or false: whether http:// will do over a network",
        set: |s, v| truth(v).map(|is| s.endpoint.server.allow_http = is),
        show: |s| s.endpoint.server.allow_http.to_string(),
    },
    Key {
        name: "endpoint.socket",
        about: "unix socket to go through, in place of the network",
        set: |s, v| path(v).map(|path| s.endpoint.server.socket = Some(path)),
        show: |s| optional(&s.endpoint.server.socket),
    },
    Key {
        name: "endpoint.ca",
        about: "file of CAs to trust beside those that the system trusts, in PEM",
        set: |s, v| path(v).map(|path| s.endpoint.server.ca = Some(path)),
        show: |s| optional(&s.endpoint.server.ca),
    },
    Key {
        name: "endpoint.client_certificate",
        about: "file of the certificate to show, in PEM",
        set: |s, v| path(v).map(|path| s.endpoint.server.client_certificate = Some(path)),
        show: |s| optional(&s.endpoint.server.client_certificate),
    },
    Key {
        name: "endpoint.client_key",
        about: "file of its key, in PEM",
        set: |s, v| path(v).map(|path| s.endpoint.server.client_key = Some(path)),
        show: |s| optional(&s.endpoint.server.client_key),
    },
    Key {
        name: "endpoint.token_file",
        about: "file of the bearer token to show",
        set: |s, v| path(v).map(|path| s.endpoint.server.token_file = Some(path)),
        show: |s| optional(&s.endpoint.server.token_file),
    },
    Key {
        name: "endpoint.user",
        about: "user to log in as",
        set: |s, v| text(v).map(|user| s.endpoint.server.user = Some(user)),
        show: |s| s.endpoint.server.user.clone().unwrap_or_default(),
    },
    Key {
        name: "endpoint.password_file",
        about: "file of its password",
        set: |s, v| path(v).map(|path| s.endpoint.server.password_file = Some(path)),
        show: |s| optional(&s.endpoint.server.password_file),
    },
    Key {
        name: "endpoint.timeout_seconds",
        about: "how long the server may take to begin an answer, and again to end it",
        set: |s, v| seconds(v).map(|time| s.endpoint.server.timeout = time),
        show: |s| s.endpoint.server.timeout.as_secs().to_string(),
    },
    Key {
        name: "endpoint.public_keys",
        about: "file of minisign public keys; where it is set, what none of them signed is refused",
        set: |s, v| path(v).map(|path| s.endpoint.public_keys = Some(path)),
        show: |s| optional(&s.endpoint.public_keys),
    },
    Key {
        name: "endpoint.poll_seconds",
        about: "how often the endpoint is asked",
        set: |s, v| seconds(v).map(|time| s.endpoint.poll = time),
        show: |s| s.endpoint.poll.as_secs().to_string(),
    },
    Key {
        name: "endpoint.wait_seconds",
        about: "how long a server that offers long polls may wait for something new",
        set: |s, v| seconds(v).map(|time| s.endpoint.wait = time),
        show: |s| s.endpoint.wait.as_secs().to_string(),
    },
    Key {
        name: "report.url",
        about: "the https:// URL that the status goes to; {node} in it stands for the name of this node",
        set: |s, v| text(v).map(|url| s.report.server.url = Some(url)),
        show: |s| s.report.server.url.clone().unwrap_or_default(),
    },
    Key {
        name: "report.allow_http",
        about: "true or false: whether http:// will do over a network",
        set: |s, v| truth(v).map(|is| s.report.server.allow_http = is),
        show: |s| s.report.server.allow_http.to_string(),
    },
    Key {
        name: "report.socket",
        about: "unix socket to go through, in place of the network",
        set: |s, v| path(v).map(|path| s.report.server.socket = Some(path)),
        show: |s| optional(&s.report.server.socket),
    },
    Key {
        name: "report.ca",
        about: "file of CAs to trust beside those that the system trusts, in PEM",
        set: |s, v| path(v).map(|path| s.report.server.ca = Some(path)),
        show: |s| optional(&s.report.server.ca),
    },
    Key {
        name: "report.client_certificate",
        about: "file of the certificate to show, in PEM",
        set: |s, v| path(v).map(|path| s.report.server.client_certificate = Some(path)),
        show: |s| optional(&s.report.server.client_certificate),
    },
    Key {
        name: "report.client_key",
        about: "file of its key, in PEM",
        set: |s, v| path(v).map(|path| s.report.server.client_key = Some(path)),
        show: |s| optional(&s.report.server.client_key),
    },
    Key {
        name: "report.token_file",
        about: "file of the bearer token to show",
        set: |s, v| path(v).map(|path| s.report.server.token_file = Some(path)),
        show: |s| optional(&s.report.server.token_file),
    },
    Key {
        name: "report.user",
        about: "user to log in as",
        set: |s, v| text(v).map(|user| s.report.server.user = Some(user)),
        show: |s| s.report.server.user.clone().unwrap_or_default(),
    },
    Key {
        name: "report.password_file",
        about: "file of its password",
        set: |s, v| path(v).map(|path| s.report.server.password_file = Some(path)),
        show: |s| optional(&s.report.server.password_file),
    },
    Key {
        name: "report.timeout_seconds",
        about: "how long the server may take to begin an answer, and again to end it",
        set: |s, v| seconds(v).map(|time| s.report.server.timeout = time),
        show: |s| s.report.server.timeout.as_secs().to_string(),
    },
    Key {
        name: "report.method",
        about: "PUT or POST: how the status is sent",
        set: |s, v| word(v, &METHODS).map(|method| s.report.method = method),
        show: |s| named(s.report.method, &METHODS),
    },
    Key {
        name: "report.heartbeat_seconds",
        about: "how often the status is sent although it says nothing new",
        set: |s, v| seconds(v).map(|time| s.report.heartbeat = time),
        show: |s| s.report.heartbeat.as_secs().to_string(),
    },
    Key {
        name: "source.quiet_seconds",
        about: "how long documents must have stayed as they are before they count",
        set: |s, v| seconds(v).map(|quiet| s.quiet = quiet),
        show: |s| s.quiet.as_secs().to_string(),
    },
    Key {
        name: "source.recheck_seconds",
        about: "how often all is looked at again without an occasion",
        set: |s, v| seconds(v).map(|recheck| s.recheck = recheck),
        show: |s| s.recheck.as_secs().to_string(),
    },
    Key {
        name: "kube.kubeconfig",
        about: "credentials for the cluster's API, not below the root; unset: the service account of the agent's pod",
        set: |s, v| path(v).map(|path| s.kube.kubeconfig = Some(path)),
        show: |s| s.kube.kubeconfig.as_deref().map(shown).unwrap_or_default(),
    },
    Key {
        name: "kube.node",
        about: "the name of this host's Node; a DaemonSet sets it; unset: the host's name",
        set: |s, v| object_name(v).map(|name| s.kube.node = Some(name)),
        show: |s| s.kube.node.clone().unwrap_or_default(),
    },
    Key {
        name: "kube.on_missing",
        about: "keep or revert: what becomes of an Image that is deleted from the cluster",
        set: |s, v| word(v, &MISSING).map(|action| s.kube.on_missing = action),
        show: |s| named(s.kube.on_missing, &MISSING),
    },
    Key {
        name: "kube.release_image",
        about: "true or false: whether the ClusterVersion says which image the release payload is",
        set: |s, v| truth(v).map(|is| s.kube.takes_release_image = is),
        show: |s| s.kube.takes_release_image.to_string(),
    },
    Key {
        name: "kube.manage_mco_nodes",
        about: "true or false: whether nodes of the Machine Config Operator are changed all the same",
        set: |s, v| truth(v).map(|is| s.kube.changes_mco_nodes = is),
        show: |s| s.kube.changes_mco_nodes.to_string(),
    },
    Key {
        name: "release_image",
        about: "the image of the release payload, which is never locked out",
        set: |s, v| text(v).map(|image| s.release_image = Some(image)),
        show: |s| s.release_image.clone().unwrap_or_default(),
    },
    Key {
        name: "drift",
        about: "heal or report: what becomes of our files that others change",
        set: |s, v| word(v, &DRIFTS).map(|drift| s.drift = drift),
        show: |s| named(s.drift, &DRIFTS),
    },
    Key {
        name: "runtime.manager",
        about: "systemd or none: who is asked to restart the engine; unset: systemd where the root is /",
        set: |s, v| word(v, &MANAGERS).map(|is| s.runtime.is_managed = Some(is)),
        show: |s| s.runtime.is_managed.map(|is| named(is, &MANAGERS)).unwrap_or_default(),
    },
    Key {
        name: "runtime.action",
        about: "restart, reload or auto (the least that a change needs): what the engine is told",
        set: |s, v| word(v, &ACTIONS).map(|action| s.runtime.action = action),
        show: |s| named(s.runtime.action, &ACTIONS),
    },
    Key {
        name: "runtime.unit",
        about: "the engine's unit",
        set: |s, v| unit(v).map(|unit| s.runtime.unit = unit),
        show: |s| s.runtime.unit.clone(),
    },
    Key {
        name: "runtime.socket",
        about: "the engine's socket",
        set: |s, v| path(v).map(|path| s.runtime.socket = path),
        show: |s| shown(&s.runtime.socket),
    },
    Key {
        name: "runtime.restart_seconds",
        about: "how long a restart may take until the engine answers",
        set: |s, v| seconds(v).map(|time| s.runtime.restart_deadline = time),
        show: |s| s.runtime.restart_deadline.as_secs().to_string(),
    },
    Key {
        name: "runtime.reload_seconds",
        about: "how long a reload may take until the engine confirms it",
        set: |s, v| seconds(v).map(|time| s.runtime.reload_deadline = time),
        show: |s| s.runtime.reload_deadline.as_secs().to_string(),
    },
    Key {
        name: "node.drain",
        about: "auto (where a change takes something from pods), always or never: whether pods are evicted first",
        set: |s, v| word(v, &DRAINS).map(|drain| s.node.drain = drain),
        show: |s| named(s.node.drain, &DRAINS),
    },
    Key {
        name: "node.drain_seconds",
        about: "how long pods may take to go until the change is put off",
        set: |s, v| seconds(v).map(|time| s.node.drain_deadline = time),
        show: |s| s.node.drain_deadline.as_secs().to_string(),
    },
    Key {
        name: "node.max_unavailable",
        about: "how many nodes of a pool may be disturbed at once: 1 to 1000, or a share of them as 10%",
        set: |s, v| amount(v).map(|amount| s.node.max_unavailable = amount),
        show: |s| s.node.max_unavailable.to_string(),
    },
    Key {
        name: "node.max_degraded",
        about: "how many nodes of a pool that are Degraded on a configuration stop its roll-out",
        set: |s, v| count(v).map(|count| s.node.max_degraded = count),
        show: |s| s.node.max_degraded.to_string(),
    },
    Key {
        name: "node.pool",
        about: "label selector of the nodes that are a pool, beside the control plane and all others",
        set: |s, v| selector(&text(v)?).map(|pool| s.node.pool = Some(pool)),
        show: |s| s.node.pool.as_ref().map(ToString::to_string).unwrap_or_default(),
    },
    Key {
        name: "node.lease_seconds",
        about: "how long a slot lasts without being renewed; it is renewed three times as often",
        set: |s, v| seconds(v).map(|time| s.node.lease = time),
        show: |s| s.node.lease.as_secs().to_string(),
    },
    Key {
        name: "kube.namespace",
        about: "the agent's namespace in the cluster, where the slots are",
        set: |s, v| object_name(v).map(|name| s.node.namespace = name),
        show: |s| s.node.namespace.clone(),
    },
    Key {
        name: "log.filter",
        about: "what is logged, as info, or warn,image_config_agent::driver=debug",
        set: |s, v| log_filter(v).map(|filter| s.log_filter = filter),
        show: |s| s.log_filter.clone(),
    },
    Key {
        name: "log.format",
        about: "pretty, journal or json: how the log is written; unset: pretty on a terminal, else journal",
        set: |s, v| word(v, &LOG_FORMATS).map(|format| s.log_format = Some(format)),
        show: |s| s.log_format.map(|format| named(format, &LOG_FORMATS)).unwrap_or_default(),
    },
    Key {
        name: "metrics.listen",
        about: "where metrics and probes are served: ADDRESS:PORT, unix:PATH or off (the default)",
        set: |s, v| listen(v).map(|listen| s.metrics_listen = listen),
        show: |s| s.metrics_listen.as_ref().map_or("off".to_owned(), ToString::to_string),
    },
    Key {
        name: "paths.policy",
        about: "policy.json",
        set: |s, v| path(v).map(|path| s.paths.policy = path),
        show: |s| shown(&s.paths.policy),
    },
    Key {
        name: "paths.vendor_policy",
        about: "the vendor's policy.json",
        set: |s, v| path(v).map(|path| s.paths.vendor_policy = path),
        show: |s| shown(&s.paths.vendor_policy),
    },
    Key {
        name: "paths.registries_conf",
        about: "registries.conf",
        set: |s, v| path(v).map(|path| s.paths.registries_conf = path),
        show: |s| shown(&s.paths.registries_conf),
    },
    Key {
        name: "paths.vendor_registries_conf",
        about: "the vendor's registries.conf",
        set: |s, v| path(v).map(|path| s.paths.vendor_registries_conf = path),
        show: |s| shown(&s.paths.vendor_registries_conf),
    },
    Key {
        name: "paths.registries_conf_d",
        about: "the directory of drop-ins to registries.conf",
        set: |s, v| path(v).map(|path| s.paths.registries_conf_d = path),
        show: |s| shown(&s.paths.registries_conf_d),
    },
    Key {
        name: "paths.search_drop_in",
        about: "the drop-in for the search list",
        set: |s, v| path(v).map(|path| s.paths.search_drop_in = path),
        show: |s| shown(&s.paths.search_drop_in),
    },
    Key {
        name: "paths.certs_d",
        about: "the directory of trusted CAs",
        set: |s, v| path(v).map(|path| s.paths.certs_d = path),
        show: |s| shown(&s.paths.certs_d),
    },
    Key {
        name: "paths.masking_certs_d",
        about: "the directory of trusted CAs that masks the former",
        set: |s, v| path(v).map(|path| s.paths.masking_certs_d = path),
        show: |s| shown(&s.paths.masking_certs_d),
    },
    Key {
        name: "paths.crio_conf",
        about: "CRI-O's crio.conf",
        set: |s, v| path(v).map(|path| s.paths.crio_conf = path),
        show: |s| shown(&s.paths.crio_conf),
    },
    Key {
        name: "paths.crio_conf_d",
        about: "CRI-O's drop-ins",
        set: |s, v| path(v).map(|path| s.paths.crio_conf_d = path),
        show: |s| shown(&s.paths.crio_conf_d),
    },
    Key {
        name: "paths.crio_policies",
        about: "CRI-O's policies by namespace",
        set: |s, v| path(v).map(|path| s.paths.crio_policies = path),
        show: |s| shown(&s.paths.crio_policies),
    },
];

/// Sources, each once.
fn order(value: &Value) -> Result<Vec<SourceName>, String> {
    let order = list(value, |value| word(value, &SOURCES))?;
    let is_repeated = |(at, name)| order.iter().take(at).any(|earlier| earlier == name);
    if order.is_empty() || order.iter().enumerate().any(is_repeated) {
        return Err("name one source or more, each once".to_owned());
    }
    Ok(order)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn optional(path: &Option<std::path::PathBuf>) -> String {
    path.as_deref().map(shown).unwrap_or_default()
}

fn joined(paths: &[std::path::PathBuf]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(",")
}

/// The word that stands for a value.
fn named<T: PartialEq>(value: T, words: &[(&str, T)]) -> String {
    let word = words.iter().find(|(_, meaning)| *meaning == value);
    word.map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}
