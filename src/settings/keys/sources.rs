//! Where documents come from: files, and a cluster.

use toml_edit::Value;

use super::{Key, joined, named, shown};
use crate::settings::value::{
    list, object_name, path, seconds, seconds_or_never, text, truth, word,
};
use crate::settings::{OnMissing, SourceName};

const MISSING: [(&str, OnMissing); 2] = [("keep", OnMissing::Keep), ("revert", OnMissing::Revert)];
/// Every source that there is.
const NAMES: [(&str, SourceName); 3] =
    [("kube", SourceName::Kube), ("endpoint", SourceName::Endpoint), ("files", SourceName::Files)];

/// Where documents come from.
pub(super) const SOURCES: &[Key] = &[
    Key {
        name: "source.order",
        about: "where documents come from, in order of precedence: kube, endpoint, files (a list)",
        set: |s, v| order(v).map(|order| s.order = order),
        show: |s| s.order.iter().map(|name| name.word()).collect::<Vec<_>>().join(","),
    },
    Key {
        name: "source.fallback_after_seconds",
        about: "after how long without good documents from a source a lower one is obeyed; or never",
        set: |s, v| seconds_or_never(v).map(|time| s.fallback_after = time),
        show: |s| s.fallback_after.map_or("never".to_owned(), |time| time.as_secs().to_string()),
    },
    Key {
        name: "source.files",
        about: "files and directories of documents that the service obeys (a list)",
        set: |s, v| list(v, path).map(|paths| s.sources = paths),
        show: |s| joined(&s.sources),
    },
    Key {
        name: "source.quiet_seconds",
        about: "how long documents must have stayed as they are before they count",
        set: |s, v| seconds(v).map(|quiet| s.quiet = quiet),
        show: |s| s.quiet.as_secs().to_string(),
    },
    Key {
        name: "source.recheck_seconds",
        about: "how often all is looked at again without an occasion",
        set: |s, v| seconds(v).map(|recheck| s.recheck = recheck),
        show: |s| s.recheck.as_secs().to_string(),
    },
    Key {
        name: "trusted_ca_namespace",
        about: "namespace of the ConfigMap that additionalTrustedCA names",
        set: |s, v| text(v).map(|name| s.trusted_ca_namespace = name),
        show: |s| s.trusted_ca_namespace.clone(),
    },
];

/// The cluster, and this host's place in it.
pub(super) const KUBE: &[Key] = &[
    Key {
        name: "kube.kubeconfig",
        about: "credentials for the cluster's API, not below the root; unset: the service account of the agent's pod",
        set: |s, v| path(v).map(|path| s.kube.kubeconfig = Some(path)),
        show: |s| s.kube.kubeconfig.as_deref().map(shown).unwrap_or_default(),
    },
    Key {
        name: "kube.node",
        about: "the name of this host's Node; a DaemonSet sets it; unset: the host's name",
        set: |s, v| object_name(v).map(|name| s.kube.node = Some(name)),
        show: |s| s.kube.node.clone().unwrap_or_default(),
    },
    Key {
        name: "kube.namespace",
        about: "the agent's namespace in the cluster, where the slots are",
        set: |s, v| object_name(v).map(|name| s.node.namespace = name),
        show: |s| s.node.namespace.clone(),
    },
    Key {
        name: "kube.on_missing",
        about: "keep or revert: what becomes of an Image that is deleted from the cluster",
        set: |s, v| word(v, &MISSING).map(|action| s.kube.on_missing = action),
        show: |s| named(s.kube.on_missing, &MISSING),
    },
    Key {
        name: "kube.release_image",
        about: "true or false: whether the ClusterVersion says which image the release payload is",
        set: |s, v| truth(v).map(|is| s.kube.takes_release_image = is),
        show: |s| s.kube.takes_release_image.to_string(),
    },
    Key {
        name: "kube.manage_mco_nodes",
        about: "true or false: whether nodes of the Machine Config Operator are changed all the same",
        set: |s, v| truth(v).map(|is| s.kube.changes_mco_nodes = is),
        show: |s| s.kube.changes_mco_nodes.to_string(),
    },
];

/// Sources, each once.
fn order(value: &Value) -> Result<Vec<SourceName>, String> {
    let order = list(value, |value| word(value, &NAMES))?;
    let is_repeated = |(at, name)| order.iter().take(at).any(|earlier| earlier == name);
    if order.is_empty() || order.iter().enumerate().any(is_repeated) {
        return Err("name one source or more, each once".to_owned());
    }
    Ok(order)
}
