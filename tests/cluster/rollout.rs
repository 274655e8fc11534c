//! A change on its way over the nodes of a cluster: slot, cordon, drain, restart, uncordon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::api::Api;
use crate::cluster::Cluster;
use crate::engine::Engine;
use crate::fake::{DONE, Job};
use crate::node::Node;
use crate::objects;
use crate::process::until;
use crate::support::Host;

const IMAGES: &str = "/apis/config.openshift.io/v1/images";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A node with its agent and its engine.
pub struct Member {
    pub node: Node,
    pub engine: Engine,
    pub agent: Agent,
}

impl Member {
    pub fn join(cluster: &Cluster, name: &str, settings: &str) -> Self {
        Self::labelled(cluster, name, &json!({}), settings)
    }

    fn labelled(cluster: &Cluster, name: &str, labels: &Value, settings: &str) -> Self {
        let node = Node::join(cluster, name, labels);
        let credentials = crate::cluster::Credentials::Token(cluster.token(name));
        let kubeconfig = cluster.kubeconfig(cluster.port, &credentials);
        let host = Host::new();
        let accepts_all = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        host.write("/etc/containers/policy.json", accepts_all);
        let engine = Engine::on(&host);
        let at = host.at("/etc/image-config-agent/kubeconfig");
        let settings = format!(
            "source.order = [\"kube\"]\nkube.kubeconfig = {at:?}\n{}{settings}",
            Engine::SETTINGS
        );
        let agent = Agent::with_bus(host, name, &kubeconfig, &settings, Some(&engine.bus));
        Self { node, engine, agent }
    }

    fn object(&self, cluster: &Cluster) -> Value {
        cluster.admin.get(&self.node.path())
    }

    pub fn is_cordoned(&self, cluster: &Cluster) -> bool {
        self.object(cluster)["spec"]["unschedulable"] == true
    }

    pub fn phase(&self) -> String {
        self.agent.status()["phase"].as_str().unwrap_or("").to_owned()
    }

    #[track_caller]
    pub fn until_phase(&self, phase: &str) {
        self.agent.until(&format!("phase {phase}"), || self.phase() == phase);
    }

    #[track_caller]
    pub fn is_free(&self, cluster: &Cluster) {
        let name = &self.node.name;
        until(&format!("{name} uncordoned"), || !self.is_cordoned(cluster));
        until(&format!("{name} without a slot"), || !holders(&cluster.admin).contains(name));
    }
}

pub fn start() -> Cluster {
    let cluster = Cluster::start();
    cluster.install();
    cluster
}

pub fn image(blocked: &[&str]) -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
        "spec": {"registrySources": {"blockedRegistries": blocked}},
    })
}

pub fn edit(cluster: &Cluster, blocked: &[&str]) {
    let path = format!("{IMAGES}/cluster");
    if cluster.admin.find(&path).is_some() {
        cluster.admin.patch(&path, &json!({"spec": image(blocked)["spec"]}));
    } else {
        cluster.admin.create(IMAGES, &image(blocked));
    }
}

/// Who holds a slot.
fn holders(api: &Api) -> Vec<String> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/image-config-agent/leases";
    let leases = api.list(path);
    let holder = |lease: &Value| lease["spec"]["holderIdentity"].as_str().map(str::to_owned);
    leases.iter().filter_map(holder).filter(|holder| !holder.is_empty()).collect()
}

