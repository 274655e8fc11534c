//! The steps of a change on its Node, one at a time, with the rights that an agent has: cordon, drain, Ready.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::{Method, Request};
use image_config_agent::node::{
    Cordoned, Drained, Node as Steps, NodeError, NodeSettings, Readiness, Uncordoned,
};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cluster::{Cluster, Credentials};
use crate::node::Node;
use crate::objects;
use crate::process::until;

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const CORDONED: &str = "image-config-agent.io/cordoned";
const KEEP: &str = "image-config-agent.io/keep-cordoned";

fn start() -> Cluster {
    let cluster = Cluster::start();
    cluster.install();
    cluster
}

/// What the agent of a node does to it.
fn steps(api: &Api, node: &str) -> Steps {
    Steps::new(api.client(), node.to_owned(), NodeSettings::default())
}

fn agent(cluster: &Cluster, node: &str) -> Api {
    cluster.api(&Credentials::Token(cluster.token(node)))
}

/// The same, and `meanwhile` happens once, right before its first request of this kind.
fn interrupted(
    api: &Api,
    node: &str,
    before: Method,
    meanwhile: impl Fn() + Clone + Send + Sync + 'static,
) -> Steps {
    let inner = api.client();
    let is_over = Arc::new(AtomicBool::new(false));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, meanwhile) = (inner.clone(), meanwhile.clone());
        let is_meant = request.method() == before
            && !is_over.swap(request.method() == before, Ordering::Relaxed);
        async move {
            if is_meant {
                // It has a runtime of its own.
                tokio::task::spawn_blocking(meanwhile).await.unwrap();
            }
            inner.send(request).await
        }
    });
    let client = api.block_on(async { Client::new(service, "default") });
    Steps::new(client, node.to_owned(), NodeSettings::default())
}

