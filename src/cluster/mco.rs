//! Nodes that OpenShift's Machine Config Operator (MCO) manages: it writes the same files there.

use std::collections::BTreeMap;

/// What the MCO writes on each Node that it manages.
const ANNOTATIONS: [&str; 2] = [
    "machineconfiguration.openshift.io/currentConfig",
    "machineconfiguration.openshift.io/desiredConfig",
];

/// Why a node of the MCO is only observed.
pub const OBSERVED: &str = "the Machine Config Operator writes this node's files, so this agent only observes; \
     kube.manage_mco_nodes = true lets it change them all the same";

/// Whether the MCO manages the node that has these annotations.
#[must_use]
pub fn is_of_mco(annotations: &BTreeMap<String, String>) -> bool {
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