/// Counts the cordoned nodes all along.
struct Watcher {
    most: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn of(cluster: &Cluster) -> Self {
        let admin = cluster.certificate("watcher", &["system:masters"]);
        let api = Api::new(&cluster.kubeconfig(cluster.port, &admin));
        let (most, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, ends) = (most.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let nodes = api.list("/api/v1/nodes");
                let cordoned = nodes.iter().filter(|node| node["spec"]["unschedulable"] == true);
                seen.fetch_max(cordoned.count(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { most, is_over, thread: Some(thread) }
    }

    /// The most nodes that were cordoned at once.
    fn most(mut self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

#[test]
fn h4_an_edit_of_the_image_cordons_restarts_and_uncordons_and_the_pods_stay() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    let other = Node::join(&cluster, "n2", &json!({}));
    cluster.admin.create(PODS, &objects::pod("app", "n1"));
    edit(&cluster, &["one.test"]);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    let watcher = Watcher::of(&cluster);
    let before = member.engine.restarts();
    edit(&cluster, &["one.test", "two.test"]);
    member.agent.until_verdict("two.test/app:v1", "rejected");
    member.agent.converges();
    member.is_free(&cluster);
    assert_eq!(watcher.most(), 1, "it was cordoned on the way");
    assert_eq!(member.engine.restarts(), before + 1);
    assert!(cluster.admin.find(&format!("{PODS}/app")).is_some());
    drop(other);
}

#[test]
fn h4_a_change_of_cas_alone_takes_no_slot_and_no_cordon() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    member.agent.converges();
    member.is_free(&cluster);
    let (watcher, restarts) = (Watcher::of(&cluster), member.engine.restarts());
    let namespace = "openshift-config";
    if cluster.admin.find(&format!("/api/v1/namespaces/{namespace}")).is_none() {
        cluster.admin.create("/api/v1/namespaces", &objects::namespace(namespace));
    }
    let data = json!({"registry.test..5000": crate::support::CA});
    let map = json!({"metadata": {"name": "ca"}, "data": data});
    cluster.admin.create(&format!("/api/v1/namespaces/{namespace}/configmaps"), &map);
    let trust = json!({"spec": {"additionalTrustedCA": {"name": "ca"}}});
    cluster.admin.patch(&format!("{IMAGES}/cluster"), &trust);
    let file = "/etc/docker/certs.d/registry.test:5000/ca.crt";
    member.agent.until("the CA", || member.agent.host.exists(file));
    member.agent.converges();
    assert_eq!((watcher.most(), member.engine.restarts()), (0, restarts));
}

#[test]
fn k1_no_more_nodes_than_allowed_are_disturbed_at_once_and_all_get_there() {
    let cluster = start();
    let settings = "node.max_unavailable = \"2\"\n";
    let names = ["n1", "n2", "n3", "n4", "n5"];
    let members = names.map(|name| Member::join(&cluster, name, settings));
    let watcher = Watcher::of(&cluster);
    edit(&cluster, &["one.test"]);
    for member in &members {
        member.agent.until_verdict("one.test/app:v1", "rejected");
        member.agent.converges();
        member.is_free(&cluster);
        assert_eq!(member.engine.restarts(), 1, "{}", member.node.name);
    }
    let most = watcher.most();
    assert!((1..=2).contains(&most), "{most}");
}

#[test]
fn k1_no_pool_waits_for_another() {
    let cluster = start();
    let edge = "node.pool = \"zone=edge\"\n";
    let join = |name, labels: &Value| Member::labelled(&cluster, name, labels, edge);
    let first = join("w1", &json!({}));
    // On a cluster of one node nothing is drained.
    let _other = Node::join(&cluster, "w3", &json!({}));
    kept_pod(&cluster, "w1");
    edit(&cluster, &["one.test"]);
    first.until_phase("Draining");
    // One of the workers does not come to an end: the others wait, and they alone.
    let second = join("w2", &json!({"zone": "core"}));
    let control = join("c1", &json!({"node-role.kubernetes.io/control-plane": "", "zone": "edge"}));
    let selected = join("e1", &json!({"zone": "edge"}));
    for member in [&control, &selected] {
        member.agent.until_verdict("one.test/app:v1", "rejected");
        member.agent.converges();
        member.is_free(&cluster);
    }
    second.until_phase("Claiming");
    assert_eq!(second.agent.host.verdict("one.test/app:v1"), "allowed");
    let pool = |member: &Member| member.agent.status()["node"]["pool"].as_str().unwrap().to_owned();
    assert_eq!([&first, &second, &control].map(pool), ["worker", "worker", "control-plane"]);
    assert!(pool(&selected).starts_with("selected-"), "{}", pool(&selected));
    cluster.admin.delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/kept");
    for member in [&first, &second] {
        member.agent.until_verdict("one.test/app:v1", "rejected");
        member.agent.converges();
        member.is_free(&cluster);
    }
}

#[test]
fn k1_a_configuration_that_breaks_nodes_stops_at_the_first() {
    let cluster = start();
    let members = ["n1", "n2", "n3"].map(|name| Member::join(&cluster, name, ""));
    edit(&cluster, &["one.test"]);
    members.iter().for_each(|member| member.agent.converges());
    for member in &members {
        member.engine.job(Job::Ends("failed", "failed", true));
    }
    edit(&cluster, &["bad.test"]);
    let degraded = || {
        let is = |member: &&Member| member.agent.condition("Degraded").0 == "True";
        members.iter().filter(is).count()
    };
    until("the first degraded node", || degraded() == 1);
    // The old files do not help either: it stays cordoned and keeps its slot.
    thread::sleep(Duration::from_secs(15));
    assert_eq!(degraded(), 1);
    let untouched = members.iter().filter(|member| member.engine.restarts() == 1).count();
    assert_eq!(untouched, 2, "the others were not restarted");
    // The administrator mends the engine and takes the edit back.
    members.iter().for_each(|member| member.engine.job(DONE));
    edit(&cluster, &["one.test"]);
    for member in &members {
        member.agent.converges();
        member.is_free(&cluster);
    }
}

/// A pod that a budget keeps.
pub fn kept_pod(cluster: &Cluster, node: &str) {
    let mut pod = objects::pod("kept", node);
    pod["metadata"]["ownerReferences"] = objects::controlled_by("ReplicaSet", "kept");
    pod["spec"]["containers"][0]["image"] = json!("one.test/app:v1");
    cluster.admin.create(PODS, &pod);
    cluster.admin.patch(&format!("{PODS}/kept/status"), &objects::running());
    let budget = json!({
        "metadata": {"name": "kept"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}},
    });
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    cluster.admin.create(budgets, &budget);
}

#[test]
fn k4_a_drain_waits_for_a_budget_says_so_and_gives_the_node_back_at_its_deadline() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "node.drain_seconds = 10\n");
    let other = Node::join(&cluster, "n2", &json!({}));
    kept_pod(&cluster, "n1");
    edit(&cluster, &["one.test"]);
    member.until_phase("Draining");
    member.agent.until("the budget's name", || {
        let conditions = member.agent.status()["conditions"].to_string();
        conditions.contains("default/kept")
    });
    assert!(member.is_cordoned(&cluster));
    member.agent.until_condition("Applied", "False", "FailedToDrain");
    member.is_free(&cluster);
    assert_eq!(member.agent.host.verdict("one.test/app:v1"), "allowed");
    assert_eq!(member.engine.restarts(), 0);
    drop(other);
}

