//! What the service will do about a change: what the settings make of what the change needs
//! (rule H3). Pure.

use crate::machine::Kind;
use crate::plan::{Asked, Impact, RuntimeAction};
use crate::settings::Settings;
use crate::wish::{NodeSeen, Standing, change};

/// What will be done, each with what decides it. It holds for an engine that runs, and a node that
/// is not the only one of its cluster: neither is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// What the engine is told.
    pub runtime: Asked,
    /// By which setting, or why nothing.
    pub runtime_reason: String,
    /// Whether the node is drained.
    pub drain: bool,
    /// By which setting, or why not.
    pub drain_reason: String,
}

impl Forecast {
    /// Of a change that needs so much. `manages_engine`: whether the engine of this root is told at
    /// all (rule X2).
    #[must_use]
    pub fn of(impact: &Impact, settings: &Settings, manages_engine: bool) -> Self {
        if !manages_engine {
            let reason = "runtime.manager = none".to_owned();
            return Self {
                runtime: Asked::Nothing,
                runtime_reason: reason.clone(),
                drain: false,
                drain_reason: reason,
            };
        }
        let action = settings.runtime.action;
        let runtime = impact.asks(action);
        let runtime_reason = match runtime {
            Asked::Nothing if action != RuntimeAction::Auto => "no pull notices it".to_owned(),
            _ => setting(settings, "runtime.action"),
        };
        let (drain, drain_reason) = drain(impact, settings, runtime);
        Self { runtime, runtime_reason, drain, drain_reason }
    }
}

/// As the service decides it ([`NodeSeen::steps`]).
fn drain(impact: &Impact, settings: &Settings, runtime: Asked) -> (bool, String) {
    if !settings.is_node() {
        return (false, "this host is no node of a cluster".to_owned());
    }
    let tell = match runtime {
        Asked::Now(tell) => Some(tell),
        Asked::Nothing | Asked::Later => None,
    };
    let node = NodeSeen {
        drain: settings.node.drain,
        drain_deadline: settings.node.drain_deadline,
        obeys_brake: true,
    };
    let change = change(Kind::Apply, tell, Standing::Running, Vec::new());
    match node.steps(&change, Standing::Running, impact.drain.needed) {
        None => (false, "it disturbs nobody".to_owned()),
        Some(steps) => (steps.drain.is_some(), setting(settings, "node.drain")),
    }
}

fn setting(settings: &Settings, name: &str) -> String {
    format!("{name} = {}", settings.shown(name))
}
