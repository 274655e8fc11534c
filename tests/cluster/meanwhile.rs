//! What others do to the engine and its files while a change waits for the cluster.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::agent::Agent;
use crate::cluster::{Cluster, Credentials};
use crate::engine::Engine;
use crate::node::Node;
use crate::proxy::Proxy;
use crate::rollout::{Member, edit, image, start};
use crate::support::Host;

/// The restart that a heal has left owed is not the one that came before it.
#[test]
fn h9_what_the_engine_may_have_read_while_its_node_is_waited_for_is_not_forgotten() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.node.silent(true);
    edit(&cluster, &["one.test", "two.test"]);
    member.until_phase("Awaiting");
    let before = member.engine.restarts();
    // Nobody knows since when it is gone.
    let file = "/etc/containers/registries.conf";
    fs::remove_file(member.agent.host.at(file)).unwrap();
    member.agent.until("its heal", || member.agent.host.exists(file));
    thread::sleep(Duration::from_secs(2));
    assert_eq!(member.engine.restarts(), before, "it waits for the end of the change");
    member.node.silent(false);
    member.agent.until("the owed restart", || member.engine.restarts() == before + 1);
    member.agent.converges();
    member.is_free(&cluster);
}

/// A host that obeys files, and is a node of a cluster that it reaches by a proxy.
struct Reached {
    _cluster: Cluster,
    _node: Node,
    proxy: Proxy,
    engine: Engine,
    agent: Agent,
    /// Its settings without the cluster.
    alone: String,
}

/// One that has converged, with its engine's unit in this state.
fn reached(active: &'static str) -> Reached {
    let cluster = start();
    let node = Node::join(&cluster, "n1", &json!({}));
    let proxy = Proxy::before(cluster.port);
    let credentials = Credentials::Token(cluster.token("n1"));
    let kubeconfig = cluster.kubeconfig(proxy.port, &credentials);
    let host = Host::with(&[image(&["one.test"])]);
    let engine = Engine::on(&host);
    engine.stands(active);
    let (at, docs) = (host.at("/etc/image-config-agent/kubeconfig"), host.docs());
    let alone =
        format!("source.order = [\"files\"]\nsource.files = [{docs:?}]\n{}", Engine::SETTINGS);
    let settings = format!("{alone}kube.kubeconfig = {at:?}\n");
    let agent = Agent::with_bus(host, "n1", &kubeconfig, &settings, Some(&engine.bus));
    agent.until_verdict("one.test/app:v1", "rejected");
    agent.converges();
    Reached { _cluster: cluster, _node: node, proxy, engine, agent, alone }
}

/// Of a change that waits for a slot nothing has happened yet: it waits where the settings say.
#[test]
fn k1_new_settings_of_the_node_free_a_change_that_waits_for_a_cluster_that_is_away() {
    let Reached { proxy, agent, alone, .. } = &reached("active");
    proxy.cut();
    agent.host.documents(&[image(&["two.test"])]);
    agent.until("its wait", || agent.status()["phase"] == "Claiming");
    agent.host.write("/etc/image-config-agent/config.d/10-tests.toml", alone);
    agent.signal(Signal::SIGHUP);
    agent.until_verdict("two.test/app:v1", "rejected");
    agent.converges();
}

/// As at a boot, where the network comes late: the cluster is asked before the engine is looked at.
#[test]
fn h6_an_engine_that_starts_while_the_cluster_is_asked_hears_of_the_change() {
    let Reached { proxy, engine, agent, .. } = &reached("inactive");
    assert_eq!(engine.restarts(), 0, "it is stopped, and stays so");
    // What its own files have set off is to be over.
    thread::sleep(Duration::from_secs(4));
    proxy.freeze();
    agent.host.documents(&[image(&["two.test"])]);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(agent.host.verdict("two.test/app:v1"), "allowed");
    engine.stands("active");
    proxy.pass();
    agent.until_verdict("two.test/app:v1", "rejected");
    agent.until("its restart", || engine.restarts() == 1);
    agent.converges();
}
