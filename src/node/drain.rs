//! The drain: which pods go, which stay, and what keeps those that should go (rule K4).

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::core::Status;
use serde_json::Value;

use super::{Node, NodeError};
use crate::model::finding::printable;

/// How many pods one request lists. A node has 110 of them by default.
const PAGE: u32 = 250;

/// How many evictions are under way at once.
const AT_ONCE: usize = 8;

/// How far the drain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// No pod is left that had to go.
    Done,
    /// Some are.
    Remaining {
        /// Them, as NAMESPACE/NAME.
        pods: Vec<String>,
        /// What keeps pods from going, as far as it is more than the time they take to end:
        /// budgets by name, refusals.
        why: Vec<String>,
    },
}

/// What the drain does with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is evicted.
    Evict,
    /// It is ending already.
    Wait,
    /// It stays, and why.
    Leave(&'static str),
}

/// What the drain does with a pod. `kubectl drain` differs in two: it refuses to begin where there
/// are pods that nothing would start elsewhere, or removes them with `--force`; and it removes
/// finished ones.
#[must_use]
pub fn fate(pod: &Pod) -> Fate {
    let metadata = &pod.metadata;
    let annotations = metadata.annotations.as_ref();
    let owners = metadata.owner_references.iter().flatten();
    let owner = owners.filter(|owner| owner.controller == Some(true)).map(|owner| &owner.kind);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if annotations.is_some_and(|all| all.contains_key("kubernetes.io/config.mirror")) {
        return Fate::Leave("its kubelet runs it from a file");
    }
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Fate::Leave("it has finished");
    }
    match owner.map(String::as_str).next() {
        None => Fate::Leave("nothing would start it elsewhere"),
        Some("DaemonSet") => Fate::Leave("its DaemonSet would start it here again"),
        Some(_) if metadata.deletion_timestamp.is_some() => Fate::Wait,
        Some(_) => Fate::Evict,
    }
}

/// What the API server made of an eviction.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The pod is ending, or needs another look.
    Ending,
    /// There is none of this name.
    Gone,
    /// It stays for now, and why.
    Kept(String),
}

impl Node {
    /// One pass of the drain: evicts what is to go, each pod with the time that it asks for itself.
    ///
    /// # Errors
    /// The API server cannot be asked. What it says of single pods is no error.
    pub async fn drain(&self) -> Result<Drained, NodeError> {
        let pods = self.pods().await?;
        let (mut remaining, mut evicted) = (Vec::new(), Vec::new());
        for pod in &pods {
            match fate(pod) {
                Fate::Evict => evicted.push(pod),
                Fate::Wait => remaining.push(shown(pod)),
                Fate::Leave(_) => {}
            }
        }
        let evictions =
            evicted.into_iter().map(|pod| async { (shown(pod), self.evict(pod).await) });
        let answers: Vec<_> = stream::iter(evictions).buffer_unordered(AT_ONCE).collect().await;
        let mut why = Vec::new();
        for (pod, answer) in answers {
            match answer? {
                Answer::Gone => continue,
                Answer::Ending => {}
                Answer::Kept(reason) => why.push(format!("{pod}: {reason}")),
            }
            remaining.push(pod);
        }
        remaining.sort();
        why.sort();
        Ok(match remaining.is_empty() {
            true => Drained::Done,
            false => Drained::Remaining { pods: remaining, why },
        })
    }

    /// The pods of this node, as they are now: an old list could lack some.
    async fn pods(&self) -> Result<Vec<Pod>, NodeError> {
        let api: Api<Pod> = Api::all(self.client.clone());
        let mut page =
            ListParams::default().fields(&format!("spec.nodeName={}", self.name)).limit(PAGE);
        let mut pods = Vec::new();
        loop {
            let list = api.list(&page).await;
            let list = list.map_err(NodeError::of(format!("the pods of Node {}", self.name)))?;
            pods.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => return Ok(pods),
            }
        }
    }

    async fn evict(&self, pod: &Pod) -> Result<Answer, NodeError> {
        let metadata = &pod.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let namespace = metadata.namespace.clone().unwrap_or_default();
        // Another pod of that name is not meant (kube's own Api::evict sends no preconditions).
        let preconditions = Preconditions { uid: metadata.uid.clone(), resource_version: None };
        let eviction = Eviction {
            delete_options: Some(DeleteOptions {
                preconditions: Some(preconditions),
                ..DeleteOptions::default()
            }),
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let answer: Result<Value, _> =
            pods.create_subresource("eviction", &name, &PostParams::default(), &eviction).await;
        match answer {
            Ok(_) => Ok(Answer::Ending),
            Err(kube::Error::Api(status)) => Ok(judged(&status)),
            Err(error) => Err(NodeError::of(format!("Pod {namespace}/{name}"))(error)),
        }
    }
}

