//! This host's place in its cluster: the way to the API, and the Node there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::node::{Node, NodeError, NodeSettings};
use crate::settings::Settings;

/// The place of a host that is a node of a cluster.
pub struct Place {
    kubeconfig: Option<PathBuf>,
    /// The way to the API.
    pub cluster: Arc<Cluster>,
    /// The name of the Node.
    pub name: String,
    settings: NodeSettings,
    /// The Node, as it was reached last.
    last: Mutex<Option<Node>>,
}

/// Whether two are one and the same.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        let parts = |place: &Self| (place.kubeconfig.clone(), place.name.clone());
        parts(self) == parts(other) && self.settings == other.settings
    }
}

impl Place {
    /// What the settings say of it.
    #[must_use]
    pub fn of(settings: &Settings) -> Option<Arc<Self>> {
        if !settings.is_node() {
            return None;
        }
        Some(Arc::new(Self {
            kubeconfig: settings.kube.kubeconfig.clone(),
            cluster: Arc::new(Cluster::new(settings.kube.kubeconfig.clone())),
            name: settings.node_name(),
            settings: settings.node.clone(),
            last: Mutex::new(None),
        }))
    }

    /// The Node, by the credentials that hold now.
    ///
    /// # Errors
    /// There are no credentials.
    pub async fn node(&self) -> Result<Node, NodeError> {
        let client = self.cluster.client().await.map_err(|error| NodeError::Unreachable {
            object: format!("Node {}", self.name),
            why: error.to_string(),
        })?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let node = match &*last {
            Some(node) => node.by(client),
            None => Node::new(client, self.name.clone(), self.settings.clone()),
        };
        *last = Some(node.clone());
        Ok(node)
    }

    /// The name of its pool, as far as it is known.
    #[must_use]
    pub fn pool(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(Node::pool).unwrap_or_default()
    }

    /// How often a slot is renewed.
    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.settings.lease / 3
    }
}
