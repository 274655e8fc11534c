//! Many agents against one API server on this machine: how long an edit takes to be everywhere, and what a
//! node costs. Prints a table for docs/performance.md.
//!
//! `KUBERNETES=$(tests/peers/build-kubernetes) AGENTS=200 cargo bench --bench fleet`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Of the harness a part is used.
#![allow(dead_code)]

#[path = "../tests/cluster/agent.rs"]
mod agent;
#[path = "../tests/cluster/api.rs"]
mod api;
#[path = "../tests/cluster/cluster.rs"]
mod cluster;
#[path = "../tests/cluster/engine.rs"]
mod engine;
#[path = "../tests/runtime_support/mod.rs"]
mod fake;
#[path = "../tests/cluster/node.rs"]
mod node;
#[path = "../tests/cluster/objects.rs"]
mod objects;
#[path = "../tests/cluster/process.rs"]
mod process;
#[path = "../tests/cluster/proxy.rs"]
mod proxy;
#[path = "../tests/support/agent.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agent::Agent;
use cluster::{Cluster, Credentials};
use engine::Engine;
use jiff::Timestamp;
use objects::namespace;
use proxy::Proxy;
use serde_json::{Value, json};
use support::Host;

const IMAGES: &str = "/apis/config.openshift.io/v1/images";
const REPORTS: &str = "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs";

const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// How long the agents are watched while nothing happens.
const IDLE: Duration = Duration::from_secs(300);

/// How often the bench itself has asked.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// An edit may take so long to be everywhere.
const LATEST: Duration = Duration::from_secs(2400);

/// How often a kubelet renews its Lease.
const BEAT: Duration = Duration::from_secs(10);

fn main() {
    let count = std::env::var("AGENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    // Each agent watches with two inotify instances, of which a user has 128 by default.
    std::fs::write("/proc/sys/fs/inotify/max_user_instances", (2 * count + 128).to_string())
        .unwrap();
    let cluster = Cluster::start();
    cluster.install();
    edit(&cluster, &["a.test/app:v1", "b.test/app:v1"]);
    if cluster.admin.find("/api/v1/namespaces/kube-node-lease").is_none() {
        cluster.admin.create("/api/v1/namespaces", &namespace("kube-node-lease"));
    }
    (0..count).for_each(|index| make_node(&cluster, &name(index)));
    thread::scope(|scope| {
        let (_end, ended) = std::sync::mpsc::channel();
        let cluster = &cluster;
        scope.spawn(move || keep_alive(cluster, count, &ended));
        measure(cluster, count);
    });
}

fn measure(cluster: &Cluster, count: usize) {
    let own = Own::of(cluster);
    let proxy = Proxy::before(cluster.port);
    let start = Instant::now();
    let members: Vec<Member> = (0..count).map(|index| join(cluster, &proxy, index)).collect();
    let first = digests_after(cluster, count, "");
    println!("{count} agents, start to all reported: {:.1} s", start.elapsed().as_secs_f64());
    let traffic = Traffic { cluster, proxy: &proxy, count, own };
    // A block that is lifted from a tag disturbs neither engine nor pods: no node waits for another.
    let second = traffic.of_edit("an edit that disturbs nobody", &["a.test/app:v1"], &first);
    thread::sleep(Duration::from_secs(30));
    let before = traffic.now();
    thread::sleep(IDLE);
    traffic.per_node("an idle hour", before, IDLE.as_secs_f64() / 3600.0);
    // A registry that is blocked is read by the engine, and takes something from pods.
    traffic.of_edit("a roll-out, 10 % at a time", &["a.test"], &second);
    let mut memory: Vec<u64> = members.iter().map(|member| resident(member.agent.id())).collect();
    memory.sort_unstable();
    let (median, most) = (memory[memory.len() / 2], memory[memory.len() - 1]);
    println!("| RSS of an agent, median / most | {median} / {most} KiB |");
}

fn edit(cluster: &Cluster, blocked: &[&str]) {
    let spec = json!({"registrySources": {"blockedRegistries": blocked}});
    let path = format!("{IMAGES}/cluster");
    if cluster.admin.find(&path).is_some() {
        cluster.admin.patch(&path, &json!({"spec": spec}));
    } else {
        let meta = json!({"name": "cluster"});
        let (group, kind) = ("config.openshift.io/v1", "Image");
        let image = json!({"apiVersion": group, "kind": kind, "metadata": meta, "spec": spec});
        cluster.admin.create(IMAGES, &image);
    }
}

fn name(index: usize) -> String {
    format!("n{index:04}")
}

/// A Node that is Ready, and the Lease of its kubelet.
fn make_node(cluster: &Cluster, name: &str) {
    cluster.admin.create(NODES, &json!({"metadata": {"name": name}}));
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady"});
    let status = json!({"status": {"conditions": [ready]}});
    cluster.admin.patch(&format!("{NODES}/{name}/status"), &status);
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40});
    cluster.admin.create(LEASES, &json!({"metadata": {"name": name}, "spec": spec}));
}

