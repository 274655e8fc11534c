//! An agent that is killed in the middle of a change of its node (rule H1).

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fake::{DONE, Job};
use crate::node::Node;
use crate::rollout::{Member, edit, kept_pod, start};

#[test]
fn h1_an_agent_that_is_killed_in_any_phase_goes_on_and_leaves_the_node_free() {
    let cluster = start();
    let mut member = Member::join(&cluster, "n1", "");
    let other = Node::join(&cluster, "n2", &json!({}));
    // In the drain.
    kept_pod(&cluster, "n1");
    edit(&cluster, &["one.test"]);
    member.until_phase("Draining");
    member.agent.signal(Signal::SIGKILL);
    cluster.admin.delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/kept");
    // While the engine restarts.
    member.engine.job(Job::Hangs);
    member.agent.crash_and_restart();
    member.until_phase("Telling");
    assert!(member.is_cordoned(&cluster));
    member.engine.job(DONE);
    // While the kubelet is silent.
    member.node.silent(true);
    member.agent.crash_and_restart();
    member.until_phase("Awaiting");
    assert!(member.is_cordoned(&cluster));
    member.agent.crash_and_restart();
    thread::sleep(Duration::from_secs(3));
    assert!(member.is_cordoned(&cluster), "no sign of life, no uncordon");
    member.node.silent(false);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.is_free(&cluster);
    drop(other);
}

/// Before the first write nobody can say whose the slot is, and afterwards nobody can free it.
#[test]
fn h1_an_agent_that_is_killed_where_it_is_denied_its_slot_changes_nothing_and_lets_the_node_go() {
    let cluster = start();
    let mut member = Member::join(&cluster, "n1", "");
    let _other = Node::join(&cluster, "n2", &json!({}));
    kept_pod(&cluster, "n1");
    edit(&cluster, &["one.test"]);
    member.until_phase("Draining");
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/image-config-agent/rolebindings";
    let binding = cluster.admin.get(&format!("{bindings}/image-config-agent"));
    cluster.admin.delete(&format!("{bindings}/image-config-agent"));
    cluster.admin.delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/kept");
    member.until_phase("Changing");
    member.agent.until("the reason", || {
        let waiting = member.agent.status()["waiting"].to_string();
        waiting.contains("keep the slot") && waiting.contains("does not allow")
    });
    assert!(member.is_cordoned(&cluster));
    member.agent.crash_and_restart();
    member.until_phase("Leaving");
    member.agent.crash_and_restart();
    member.until_phase("Leaving");
    assert_eq!(member.agent.host.verdict("one.test/app:v1"), "allowed");
    let again = json!({
        "apiVersion": binding["apiVersion"], "kind": binding["kind"], "roleRef": binding["roleRef"],
        "metadata": {"name": "image-config-agent"}, "subjects": binding["subjects"],
    });
    cluster.admin.create(bindings, &again);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.is_free(&cluster);
}

#[test]
fn h1_an_agent_that_is_killed_while_even_the_old_files_fail_goes_on_until_they_do_not() {
    let cluster = start();
    let mut member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.engine.job(Job::Ends("failed", "failed", true));
    edit(&cluster, &["two.test"]);
    member.until_phase("Retelling");
    member.agent.crash_and_restart();
    member.agent.until_condition("Degraded", "True", "RollbackFailed");
    assert!(member.is_cordoned(&cluster));
    member.engine.job(DONE);
    member.agent.until_condition("Degraded", "True", "RolledBack");
    member.is_free(&cluster);
    assert_eq!(member.agent.host.verdict("one.test/app:v1"), "rejected");
    assert_eq!(member.agent.host.verdict("two.test/app:v1"), "allowed");
}

#[test]
fn k1_an_agent_killed_while_it_waits_for_a_slot_and_a_holder_whose_node_is_deleted() {
    let cluster = start();
    let other = Node::join(&cluster, "n3", &json!({}));
    let first = Member::join(&cluster, "n1", "");
    kept_pod(&cluster, "n1");
    edit(&cluster, &["one.test"]);
    first.until_phase("Draining");
    let mut second = Member::join(&cluster, "n2", "");
    second.until_phase("Claiming");
    assert!(!second.is_cordoned(&cluster));
    second.agent.crash_and_restart();
    second.until_phase("Claiming");
    // The holder is gone for good: its slot is free at once.
    first.agent.signal(Signal::SIGKILL);
    drop(first.node);
    cluster.admin.delete("/api/v1/nodes/n1");
    second.agent.until_verdict("one.test/app:v1", "rejected");
    second.agent.converges();
    second.is_free(&cluster);
    drop(other);
}

#[test]
fn h1_an_agent_that_is_killed_where_it_may_not_cordon_goes_on_once_it_may() {
    let cluster = start();
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/image-config-agent";
    let rules = cluster.admin.get(role)["rules"].clone();
    let mut fewer = rules.clone();
    let is_of_nodes = |rule: &&mut Value| rule["resources"] == json!(["nodes"]);
    fewer.as_array_mut().unwrap().iter_mut().find(is_of_nodes).unwrap()["verbs"] =
        json!(["get", "list"]);
    cluster.admin.patch(role, &json!({"rules": fewer}));
    let mut member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    let is_denied = |member: &Member| {
        member.until_phase("Cordoning");
        member.agent.until("the reason", || {
            member.agent.status()["waiting"].to_string().contains("another try to cordon")
        });
        assert_eq!(member.agent.host.verdict("one.test/app:v1"), "allowed");
    };
    is_denied(&member);
    member.agent.crash_and_restart();
    is_denied(&member);
    cluster.admin.patch(role, &json!({"rules": rules}));
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.is_free(&cluster);
}

#[test]
fn h1_an_agent_that_is_killed_where_the_old_files_cannot_be_brought_back_does_so_once_they_can() {
    let cluster = start();
    let mut member = Member::join(&cluster, "n1", "runtime.restart_seconds = 10\n");
    edit(&cluster, &["one.test"]);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.engine.job(Job::Hangs);
    edit(&cluster, &["two.test"]);
    member.until_phase("Telling");
    // Nobody knows what to do with what is in a directory.
    let policy = member.agent.host.at("/etc/containers/policy.json");
    fs::remove_file(&policy).unwrap();
    fs::create_dir(&policy).unwrap();
    member.until_phase("Undoing");
    assert!(member.is_cordoned(&cluster));
    member.agent.crash_and_restart();
    member.until_phase("Undoing");
    assert!(member.is_cordoned(&cluster));
    member.engine.job(DONE);
    fs::remove_dir(&policy).unwrap();
    member.agent.until_condition("Degraded", "True", "RolledBack");
    member.is_free(&cluster);
    assert_eq!(member.agent.host.verdict("one.test/app:v1"), "rejected");
    assert_eq!(member.agent.host.verdict("two.test/app:v1"), "allowed");
}
