//! The engine of this host, and how it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::host::Root;
use crate::plan::Tell;
use crate::runtime::{Confirmation, Runtime, RuntimeError, RuntimeSettings};
use crate::settings::Settings;

/// Tells the engine, and starts what a failed restart left dead (rule H5).
pub(super) async fn tell_and_start(
    runtime: Arc<Runtime>,
    tell: Tell,
    dependents: Vec<String>,
) -> Result<Confirmation, RuntimeError> {
    let told = match runtime.unit().await? {
        Some(unit) => runtime.tell(tell, &unit).await?,
        // It was there when the change began: whoever removed it wants no engine.
        None => return Ok(Confirmation::Confirmed),
    };
    // Only now: each of them would start a failing engine once more.
    runtime.start(&dependents).await?;
    Ok(told)
}

/// The engine's side, unless the settings or the root say that there is none to be told (X2).
pub(super) fn runtime_of(root: &Root, settings: &Settings) -> Option<Arc<Runtime>> {
    let is_managed = settings.runtime.is_managed.unwrap_or(root.path() == Path::new("/"));
    is_managed.then(|| {
        Arc::new(Runtime::new(RuntimeSettings {
            unit: settings.runtime.unit.clone(),
            socket: below(root, &settings.runtime.socket),
            bus: None,
            restart_deadline: settings.runtime.restart_deadline,
            reload_deadline: settings.runtime.reload_deadline,
            answer_deadline: settings.runtime.restart_deadline,
            journalctl: vec!["journalctl".into()],
        }))
    })
}

/// Where a path of the host is on this machine.
pub(super) fn below(root: &Root, path: &Path) -> PathBuf {
    root.path().join(path.strip_prefix("/").unwrap_or(path))
}
