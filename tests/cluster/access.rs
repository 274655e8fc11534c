//! Who the agent is to the API server: certificates, tokens and service accounts that are replaced while it runs (rule D5).

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::{Agent, Pod};
use crate::cluster::{Cluster, Credentials};
use crate::node::Node;
use crate::proxy::Proxy;
use crate::source::{IMAGE, blocking, cluster, put_image, with_kubeconfig};
use crate::support::{Host, OTHER_CA};

/// Long enough for an agent to have read the cluster, even on a busy machine.
const LIFE: Duration = Duration::from_secs(30);

const MASTERS: [&str; 1] = ["system:masters"];

/// Puts a file in place of another, at once.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let draft = folder.join("draft");
    fs::write(&draft, bytes).unwrap();
    fs::rename(draft, folder.join(name)).unwrap();
}

fn put_certificate(folder: &Path, credentials: &Credentials) {
    let Credentials::Certificate { certificate, key } = credentials else { panic!() };
    put(folder, "client.key", key.as_bytes());
    put(folder, "client.crt", certificate.as_bytes());
}

/// A kubeconfig that names the files of a client certificate.
fn naming(cluster: &Cluster, port: u16, folder: &Path) -> String {
    let config = cluster.kubeconfig(port, &Credentials::Token(String::new()));
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["users"][0]["user"] = json!({
        "client-certificate": folder.join("client.crt"), "client-key": folder.join("client.key"),
    });
    config.to_string()
}

impl Agent {
    /// Until it says that the API server does not take its credentials. The API server judges them
    /// when it is asked anew, and remembers tokens for some seconds.
    fn until_unauthorized(&self, proxy: &Proxy) {
        self.until("Unauthorized", || {
            proxy.drop_connections();
            thread::sleep(Duration::from_secs(1));
            self.status()["sources"][0]["trouble"]["reason"] == "Unauthorized"
        });
    }
}

#[test]
fn d5_a_client_certificate_that_is_replaced_before_it_ends_is_not_missed() {
    let cluster = cluster();
    put_image(&cluster, &blocking("a.io"));
    let (proxy, folder) = (Proxy::before(cluster.port), TempDir::new().unwrap());
    let folder = folder.path();
    put_certificate(folder, &cluster.certificate_for("agents", &MASTERS, LIFE));
    let agent = with_kubeconfig(&naming(&cluster, proxy.port, folder), "");
    agent.converges();
    put_certificate(folder, &cluster.certificate("agents", &MASTERS));
    thread::sleep(LIFE + Duration::from_secs(1));
    proxy.drop_connections();
    put_image(&cluster, &blocking("b.io"));
    agent.until_verdict("b.io/x:1", "rejected");
    agent.until_well();
    assert!(!agent.said().contains("Unauthorized"), "{}", agent.said());
    // One that has ended changes nothing, until there is a good one.
    put_certificate(folder, &cluster.certificate_for("agents", &MASTERS, Duration::ZERO));
    agent.until_unauthorized(&proxy);
    put_image(&cluster, &blocking("c.io"));
    assert_eq!(agent.host.verdict("b.io/x:1"), "rejected");
    assert_eq!(agent.host.run(&["status"]).code, 0);
    fs::remove_file(folder.join("client.key")).unwrap();
    agent.until_trouble("NoAccess");
    assert_eq!(agent.host.verdict("b.io/x:1"), "rejected");
    put_certificate(folder, &cluster.certificate("agents", &MASTERS));
    agent.until_verdict("c.io/x:1", "rejected");
    agent.until_well();
}

