//! `rollout`, on what nodes have told a real API server.

use std::time::Duration;

use image_config_agent::report::{Status, Waiting};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, Credentials};
use crate::node::Node;
use crate::process::until;
use crate::report::{CONFIGS, IMAGES, Reporting, cluster, status, until_config, with_image};
use crate::support::{Run, agent};

/// The agent's command, with the credentials of an administrator.
fn rollout(cluster: &Cluster, arguments: &[&str]) -> Run {
    let dir = TempDir::new().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let credentials = cluster.certificate("administrator", &["system:masters"]);
    std::fs::write(&kubeconfig, cluster.kubeconfig(cluster.port, &credentials)).unwrap();
    agent(|agent| agent.arg("rollout").args(arguments).env("KUBECONFIG", &kubeconfig), "")
}

#[test]
fn k1_rollout_status_shows_the_whole_cluster() {
    let cluster = Cluster::start();
    let api = &cluster.admin;
    let without_kind = rollout(&cluster, &["status"]).exits(1);
    assert!(without_kind.err.contains("CRDs"), "{}", without_kind.err);
    cluster.install();
    let _nodes = ["n1", "n2"].map(|name| Node::join(&cluster, name, &json!({})));
    let reporting = ["n1", "n2"].map(|name| Reporting::start(&cluster, name));
    reporting[0].say(status("b"));
    until_config(api, "n1", "its status", |object| object["status"].is_object());
    let shown = rollout(&cluster, &["status"]).exits(2).out;
    let words: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NODE", "POOL", "PHASE", "APPLIED", "DESIRED", "RUNTIME", "AGE"]);
    assert_eq!(words[1][..6], ["n1", "worker", "Idle", "bbbbbbbbbbbb", "bbbbbbbbbbbb", "Ready"]);
    assert_eq!(words[2], ["n2", "-", "-", "-", "-", "-", "-"]);
    assert_eq!(shown.lines().last(), Some("1 of 2 nodes converged, 1 without an agent"));
    let waiting = Some(Waiting { what: "a slot".to_owned(), until: Timestamp::now() });
    reporting[1].say(Status { waiting, phase: "Waiting".to_owned(), ..status("a") });
    until_config(api, "n2", "its status", |object| object["status"]["waiting"].is_object());
    let json = rollout(&cluster, &["status", "-o", "json"]).exits(2).json();
    assert_eq!(json["isConverged"], false);
    assert_eq!(json["nodes"][1]["standing"], "Changing");
    assert_eq!(json["nodes"][1]["why"], "a slot");
    assert_eq!(json["nodes"][1]["applied"], "a".repeat(64));
    rollout(&cluster, &["status", "--watch", "--timeout", "1"]).exits(2);
    // It goes on until all is well.
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| rollout(&cluster, &["status", "--watch"]));
        std::thread::sleep(Duration::from_secs(2));
        reporting[1].say(status("b"));
        let watched = watching.join().unwrap().exits(0);
        assert!(watched.err.contains("1 of 2 nodes converged, 1 changing: n2 (a slot)"));
        assert!(watched.out.ends_with("2 of 2 nodes converged\n"), "{}", watched.out);
    });
    rollout(&cluster, &["status"]).exits(0);
    rollout(&cluster, &["status", "--timeout", "1"]).exits(64);
}

/// A node's agent in foreign hands hides no other node.
#[test]
fn k5_rollout_status_shows_all_whatever_one_node_has_written() {
    let cluster = cluster();
    let api = &cluster.admin;
    let _nodes = ["n1", "n2"].map(|name| Node::join(&cluster, name, &json!({})));
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("b"));
    until_config(api, "n1", "its status", |object| object["status"].is_object());
    let odd = json!({
        "apiVersion": "image-config-agent.io/v1alpha1", "kind": "NodeImageConfig",
        "metadata": {"name": "n2"}, "spec": {},
    });
    let n2 = cluster.api(&Credentials::Token(cluster.token("n2")));
    n2.create(CONFIGS, &odd);
    let status = json!({"status": {
        "version": "1", "phase": "Idle", "runtime": "Ready", "lastHeartbeat": "9999-12-31T23:59:59Z",
        "findings": {"errors": 0, "warnings": 0, "infos": 0},
    }});
    n2.patch(&format!("{CONFIGS}/n2/status"), &status);
    let shown = rollout(&cluster, &["status"]).exits(2).out;
    assert!(shown.contains("what its agent says cannot be read"), "{shown}");
    assert!(shown.ends_with("1 of 2 nodes converged, 1 silent\n"), "{shown}");
}

