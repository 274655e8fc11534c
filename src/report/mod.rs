//! What the agent says of itself: one status value, and who gets it.

pub mod conditions;
pub mod reasons;
pub mod status;

pub use conditions::{Condition, EngineState, Facts, Truth};
pub use status::{LastChange, ManagedFile, RUN_DIR, Status, Waiting};
