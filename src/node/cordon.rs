//! Cordon and uncordon: only what the agent cordoned is uncordoned (rule K4).

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Node, NodeError};
use crate::model::annotations::{CORDONED, KEEP_CORDONED};

/// How often a patch is tried anew because somebody else was quicker: a kubelet writes to its Node.
const TRIES: u32 = 3;

/// Who cordoned the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cordoned {
    /// The agent, now or before.
    Ours,
    /// Somebody else, before: it stays so.
    Prior,
}

/// What became of the cordon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncordoned {
    /// The node takes pods again.
    Lifted,
    /// There was none of ours.
    NotOurs,
    /// An annotation of the administrator keeps it; from now on it is theirs.
    Kept,
}

impl Node {
    /// Lets the node take no new pods. A cordon of somebody else is left as theirs.
    ///
    /// # Errors
    /// The API server does not do it.
    pub async fn cordon(&self) -> Result<Cordoned, NodeError> {
        self.change(cordon).await
    }

    /// Lets the node take pods again, if it was the agent that forbade it.
    ///
    /// # Errors
    /// The API server does not do it.
    pub async fn uncordon(&self) -> Result<Uncordoned, NodeError> {
        self.change(uncordon).await
    }

    /// Reads the Node and patches what `decide` says, if anything, unless somebody else has changed
    /// it in between.
    async fn change<T>(
        &self,
        decide: fn(&NodeObject) -> (T, Option<Value>),
    ) -> Result<T, NodeError> {
        let mut tries = 1;
        loop {
            let object = self.object().await?;
            let (outcome, patch) = decide(&object);
            let Some(patch) = patch else { return Ok(outcome) };
            let answer = self
                .nodes()
                .patch_metadata(&self.name, &PatchParams::default(), &Patch::Merge(patch))
                .await;
            match answer.map_err(NodeError::of(self.object_name())) {
                Ok(_) => return Ok(outcome),
                Err(NodeError::Conflict { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// A patch of our annotation and of the spec, which the API server refuses once the object is another
/// than the one that was read.
fn patch(object: &NodeObject, annotation: Option<&str>, spec: &Value) -> Value {
    json!({
        "metadata": {
            "resourceVersion": object.metadata.resource_version,
            "uid": object.metadata.uid,
            "annotations": {CORDONED: annotation},
        },
        "spec": spec,
    })
}

fn has_annotation(object: &NodeObject, name: &str) -> bool {
    object.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(name))
}

fn is_unschedulable(object: &NodeObject) -> bool {
    object.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

fn cordon(object: &NodeObject) -> (Cordoned, Option<Value>) {
    let is_ours = has_annotation(object, CORDONED);
    match (is_unschedulable(object), is_ours) {
        (true, true) => (Cordoned::Ours, None),
        (true, false) => (Cordoned::Prior, None),
        (false, _) => {
            let patch = patch(object, Some("true"), &json!({"unschedulable": true}));
            (Cordoned::Ours, Some(patch))
        }
    }
}

fn uncordon(object: &NodeObject) -> (Uncordoned, Option<Value>) {
    if !has_annotation(object, CORDONED) {
        (Uncordoned::NotOurs, None)
    } else if has_annotation(object, KEEP_CORDONED) {
        (Uncordoned::Kept, Some(patch(object, None, &json!({}))))
    } else {
        (Uncordoned::Lifted, Some(patch(object, None, &json!({"unschedulable": null}))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(unschedulable: bool, annotations: &[&str]) -> NodeObject {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|name| ((*name).to_owned(), json!(""))).collect();
        let node = json!({
            "metadata": {"name": "a", "resourceVersion": "7", "uid": "u", "annotations": annotations},
            "spec": {"unschedulable": unschedulable},
        });
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn k4_a_cordon_of_somebody_else_is_neither_taken_over_nor_lifted() {
        assert_eq!(cordon(&node(true, &[])), (Cordoned::Prior, None));
        assert_eq!(uncordon(&node(true, &[])), (Uncordoned::NotOurs, None));
        assert_eq!(uncordon(&node(false, &[])), (Uncordoned::NotOurs, None));
    }

    #[test]
    fn k4_cordon_and_its_annotation_are_one_patch_with_a_precondition() {
        let object = node(false, &[]);
        let (outcome, patch) = cordon(&object);
        assert_eq!(outcome, Cordoned::Ours);
        let expected = json!({
            "metadata": {"annotations": {CORDONED: "true"}, "resourceVersion": "7", "uid": "u"},
            "spec": {"unschedulable": true},
        });
        assert_eq!(patch.unwrap(), expected);
        assert_eq!(cordon(&node(true, &[CORDONED])), (Cordoned::Ours, None));
        // Somebody uncordoned it while a change is under way: it is cordoned anew.
        assert!(cordon(&node(false, &[CORDONED])).1.is_some());
    }

    #[test]
    fn k4_an_annotation_of_the_administrator_keeps_a_node_cordoned() {
        let (outcome, patch) = uncordon(&node(true, &[CORDONED, KEEP_CORDONED]));
        assert_eq!(outcome, Uncordoned::Kept);
        let patch = patch.unwrap();
        assert_eq!(patch["metadata"]["annotations"], json!({CORDONED: null}));
        assert_eq!(patch["spec"], json!({}));
        let (outcome, patch) = uncordon(&node(true, &[CORDONED]));
        assert_eq!(outcome, Uncordoned::Lifted);
        assert_eq!(patch.unwrap()["spec"], json!({"unschedulable": null}));
        assert_eq!(uncordon(&node(true, &[KEEP_CORDONED])), (Uncordoned::NotOurs, None));
    }
}
