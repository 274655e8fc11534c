//! Nodes that OpenShift's Machine Config Operator (MCO) manages: it writes the same files there.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

use super::{ClusterError, within};

/// How long the API server may take to answer.
const ASK: Duration = Duration::from_secs(20);

/// What the MCO writes on each Node that it manages.
const ANNOTATIONS: [&str; 2] = [
    "machineconfiguration.openshift.io/currentConfig",
    "machineconfiguration.openshift.io/desiredConfig",
];

/// Why a node of the MCO is only observed, for its condition `Held`: a reason and a message.
pub const OBSERVED: (&str, &str) = (
    "ManagedByMachineConfigOperator",
    "the Machine Config Operator writes this node's files, so this agent only observes; \
     kube.manage_mco_nodes = true lets it change them all the same",
);

/// Whether the MCO manages the node of this name.
///
/// # Errors
/// There is no such Node, or the API server does not say.
pub async fn is_managed_by_mco(client: &Client, node: &str) -> Result<bool, ClusterError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let metadata = within(ASK, nodes.get_metadata(node)).await?.metadata;
    Ok(is_of_mco(&metadata.annotations.unwrap_or_default()))
}

fn is_of_mco(annotations: &BTreeMap<String, String>) -> bool {
    ANNOTATIONS.iter().any(|name| annotations.get(*name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_the_machine_config_operator_are_known_by_its_annotations() {
        let node = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert!(is_of_mco(&node("machineconfiguration.openshift.io/currentConfig", "rendered-1")));
        assert!(is_of_mco(&node("machineconfiguration.openshift.io/desiredConfig", "rendered-1")));
        assert!(!is_of_mco(&node("machineconfiguration.openshift.io/currentConfig", "")));
        assert!(!is_of_mco(&node("example.com/currentConfig", "rendered-1")));
    }
}
