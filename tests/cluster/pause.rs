//! A roll-out that is paused and resumed by the command, on a real API server (rule K2).

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::cluster::Cluster;
use crate::rollout::{Member, edit, start};
use crate::support::{CA, Run, agent, config_map};

const IMAGE: &str = "/apis/config.openshift.io/v1/images/cluster";
const CONFIG_MAPS: &str = "/api/v1/namespaces/openshift-config/configmaps";
const CA_FILE: &str = "/etc/docker/certs.d/localhost/ca.crt";

/// The command as an administrator types it.
fn rollout(cluster: &Cluster, word: &str) -> Run {
    let kubeconfig = cluster.file("kubeconfig");
    agent(|agent| agent.args(["rollout", word, "--kubeconfig"]).arg(kubeconfig), "")
}

#[test]
fn k2_a_paused_image_holds_an_edit_but_for_cas_until_it_is_resumed() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    let agent = &member.agent;
    edit(&cluster, &["one.test"]);
    agent.until_verdict("one.test/app:v1", "rejected");
    agent.converges();
    let (restarts, before) = (member.engine.restarts(), agent.status()["applied"].clone());
    assert_eq!(rollout(&cluster, "pause").exits(0).out, "paused\n");
    edit(&cluster, &["one.test", "two.test"]);
    agent.until_condition("Applied", "False", "Paused");
    cluster.admin.create(CONFIG_MAPS, &config_map("ca", json!({"localhost": CA})));
    let trusts = json!({"spec": {"additionalTrustedCA": {"name": "ca"}}});
    cluster.admin.patch(IMAGE, &trusts);
    agent.until("the CA", || agent.host.exists(CA_FILE));
    thread::sleep(Duration::from_secs(5));
    agent.until_condition("Applied", "False", "Paused");
    assert_eq!(agent.host.verdict("two.test/app:v1"), "allowed");
    assert_eq!(agent.host.verdict("one.test/app:v1"), "rejected");
    let now = agent.status()["applied"].clone();
    assert_eq!(now["without_cas"], before["without_cas"]);
    assert_eq!(member.engine.restarts(), restarts);
    assert!(!member.is_cordoned(&cluster));
    let said = agent.host.run(&["status"]).exits(2).out;
    assert!(said.contains("Paused"), "{said}");
    agent.until("the cluster's word of it", || {
        let status = rollout(&cluster, "status");
        status.code == 2 && status.out.contains("paused")
    });
    assert_eq!(rollout(&cluster, "resume").exits(0).out, "resumed\n");
    agent.until_verdict("two.test/app:v1", "rejected");
    agent.converges();
    member.is_free(&cluster);
    assert_eq!(member.engine.restarts(), restarts + 1);
    agent.until("all converged", || rollout(&cluster, "status").code == 0);
}
