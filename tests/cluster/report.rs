//! What the cluster is told of a node: the reporter of the library against a real API server.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use image_config_agent::cluster::Cluster as Way;
use image_config_agent::driver::block_on;
use image_config_agent::machine::{Ending, Kind};
use image_config_agent::model::{Digests, Finding, Origin, Severity};
use image_config_agent::plan::Tell;
use image_config_agent::report::kube::Reporter;
use image_config_agent::report::{
    Condition, Drain, LastChange, NodeImageConfig, NodeState, Status, Truth,
};
use jiff::Timestamp;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::api::Api;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::process::until;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const CONFIGS: &str = "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
pub const IMAGES: &str = "/apis/config.openshift.io/v1/images";

/// A reporter with the rights of its node's agent, on a thread of its own, and what the driver would hold.
pub struct Reporting {
    statuses: Option<watch::Sender<Option<Status>>>,
    pub retry: watch::Receiver<Option<String>>,
    trouble: watch::Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporting {
    pub fn start(cluster: &Cluster, node: &str) -> Self {
        Self::with(cluster, node, None)
    }

    /// One that begins when this has been said already.
    fn with(cluster: &Cluster, node: &str, said: Option<Status>) -> Self {
        let user = format!("image-config-agent:{node}");
        let credentials = cluster.certificate(&user, &["image-config-agent:nodes"]);
        let dir = TempDir::new().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, cluster.kubeconfig(cluster.port, &credentials)).unwrap();
        let node = node.to_owned();
        let (statuses, receiver) = watch::channel(said);
        let (retry_sender, retry) = watch::channel(None);
        let (trouble_sender, trouble) = watch::channel(None);
        let thread = std::thread::spawn(move || {
            let cluster = Arc::new(Way::new(Some(kubeconfig)));
            let (retry, trouble) = (retry_sender, trouble_sender);
            let reporter = Reporter { cluster, node, statuses: receiver, retry, trouble };
            block_on(reporter.run()).unwrap();
            drop(dir);
        });
        Self { statuses: Some(statuses), retry, trouble, thread: Some(thread) }
    }

    pub fn say(&self, status: Status) {
        self.statuses.as_ref().unwrap().send_replace(Some(status));
    }

    fn trouble(&self) -> String {
        self.trouble.borrow().clone().unwrap_or_default()
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        self.statuses = None;
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// A cluster that knows the kind, and lets an agent do no more than the package lets it.
pub fn cluster() -> Cluster {
    let cluster = Cluster::start();
    cluster.install();
    cluster
}

fn define(cluster: &Cluster) {
    cluster.admin.create(CRDS, &serde_json::to_value(NodeImageConfig::crd()).unwrap());
    until("the kind", || cluster.admin.find(CONFIGS).is_some());
}

/// An Image; where the package brings no such kind, of one that holds anything.
pub fn with_image(api: &Api) {
    if api.find(IMAGES).is_none() {
        api.create(CRDS, &any_image());
        until("the kind", || api.find(IMAGES).is_some());
    }
    let image = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
        "spec": {},
    });
    api.create(IMAGES, &image);
}

fn any_image() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
    });
    let names = json!({
        "kind": "Image", "plural": "images", "singular": "image", "listKind": "ImageList",
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "images.config.openshift.io"},
        "spec": {
            "group": "config.openshift.io", "scope": "Cluster", "versions": [version],
            "names": names,
        },
    })
}

fn digests(name: &str) -> Digests {
    Digests { configuration: name.repeat(64), without_cas: name.to_uppercase().repeat(64) }
}

fn condition(kind: &str, status: Truth, reason: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: format!("{reason} it is"),
        last_transition_time: Timestamp::now(),
    }
}

