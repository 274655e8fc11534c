//! Posting Events: what repeats becomes a series, and what every host has to say is said once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::{Patch, PostParams};
use serde_json::json;

use super::request::{FIELD_MANAGER, ReportError, patch_params, request};
use crate::model::digest::sha256;
use crate::report::events::Said;

/// The namespace of Events about objects that have none.
pub const NAMESPACE: &str = "default";

/// What is said again within this time goes on with the series of before.
const SERIES: Duration = Duration::from_secs(1800);

/// How much of the Node's name goes into the name of an Event.
const LONGEST_NODE: usize = 200;

/// The Events of one host.
pub struct Posts {
    node: String,
    /// What was said of late, by its reason and its words, which the API server lets nobody change.
    of_late: HashMap<(String, String), Post>,
}

/// An Event that was posted.
struct Post {
    name: String,
    count: i32,
    last: Instant,
}

impl Posts {
    /// Those of `node`.
    pub fn new(node: &str) -> Self {
        Self { node: node.to_owned(), of_late: HashMap::new() }
    }

    /// Posts what happened to the Node, in its order, and takes out what is posted.
    pub async fn on_node(
        &mut self,
        events: &Api<Event>,
        regarding: &ObjectReference,
        all: &mut Vec<Said>,
        deadline: Instant,
    ) -> Result<(), ReportError> {
        self.of_late.retain(|_, post| post.last.elapsed() < SERIES);
        while let Some(said) = all.first() {
            dropped_if_refused(said, self.on_node_once(events, regarding, said, deadline).await)?;
            all.remove(0);
        }
        Ok(())
    }

    async fn on_node_once(
        &mut self,
        events: &Api<Event>,
        regarding: &ObjectReference,
        said: &Said,
        deadline: Instant,
    ) -> Result<(), ReportError> {
        let key = (said.reason.clone(), said.note.clone());
        if let Some(post) = self.of_late.get_mut(&key) {
            let count = post.count.saturating_add(1);
            let series = EventSeries { count, last_observed_time: MicroTime(said.at) };
            let patch = Patch::Merge(json!({ "series": series }));
            let manager = patch_params();
            let patched = events.patch(&post.name, &manager, &patch);
            match request("go on with an Event", deadline, patched).await {
                // It has been said so long ago that it was forgotten.
                Err(error) if error.code() == Some(404) => {}
                result => {
                    result?;
                    (post.count, post.last) = (count, Instant::now());
                    return Ok(());
                }
            }
        }
        let node: String = self.node.chars().take(LONGEST_NODE).collect();
        let digest = sha256(format!("{}\n{}\n{}", said.at, said.reason, said.note).as_bytes());
        let name = format!("{node}.{}", digest.get(..16).unwrap_or_default());
        self.create(events, &name, regarding, said, deadline).await?;
        self.of_late.insert(key, Post { name, count: 1, last: Instant::now() });
        Ok(())
    }

    /// Posts what is to be said of the Image, unless another host has said it: whoever can say the
    /// first of it says all. Takes out what is said.
    pub async fn on_image(
        &self,
        events: &Api<Event>,
        regarding: &ObjectReference,
        all: &mut Vec<Said>,
        deadline: Instant,
    ) -> Result<(), ReportError> {
        let uid = regarding.uid.as_deref().unwrap_or_default();
        while let Some(said) = all.first() {
            let created =
                self.create(events, &said.name_on_image(uid), regarding, said, deadline).await;
            match dropped_if_refused(said, created)? {
                Some(false) => all.clear(),
                Some(true) | None => drop(all.remove(0)),
            }
        }
        Ok(())
    }

    /// Creates an Event; false where there is one of its name.
    async fn create(
        &self,
        events: &Api<Event>,
        name: &str,
        regarding: &ObjectReference,
        said: &Said,
        deadline: Instant,
    ) -> Result<bool, ReportError> {
        let event = self.event(name, regarding, said);
        let manager = Some(FIELD_MANAGER.to_owned());
        let manager = PostParams { field_manager: manager, ..PostParams::default() };
        let created = events.create(&manager, &event);
        match request("create an Event", deadline, created).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(409) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn event(&self, name: &str, regarding: &ObjectReference, said: &Said) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some(if said.is_warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(said.reason.clone()),
            action: Some(said.action.to_owned()),
            note: Some(said.note.clone()),
            event_time: Some(MicroTime(said.at)),
            regarding: Some(regarding.clone()),
            reporting_controller: Some("image-config-agent.io/agent".to_owned()),
            reporting_instance: Some(self.node.chars().take(128).collect()),
            ..Event::default()
        }
    }
}

/// What the API server will never take is said in the log, and not tried again.
fn dropped_if_refused<T>(
    said: &Said,
    result: Result<T, ReportError>,
) -> Result<Option<T>, ReportError> {
    match result {
        Err(error) if matches!(error.code(), Some(400 | 413 | 422)) => {
            tracing::warn!(reason = said.reason, "an Event was refused: {error}");
            Ok(None)
        }
        result => result.map(Some),
    }
}
