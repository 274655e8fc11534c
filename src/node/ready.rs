//! Whether the node is Ready and its kubelet alive (rule H4).

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node as NodeObject, NodeCondition};
use kube::Api;
use serde::{Deserialize, Serialize};

use super::{Node, NodeError};
use crate::model::finding::printable;

/// Where kubelets renew a Lease each.
const NODE_LEASES: &str = "kube-node-lease";

/// What the kubelet last gave as a sign of life. It counts as alive once either time is another:
/// its clock may have been set back since.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sign {
    /// When it renewed its Lease, every 10 seconds or so.
    lease: Option<Timestamp>,
    /// When it last reported, which may be minutes apart.
    heartbeat: Option<Timestamp>,
    /// Whether the node was Ready then.
    pub is_ready: bool,
}

/// Whether the node can be worked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It is Ready, and its kubelet has said so since.
    Ready,
    /// Not yet, and why.
    NotYet(String),
}

impl Node {
    /// What says that the kubelet lives.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn sign_of_life(&self) -> Result<Sign, NodeError> {
        let object = self.object().await?;
        Ok(Sign::of(&object, self.kubelet_lease().await?.as_ref()))
    }

    /// Whether the node is Ready and its kubelet has given another sign of life than `before`.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn is_ready(&self, before: &Sign) -> Result<Readiness, NodeError> {
        let object = self.object().await?;
        let lease = self.kubelet_lease().await?;
        Ok(readiness(&object, lease.as_ref(), before))
    }

    /// The kubelet's Lease, where there is one and it may be read.
    async fn kubelet_lease(&self) -> Result<Option<Lease>, NodeError> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NODE_LEASES);
        let lease = leases.get(&self.name).await;
        match lease.map_err(NodeError::of(format!("Lease {NODE_LEASES}/{}", self.name))) {
            Ok(lease) => Ok(Some(lease)),
            Err(NodeError::Absent { .. } | NodeError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Sign {
    fn of(object: &NodeObject, lease: Option<&Lease>) -> Self {
        let condition = ready_condition(object);
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref());
        let heartbeat = condition.and_then(|ready| ready.last_heartbeat_time.as_ref());
        Self {
            lease: renewed.map(|time| time.0),
            heartbeat: heartbeat.map(|time| time.0),
            is_ready: condition.is_some_and(|ready| ready.status == "True"),
        }
    }

    /// Whether this one came after `before`.
    fn is_another_than(&self, before: &Self) -> bool {
        let differs = |now: Option<Timestamp>, before| now.is_some() && now != before;
        differs(self.lease, before.lease) || differs(self.heartbeat, before.heartbeat)
    }
}

fn ready_condition(object: &NodeObject) -> Option<&NodeCondition> {
    let conditions = object.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

fn readiness(object: &NodeObject, lease: Option<&Lease>, before: &Sign) -> Readiness {
    let sign = Sign::of(object, lease);
    if !sign.is_ready {
        let condition = ready_condition(object);
        let why =
            condition.and_then(|ready| ready.message.as_deref()).unwrap_or("nothing is known");
        return Readiness::NotYet(format!("the node is not Ready: {}", printable(why)));
    }
    if !sign.is_another_than(before) {
        let why = "the node counts as Ready, but its kubelet has given no new sign of life";
        return Readiness::NotYet(why.to_owned());
    }
    Readiness::Ready
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(status: &str, heartbeat: &str) -> NodeObject {
        let ready = json!({
            "type": "Ready", "status": status, "message": "container runtime is down",
            "lastHeartbeatTime": heartbeat,
        });
        let node = json!({"metadata": {"name": "a"}, "status": {"conditions": [ready]}});
        serde_json::from_value(node).unwrap()
    }

    fn lease(renewed: &str) -> Lease {
        serde_json::from_value(json!({"spec": {"renewTime": renewed}})).unwrap()
    }

    const T1: &str = "2026-11-26T10:00:00Z";
    const T2: &str = "2026-11-26T10:00:10Z";
    const EARLIER: &str = "2026-11-26T09:00:00Z";

    #[test]
    fn h4_ready_counts_only_with_a_new_sign_of_life() {
        let before = Sign::of(&node("True", T1), Some(&lease(T1)));
        let look = |status, heartbeat, renewed| {
            readiness(&node(status, heartbeat), Some(&lease(renewed)), &before)
        };
        assert!(matches!(look("True", T1, T1), Readiness::NotYet(why) if why.contains("no new")));
        assert_eq!(look("True", T1, T2), Readiness::Ready);
        assert_eq!(look("True", T2, T1), Readiness::Ready);
        // The clock was set back: another time is a sign all the same.
        assert_eq!(look("True", T1, EARLIER), Readiness::Ready);
        assert!(matches!(look("False", T2, T2), Readiness::NotYet(why) if why.contains("runtime")));
        assert!(matches!(look("Unknown", T1, T1), Readiness::NotYet(_)));
    }

    #[test]
    fn h4_without_a_lease_the_heartbeat_counts() {
        let before = Sign::of(&node("True", T1), None);
        assert_eq!(readiness(&node("True", T2), None, &before), Readiness::Ready);
        assert!(matches!(readiness(&node("True", T1), None, &before), Readiness::NotYet(_)));
        // A Lease that can no longer be read is no sign.
        let before = Sign::of(&node("True", T1), Some(&lease(T1)));
        assert!(matches!(readiness(&node("True", T1), None, &before), Readiness::NotYet(_)));
    }

    #[test]
    fn h4_a_sign_survives_being_written_down() {
        let sign = Sign::of(&node("True", T1), Some(&lease("2026-11-26T10:00:00.123456Z")));
        let text = serde_json::to_string(&sign).unwrap();
        assert_eq!(serde_json::from_str::<Sign>(&text).unwrap(), sign);
    }
}