/// A node on which all is well and `applied` applied.
pub fn status(applied: &str) -> Status {
    Status {
        format: 1,
        version: "1.2.3".to_owned(),
        pid: 1,
        host: "a".to_owned(),
        written: Timestamp::now(),
        phase: "Idle".to_owned(),
        observed: Some(digests("b")),
        applied: Some(digests(applied)),
        conditions: vec![
            condition("Applied", Truth::True, "AsExpected"),
            condition("RuntimeReady", Truth::True, "AsExpected"),
            condition("Drifted", Truth::False, "AsExpected"),
            condition("Degraded", Truth::False, "AsExpected"),
        ],
        files: Vec::new(),
        findings: Vec::new(),
        last_change: None,
        waiting: None,
        sources: Vec::new(),
        report: None,
        node: Some(NodeState { pool: "worker".to_owned(), ..NodeState::default() }),
    }
}

fn applied() -> Status {
    let last_change = Some(LastChange {
        kind: Kind::Apply,
        began: Timestamp::now(),
        target: Some(digests("b")),
        paths: vec!["/etc/containers/policy.json".into()],
        files_ms: Some(4),
        told: Some(Tell::Restart),
        engine_ms: Some(120),
        ending: Some(Ending::Done),
    });
    Status { last_change, ..status("b") }
}

fn config(api: &Api, node: &str) -> Option<Value> {
    api.find(&format!("{CONFIGS}/{node}"))
}

/// Until the object of a node says so.
#[track_caller]
pub fn until_config(api: &Api, node: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut seen = None;
    until(what, || {
        seen = config(api, node).filter(|object| is_so(object));
        seen.is_some()
    });
    seen.unwrap()
}

fn events(api: &Api, kind: &str) -> Vec<Value> {
    let mut events = api.list(EVENTS);
    events.retain(|event| event["regarding"]["kind"] == kind);
    events.sort_by_key(|event| event["eventTime"].to_string());
    events
}

fn reasons(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["reason"].as_str().unwrap()).collect()
}

#[test]
fn k1_every_node_has_an_object_that_says_how_far_it_is() {
    let cluster = cluster();
    let api = &cluster.admin;
    let node = Node::join(&cluster, "n1", &json!({}));
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("a"));
    let object = until_config(api, "n1", "its status", |object| object["status"].is_object());
    let owner = &object["metadata"]["ownerReferences"][0];
    let uid = &api.get(&node.path())["metadata"]["uid"];
    assert_eq!(
        (&owner["kind"], &owner["name"], &owner["uid"]),
        (&json!("Node"), &json!("n1"), uid)
    );
    let said = &object["status"];
    assert_eq!(said["applied"]["withoutCas"], "A".repeat(64));
    assert_eq!(said["observedGeneration"], 1);
    assert_eq!(said["conditions"][0]["observedGeneration"], 1);
    assert_eq!(said["pool"], "worker");
    let columns = cluster.kubectl(&["get", "nodeimageconfigs"]);
    let words = |line: usize| -> Vec<&str> {
        columns.lines().nth(line).unwrap().split_whitespace().collect()
    };
    assert_eq!(words(0), ["NAME", "NODE", "PHASE", "APPLIED", "DESIRED", "RUNTIME", "AGE"]);
    assert_eq!(words(1)[..6], ["n1", "n1", "Idle", "aaaaaaaaaaaa", "bbbbbbbbbbbb", "Ready"]);
    until("the annotation", || applied_on(api, &node) == "a".repeat(64));
    reporting.say(applied());
    until_config(api, "n1", "the change", |object| {
        object["status"]["lastChange"]["result"] == "Done"
    });
    until("the annotation", || applied_on(api, &node) == "b".repeat(64));
    // What is no more so is no more said.
    reporting.say(Status { applied: None, ..status("b") });
    let object =
        until_config(api, "n1", "no change", |object| object["status"]["applied"].is_null());
    assert!(object["status"]["lastChange"].is_null(), "{object}");
    until("no annotation", || applied_on(api, &node).is_empty());
}