/// What a refusal of an eviction means.
fn judged(status: &Status) -> Answer {
    let causes = || status.details.iter().flat_map(|details| &details.causes);
    let has = |reason: &str| causes().any(|cause| cause.reason == reason);
    match status.code {
        404 => Answer::Gone,
        // Another pod has its name by now: the next pass meets that one.
        409 => Answer::Ending,
        403 if has("NamespaceTerminating") => Answer::Ending,
        429 => {
            let budgets = causes().filter(|cause| cause.reason == "DisruptionBudget");
            let budgets: Vec<_> = budgets.map(|cause| printable(&cause.message)).collect();
            match budgets.is_empty() {
                // Its budget's controller has not seen the newest pods yet, or the server is busy.
                true => Answer::Kept(printable(&status.message)),
                false => Answer::Kept(budgets.join("; ")),
            }
        }
        // Two budgets select it: 500.
        _ => Answer::Kept(printable(&status.message)),
    }
}

fn shown(pod: &Pod) -> String {
    let part = |part: &Option<String>| printable(part.as_deref().unwrap_or_default());
    format!("{}/{}", part(&pod.metadata.namespace), part(&pod.metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(change: Value) -> Pod {
        let mut pod = json!({
            "metadata": {
                "namespace": "default", "name": "web", "uid": "u",
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r",
                    "controller": true,
                }],
            },
            "spec": {"containers": [], "volumes": [{"name": "cache", "emptyDir": {}}]},
            "status": {"phase": "Running"},
        });
        for (part, fields) in change.as_object().unwrap() {
            for (field, value) in fields.as_object().unwrap() {
                pod[part][field] = value.clone();
            }
        }
        serde_json::from_value(pod).unwrap()
    }

    fn owner(kind: &str, controller: bool) -> Value {
        let owner = json!({
            "apiVersion": "v1", "kind": kind, "name": "o", "uid": "o", "controller": controller,
        });
        json!({"metadata": {"ownerReferences": [owner]}})
    }

    #[test]
    fn k4_pods_that_something_starts_elsewhere_go_and_all_others_stay() {
        assert_eq!(fate(&pod(json!({}))), Fate::Evict);
        assert_eq!(fate(&pod(owner("StatefulSet", true))), Fate::Evict);
        assert_eq!(fate(&pod(json!({"status": {"phase": "Pending"}}))), Fate::Evict);
        let deleted = json!({"metadata": {"deletionTimestamp": "2026-11-26T10:00:00Z"}});
        assert_eq!(fate(&pod(deleted)), Fate::Wait);
        let stays = [
            owner("DaemonSet", true),
            // Who merely owns a pod does not start it again.
            owner("ReplicaSet", false),
            json!({"metadata": {"ownerReferences": []}}),
            json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}),
            json!({"status": {"phase": "Succeeded"}}),
            json!({"status": {"phase": "Failed"}}),
        ];
        for change in stays {
            assert!(matches!(fate(&pod(change.clone())), Fate::Leave(_)), "{change}");
        }
    }

    fn status(code: u16, reason: &str, message: &str) -> Status {
        let status = json!({
            "code": code, "message": "Cannot evict pod",
            "details": {"causes": [{"reason": reason, "message": message}]},
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn k4_what_keeps_a_pod_is_named() {
        let message = "The disruption budget web needs 2 healthy pods and has 2 currently";
        let budget = status(429, "DisruptionBudget", message);
        assert_eq!(judged(&budget), Answer::Kept(message.to_owned()));
        let kept = Answer::Kept("Cannot evict pod".to_owned());
        assert_eq!(judged(&status(429, "", "")), kept);
        assert_eq!(judged(&status(500, "", "")), kept);
        assert_eq!(judged(&status(403, "", "")), kept);
        assert_eq!(judged(&status(403, "NamespaceTerminating", "")), Answer::Ending);
        assert_eq!(judged(&status(404, "", "")), Answer::Gone);
        assert_eq!(judged(&status(409, "", "")), Answer::Ending);
    }
}
