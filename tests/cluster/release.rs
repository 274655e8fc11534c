//! The release image of a cluster, by its ClusterVersion (setting `kube.release_image`).

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::source::{DIGEST, cluster, follow, put_image};
use crate::support::image;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const VERSIONS: &str = "/apis/config.openshift.io/v1/clusterversions";

/// OpenShift's kind, as far as matters here.
pub fn define(cluster: &Cluster) {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
    });
    let names = json!({
        "kind": "ClusterVersion", "plural": "clusterversions", "singular": "clusterversion",
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "clusterversions.config.openshift.io"},
        "spec": {
            "group": "config.openshift.io", "scope": "Cluster", "versions": [version], "names": names,
        },
    });
    cluster.admin.create(CRDS, &definition);
    crate::process::until("the kind", || cluster.admin.find(VERSIONS).is_some());
}

/// The ClusterVersion of a cluster that runs, or goes to, this release.
pub fn version(image: &str) -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion",
        "metadata": {"name": "version"}, "status": {"desired": {"image": image, "version": "4"}},
    })
}

#[test]
fn d5_the_release_image_follows_the_cluster_version() {
    let cluster = cluster();
    put_image(&cluster, &image(json!({"blockedRegistries": ["b.io", "c.io"]})));
    let agent = follow(&cluster, cluster.port, "kube.release_image = true");
    let (first, second) = (format!("b.io/release@{DIGEST}"), format!("c.io/release@{DIGEST}"));
    // A cluster without this kind has no release image, once that has been so for a minute.
    agent.until_trouble("KindAbsent");
    agent.converges();
    assert_eq!(agent.host.verdict(&first), "rejected");
    let without = agent.status()["applied"].clone();
    define(&cluster);
    cluster.admin.create(VERSIONS, &version(&first));
    agent.until_verdict(&first, "allowed");
    assert_eq!(agent.host.verdict("c.io/other:1"), "rejected");
    agent.until_well();
    agent.until("word of it", || agent.status()["applied"] != without);
    let applied = agent.status()["applied"].clone();
    // Nothing else of it matters, not even where there is no image yet.
    let path = format!("{VERSIONS}/version");
    cluster.admin.patch(&path, &json!({"status": {"desired": {"version": "5"}, "history": []}}));
    cluster.admin.patch(&path, &json!({"status": {"desired": {"image": second}}}));
    agent.until_verdict(&second, "allowed");
    agent.until_verdict(&first, "rejected");
    agent.until("word of it", || agent.status()["applied"] != applied);
    cluster.admin.patch(&path, &json!({"status": {"desired": {"image": null}}}));
    agent.until_verdict(&second, "rejected");
    cluster.admin.patch(&path, &json!({"status": {"desired": {"image": first}}}));
    agent.until_verdict(&first, "allowed");
    agent.until("the same as before", || agent.status()["applied"] == applied);
    cluster.admin.delete(&path);
    agent.until_verdict(&first, "rejected");
    agent.converges();
}
