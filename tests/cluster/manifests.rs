//! The packaged manifests, as a real API server takes them (rule K6).

use serde_json::{Value, json};

use crate::cluster::{Cluster, NAMESPACE};
use crate::process::until;
use crate::support::{Host, agent};

/// The objects of an overlay as the server would keep them, on a cluster where all is installed.
fn dry_run(cluster: &Cluster, folder: &str) -> Vec<Value> {
    let path = format!("{}/packaging/kubernetes/{folder}", env!("CARGO_MANIFEST_DIR"));
    let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "json"];
    let said = cluster.kubectl(&[&apply[..], &["-k", &path]].concat());
    let list: Value = serde_json::from_str(&said).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn daemonset(objects: &[Value]) -> &Value {
    objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap()
}

fn env<'c>(container: &'c Value, name: &str) -> Option<&'c str> {
    let all = container["env"].as_array().unwrap().iter();
    // The last one of a name counts.
    all.rev().find(|one| one["name"] == name)?["value"].as_str()
}

#[test]
fn k6_every_overlay_passes_a_server_side_dry_run() {
    let cluster = Cluster::start();
    cluster.install();
    for overlay in ["overlays/plain", "overlays/openshift", "overlays/uninstall"] {
        let objects = dry_run(&cluster, overlay);
        let agent = &daemonset(&objects)["spec"]["template"]["spec"]["containers"][0];
        let image = agent["image"].as_str().unwrap();
        assert!(image.contains(".example.com/"), "{image}");
        assert_eq!(env(agent, "IMAGE_CONFIG_AGENT_AGENT_IMAGE"), Some(image), "{overlay}");
        // OpenShift brings its own kinds and namespaces; elsewhere they are not ours alone, once they are there.
        let brings = |name: &str| objects.iter().any(|one| one["metadata"]["name"] == name);
        assert!(brings("nodeimageconfigs.image-config-agent.io"));
        let has_kinds = brings("images.config.openshift.io");
        assert_eq!(has_kinds, overlay == "overlays/plain", "{overlay}");
        let has_namespace = |name: &str| {
            objects.iter().any(|one| one["kind"] == "Namespace" && one["metadata"]["name"] == name)
        };
        assert_eq!(has_namespace("openshift-config"), overlay == "overlays/plain", "{overlay}");
        assert!(has_namespace(NAMESPACE), "{overlay}");
    }
}

#[test]
fn k6_the_pod_mounts_directories_and_reaches_every_node() {
    let cluster = Cluster::start();
    cluster.install();
    let objects = dry_run(&cluster, "overlays/plain");
    let pod = &daemonset(&objects)["spec"]["template"]["spec"];
    let agent = &pod["containers"][0];
    for volume in pod["volumes"].as_array().unwrap() {
        let kind = volume["hostPath"]["type"].as_str().unwrap();
        assert!(kind.starts_with("Directory"), "{volume}");
    }
    for mount in agent["volumeMounts"].as_array().unwrap() {
        assert!(mount["mountPath"].as_str().unwrap().starts_with("/host/"), "{mount}");
    }
    assert_eq!(agent["securityContext"]["privileged"], true);
    assert_eq!(agent["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(agent["imagePullPolicy"], "IfNotPresent");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(agent[probe]["httpGet"].is_object(), "{probe}");
    }
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    let namespace = cluster.admin.get(&format!("/api/v1/namespaces/{NAMESPACE}"));
    let label = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(label, "privileged");
    let policy = objects.iter().find(|object| object["kind"] == "NetworkPolicy").unwrap();
    assert_eq!(policy["spec"]["podSelector"], json!({}));
}

#[test]
fn k6_the_uninstalling_pod_reverts_first_and_then_obeys_nothing() {
    let cluster = Cluster::start();
    cluster.install();
    let objects = dry_run(&cluster, "overlays/uninstall");
    let pod = &daemonset(&objects)["spec"]["template"]["spec"];
    let (revert, agent) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!(revert["args"], json!(["revert", "--root", "/host"]));
    assert_eq!(revert["volumeMounts"], agent["volumeMounts"]);
    assert_eq!(env(agent, "IMAGE_CONFIG_AGENT_SOURCE_ORDER"), Some("files"));
}

#[test]
fn k6_kubectl_has_no_warning_about_what_is_applied() {
    let cluster = Cluster::start();
    for namespace in ["kube-node-lease", "default"] {
        let path = format!("/api/v1/namespaces/{namespace}");
        until(namespace, || cluster.admin.find(&path).is_some());
    }
    let overlay = format!("{}/packaging/kubernetes/overlays/plain", env!("CARGO_MANIFEST_DIR"));
    let run = cluster.run_kubectl(&["apply", "--server-side", "-k", &overlay]).exits(0);
    assert_eq!(run.err, "");
    let printed = agent(|agent| agent.arg("crds"), "").exits(0).out;
    let host = Host::new();
    host.write("/crds.yaml", printed);
    let file = host.at("/crds.yaml");
    let run = cluster.run_kubectl(&["replace", "-f", file.to_str().unwrap()]).exits(0);
    assert_eq!(run.err, "");
}