/// As one user with one context of a kubeconfig of several files, and as one who may see nothing.
#[test]
fn k1_rollout_goes_by_the_kubeconfig_of_kubectl_and_says_what_it_cannot_do() {
    let cluster = cluster();
    let api = &cluster.admin;
    let _node = Node::join(&cluster, "n1", &json!({}));
    let viewer = json!({
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "image-config-agent-view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    api.create(bindings, &viewer);
    let dir = TempDir::new().unwrap();
    let file = |name: &str, of: Option<&str>| {
        let path = dir.path().join(name);
        let credentials = cluster.certificate(name, &[]);
        let text = cluster.kubeconfig(cluster.port, &credentials);
        let mut config: Value = serde_json::from_str(&text).unwrap();
        for kind in ["clusters", "users", "contexts"] {
            config[kind][0]["name"] = json!(name);
        }
        config["contexts"][0]["context"] = json!({"cluster": name, "user": of.unwrap_or(name)});
        config["current-context"] = json!(name);
        std::fs::write(&path, config.to_string()).unwrap();
        path
    };
    let (nobody, viewer) = (file("nobody", None), file("viewer", None));
    let missing = dir.path().join("missing");
    let list = std::env::join_paths([&nobody, &missing, &viewer]).unwrap();
    let run = |arguments: &[&str]| {
        agent(|agent| agent.arg("rollout").args(arguments).env("KUBECONFIG", &list), "")
    };
    let refused = run(&["status"]).exits(1);
    assert!(refused.err.contains("403"), "{}", refused.err);
    run(&["status", "--context", "viewer"]).exits(2);
    let unknown = run(&["status", "--context", "x"]).exits(1);
    assert!(unknown.err.contains("--kubeconfig"), "{}", unknown.err);
    // The right is taken away in the middle: waiting does not help, and an old table is no answer.
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| run(&["status", "--watch", "--context", "viewer"]));
        std::thread::sleep(Duration::from_secs(4));
        api.delete(&format!("{bindings}/viewer"));
        let watched = watching.join().unwrap().exits(1);
        assert!(watched.err.contains("0 of 1 nodes converged"), "{}", watched.err);
        assert!(watched.err.contains("cannot be listed"), "{}", watched.err);
        assert_eq!(watched.out, "");
    });
}

/// An API server that is away for a while is waited for, and that it is away is said.
#[test]
fn k1_rollout_status_says_that_it_cannot_look_and_that_what_it_saw_is_old() {
    let mut cluster = cluster();
    let _node = Node::join(&cluster, "n1", &json!({}));
    let kubeconfig = cluster.file("kubeconfig");
    let watch = ["status", "--watch", "--timeout", "8"];
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            agent(|agent| agent.arg("rollout").args(watch).env("KUBECONFIG", &kubeconfig), "")
        });
        std::thread::sleep(Duration::from_secs(3));
        cluster.kill_apiserver();
        let watched = watching.join().unwrap().exits(1);
        assert!(watched.err.contains("0 of 1 nodes converged"), "{}", watched.err);
        assert!(watched.err.matches("cannot be reached").count() > 1, "{}", watched.err);
        assert_eq!(watched.out, "");
    });
}

#[test]
fn k2_a_roll_out_is_paused_and_resumed() {
    let cluster = cluster();
    let api = &cluster.admin;
    let missing = rollout(&cluster, &["pause"]).exits(1);
    assert!(missing.err.contains("Image"), "{}", missing.err);
    with_image(api);
    let image = || api.get(&format!("{IMAGES}/cluster"))["metadata"]["annotations"].clone();
    for _ in 0..2 {
        rollout(&cluster, &["pause"]).exits(0);
        assert_eq!(image()["image-config-agent.io/paused"], "true");
        let shown = rollout(&cluster, &["status"]).exits(0).out;
        assert!(shown.ends_with("; paused\n"), "{shown}");
    }
    for _ in 0..2 {
        rollout(&cluster, &["resume"]).exits(0);
        assert!(image()["image-config-agent.io/paused"].is_null());
    }
}

#[test]
fn k1_rollout_retry_asks_one_node() {
    let cluster = cluster();
    let missing = rollout(&cluster, &["retry", "n1"]).exits(1);
    assert!(missing.err.contains("does an agent run"), "{}", missing.err);
    let _node = Node::join(&cluster, "n1", &json!({}));
    let reporting = Reporting::start(&cluster, "n1");
    reporting.say(status("a"));
    until_config(&cluster.admin, "n1", "its status", |object| object["status"].is_object());
    let mut asked = Vec::new();
    for _ in 0..2 {
        rollout(&cluster, &["retry", "n1"]).exits(0);
        until("the request", || {
            let request = reporting.retry.borrow().clone();
            request.is_some_and(|request| !asked.contains(&request))
        });
        asked.push(reporting.retry.borrow().clone().unwrap());
    }
}
