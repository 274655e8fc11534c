//! This host as a node of its cluster: cordon, drain, the kubelet's sign of life, and the slot of the
//! roll-out.
//!
//! Every call is one short attempt. Whoever calls sets its deadline, waits and tries again.

mod claim;
mod cordon;
mod drain;
mod error;
mod lease;
mod peers;
mod pool;
mod ready;
mod settings;
pub mod slot;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::cluster::{OBSERVED, is_of_mco};
use claim::Watched;
pub use claim::{Claim, Claimed};
pub use cordon::{Cordoned, Uncordoned};
pub use drain::{Drained, Fate, fate};
pub use error::NodeError;
pub use pool::{Amount, Labels, Pool, selector};
pub use ready::{Readiness, Sign};
pub use settings::{DrainAction, NodeSettings};

/// The Node object of this host, and what the agent does to it.
#[derive(Clone)]
pub struct Node {
    client: Client,
    name: String,
    settings: NodeSettings,
    watched: Arc<Watched>,
}

impl Node {
    /// The Node of this name. The client must not try again by itself: it would hide for minutes what
    /// a disruption budget says (429).
    #[must_use]
    pub fn new(client: Client, name: String, settings: NodeSettings) -> Self {
        Self { client, name, settings, watched: Arc::default() }
    }

    /// The same Node by way of another client, with all that was seen of others so far.
    #[must_use]
    pub fn by(&self, client: Client) -> Self {
        let watched = Arc::clone(&self.watched);
        Self { client, name: self.name.clone(), settings: self.settings.clone(), watched }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the settings say of it.
    #[must_use]
    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// Whether it is the only one: then nothing is drained, because pods could go nowhere.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn is_single_node(&self) -> Result<bool, NodeError> {
        let two = ListParams::default().limit(2);
        Ok(self.list_of_nodes(&two).await?.items.len() < 2)
    }

    /// Who else manages this node's files: OpenShift's Machine Config Operator, which says so on the
    /// Node.
    ///
    /// # Errors
    /// The API server does not say, or there is no such Node.
    pub async fn manager(&self) -> Result<Option<String>, NodeError> {
        let (_, annotations) = self.look().await?;
        Ok(is_of_mco(&annotations).then(|| OBSERVED.to_owned()))
    }

    fn nodes(&self) -> Api<NodeObject> {
        Api::all(self.client.clone())
    }

    async fn object(&self) -> Result<NodeObject, NodeError> {
        self.nodes().get(&self.name).await.map_err(NodeError::of(self.object_name()))
    }

    fn object_name(&self) -> String {
        format!("Node {}", self.name)
    }
}