fn is_unschedulable(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

#[test]
fn k4_only_what_the_agent_cordoned_is_uncordoned() {
    let cluster = start();
    let node = Node::join(&cluster, "n1", &json!({}));
    let api = agent(&cluster, "n1");
    let steps = steps(&api, "n1");
    let object = || cluster.admin.get(&node.path());
    let annotation = |name: &str| object()["metadata"]["annotations"][name].clone();
    // A cordon of before.
    cluster.kubectl(&["cordon", "n1"]);
    assert_eq!(api.block_on(steps.cordon()), Ok(Cordoned::Prior));
    assert_eq!(api.block_on(steps.uncordon()), Ok(Uncordoned::NotOurs));
    assert!(is_unschedulable(&object()) && annotation(CORDONED).is_null());
    // One of its own.
    cluster.kubectl(&["uncordon", "n1"]);
    for _ in 0..2 {
        assert_eq!(api.block_on(steps.cordon()), Ok(Cordoned::Ours));
    }
    assert!(is_unschedulable(&object()) && annotation(CORDONED) == "true");
    assert_eq!(api.block_on(steps.uncordon()), Ok(Uncordoned::Lifted));
    assert!(!is_unschedulable(&object()) && annotation(CORDONED).is_null());
    // One that the administrator wants to keep.
    assert_eq!(api.block_on(steps.cordon()), Ok(Cordoned::Ours));
    cluster.kubectl(&["annotate", "node", "n1", &format!("{KEEP}=yes")]);
    assert_eq!(api.block_on(steps.uncordon()), Ok(Uncordoned::Kept));
    assert!(is_unschedulable(&object()) && annotation(CORDONED).is_null());
    // Another node's agent, and no node at all.
    Node::join(&cluster, "n2", &json!({}));
    let foreign = agent(&cluster, "n2");
    let foreign_steps = self::steps(&foreign, "n1");
    cluster.kubectl(&["uncordon", "n1"]);
    let refused = foreign.block_on(foreign_steps.cordon());
    assert!(matches!(refused, Err(NodeError::Forbidden { .. })), "{refused:?}");
    assert!(!is_unschedulable(&object()));
    let gone = self::steps(&api, "n3");
    assert!(matches!(api.block_on(gone.cordon()), Err(NodeError::Absent { .. })));
}

#[test]
fn k4_a_cordon_in_the_last_moment_is_not_taken_over() {
    let cluster = start();
    let node = Node::join(&cluster, "n1", &json!({}));
    let api = agent(&cluster, "n1");
    let admin = Arc::new(cluster.api(&cluster.certificate("administrator", &["system:masters"])));
    let path = node.path();
    let meanwhile = move || {
        admin.patch(&path, &json!({"spec": {"unschedulable": true}}));
    };
    let steps = interrupted(&api, "n1", Method::PATCH, meanwhile);
    assert_eq!(api.block_on(steps.cordon()), Ok(Cordoned::Prior));
    assert_eq!(api.block_on(steps.uncordon()), Ok(Uncordoned::NotOurs));
    let object = cluster.admin.get(&node.path());
    assert!(is_unschedulable(&object) && object["metadata"]["annotations"][CORDONED].is_null());
}

#[test]
fn h4_ready_needs_a_new_sign_of_the_kubelets_life() {
    let cluster = start();
    let node = Node::join(&cluster, "n1", &json!({}));
    let api = agent(&cluster, "n1");
    let steps = steps(&api, "n1");
    let is_ready = |before| api.block_on(steps.is_ready(before)).unwrap();
    let before = api.block_on(steps.sign_of_life()).unwrap();
    assert!(before.is_ready);
    until("a sign of life", || is_ready(&before) == Readiness::Ready);
    // A beat may be under way.
    node.silent(true);
    std::thread::sleep(Duration::from_secs(1));
    let last = api.block_on(steps.sign_of_life()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let why = |readiness| match readiness {
        Readiness::NotYet(why) => why,
        Readiness::Ready => String::new(),
    };
    assert!(why(is_ready(&last)).contains("no new sign"));
    node.ready(false);
    node.silent(false);
    until("not ready", || why(is_ready(&last)).contains("not Ready"));
    node.ready(true);
    until("ready", || is_ready(&last) == Readiness::Ready);
    assert_eq!(api.block_on(steps.is_single_node()), Ok(true));
    Node::join(&cluster, "n2", &json!({}));
    assert_eq!(api.block_on(steps.is_single_node()), Ok(false));
}

/// Pods of every kind on a node, with names that begin with its own. Two of them have budgets that let none
/// go: one has one, the other two, which evictions cannot cope with.
fn fill(api: &Api, node: &str) {
    let pod = |kind: &str, owner: Option<&str>, change: Value| {
        let name = format!("{node}-{kind}");
        let mut pod = objects::pod(&name, node);
        if let Some(owner) = owner {
            pod["metadata"]["ownerReferences"] = objects::controlled_by(owner, "owner");
        }
        for (field, value) in change.as_object().unwrap() {
            pod["metadata"][field] = value.clone();
        }
        if kind == "cache" {
            pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        }
        api.create(PODS, &pod);
        let phase = if kind == "finished" {
            json!({"status": {"phase": "Succeeded"}})
        } else {
            objects::running()
        };
        api.patch(&format!("{PODS}/{name}/status"), &phase);
    };
    pod("web", Some("ReplicaSet"), json!({}));
    pod("cache", Some("StatefulSet"), json!({}));
    pod("guarded", Some("ReplicaSet"), json!({}));
    pod("twice", Some("ReplicaSet"), json!({}));
    pod("job", Some("Job"), json!({}));
    pod("daemon", Some("DaemonSet"), json!({}));
    pod("mirror", None, json!({"annotations": {"kubernetes.io/config.mirror": "x"}}));
    pod("bare", None, json!({}));
    pod("finished", Some("Job"), json!({}));
    for (name, guarded) in [("one", "guarded"), ("two", "twice"), ("three", "twice")] {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": format!("{node}-{name}")},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": format!("{node}-{guarded}")}}},
        });
        api.create(BUDGETS, &budget);
        allow(api, &format!("{node}-{name}"), 0);
    }
}

/// What the controller of budgets would write.
fn allow(api: &Api, budget: &str, disruptions: u32) {
    let status = json!({"status": {
        "observedGeneration": 1, "disruptionsAllowed": disruptions, "currentHealthy": 2, "desiredHealthy": 2,
        "expectedPods": 2,
    }});
    api.patch(&format!("{BUDGETS}/{budget}/status"), &status);
}

/// The kinds of pods that are still on a node.
fn left(api: &Api, node: &str) -> BTreeSet<String> {
    let pods = api.list(PODS).into_iter().filter(|pod| pod["spec"]["nodeName"] == node);
    let kind = |pod: Value| {
        let name = pod["metadata"]["name"].as_str().unwrap();
        name.strip_prefix(&format!("{node}-")).unwrap().to_owned()
    };
    pods.map(kind).collect()
}

fn kinds(kinds: &[&str]) -> BTreeSet<String> {
    kinds.iter().map(|kind| (*kind).to_owned()).collect()
}

