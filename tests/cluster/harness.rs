//! The harness itself: what its tests stand on is really so.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::cluster::{Cluster, Credentials};
use crate::machine::Machine;
use crate::node::Node;
use crate::objects;
use crate::process::{until, until_or};
use crate::proxy::Proxy;

const PODS: &str = "/api/v1/namespaces/default/pods";

#[test]
fn a_token_is_a_nodes_and_ends() {
    let cluster = Cluster::start();
    let review = |token: &str| {
        let request = json!({"spec": {"token": token}});
        cluster.admin.create("/apis/authentication.k8s.io/v1/tokenreviews", &request)["status"]
            .clone()
    };
    let token = cluster.token("n1");
    let user = &review(&token)["user"];
    assert_eq!(user["username"], "system:serviceaccount:image-config-agent:image-config-agent");
    assert_eq!(user["extra"]["authentication.kubernetes.io/node-name"], json!(["n1"]));
    let api = cluster.api(&Credentials::Token(token));
    assert_eq!(api.ask(Method::GET, "/api/v1/nodes", None).unwrap_err().code, 403);
    let short = cluster.token_for("n1", Duration::from_secs(2));
    assert_eq!(review(&short)["authenticated"], true);
    until("its end", || review(&short)["authenticated"] != true);
    let host = cluster.api(&cluster.certificate("image-config-agent:n1", &[]));
    let refused = host.ask(Method::GET, "/api/v1/nodes", None).unwrap_err();
    assert!(refused.message.contains("image-config-agent:n1"), "{refused:?}");
}

#[test]
fn a_node_lives_and_its_pods_end() {
    let cluster = Cluster::start();
    let api = &cluster.admin;
    let node = Node::join(&cluster, "n1", &json!({"pool": "a"}));
    let said = cluster.kubectl(&["get", "node", "n1", "--no-headers"]);
    assert_eq!(said.split_whitespace().nth(1), Some("Ready"), "{said}");
    node.ready(false);
    until("not ready", || api.get(&node.path())["status"]["conditions"][0]["status"] == "False");
    api.create(PODS, &objects::pod("a", "n1"));
    api.patch(&format!("{PODS}/a/status"), &objects::running());
    let eviction = json!({"metadata": {"name": "a"}});
    api.create(&format!("{PODS}/a/eviction"), &eviction);
    until("the pod's end", || api.find(&format!("{PODS}/a")).is_none());
    node.silent(true);
    api.create(PODS, &objects::pod("b", "n1"));
    api.delete(&format!("{PODS}/b"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(api.find(&format!("{PODS}/b")).is_some());
}

#[test]
fn the_server_and_the_way_to_it_fail_when_told() {
    let mut cluster = Cluster::start();
    let proxy = Proxy::before(cluster.port);
    let config = cluster.kubeconfig(proxy.port, &cluster.certificate("a", &["system:masters"]));
    let api = crate::api::Api::new(&config);
    let version = api.get("/api/v1/nodes")["metadata"]["resourceVersion"].clone();
    assert!(proxy.bytes() > 1000);
    proxy.cut();
    assert_eq!(api.ask(Method::GET, "/api/v1/nodes", None).unwrap_err().code, 0);
    proxy.pass();
    api.get("/api/v1/nodes");
    proxy.freeze();
    let asked = api.block_on(async {
        let client = api.client();
        tokio::time::timeout(Duration::from_secs(1), client.apiserver_version()).await.is_ok()
    });
    assert!(!asked);
    proxy.pass();
    cluster.kill_apiserver();
    assert_eq!(cluster.admin.ask(Method::GET, "/readyz", None).unwrap_err().code, 0);
    cluster.start_apiserver();
    cluster.admin.create("/api/v1/namespaces", &objects::namespace("later"));
    cluster.compact();
    let path = format!("/api/v1/nodes?watch=1&resourceVersion={}", version.as_str().unwrap());
    let said = cluster.admin.ask(Method::GET, &path, None);
    assert!(format!("{said:?}").contains("410"), "{said:?}");
}

#[test]
fn a_machine_really_runs_pods() {
    let cluster = Cluster::for_machines();
    let machine = Machine::join(&cluster);
    let image = format!("{}/pause:1", machine.registry);
    let pod = json!({
        "metadata": {"name": "a"},
        "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": image}]},
    });
    until("the account", || {
        cluster.admin.find("/api/v1/namespaces/default/serviceaccounts/default").is_some()
    });
    cluster.admin.create(PODS, &pod);
    until_or(
        "the pod",
        || machine.said(),
        || cluster.admin.get(&format!("{PODS}/a"))["status"]["phase"] == "Running",
    );
    cluster.admin.delete(&format!("{PODS}/a"));
    until("its end", || cluster.admin.find(&format!("{PODS}/a")).is_none());
}
