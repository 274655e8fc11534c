//! A Node without a machine: what its kubelet would write, a thread of the test writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cluster::Cluster;

/// How often its kubelet looks after it.
const BEAT: Duration = Duration::from_millis(200);

/// A Node that is alive until it is dropped; its object stays.
pub struct Node {
    pub name: String,
    state: Arc<State>,
    kubelet: Option<JoinHandle<()>>,
}

struct State {
    is_ready: AtomicBool,
    is_silent: AtomicBool,
    is_over: AtomicBool,
}

impl Node {
    /// Makes the Node with these labels, Ready, and its kubelet's Lease.
    pub fn join(cluster: &Cluster, name: &str, labels: &Value) -> Self {
        let api = Api::new(
            &cluster
                .kubeconfig(cluster.port, &cluster.certificate("kubelets", &["system:masters"])),
        );
        let node = json!({"metadata": {"name": name, "labels": labels}});
        api.create("/api/v1/nodes", &node);
        let namespace = "kube-node-lease";
        if api.find(&format!("/api/v1/namespaces/{namespace}")).is_none() {
            api.create("/api/v1/namespaces", &crate::objects::namespace(namespace));
        }
        let lease = json!({"metadata": {"name": name}, "spec": lease_spec(name)});
        api.create(&leases(), &lease);
        let state = Arc::new(State {
            is_ready: AtomicBool::new(true),
            is_silent: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let kubelet = Kubelet { api, name: name.to_owned(), state: state.clone() };
        kubelet.beat();
        let kubelet = Some(thread::spawn(move || kubelet.run()));
        Self { name: name.to_owned(), state, kubelet }
    }

    pub fn path(&self) -> String {
        format!("/api/v1/nodes/{}", self.name)
    }

    /// Says from now on whether it is Ready.
    pub fn ready(&self, is_ready: bool) {
        self.state.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Its kubelet neither writes nor removes pods any more, or does again.
    pub fn silent(&self, is_silent: bool) {
        self.state.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        if let Some(kubelet) = self.kubelet.take() {
            let _ = kubelet.join();
        }
    }
}

struct Kubelet {
    api: Api,
    name: String,
    state: Arc<State>,
}

impl Kubelet {
    fn run(&self) {
        while !self.state.is_over.load(Ordering::Relaxed) {
            if !self.state.is_silent.load(Ordering::Relaxed) {
                self.beat();
            }
            thread::sleep(BEAT);
        }
    }

    /// The API server may be down, and the Node may be gone: the next beat tries again.
    fn beat(&self) {
        let ready = if self.state.is_ready.load(Ordering::Relaxed) { "True" } else { "False" };
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = json!({
            "type": "Ready", "status": ready, "reason": "KubeletReady",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        });
        let status = json!({"status": {"conditions": [condition]}});
        let patch = |path: &str, patch: &Value| {
            let _ = self.api.ask(hyper::Method::PATCH, path, Some(patch));
        };
        patch(&format!("/api/v1/nodes/{}/status", self.name), &status);
        patch(&format!("{}/{}", leases(), self.name), &json!({"spec": lease_spec(&self.name)}));
        self.remove_deleted_pods();
    }

    /// A pod that was deleted is there until its kubelet has stopped it.
    fn remove_deleted_pods(&self) {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", self.name);
        let pods = self.api.ask(hyper::Method::GET, &path, None).unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let meta = &pod["metadata"];
            if meta["deletionTimestamp"].is_null() {
                continue;
            }
            let (namespace, name) = (meta["namespace"].as_str(), meta["name"].as_str());
            let path = format!("/api/v1/namespaces/{}/pods/{}", namespace.unwrap(), name.unwrap());
            let now = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}});
            let _ = self.api.ask(hyper::Method::DELETE, &path, Some(&now));
        }
    }
}

fn leases() -> String {
    "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases".to_owned()
}

fn lease_spec(name: &str) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now})
}
