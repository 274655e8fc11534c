//! The slots of a roll-out on a real API server, with the admission policies in force (rules K1, K5).

use std::thread;
use std::time::Duration;

use image_config_agent::node::{Amount, Claim, Claimed, Node as Steps, NodeError, NodeSettings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cluster::{Cluster, Credentials};
use crate::node::Node;
use crate::objects;
use crate::process::until;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/image-config-agent/leases";
const CONFIGS: &str = "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs";

/// How long a slot lasts here.
const LASTS: Duration = Duration::from_secs(5);

/// A node and its agent's slots.
struct Member {
    node: Node,
    api: Api,
    steps: Steps,
}

impl Member {
    fn join(cluster: &Cluster, name: &str, max_unavailable: &str) -> Self {
        Self::with(cluster, name, max_unavailable, &json!({}))
    }

    fn with(cluster: &Cluster, name: &str, max_unavailable: &str, labels: &Value) -> Self {
        let node = Node::join(cluster, name, labels);
        let api = cluster.api(&Credentials::Token(cluster.token(name)));
        let settings = NodeSettings {
            max_unavailable: Amount::parse(max_unavailable).unwrap(),
            lease: LASTS,
            ..NodeSettings::default()
        };
        let steps = Steps::new(api.client(), name.to_owned(), settings);
        Self { node, api, steps }
    }

    /// Why not, if not.
    fn claim(&self, claim: &Claim) -> Result<(), String> {
        match self.api.block_on(self.steps.claim(claim)).unwrap() {
            Claimed::Taken => Ok(()),
            Claimed::NotYet(why) => Err(why),
        }
    }

    fn takes(&self, target: &str) -> Result<(), String> {
        self.claim(&claim(target))
    }

    #[track_caller]
    fn waits_for(&self, target: &str, why: &str) {
        let said = self.takes(target).unwrap_err();
        assert!(said.contains(why), "{said}");
    }

    fn renews(&self) -> bool {
        self.api.block_on(self.steps.renew()).unwrap()
    }

    fn frees(&self) {
        self.api.block_on(self.steps.free()).unwrap();
    }
}

/// The status of a node that is Degraded on a configuration, or on none.
fn status(pool: Option<&str>, degraded: Option<&str>, heartbeat: &str) -> Value {
    let on = |target| json!({"configuration": target, "withoutCas": target, "short": target});
    json!({"status": {
        "version": "1", "pool": pool, "phase": "Idle", "runtime": "Ready", "degradedOn": degraded.map(on),
        "lastHeartbeat": heartbeat, "findings": {"errors": 0, "warnings": 0, "infos": 0},
    }})
}

fn config(name: &str) -> Value {
    json!({
        "apiVersion": "image-config-agent.io/v1alpha1", "kind": "NodeImageConfig",
        "metadata": {"name": name}, "spec": {},
    })
}

const NOW: &str = "2026-11-26T10:00:00Z";

fn claim(target: &str) -> Claim {
    Claim { target: target.to_owned(), obeys_brake: true, is_degraded_here: false }
}

fn start() -> Cluster {
    let cluster = Cluster::start();
    cluster.install();
    cluster
}

#[test]
fn k1_a_slot_goes_from_one_node_to_the_next() {
    let cluster = start();
    let [a, b] = ["a", "b"].map(|name| Member::join(&cluster, name, "1"));
    let master = json!({"node-role.kubernetes.io/control-plane": ""});
    let m = Member::with(&cluster, "m", "1", &master);
    assert!(!a.renews());
    assert_eq!(a.takes("t"), Ok(()));
    assert_eq!(a.takes("t"), Ok(()), "it is its own");
    b.waits_for("t", "taken by a");
    assert_eq!(m.takes("t"), Ok(()), "another pool");
    assert!(a.renews() && !b.renews());
    b.frees();
    b.waits_for("t", "taken by a");
    a.frees();
    assert_eq!(b.takes("t"), Ok(()));
    let names: Vec<_> =
        cluster.admin.list(LEASES).iter().map(|lease| lease["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["image-config-agent-control-plane-0", "image-config-agent-worker-0"]);
    // Deleted while it holds the slot, long before its time is over.
    cluster.admin.delete(&b.node.path());
    assert_eq!(a.takes("t"), Ok(()));
    assert!(matches!(b.api.block_on(b.steps.claim(&claim("t"))), Err(NodeError::Absent { .. })));
}

#[test]
fn k1_a_silent_node_keeps_its_slot_from_what_it_was_taking_alone() {
    let cluster = start();
    let [a, b] = ["a", "b"].map(|name| Member::join(&cluster, name, "1"));
    assert_eq!(a.takes("t1"), Ok(()));
    b.waits_for("t1", "taken by a");
    // While it renews it is never silent.
    for _ in 0..4 {
        thread::sleep(LASTS / 3);
        assert!(a.renews());
        b.waits_for("t2", "taken by a");
    }
    until("its silence", || b.takes("t1").unwrap_err().contains("not given back by a"));
    // The clock of whoever renewed it is an hour ahead.
    let slot = format!("{LEASES}/image-config-agent-worker-0");
    let ahead = Timestamp::now() + SignedDuration::from_hours(1);
    let ahead = ahead.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    cluster.admin.patch(&slot, &json!({"spec": {"renewTime": ahead}}));
    b.waits_for("t2", "taken by a");
    until("another silence", || b.takes("t2").is_ok());
    assert!(!a.renews(), "it has lost its slot");
    assert!(b.renews());
    let spec = cluster.admin.get(&slot)["spec"].clone();
    assert_eq!(spec["holderIdentity"], "b");
    assert!(spec["acquireTime"].as_str().unwrap() > ahead.as_str(), "{spec}");
}

#[test]
fn k1_a_broken_configuration_stops_at_the_first_degraded_node() {
    let cluster = start();
    let [a, b] = ["a", "b"].map(|name| Member::join(&cluster, name, "1"));
    cluster.admin.create(CONFIGS, &config("a"));
    let status = |degraded: Option<&str>| {
        let status = status(Some("worker"), degraded, NOW);
        cluster.admin.patch(&format!("{CONFIGS}/a/status"), &status);
    };
    status(Some("bad"));
    b.waits_for("bad", "Degraded on this configuration or silent since they began to take it: a");
    assert_eq!(b.claim(&Claim { obeys_brake: false, ..claim("bad") }), Ok(()));
    // Asked anew with the brake on, it gives its slot back.
    b.waits_for("bad", "max_degraded is 1");
    assert_eq!(a.takes("bad"), Ok(()), "never against its own request");
    a.frees();
    // It goes first with the next one, while it is there to go.
    b.waits_for("good", "go first: a");
    assert_eq!(a.claim(&Claim { is_degraded_here: true, ..claim("good") }), Ok(()));
    a.frees();
    b.waits_for("good", "go first: a");
    until("its time's end", || b.takes("good").is_ok());
    b.frees();
    cluster.admin.delete(&a.node.path());
    assert_eq!(b.takes("bad"), Ok(()), "its Node is deleted");
    b.frees();
    // Who is Degraded on nothing any more does not count.
    status(None);
    assert_eq!(b.takes("bad"), Ok(()));
}

/// A node's agent may be in foreign hands. What it says of itself counts in the pool of its Node, whose labels it cannot
/// change, and nowhere else.
#[test]
fn k5_a_node_that_says_that_it_is_degraded_stops_its_own_pool_alone() {
    let cluster = start();
    let master = json!({"node-role.kubernetes.io/control-plane": ""});
    let [a, b] = ["a", "b"].map(|name| Member::join(&cluster, name, "1"));
    let m = Member::with(&cluster, "m", "30%", &master);
    let own = format!("{CONFIGS}/a");
    a.api.create(CONFIGS, &config("a"));
    for heartbeat in [NOW, "9999-12-31T23:59:59Z"] {
        for pool in [None, Some(""), Some("control-plane")] {
            a.api.patch(&format!("{own}/status"), &status(pool, Some("t"), heartbeat));
            assert_eq!(m.takes("t"), Ok(()), "{pool:?} {heartbeat}");
            m.frees();
            // Nor does it make others wait for it to go first.
            assert_eq!(m.takes("other"), Ok(()), "{pool:?} {heartbeat}");
            m.frees();
            match pool {
                Some("control-plane") => assert_eq!(b.takes("t"), Ok(())),
                _ => b.waits_for("t", "max_degraded is 1"),
            }
            b.frees();
        }
    }
    // Who wrote when is nothing that anybody reads: with the policies no agent can make it unreadable.
    let fields = objects::written_at("9999-12-31T23:59:59Z");
    cluster.admin.patch("/api/v1/nodes/a", &json!({"metadata": {"labels": {"pool": "y"}}}));
    let change = json!({"metadata": {"managedFields": fields, "annotations": {"x": "y"}}});
    let changed = cluster.admin.patch("/api/v1/nodes/a", &change);
    assert!(changed["metadata"]["managedFields"].to_string().contains("9999-12-31"), "{changed}");
    assert_eq!(m.takes("t"), Ok(()));
    a.api.patch(&format!("{own}/status"), &status(None, Some("t"), NOW));
    b.waits_for("t", "max_degraded is 1");
}

/// The policies let no agent write it; one of before, or another's, may be there.
#[test]
fn k5_a_slot_that_nobody_can_read_is_free_once_its_holder_is_silent() {
    let cluster = start();
    let master = json!({"node-role.kubernetes.io/control-plane": ""});
    let [a, b] = ["a", "b"].map(|name| Member::join(&cluster, name, "1"));
    let m = Member::with(&cluster, "m", "1", &master);
    let last = "9999-12-31T23:59:59.000000Z";
    cluster.admin.create(LEASES, &objects::slot("worker", "a", last, last, 5));
    let mut foreign = objects::lease("any", "a", last, last, 5);
    foreign["metadata"]["labels"] = json!({"image-config-agent.io/pool": ""});
    cluster.admin.create(LEASES, &foreign);
    assert_eq!(m.takes("t"), Ok(()));
    assert!(m.renews());
    b.waits_for("t", "taken by a");
    until("its silence", || b.takes("t").is_ok());
    assert!(b.renews() && b.renews());
    let spec = cluster.admin.get(&format!("{LEASES}/image-config-agent-worker-0"))["spec"].clone();
    assert_eq!(spec["holderIdentity"], "b");
    b.frees();
    assert_eq!(a.takes("t"), Ok(()));
}

#[test]
fn k1_of_many_who_ask_at_once_as_many_are_let_in_as_there_are_slots() {
    let cluster = start();
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    // 30 % of 7 are 2.
    let members = names.map(|name| Member::join(&cluster, name, "30%"));
    let mut waiting: Vec<&Member> = members.iter().collect();
    while !waiting.is_empty() {
        let answers: Vec<bool> = thread::scope(|scope| {
            let asks: Vec<_> =
                waiting.iter().map(|member| scope.spawn(|| member.takes("t").is_ok())).collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        let holders: Vec<_> =
            waiting.iter().zip(&answers).filter(|(_, taken)| **taken).map(|(m, _)| *m).collect();
        assert!((1..=2).contains(&holders.len()), "{} at once", holders.len());
        waiting.retain(|member| !holders.iter().any(|holder| holder.node.name == member.node.name));
        for member in &waiting {
            assert!(holders.len() < 2 || member.takes("t").is_err());
        }
        holders.iter().for_each(|holder| holder.frees());
    }
}
