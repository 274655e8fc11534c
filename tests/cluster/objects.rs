//! Plain objects.

use serde_json::{Value, json};

use crate::cluster::ACCOUNT;

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A pod that is bound to a node. Nobody runs it; [`running`] makes it look as if.
pub fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "registry.test/app:v1"}]},
    })
}

/// The status of a pod that runs and is ready, as a patch of its subresource.
pub fn running() -> Value {
    json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

/// A reference to an owner that controls its pods. Nothing controls them really.
pub fn controlled_by(kind: &str, name: &str) -> Value {
    json!([{
        "apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true,
        "uid": "00000000-0000-0000-0000-000000000000",
    }])
}

pub fn agent_pod_name(node: &str) -> String {
    format!("agent-{node}")
}

/// The agent's pod on a node.
pub fn agent_pod(node: &str) -> Value {
    let mut pod = pod(&agent_pod_name(node), node);
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["metadata"]["ownerReferences"] = controlled_by("DaemonSet", "image-config-agent");
    pod
}

/// The first slot of a pool.
pub fn slot(pool: &str, holder: &str, acquired: &str, renewed: &str, seconds: u32) -> Value {
    let mut slot =
        lease(&format!("image-config-agent-{pool}-0"), holder, acquired, renewed, seconds);
    slot["metadata"]["labels"] = json!({"image-config-agent.io/pool": pool});
    slot
}

/// A Lease; times are as the API prints them.
pub fn lease(name: &str, holder: &str, acquired: &str, renewed: &str, seconds: u32) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {
            "holderIdentity": holder, "acquireTime": acquired, "renewTime": renewed,
            "leaseDurationSeconds": seconds,
        },
    })
}

/// Managed fields by which somebody wrote a Node's label `pool` at this time.
pub fn written_at(time: &str) -> Value {
    json!([{
        "manager": "somebody", "operation": "Update", "apiVersion": "v1", "time": time,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {"f:pool": {}}}},
    }])
}