#[test]
fn k4_the_agents_drain_and_kubectls_leave_the_same_pods_but_for_two_kinds() {
    let cluster = start();
    let admin = &cluster.admin;
    let (_n1, _n2) =
        (Node::join(&cluster, "n1", &json!({})), Node::join(&cluster, "n2", &json!({})));
    let daemons = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "owner"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "registry.test/app:v1"}]},
        }},
    });
    admin.create("/apis/apps/v1/namespaces/default/daemonsets", &daemons);
    fill(admin, "n1");
    fill(admin, "n2");
    let api = agent(&cluster, "n1");
    let steps = steps(&api, "n1");
    let drain = || api.block_on(steps.drain()).unwrap();

    // What keeps pods is named, and what can go has gone.
    drain();
    until("evictions", || left(admin, "n1").len() == 6);
    let Drained::Remaining { pods, why } = drain() else { panic!("nothing remains") };
    assert_eq!(pods, ["default/n1-guarded", "default/n1-twice"]);
    assert_eq!(why.len(), 2);
    assert!(
        why[0].starts_with("default/n1-guarded: ") && why[0].contains("disruption budget n1-one"),
        "{why:?}"
    );
    assert!(
        why[1].starts_with("default/n1-twice: ") && why[1].contains("more than one"),
        "{why:?}"
    );

    // kubectl, on the same pods of another node.
    let flags = ["drain", "n2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=8s"];
    let refused = cluster.run_kubectl(&flags).exits(1).err;
    assert!(refused.contains("declare no controller") && refused.contains("n2-bare"), "{refused}");
    assert_eq!(left(admin, "n2").len(), 9, "it has not begun");
    let forced = cluster.run_kubectl(&[&flags[..], &["--force"]].concat()).exits(1).err;
    assert!(forced.contains("n2-guarded") && forced.contains("disruption budget"), "{forced}");
    assert_eq!(
        left(admin, "n1"),
        kinds(&["bare", "daemon", "finished", "guarded", "mirror", "twice"])
    );
    assert_eq!(left(admin, "n2"), kinds(&["daemon", "guarded", "mirror", "twice"]));

    // The budgets give way.
    allow(admin, "n1-one", 1);
    admin.delete(&format!("{BUDGETS}/n1-two"));
    allow(admin, "n1-three", 1);
    until("the drain's end", || drain() == Drained::Done);
    assert_eq!(left(admin, "n1"), kinds(&["bare", "daemon", "finished", "mirror"]));
}

#[test]
fn k4_a_pod_that_ends_is_waited_for_and_one_of_its_name_is_not_evicted_for_it() {
    let cluster = start();
    let node = Node::join(&cluster, "n1", &json!({}));
    node.silent(true);
    // The admission policy would refuse it before the API server itself does; it binds agents alone.
    let api = cluster.api(&cluster.certificate("somebody", &["system:masters"]));
    let mut pod = objects::pod("app", "n1");
    pod["metadata"]["ownerReferences"] = objects::controlled_by("StatefulSet", "app");
    cluster.admin.create(PODS, &pod);
    let path = format!("{PODS}/app");
    let admin = Arc::new(cluster.api(&cluster.certificate("administrator", &["system:masters"])));
    // Between the list and the eviction another pod takes its name.
    let meanwhile = move || {
        let now = json!({"gracePeriodSeconds": 0});
        admin.ask(Method::DELETE, &format!("{PODS}/app"), Some(&now)).unwrap();
        admin.create(PODS, &pod);
    };
    let remaining = |drained| match drained {
        Drained::Remaining { pods, .. } => pods,
        Drained::Done => Vec::new(),
    };
    let steps = interrupted(&api, "n1", Method::POST, meanwhile);
    let drained = api.block_on(steps.drain()).unwrap();
    assert_eq!(remaining(drained), ["default/app"]);
    assert!(
        cluster.admin.get(&path)["metadata"]["deletionTimestamp"].is_null(),
        "it was meant by nobody"
    );
    // The next pass means it. Its kubelet is silent, so it does not end.
    for _ in 0..2 {
        assert_eq!(remaining(api.block_on(steps.drain()).unwrap()), ["default/app"]);
    }
    let ending = cluster.admin.get(&path);
    assert!(!ending["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(
        ending["metadata"]["deletionGracePeriodSeconds"], 30,
        "the time that it asks for itself"
    );
    node.silent(false);
    until("its end", || api.block_on(steps.drain()).unwrap() == Drained::Done);
}
