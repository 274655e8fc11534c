//! The requests of the reporter. What is said was decided before.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, PartialObjectMeta};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::outbox::{Done, Order};
use super::posts::{NAMESPACE, Posts};
use super::request::{FIELD_MANAGER, ReportError, patch_params, request};
use crate::cluster::Cluster;
use crate::model::annotations::APPLIED;
use crate::report::node_status::Spec;
use crate::report::{NodeImageConfig, NodeImageConfigStatus, Status};

/// Writes to the cluster, and remembers what it need not write again.
pub struct Writer {
    cluster: Arc<Cluster>,
    node: String,
    posts: Posts,
    /// The uid of the Node that owns the object, where it is known to do so.
    owner: Option<String>,
}

impl Writer {
    /// That of `node`.
    pub fn new(cluster: Arc<Cluster>, node: String) -> Self {
        Self { cluster, posts: Posts::new(&node), node, owner: None }
    }

    /// Says what is ordered, as far as it goes until `deadline`.
    pub async fn work(&mut self, mut order: Order, deadline: Instant) -> Done {
        let mut done = Done::default();
        match self.cluster.client().await {
            Err(error) => done.error = Some(error.into()),
            Ok(client) => self.say(&client, &mut order, &mut done, deadline).await,
        }
        let is_unauthorized =
            |error: &Option<ReportError>| error.as_ref().and_then(ReportError::code) == Some(401);
        if is_unauthorized(&done.error) || is_unauthorized(&done.unposted) {
            self.cluster.renew();
        }
        done.left = order;
        done
    }

    async fn say(
        &mut self,
        client: &Client,
        order: &mut Order,
        done: &mut Done,
        deadline: Instant,
    ) {
        let requests = Requests::new(client, &self.node, deadline);
        if let Some(status) = order.status.take() {
            match requests.write(&status, &order.spec, self.owner.take()).await {
                Ok((object, owner)) => {
                    self.owner = Some(owner);
                    done.object = Some(object);
                }
                Err(error) => done.error = Some(error),
            }
        }
        done.unposted = requests.post(&mut self.posts, order).await.err();
    }
}

/// The requests of one round.
struct Requests<'n> {
    node: &'n str,
    nodes: Api<Node>,
    configs: Api<NodeImageConfig>,
    images: Api<DynamicObject>,
    events: Api<Event>,
    deadline: Instant,
}

impl<'n> Requests<'n> {
    fn new(client: &Client, node: &'n str, deadline: Instant) -> Self {
        let image = GroupVersionKind::gvk("config.openshift.io", "v1", "Image");
        let image = ApiResource::from_gvk_with_plural(&image, "images");
        Self {
            node,
            nodes: Api::all(client.clone()),
            configs: Api::all(client.clone()),
            images: Api::all_with(client.clone(), &image),
            events: Api::namespaced(client.clone(), NAMESPACE),
            deadline,
        }
    }

    /// The Node, without its spec and status.
    async fn read_node(&self) -> Result<PartialObjectMeta<Node>, ReportError> {
        let node = self.nodes.get_metadata_opt(self.node);
        let node = request("read the Node", self.deadline, node).await?;
        node.ok_or_else(|| ReportError::NoNode(self.node.to_owned()))
    }

    /// Writes the object and the annotation of the Node. `owner`: the uid of the Node that the object
    /// is known to be owned by; it is given back.
    async fn write(
        &self,
        status: &Status,
        spec: &Spec,
        owner: Option<String>,
    ) -> Result<(NodeImageConfig, String), ReportError> {
        let node = self.read_node().await?;
        let uid = node.uid().unwrap_or_default();
        let object = if owner.as_ref() == Some(&uid) {
            match self.write_status(status, spec).await {
                Err(error) if error.code() == Some(404) => self.write_all(status, &uid).await?,
                written => written?,
            }
        } else {
            self.write_all(status, &uid).await?
        };
        self.annotate(&node, status).await?;
        Ok((object, uid))
    }

    /// Writes the object with its status. Where it exists, only its owner is put right.
    async fn write_all(
        &self,
        status: &Status,
        owner: &str,
    ) -> Result<NodeImageConfig, ReportError> {
        let object = json!({
            "apiVersion": "image-config-agent.io/v1alpha1",
            "kind": "NodeImageConfig",
            "metadata": {"name": self.node, "ownerReferences": [{
                "apiVersion": "v1", "kind": "Node", "name": self.node, "uid": owner,
            }]},
            "spec": {},
        });
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        let written = self.configs.patch(self.node, &apply, &patch);
        let written = request("create the NodeImageConfig", self.deadline, written).await;
        let written = written.map_err(|error| match error.code() {
            Some(404) => ReportError::NoKind,
            _ => error,
        })?;
        self.write_status(status, &Spec::of(&written)).await
    }

    async fn write_status(
        &self,
        status: &Status,
        spec: &Spec,
    ) -> Result<NodeImageConfig, ReportError> {
        let object = json!({
            "apiVersion": "image-config-agent.io/v1alpha1",
            "kind": "NodeImageConfig",
            "metadata": {"name": self.node},
            "status": NodeImageConfigStatus::of(status, spec, Timestamp::now()),
        });
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        let written = self.configs.patch_status(self.node, &apply, &patch);
        request("write the NodeImageConfig", self.deadline, written).await
    }

    /// Says on the Node which configuration is applied, where it does not say so yet.
    async fn annotate(
        &self,
        node: &PartialObjectMeta<Node>,
        status: &Status,
    ) -> Result<(), ReportError> {
        let applied = status.applied.as_ref().map(|applied| &applied.configuration);
        if node.annotations().get(APPLIED) == applied {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"metadata": {"annotations": {APPLIED: applied}}}));
        let manager = patch_params();
        let patched = self.nodes.patch_metadata(self.node, &manager, &patch);
        request("annotate the Node", self.deadline, patched).await.map(drop)
    }

    /// Posts the Events; those that are posted are taken out of the order.
    async fn post(&self, posts: &mut Posts, order: &mut Order) -> Result<(), ReportError> {
        if !order.on_node.is_empty() {
            let regarding = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(self.node.to_owned()),
                uid: self.read_node().await?.uid(),
                ..ObjectReference::default()
            };
            posts.on_node(&self.events, &regarding, &mut order.on_node, self.deadline).await?;
        }
        if order.on_image.is_empty() {
            return Ok(());
        }
        let image = self.images.get_metadata_opt("cluster");
        let Some(image) = request("read the Image", self.deadline, image).await? else {
            // The documents come from elsewhere: there is no object to say it of.
            order.on_image.clear();
            return Ok(());
        };
        let regarding = ObjectReference {
            api_version: Some("config.openshift.io/v1".to_owned()),
            kind: Some("Image".to_owned()),
            name: Some("cluster".to_owned()),
            uid: image.uid(),
            ..ObjectReference::default()
        };
        posts.on_image(&self.events, &regarding, &mut order.on_image, self.deadline).await
    }
}
