//! What the driver must not forget: how far a change is, and whether it shall make any.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::apply::state::{self, STATE_DIR};
use crate::apply::{AppliedSet, ApplyError};
use crate::host::Root;
use crate::machine::Phase;

/// Kept in the state directory over restarts and reboots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How far the present change is.
    pub phase: Phase,
    /// What was applied before a change of the documents that the engine is told of: to that it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<AppliedSet>,
    /// Somebody said `hold`: nothing is changed until `release` (rule X3).
    #[serde(default)]
    pub is_held: bool,
    /// The engine has yet to be restarted: it could not have read the files, or has not said that it
    /// did (rules H3, H7).
    #[serde(default)]
    pub owes_restart: bool,
    /// Whether the Machine Config Operator manages this node, as far as the cluster has ever said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_of_mco: Option<bool>,
    /// The request to try again from the cluster that was obeyed last, as its sender named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<String>,
}

impl Memory {
    /// Reads it; a new one where there is none.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of a newer agent.
    pub fn load(root: &Root) -> Result<Self, ApplyError> {
        Ok(state::load(root, &file())?.unwrap_or_default())
    }

    /// Makes it durable; what says nothing needs no file.
    ///
    /// # Errors
    /// The disk fails.
    pub fn save(&self, root: &Root) -> Result<(), ApplyError> {
        if *self == Self::default() {
            if root.remove(&file())? {
                root.sync(Path::new(STATE_DIR))?;
            }
            return Ok(());
        }
        state::save(root, &file(), self)
    }
}

fn file() -> PathBuf {
    Path::new(STATE_DIR).join("driver.json")
}
