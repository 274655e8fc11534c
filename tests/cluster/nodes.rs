//! What settings and people make of single nodes, through their agents (rules K1, K4).

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::cluster::Cluster;
use crate::fake::{DONE, Job};
use crate::node::Node;
use crate::objects;
use crate::rollout::{Member, edit, start};
use crate::support::{Run, agent};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn rollout(cluster: &Cluster, arguments: &[&str]) -> Run {
    let kubeconfig = cluster.file("kubeconfig");
    agent(|agent| agent.arg("rollout").args(arguments).env("KUBECONFIG", &kubeconfig), "")
}

#[test]
fn k1_a_node_of_the_machine_config_operator_is_only_observed_unless_the_settings_say_otherwise() {
    let cluster = start();
    let names = ["n1", "n2"];
    let manages = "kube.manage_mco_nodes = true\n";
    let members = [(names[0], ""), (names[1], manages)]
        .map(|(name, settings)| Member::join(&cluster, name, settings));
    for name in names {
        let annotation = json!({"machineconfiguration.openshift.io/currentConfig": "rendered-1"});
        let change = json!({"metadata": {"annotations": annotation}});
        cluster.admin.patch(&format!("/api/v1/nodes/{name}"), &change);
    }
    let [observed, managed] = &members;
    observed.agent.until_condition("Held", "True", "ManagedByOthers");
    edit(&cluster, &["one.test"]);
    managed.agent.until_verdict("one.test/app:v1", "rejected");
    managed.agent.converges();
    managed.is_free(&cluster);
    observed.agent.until_condition("Applied", "False", "Held");
    assert_eq!(observed.agent.host.verdict("one.test/app:v1"), "allowed");
    assert_eq!((observed.engine.restarts(), managed.engine.restarts()), (0, 1));
    // The cluster does not wait for it.
    let watched = rollout(&cluster, &["status", "--watch", "--timeout", "60"]).exits(0).out;
    assert!(watched.ends_with("1 of 2 nodes converged, 1 only observed\n"), "{watched}");
}

#[test]
fn k1_rollout_retry_has_the_nodes_agent_try_again() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    member.agent.converges();
    // The engine takes the old files again, and not the new ones.
    member.engine.job(Job::Ends("failed", "failed", true));
    edit(&cluster, &["two.test"]);
    member.agent.until("its failure", || member.agent.condition("Degraded").0 == "True");
    member.engine.job(DONE);
    thread::sleep(Duration::from_secs(5));
    rollout(&cluster, &["retry", "n1"]).exits(0);
    member.agent.until_verdict("two.test/app:v1", "rejected");
    member.agent.converges();
    member.is_free(&cluster);
}

/// A pod of a controller, of an image that no change here is about.
fn put_pod(cluster: &Cluster, image: &str) {
    let mut pod = objects::pod("app", "n1");
    pod["metadata"]["ownerReferences"] = objects::controlled_by("ReplicaSet", "app");
    pod["spec"]["containers"][0]["image"] = json!(image);
    cluster.admin.create(PODS, &pod);
    cluster.admin.patch(&format!("{PODS}/app/status"), &objects::running());
}

#[test]
fn k4_always_drains_where_nothing_is_taken_and_never_not_even_then() {
    let cluster = start();
    let other = Node::join(&cluster, "n2", &json!({}));
    let never = Member::join(&cluster, "n1", "node.drain = \"never\"\n");
    put_pod(&cluster, "one.test/app:v1");
    edit(&cluster, &["one.test"]);
    never.agent.until_verdict("one.test/app:v1", "rejected");
    never.agent.converges();
    never.is_free(&cluster);
    assert_eq!(never.engine.restarts(), 1);
    let is_there = || cluster.admin.find(&format!("{PODS}/app")).is_some();
    assert!(is_there(), "the image of the pod is refused, and it stays");
    // More is accepted: nothing is taken from any pod.
    drop(never);
    cluster.admin.delete("/api/v1/nodes/n1");
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    cluster.admin.delete(&format!("{leases}/n1"));
    let always = Member::join(&cluster, "n1", "node.drain = \"always\"\n");
    always.agent.converges();
    always.is_free(&cluster);
    if !is_there() {
        put_pod(&cluster, "one.test/app:v1");
    }
    edit(&cluster, &[]);
    always.agent.until_verdict("one.test/app:v1", "allowed");
    always.agent.converges();
    always.is_free(&cluster);
    assert!(!is_there(), "it was evicted");
    drop(other);
}