#[test]
fn d5_the_service_account_of_a_pod_is_found_and_its_token_replaced() {
    let cluster = Cluster::start();
    cluster.install();
    let _node = Node::join(&cluster, "n1", &json!({}));
    put_image(&cluster, &blocking("a.io"));
    let (proxy, account) = (Proxy::before(cluster.port), TempDir::new().unwrap());
    let token = |life| put(account.path(), "token", cluster.token_for("n1", life).as_bytes());
    token(LIFE);
    put(account.path(), "ca.crt", &fs::read(cluster.file("certs/apiserver.crt")).unwrap());
    put(account.path(), "namespace", b"image-config-agent");
    let pod = Pod { port: proxy.port, account: account.path().to_owned() };
    let agent = Agent::in_pod("n1", pod, "source.order = [\"kube\"]\n");
    agent.converges();
    assert_eq!(agent.host.verdict("a.io/x:1"), "rejected");
    assert_eq!(agent.status()["sources"][0]["origin"], "the cluster of this pod");
    let config = "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs/n1";
    agent.until("its object", || cluster.admin.find(config).is_some());
    // As the kubelet does, long before the end.
    token(Duration::from_secs(3600));
    thread::sleep(LIFE + Duration::from_secs(1));
    proxy.drop_connections();
    put_image(&cluster, &blocking("b.io"));
    agent.until_verdict("b.io/x:1", "rejected");
    agent.until_well();
    // Nobody replaced it.
    token(Duration::from_secs(1));
    agent.until_unauthorized(&proxy);
    assert_eq!(agent.host.verdict("b.io/x:1"), "rejected");
    // What there is to be told while the former token is still good is told, and is no trouble.
    agent.until("word that the cluster is not told all", || {
        agent.host.run(&["hold"]).exits(0);
        agent.host.run(&["release"]).exits(0);
        agent.host.run(&["status"]).out.contains("is not told all")
    });
    assert_eq!(agent.host.run(&["status"]).code, 0);
    token(Duration::from_secs(3600));
    agent.until_well();
    let before = agent.status()["applied"]["configuration"].clone();
    put_image(&cluster, &blocking("c.io"));
    agent.until_verdict("c.io/x:1", "rejected");
    agent.until("the report", || {
        let told = cluster.admin.get(config)["status"]["applied"]["configuration"].clone();
        told != before && told == agent.status()["applied"]["configuration"]
    });
    agent.until("no trouble with reports", || agent.status()["node"]["untold"].is_null());
}

#[test]
fn d5_the_ca_of_a_pod_is_read_again() {
    let cluster = Cluster::start();
    cluster.install();
    let _node = Node::join(&cluster, "n1", &json!({}));
    put_image(&cluster, &blocking("a.io"));
    let account = TempDir::new().unwrap();
    let token = cluster.token_for("n1", Duration::from_secs(3600));
    put(account.path(), "token", token.as_bytes());
    put(account.path(), "ca.crt", OTHER_CA.as_bytes());
    put(account.path(), "namespace", b"image-config-agent");
    let pod = Pod { port: cluster.port, account: account.path().to_owned() };
    let agent = Agent::in_pod("n1", pod, "source.order = [\"kube\"]\n");
    agent.until_trouble("Unreachable");
    assert!(agent.status()["applied"].is_null());
    // As the kubelet does, without a start of the pod.
    put(account.path(), "ca.crt", &fs::read(cluster.file("certs/apiserver.crt")).unwrap());
    agent.until_well();
    agent.until_verdict("b.io/x:1", "allowed");
    assert_eq!(agent.host.verdict("a.io/x:1"), "rejected");
}

#[test]
fn e1_the_image_in_the_api_of_a_cluster_is_an_endpoint_too() {
    let cluster = Cluster::start();
    cluster.install();
    put_image(&cluster, &blocking("a.io"));
    let folder = TempDir::new().unwrap();
    let token = |life| put(folder.path(), "token", cluster.token_for("n1", life).as_bytes());
    token(LIFE);
    let (ca, file) = (cluster.file("certs/apiserver.crt"), folder.path().join("token"));
    let settings = format!(
        "source.order = [\"endpoint\"]\nendpoint.poll_seconds = 1\nendpoint.ca = {ca:?}\n\
         endpoint.token_file = {file:?}\nendpoint.url = \"https://127.0.0.1:{}{IMAGE}\"\n",
        cluster.port
    );
    let agent = Agent::on(Host::new(), "n1", "", &settings);
    agent.converges();
    assert_eq!(agent.host.verdict("a.io/x:1"), "rejected");
    put_image(&cluster, &blocking("b.io"));
    agent.until_verdict("b.io/x:1", "rejected");
    // The token ends, and the API server remembers it for some seconds.
    agent.until_trouble("AccessRefused");
    put_image(&cluster, &blocking("c.io"));
    assert_eq!(agent.host.verdict("b.io/x:1"), "rejected");
    assert_eq!(agent.host.run(&["status"]).code, 0);
    token(Duration::from_secs(3600));
    agent.until_verdict("c.io/x:1", "rejected");
    agent.until_well();
    // That it is gone is no absence: a URL cannot prove one.
    cluster.admin.delete(IMAGE);
    agent.until_trouble("NothingThere");
    assert_eq!(agent.host.verdict("c.io/x:1"), "rejected");
}
