//! The overlay that gives every node its own files back, applied for real (rule K6).

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, NAMESPACE};
use crate::process::{Process, until};
use crate::rollout::{Member, edit, start};
use crate::support::{POLICY, REGISTRIES, agent};

fn overlay(name: &str) -> String {
    format!("{}/packaging/kubernetes/overlays/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn pod(cluster: &Cluster) -> Value {
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/image-config-agent");
    cluster.admin.get(&path)["spec"]["template"]["spec"].clone()
}

/// A container's environment on a node, where the test's own stand-ins come last: the engine's bus and
/// socket, and a kubeconfig for the pod's service account.
fn environment(container: &Value, member: &Member) -> Vec<(String, String)> {
    let host = &member.agent.host;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_container = container["env"].as_array().unwrap().iter().map(|one| {
        let field = &one["valueFrom"]["fieldRef"]["fieldPath"];
        let value =
            if field == "spec.nodeName" { member.node.name.clone() } else { text(&one["value"]) };
        (text(&one["name"]), value)
    });
    let kubeconfig = host.at("/etc/image-config-agent/kubeconfig").display().to_string();
    let of_test = [
        ("DBUS_SYSTEM_BUS_ADDRESS", member.engine.bus.clone()),
        ("IMAGE_CONFIG_AGENT_RUNTIME_SOCKET", "/crio.sock".to_owned()),
        ("IMAGE_CONFIG_AGENT_KUBE_KUBECONFIG", kubeconfig),
        ("IMAGE_CONFIG_AGENT_METRICS_LISTEN", "off".to_owned()),
    ];
    of_container.chain(of_test.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// A container's arguments, below the member's root.
fn arguments(container: &Value, member: &Member) -> Vec<String> {
    let root = member.agent.host.root().display().to_string();
    let all = container["args"].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
    all.map(|one| if one == "/host" { root.clone() } else { one.to_owned() }).collect()
}

#[test]
fn k6_the_overlay_for_removal_reverts_each_node_and_then_obeys_nothing() {
    let cluster = start();
    let mut member = Member::join(&cluster, "n1", "");
    let own = member.agent.host.text(POLICY);
    edit(&cluster, &["one.test"]);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    let told = (member.engine.restarts(), member.engine.reloads());
    let applied =
        cluster.run_kubectl(&["apply", "--server-side", "-k", &overlay("uninstall")]).exits(0);
    assert!(applied.out.contains("daemonset.apps/image-config-agent serverside-applied"));
    // What a DaemonSet's controller and a kubelet would do now.
    member.agent.stop();
    let pod = pod(&cluster);
    let revert = &pod["initContainers"][0];
    let run = agent(
        |command| command.envs(environment(revert, &member)).args(arguments(revert, &member)),
        "",
    );
    run.exits(0);
    let host = &member.agent.host;
    assert_eq!(host.text(POLICY), own);
    assert!(!host.exists(REGISTRIES));
    assert_eq!((member.engine.restarts(), member.engine.reloads()), (told.0, told.1 + 1));
    member.is_free(&cluster);
    // The pod stays, so that `kubectl rollout status` ends, and what anybody edits is nothing to it.
    let stays = &pod["containers"][0];
    let with = |command: &mut std::process::Command| {
        command.env_clear().envs(environment(stays, &member)).args(arguments(stays, &member));
    };
    let log = host.root().with_file_name("stays.log");
    let mut process = Process::start(env!("CARGO_BIN_EXE_image-config-agent"), with, log);
    until("its status", || member.agent.status()["pid"] == process.id());
    edit(&cluster, &["two.test"]);
    thread::sleep(Duration::from_secs(5));
    assert!(!process.has_ended(), "{}", process.said());
    assert_eq!(host.text(POLICY), own);
    assert!(!host.exists(REGISTRIES));
    assert_eq!((member.engine.restarts(), member.engine.reloads()), (told.0, told.1 + 1));
    process.stop();
    let args = ["delete", "--wait=false", "-k", &overlay("uninstall")];
    cluster.run_kubectl(&args).exits(0);
    assert_eq!(host.text(POLICY), own);
}
