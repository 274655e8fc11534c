//! What the settings say of the node.

use std::time::Duration;

use kube::core::Selector;

use super::pool::Amount;

/// Whether pods are evicted before a change (rule K4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DrainAction {
    /// Where the change takes something from them (rule K3).
    #[default]
    Auto,
    /// Before every change that restarts or reloads the engine.
    Always,
    /// They stay.
    Never,
}

/// What becomes of the node during a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// Whether pods are evicted.
    pub drain: DrainAction,
    /// How long that may take (rule K4).
    pub drain_deadline: Duration,
    /// How many nodes of a pool may be disturbed at once (rule K1).
    pub max_unavailable: Amount,
    /// How many nodes that are Degraded on a configuration stop its roll-out (rule K1).
    pub max_degraded: u32,
    /// Which nodes are a pool, beside the control plane and all others.
    pub pool: Option<Selector>,
    /// How long a slot lasts without being renewed.
    pub lease: Duration,
    /// Where the Leases are.
    pub namespace: String,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            drain: DrainAction::default(),
            drain_deadline: Duration::from_secs(3600),
            max_unavailable: Amount::Nodes(1),
            max_degraded: 1,
            pool: None,
            lease: Duration::from_secs(120),
            namespace: "image-config-agent".to_owned(),
        }
    }
}
