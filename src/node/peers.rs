//! What the agents of other nodes say, as far as this one goes by it (rules K1, K5). Any of them may be in foreign hands: of
//! their objects only that is read which is needed, and what a token cannot change comes from elsewhere.

use futures_util::future::try_join_all;
use hyper::Request;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Resource as _;
use kube::api::{GetParams, ListParams};
use kube::core::{ObjectList, request};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::pool::{Labels, Pool};
use super::slot::Degraded;
use super::{Node, NodeError};
use crate::report::NodeImageConfig;

/// Of at most so many nodes one attempt asks what they are.
const MOST_ASKED: usize = 20;

/// Of a Node its labels.
#[derive(Debug, Deserialize)]
struct Labelled {
    metadata: LabelledMeta,
}

#[derive(Debug, Deserialize)]
struct LabelledMeta {
    #[serde(default)]
    labels: Labels,
}

/// Of a NodeImageConfig what it says of being Degraded.
#[derive(Debug, Clone, Deserialize)]
struct Peer {
    metadata: PeerMeta,
    status: Option<PeerStatus>,
}

#[derive(Debug, Clone, Deserialize)]
struct PeerMeta {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerStatus {
    pool: Option<String>,
    degraded_on: Option<PeerDigests>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerDigests {
    without_cas: String,
}

impl Node {
    /// The nodes of the pool that say that they are Degraded, and on what: those on `target` first. That they exist and are
    /// of the pool is what their Nodes say, as far as so many can be asked.
    pub(super) async fn degraded(
        &self,
        pool: &Pool,
        target: &str,
    ) -> Result<Vec<Degraded>, NodeError> {
        let some = ListParams::default().fields("status.degradedOn.withoutCas!=");
        let list = self.list_of::<Peer>(&NodeImageConfig::url_path(&(), None), &some).await;
        let list = list.map_err(NodeError::of("the list of NodeImageConfigs"))?;
        let name = pool.name();
        let degraded = list.items.into_iter().filter_map(|object| {
            let (node, status) = (object.metadata.name, object.status?);
            let may_be_of_pool = status.pool.is_none_or(|its| its.is_empty() || its == name);
            let on = status.degraded_on?.without_cas;
            (may_be_of_pool && node != self.name).then_some(Degraded { node, on })
        });
        let (mut degraded, others): (Vec<_>, Vec<_>) = degraded.partition(|peer| peer.on == target);
        degraded.extend(others);
        let taken_as_is = degraded.split_off(degraded.len().min(MOST_ASKED));
        let of_pool = degraded.iter().map(|peer| self.is_of(&peer.node, pool));
        let mut of_pool = try_join_all(of_pool).await?.into_iter();
        degraded.retain(|_| of_pool.next().unwrap_or(false));
        degraded.extend(taken_as_is);
        Ok(degraded)
    }

    async fn is_of(&self, node: &str, pool: &Pool) -> Result<bool, NodeError> {
        let labels = self.labels_of(node).await?;
        Ok(labels.is_some_and(|labels| Pool::of(&labels, self.settings.pool.as_ref()) == *pool))
    }

    /// The labels of a Node, if it exists.
    pub(super) async fn labels_of(&self, node: &str) -> Result<Option<Labels>, NodeError> {
        let nodes = request::Request::new(NodeObject::url_path(&(), None));
        let object = self.ask::<Labelled>(nodes.get_metadata(node, &GetParams::default())).await;
        match object.map_err(NodeError::of(format!("Node {node}"))) {
            Ok(object) => Ok(Some(object.metadata.labels)),
            Err(NodeError::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of the list of Nodes, of which nothing is read.
    pub(super) async fn list_of_nodes(
        &self,
        page: &ListParams,
    ) -> Result<ObjectList<IgnoredAny>, NodeError> {
        let nodes = request::Request::new(NodeObject::url_path(&(), None));
        let list = self.ask(nodes.list_metadata(page)).await;
        list.map_err(NodeError::of("the list of Nodes"))
    }

    /// A page of a list; `T` is what is read of each object.
    pub(super) async fn list_of<T: Clone + DeserializeOwned>(
        &self,
        path: &str,
        page: &ListParams,
    ) -> kube::Result<ObjectList<T>> {
        self.ask(request::Request::new(path).list(page)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Result<Request<Vec<u8>>, request::Error>,
    ) -> kube::Result<T> {
        self.client.request(request.map_err(kube::Error::BuildRequest)?).await
    }
}
