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
use proxy::Proxy;
use serde_json::{Value, json};
use support::Host;

const IMAGES: &str = "/apis/config.openshift.io/v1/images";
const REPORTS: &str = "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs";

/// How long the agents are watched while nothing happens.
const IDLE: Duration = Duration::from_secs(300);

/// How often the bench itself has asked.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// An edit may take so long to be everywhere.
const LATEST: Duration = Duration::from_secs(900);

fn main() {
    let count = std::env::var("AGENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    let cluster = Cluster::start();
    cluster.install();
    edit(&cluster, "first.test");
    let own = Own::of(&cluster);
    let proxy = Proxy::before(cluster.port);
    let start = Instant::now();
    let agents: Vec<Agent> = (0..count).map(|index| join(&cluster, &proxy, index)).collect();
    let first = digests_after(&cluster, count, "");
    println!("{count} agents, start to all reported: {:.1} s", start.elapsed().as_secs_f64());
    let traffic = Traffic { cluster: &cluster, proxy: &proxy, count, own };
    let before = traffic.now();
    let start = Instant::now();
    edit(&cluster, "second.test");
    digests_after(&cluster, count, &first);
    let took = start.elapsed();
    println!("| from edit to last node reported | {:.1} s |", took.as_secs_f64());
    traffic.per_node("an edit", before, 1.0);
    thread::sleep(Duration::from_secs(30));
    let before = traffic.now();
    thread::sleep(IDLE);
    traffic.per_node("an idle hour", before, IDLE.as_secs_f64() / 3600.0);
    let mut memory: Vec<u64> = agents.iter().map(|agent| resident(agent.id())).collect();
    memory.sort_unstable();
    let (median, most) = (memory[memory.len() / 2], memory[memory.len() - 1]);
    println!("| RSS of an agent, median / most | {median} / {most} KiB |");
}

fn edit(cluster: &Cluster, registry: &str) {
    let spec = json!({"registrySources": {"blockedRegistries": [registry]}});
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

/// An agent of a node that has no engine: what its change costs elsewhere is not what is measured.
fn join(cluster: &Cluster, proxy: &Proxy, index: usize) -> Agent {
    let name = format!("n{index:04}");
    cluster.admin.create("/api/v1/nodes", &json!({"metadata": {"name": name}}));
    let token = Credentials::Token(cluster.token(&name));
    let host = Host::new();
    let at = host.at("/etc/image-config-agent/kubeconfig");
    let settings = format!(
        "source.order = [\"kube\"]\nkube.kubeconfig = {at:?}\nruntime.manager = \"none\"\n"
    );
    Agent::on(host, &name, &cluster.kubeconfig(proxy.port, &token), &settings)
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