#[test]
fn h10_a_stop_in_the_middle_of_a_drain_lets_the_node_go_and_the_next_start_goes_on() {
    let cluster = start();
    let mut member = Member::join(&cluster, "n1", "");
    let other = Node::join(&cluster, "n2", &json!({}));
    kept_pod(&cluster, "n1");
    edit(&cluster, &["one.test"]);
    member.until_phase("Draining");
    member.agent.stop();
    assert!(!member.is_cordoned(&cluster));
    assert_eq!(holders(&cluster.admin), Vec::<String>::new());
    assert_eq!(member.agent.host.verdict("one.test/app:v1"), "allowed");
    cluster.admin.delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/kept");
    member.agent.start_again();
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.is_free(&cluster);
    drop(other);
}

#[test]
fn x3_hold_in_the_middle_lets_the_node_go_and_holds() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    let other = Node::join(&cluster, "n2", &json!({}));
    kept_pod(&cluster, "n1");
    edit(&cluster, &["one.test"]);
    member.until_phase("Draining");
    assert_eq!(member.agent.host.run(&["hold"]).code, 0);
    member.is_free(&cluster);
    member.agent.until_condition("Held", "True", "Requested");
    thread::sleep(Duration::from_secs(3));
    assert!(!member.is_cordoned(&cluster));
    drop(other);
}

#[test]
fn d5_an_api_server_that_dies_in_the_middle_leaves_no_node_cordoned() {
    let mut cluster = start();
    let member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    member.agent.converges();
    member.is_free(&cluster);
    member.node.silent(true);
    edit(&cluster, &["two.test"]);
    member.until_phase("Awaiting");
    cluster.kill_apiserver();
    member.node.silent(false);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(member.phase(), "Awaiting");
    assert_eq!(member.agent.host.verdict("two.test/app:v1"), "rejected");
    cluster.start_apiserver();
    member.agent.converges();
    member.is_free(&cluster);
}

#[test]
fn x3_what_is_typed_while_the_api_server_is_away_goes_on_without_the_node() {
    let mut cluster = start();
    let member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    member.agent.converges();
    edit(&cluster, &["one.test", "two.test"]);
    member.agent.until_verdict("two.test/app:v1", "rejected");
    member.agent.converges();
    member.is_free(&cluster);
    cluster.kill_apiserver();
    member.agent.host.run(&["rollback"]).exits(0);
    assert_eq!(member.agent.host.verdict("two.test/app:v1"), "allowed");
    assert!(member.agent.said().contains("without slot, cordon and drain"));
}
