//! What the settings say of the node.

use std::time::Duration;

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
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self { drain: DrainAction::default(), drain_deadline: Duration::from_secs(3600) }
    }
}