fn applied_on(api: &Api, node: &Node) -> String {
    let annotations = &api.get(&node.path())["metadata"]["annotations"];
    annotations["image-config-agent.io/applied"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn k1_what_happens_to_a_node_is_an_event_and_repeats_are_a_series() {
    let cluster = cluster();
    let api = &cluster.admin;
    let _node = Node::join(&cluster, "n1", &json!({}));
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("a"));
    until_config(api, "n1", "its status", |object| object["status"].is_object());
    let cordoned = |drain| {
        let pool = "worker".to_owned();
        let node = NodeState {
            pool,
            has_slot: true,
            is_cordoned: true,
            drain,
            retried: None,
            untold: None,
        };
        Status { node: Some(node), ..status("a") }
    };
    for (drain, count) in [(Drain::Running, 3), (Drain::Failed("pod a/b: budget c".into()), 4)] {
        reporting.say(cordoned(drain));
        until("its Events", || events(api, "Node").len() == count);
    }
    reporting.say(applied());
    until("all Events", || events(api, "Node").len() == 8);
    let said = events(api, "Node");
    let expected = [
        "SlotTaken",
        "Cordon",
        "Drain",
        "FailedToDrain",
        "Uncordon",
        "SlotFreed",
        "RuntimeRestarted",
        "ConfigApplied",
    ];
    let mut sorted = reasons(&said);
    sorted.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    let described = cluster.kubectl(&["describe", "node", "n1"]);
    assert!(described.contains("budget c"), "{described}");
    // The same once more goes on with the series.
    for _ in 0..2 {
        reporting.say(cordoned(Drain::None));
        let count = |said: &[Value], reason: &str| {
            let event = said.iter().find(|event| event["reason"] == reason).unwrap();
            event["series"]["count"].as_i64().unwrap_or(1)
        };
        let before = count(&events(api, "Node"), "SlotFreed");
        until("the slot", || count(&events(api, "Node"), "SlotTaken") == before + 1);
        reporting.say(status("a"));
        until("no slot", || count(&events(api, "Node"), "SlotFreed") == before + 1);
    }
    assert_eq!(events(api, "Node").len(), 8);
}

#[test]
fn k1_what_documents_are_to_blame_for_is_said_once_for_all_nodes() {
    let cluster = cluster();
    let api = &cluster.admin;
    with_image(api);
    let names = ["n1", "n2", "n3"];
    let nodes: Vec<_> = names.iter().map(|name| Node::join(&cluster, name, &json!({}))).collect();
    let all: Vec<_> = names.iter().map(|name| Reporting::start(&cluster, name)).collect();
    let finding = |field: &str| {
        let origin = Origin::field("Image/cluster", field);
        Finding::new(Severity::Error, "BothLists", origin, "only one of both", "Remove one.")
    };
    let wrong = |fields: &[&str]| Status {
        findings: fields.iter().map(|field| finding(field)).collect(),
        ..status("a")
    };
    all.iter().for_each(|reporting| reporting.say(wrong(&["spec.a", "spec.b"])));
    until("two Events", || events(api, "Image").len() == 2);
    // Longer than anybody waits out of politeness.
    std::thread::sleep(Duration::from_secs(8));
    let said = events(api, "Image");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0]["note"].as_str().unwrap().contains("only one of both"));
    assert_eq!(events(api, "Node"), [] as [Value; 0]);
    let described = cluster.kubectl(&["describe", "images.config.openshift.io", "cluster"]);
    assert!(described.contains("only one of both"), "{described}");
    for name in names {
        let counted = |object: &Value| object["status"]["findings"]["errors"] == 2;
        until_config(api, name, "its findings", counted);
    }
    drop((all, nodes));
}

