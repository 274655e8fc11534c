//! What the agent says of itself: one status value, and who gets it.

pub mod conditions;
pub mod events;
pub mod http;
pub mod kube;
pub mod metrics;
pub mod node_image_config;
pub mod node_status;
pub mod reasons;
pub mod rollout;
pub mod status;
pub mod turns;

pub use conditions::{Condition, EngineState, Facts, Truth};
pub use node_image_config::{NodeImageConfig, NodeImageConfigSpec, NodeImageConfigStatus};
pub use status::{
    Drain, LastChange, ManagedFile, NodeState, RUN_DIR, ReportStatus, ReportTrouble, SourceStatus,
    SourceTrouble, Status, Waiting,
};
