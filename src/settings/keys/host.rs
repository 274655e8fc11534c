//! The host: what it cannot live without, its engine, its node, and what can be seen of the agent.

use super::{Key, joined, named, shown};
use crate::node::{DrainAction, selector};
use crate::plan::RuntimeAction;
use crate::settings::value::{
    amount, count, image, list, listen, log_filter, path, seconds, text, unit, word,
};
use crate::settings::{DriftAction, Guard, LogFormat};

const GUARDS: [(&str, Guard); 3] =
    [("enforce", Guard::Enforce), ("warn", Guard::Warn), ("off", Guard::Off)];
const DRIFTS: [(&str, DriftAction); 2] =
    [("heal", DriftAction::Heal), ("report", DriftAction::Report)];
const MANAGERS: [(&str, bool); 2] = [("systemd", true), ("none", false)];
const ACTIONS: [(&str, RuntimeAction); 3] = [
    ("restart", RuntimeAction::Restart),
    ("reload", RuntimeAction::Reload),
    ("auto", RuntimeAction::Auto),
];
const DRAINS: [(&str, DrainAction); 3] =
    [("auto", DrainAction::Auto), ("always", DrainAction::Always), ("never", DrainAction::Never)];
const LOG_FORMATS: [(&str, LogFormat); 3] =
    [("pretty", LogFormat::Pretty), ("journal", LogFormat::Journal), ("json", LogFormat::Json)];

/// What the host cannot live without, and what becomes of its files.
pub(super) const GUARD: &[Key] = &[
    Key {
        name: "guard",
        about: "enforce, warn or off: what becomes of a change that would lock the host out",
        set: |s, v| word(v, &GUARDS).map(|guard| s.guard = guard),
        show: |s| named(s.guard, &GUARDS),
    },
    Key {
        name: "guard_images",
        about: "images that the host cannot live without (a list)",
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
        about: "directories or files of static pods, which the guard protects (a list)",
        set: |s, v| list(v, path).map(|paths| s.static_pods = paths),
        show: |s| joined(&s.static_pods),
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
];

/// The engine, and how it is told.
pub(super) const RUNTIME: &[Key] = &[
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
];

/// The node during a change.
pub(super) const NODE: &[Key] = &[
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
];

/// What can be seen of the agent.
pub(super) const WATCHED: &[Key] = &[
    Key {
        name: "log.filter",
        about: "what is logged, as info, or warn,image_config_agent::driver=debug",
        set: |s, v| log_filter(v).map(|filter| s.log_filter = filter),
        show: |s| s.log_filter.clone(),
    },
    Key {
        name: "log.format",
        about: "pretty, journal or json: how the log is written; unset: journal where the journal reads it, else pretty",
        set: |s, v| word(v, &LOG_FORMATS).map(|format| s.log_format = Some(format)),
        show: |s| s.log_format.map(|format| named(format, &LOG_FORMATS)).unwrap_or_default(),
    },
    Key {
        name: "metrics.listen",
        about: "where metrics and probes are served: ADDRESS:PORT, unix:PATH or off (the default)",
        set: |s, v| listen(v).map(|listen| s.metrics_listen = listen),
        show: |s| s.metrics_listen.as_ref().map_or("off".to_owned(), ToString::to_string),
    },
];
