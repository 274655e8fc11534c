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
    only_what_is_the_agents_is_deleted(&cluster);
}

/// Of what the overlay applied with the rest of the package others may have made use.
fn only_what_is_the_agents_is_deleted(cluster: &Cluster) {
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let is_deleted = |path: &str| {
        let object = cluster.admin.find(path);
        object.is_none_or(|object| object["metadata"]["deletionTimestamp"].is_string())
    };
    let own = format!("{definitions}/nodeimageconfigs.image-config-agent.io");
    until("the end of its own kind", || is_deleted(&own));
    assert!(is_deleted(&format!("/api/v1/namespaces/{NAMESPACE}")));
    assert!(!is_deleted("/api/v1/namespaces/openshift-config"));
    assert!(!is_deleted(&format!("{definitions}/images.config.openshift.io")));
    assert!(!is_deleted("/apis/config.openshift.io/v1/images/cluster"));
    // What docs/operations.md says of the rest.
    cluster
        .run_kubectl(&[
            "annotate",
            "image.config.openshift.io",
            "cluster",
            "image-config-agent.io/paused=true",
        ])
        .exits(0);
    let applied = || {
        let node = cluster.admin.get("/api/v1/nodes/n1");
        let image = cluster.admin.get("/apis/config.openshift.io/v1/images/cluster");
        [node, image].iter().any(|one| {
            one["metadata"]["annotations"].to_string().contains("image-config-agent.io/")
        })
    };
    assert!(applied());
    let page = include_str!("../../docs/operations.md");
    let commands: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("kubectl annotate ")).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let words: Vec<&str> =
            std::iter::once("annotate").chain(command.split_whitespace()).collect();
        cluster.run_kubectl(&words).exits(0);
    }
    assert!(!applied());
    let delete = page.lines().find_map(|line| line.strip_prefix("kubectl delete crd ")).unwrap();
    let words: Vec<&str> =
        ["delete", "--wait=false", "crd"].into_iter().chain(delete.split_whitespace()).collect();
    cluster.run_kubectl(&words).exits(0);
}