/// Renews the Leases of all kubelets, until the other end of `ended` is gone.
fn keep_alive(cluster: &Cluster, count: usize, ended: &std::sync::mpsc::Receiver<()>) {
    let pause = BEAT / u32::try_from(count).unwrap();
    for index in (0..count).cycle() {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let renewed = json!({"spec": {"renewTime": now}});
        cluster.admin.patch(&format!("{LEASES}/{}", name(index)), &renewed);
        if ended.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// An agent, and its engine, which does at once what it is told.
struct Member {
    agent: Agent,
    _engine: Engine,
}

fn join(cluster: &Cluster, proxy: &Proxy, index: usize) -> Member {
    let token = Credentials::Token(cluster.token(&name(index)));
    let host = Host::new();
    let engine = Engine::on(&host);
    let at = host.at("/etc/image-config-agent/kubeconfig");
    let settings = format!(
        "{}runtime.action = \"auto\"\nnode.max_unavailable = \"10%\"\n\
         source.order = [\"kube\"]\nkube.kubeconfig = {at:?}\n",
        Engine::SETTINGS
    );
    let kubeconfig = cluster.kubeconfig(proxy.port, &token);
    let agent = Agent::with_bus(host, &name(index), &kubeconfig, &settings, Some(&engine.bus));
    Member { agent, _engine: engine }
}

/// The digest that all nodes report as applied, once it is another than `before`.
fn digests_after(cluster: &Cluster, count: usize, before: &str) -> String {
    let latest = Instant::now() + LATEST;
    loop {
        ASKED.fetch_add(1, Ordering::Relaxed);
        let reports = cluster.admin.list(REPORTS);
        let applied = |report: &Value| report["status"]["applied"].to_string();
        let mut by_digest = BTreeMap::new();
        for digest in reports.iter().map(applied) {
            *by_digest.entry(digest).or_insert(0) += 1;
        }
        let all = by_digest.iter().find(|(digest, nodes)| {
            **nodes == count && digest.as_str() != before && digest.as_str() != "null"
        });
        if let Some((digest, _)) = all {
            return digest.clone();
        }
        assert!(Instant::now() < latest, "{by_digest:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// How many requests the API server has answered so far.
fn requests(cluster: &Cluster) -> f64 {
    let text = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let counts = text.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// What the API server asks of itself, in requests a second.
struct Own(f64);

impl Own {
    fn of(cluster: &Cluster) -> Self {
        let time = Duration::from_secs(30);
        thread::sleep(time);
        let before = requests(cluster);
        thread::sleep(time);
        Self((requests(cluster) - before) / time.as_secs_f64())
    }
}

struct Traffic<'a> {
    cluster: &'a Cluster,
    proxy: &'a Proxy,
    count: usize,
    own: Own,
}

/// Bytes, requests of others than the bench, and when.
type Seen = (u64, f64, Instant);

impl Traffic<'_> {
    /// What it costs, and how long it takes, until an edit is applied everywhere; what is applied then.
    fn of_edit(&self, what: &str, blocked: &[&str], before: &str) -> String {
        let (seen, start) = (self.now(), Instant::now());
        edit(self.cluster, blocked);
        let digest = digests_after(self.cluster, self.count, before);
        println!("| {what}, to the last node reported | {:.1} s |", start.elapsed().as_secs_f64());
        self.per_node(what, seen, 1.0);
        digest
    }

    fn now(&self) -> Seen {
        let asked = f64::from(ASKED.load(Ordering::Relaxed));
        (self.proxy.bytes(), requests(self.cluster) - asked, Instant::now())
    }

    fn per_node(&self, what: &str, before: Seen, share: f64) {
        let now = self.now();
        let nodes = f64::from(u32::try_from(self.count).unwrap()) * share;
        let bytes = f64::from(u32::try_from(now.0 - before.0).unwrap()) / nodes;
        let own = self.own.0 * now.2.duration_since(before.2).as_secs_f64();
        let requests = (now.1 - before.1 - own) / nodes;
        println!("| {what}, per node | {requests:.1} requests, {:.1} KiB |", bytes / 1024.0);
    }
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