#[test]
fn k1_a_node_that_is_made_again_gets_its_object_again() {
    let cluster = cluster();
    let api = &cluster.admin;
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("a"));
    until("trouble", || reporting.trouble().contains("no Node n1"));
    api.delete(&format!("{CRDS}/nodeimageconfigs.image-config-agent.io"));
    until("no kind", || api.find(CONFIGS).is_none());
    let node = Node::join(&cluster, "n1", &json!({}));
    until("trouble", || reporting.trouble().contains("crds"));
    define(&cluster);
    let first = until_config(api, "n1", "its status", |object| object["status"].is_object());
    until("no trouble", || reporting.trouble().is_empty());
    let path = node.path();
    drop(node);
    api.delete(&path);
    api.delete("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1");
    let _node = Node::join(&cluster, "n1", &json!({}));
    let uid = api.get(&path)["metadata"]["uid"].clone();
    assert_ne!(first["metadata"]["ownerReferences"][0]["uid"], uid);
    // What the cluster does with what is owned by nobody any more.
    api.delete(&format!("{CONFIGS}/n1"));
    let again = until_config(api, "n1", "its object", |object| object["status"].is_object());
    assert_eq!(again["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    assert_eq!(again["metadata"]["ownerReferences"][0]["uid"], uid);
}

#[test]
fn h13_an_api_server_that_is_away_is_told_all_when_it_is_back() {
    let mut cluster = cluster();
    let node = Node::join(&cluster, "n1", &json!({}));
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("a"));
    until_config(&cluster.admin, "n1", "its status", |object| object["status"].is_object());
    cluster.kill_apiserver();
    let went = Timestamp::now();
    reporting.say(applied());
    until("trouble", || reporting.trouble().contains("cannot"));
    std::thread::sleep(Duration::from_secs(3));
    cluster.start_apiserver();
    let api = &cluster.admin;
    let is_applied = |object: &Value| object["status"]["applied"]["short"] == "bbbbbbbbbbbb";
    until_config(api, "n1", "the news", is_applied);
    until("the Events", || events(api, "Node").len() == 2);
    let said = events(api, "Node");
    // They carry the time when it happened, not when it could be told.
    let at: Timestamp = said[0]["eventTime"].as_str().unwrap().parse().unwrap();
    assert!(at.duration_since(went).as_secs() < 2, "{said:?}");
    until("no trouble", || reporting.trouble().is_empty());
    drop((reporting, node));
}

/// As where new settings of the node replace the reporter, and nothing else changes.
#[test]
fn k1_a_reporter_that_takes_over_says_how_things_stand() {
    let cluster = cluster();
    let _node = Node::join(&cluster, "n1", &json!({}));
    let _reporting = Reporting::with(&cluster, "n1", Some(status("a")));
    until_config(&cluster.admin, "n1", "its status", |object| object["status"].is_object());
}

#[test]
fn k1_the_last_word_is_told_when_the_agent_stops() {
    let cluster = cluster();
    let _node = Node::join(&cluster, "n1", &json!({}));
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("a"));
    until_config(&cluster.admin, "n1", "its status", |object| object["status"].is_object());
    reporting.say(status("b"));
    drop(reporting);
    let object = config(&cluster.admin, "n1").unwrap();
    assert_eq!(object["status"]["applied"]["short"], "bbbbbbbbbbbb");
}

#[test]
fn k1_a_request_to_try_again_reaches_the_driver_once() {
    let cluster = cluster();
    let api = &cluster.admin;
    let _node = Node::join(&cluster, "n1", &json!({}));
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("a"));
    until_config(api, "n1", "its status", |object| object["status"].is_object());
    assert_eq!(*reporting.retry.borrow(), None);
    api.patch(&format!("{CONFIGS}/n1"), &json!({"spec": {"retry": "x"}}));
    until("the request", || reporting.retry.borrow().as_deref() == Some("x"));
    until_config(api, "n1", "its generation", |object| object["status"]["observedGeneration"] == 2);
    let mut obeyed = status("a");
    obeyed.node.as_mut().unwrap().retried = Some("x".to_owned());
    reporting.say(obeyed);
    until("no request", || reporting.retry.borrow().is_none());
    until_config(api, "n1", "that it was obeyed", |object| object["status"]["retried"] == "x");
    // A new process knows of it.
    drop(reporting);
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("b"));
    let is_new = |object: &Value| object["status"]["applied"]["short"] == "bbbbbbbbbbbb";
    let object = until_config(api, "n1", "its status", is_new);
    assert_eq!(object["status"]["retried"], "x");
    assert_eq!(*reporting.retry.borrow(), None);
}
