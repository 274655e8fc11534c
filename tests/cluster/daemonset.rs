//! The agent's image as a DaemonSet on a node that really runs pods: the six procedures of the chapter as they are
//! written there, with kubectl for oc. The pod reaches a host of the test's own: a root that it mounts, and a systemd with
//! an engine that read the same files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, NAMESPACE, free_port, program};
use crate::host::{Files, Host};
use crate::machine::{Machine, NODE};
use crate::peer::pull;
use crate::process::Process;

const CONFIG: &str = "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs/n1";

/// A change takes up to twenty seconds until the kubelet's next sign of life; on a busy machine much more.
const PATIENCE: Duration = Duration::from_secs(300);

/// The cluster, its node, the host that the pod sees, and who watches the node.
struct Scene {
    watch: Process,
    host: Host,
    machine: Machine,
    cluster: Cluster,
    dir: TempDir,
}

/// Directories that the pod mounts and the host's own programs use.
const SHARED: [(&str, &str); 4] = [
    ("root/etc/containers", "/etc/containers"),
    ("root/etc/docker", "/etc/docker"),
    ("root/run/dbus", "/run/dbus"),
    ("root/run/crio", "/run/crio"),
];

impl Scene {
    fn new() -> Self {
        let dir = TempDir::with_prefix_in("icr", "/tmp").unwrap();
        let root = dir.path().join("root");
        for (path, _) in SHARED {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for path in ["etc/image-config-agent/config.d", "usr/share", "var/lib"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let settings = "source.quiet_seconds = 1\n";
        fs::write(root.join("etc/image-config-agent/config.d/10-tests.toml"), settings).unwrap();
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/image-config/base/etc");
        copy(&base.join("containers"), &root.join("etc"));
        let binds =
            SHARED.map(|(path, at)| format!("--bind={}:{at}", dir.path().join(path).display()));
        let cluster = Cluster::for_machines();
        cluster.install();
        // That one would reach into the machine that the tests run on.
        cluster.kubectl(&["-n", NAMESPACE, "delete", "daemonset", "image-config-agent"]);
        let machine = Machine::join(&cluster);
        let layout = dir.path().join("app");
        crate::image::write_layout(&layout);
        machine.push(layout.to_str().unwrap(), "app:v1");
        let files = Files::without_agent();
        add_mirror(&files, &machine.images());
        let host = files.boot_with(&binds.join(" "));
        host.ok(&["systemctl", "start", "crio", "mirror"]);
        let layout = std::env::var("IMAGE").expect("IMAGE: `tests/run cluster` builds it");
        let version = env!("CARGO_PKG_VERSION");
        let image = machine.push(&format!("{layout}:{version}"), &format!("agent:{version}"));
        let overlay = overlay(dir.path(), &image, cluster.port);
        cluster.kubectl(&["apply", "--server-side", "-k", overlay.to_str().unwrap()]);
        let watch = watch(&cluster, dir.path());
        let scene = Self { watch, host, machine, cluster, dir };
        scene.until("the pod", || scene.daemonset()["status"]["numberReady"] == 1);
        scene
    }

    /// The agent's pods, and how often their containers were started.
    fn pods(&self) -> Vec<(Value, Value)> {
        let pods = self.cluster.admin.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods"));
        let of = |pod: &Value| {
            let started = &pod["status"]["containerStatuses"][0]["restartCount"];
            (pod["metadata"]["uid"].clone(), started.clone())
        };
        pods.iter().map(of).collect()
    }

    /// `kubectl create -f`.
    fn create(&self, object: &Value) {
        let file = self.dir.path().join("created.json");
        fs::write(&file, object.to_string()).unwrap();
        self.cluster.kubectl(&["create", "-f", file.to_str().unwrap()]);
    }

    fn daemonset(&self) -> Value {
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/image-config-agent");
        self.cluster.admin.get(&path)
    }

    fn said(&self) -> String {
        let pods = self.cluster.run_kubectl(&["-n", NAMESPACE, "describe", "pods"]).out;
        let status = self.config();
        format!("{pods}\n{status:#}\n{}\n{}", self.machine.said(), self.host.journal())
    }

    #[track_caller]
    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "{what} does not come: {}", self.said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `kubectl edit` of the Image: its spec becomes this.
    fn edit(&self, spec: &Value) {
        let editor = self.dir.path().join("editor");
        let edit = format!("jq '.spec = {spec}' \"$1\" >\"$0.new\" && cat \"$0.new\" >\"$1\"");
        fs::write(&editor, format!("#!/bin/sh\n{edit}\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        let edited = Command::new(program("kubectl"))
            .env("KUBECONFIG", self.cluster.file("kubeconfig"))
            .env("KUBE_EDITOR", editor)
            .env("TMPDIR", self.dir.path())
            .args(["edit", "-o", "json", "image.config.openshift.io/cluster"])
            .output()
            .unwrap();
        assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    }

    fn config(&self) -> Value {
        self.cluster.admin.find(CONFIG).unwrap_or_default()["status"].clone()
    }

    /// Waits until the node says that something else is applied, and all of it.
    fn applies(&self, before: &Value) {
        self.until("the report", || {
            let status = self.config();
            status["phase"] == "Idle"
                && status["applied"].is_object()
                && status["applied"] != *before
                && status["applied"] == status["desired"]
        });
    }

    /// The states that `kubectl get nodes` has shown from a line on, without repetitions.
    fn states_from(&self, line: usize) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("watch.log")).unwrap();
        let states = text.lines().skip(line).filter_map(|line| line.split_whitespace().nth(1));
        let mut states: Vec<String> = states.map(ToOwned::to_owned).collect();
        states.dedup();
        states
    }

    /// The last line that it has shown.
    fn line(&self) -> usize {
        let text = fs::read_to_string(self.dir.path().join("watch.log")).unwrap();
        text.lines().count() - 1
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// `kubectl get nodes -w`.
fn watch(cluster: &Cluster, dir: &Path) -> Process {
    let with = |command: &mut Command| {
        command.env("KUBECONFIG", cluster.file("kubeconfig"));
        command.args(["get", "nodes", "--watch", "--no-headers"]);
    };
    Process::start(program("kubectl"), with, dir.join("watch.log"))
}

/// An overlay for this host: its directories, and everything on loopback.
fn overlay(dir: &Path, image: &str, port: u16) -> PathBuf {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubernetes"), dir);
    let overlay = dir.join("kubernetes/overlays/test");
    fs::create_dir(&overlay).unwrap();
    let (name, tag) = image.rsplit_once(':').unwrap();
    // What `plain` replaces is replaced before the image has its name here.
    let agent = "spec.template.spec.containers.[name=agent]";
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": ["../plain"],
        "patches": [{"path": "host.yaml"}],
        "images": [{
            "name": "registry.example.com/image-config-agent", "newName": name, "newTag": tag,
        }],
        "replacements": [{
            "source": {"kind": "DaemonSet", "fieldPath": format!("{agent}.image")},
            "targets": [{
                "select": {"kind": "DaemonSet"},
                "fieldPaths": [format!("{agent}.env.[name=IMAGE_CONFIG_AGENT_AGENT_IMAGE].value")],
            }],
        }],
    });
    fs::write(overlay.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let metrics = free_port();
    let probe =
        |path: &str| json!({"httpGet": {"host": "127.0.0.1", "path": path, "port": metrics}});
    let root = |name: &str, path: &str| json!({"name": name, "hostPath": {"path": dir.join("root").join(path)}});
    let patch = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "image-config-agent", "namespace": NAMESPACE},
        "spec": {"template": {"spec": {
            "hostNetwork": true,
            "containers": [{
                "name": "agent",
                "ports": null,
                "env": [
                    {"name": "IMAGE_CONFIG_AGENT_METRICS_LISTEN", "value": format!("127.0.0.1:{metrics}")},
                    // Services need a proxy that nobody runs here.
                    {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
                    {"name": "KUBERNETES_SERVICE_PORT", "value": port.to_string()},
                ],
                "startupProbe": probe("/healthz"),
                "livenessProbe": probe("/healthz"),
                "readinessProbe": probe("/readyz"),
            }],
            "volumes": [
                root("etc", "etc"), root("run", "run"), root("share", "usr/share"),
                root("state", "var/lib/image-config-agent"),
            ],
        }}},
    });
    fs::write(overlay.join("host.yaml"), patch.to_string()).unwrap();
    overlay
}

/// A registry on the host, with the same images as the node's, that serves as a mirror.
const MIRROR: &str = "mirror.test:5002";

fn add_mirror(files: &Files, images: &Path) {
    files.program("/usr/bin/docker-registry", Path::new("/usr/bin/docker-registry"));
    files.copy_tree("/srv/registry", images);
    files.write("/etc/hosts", "127.0.0.1 localhost mirror.test\n");
    let config = json!({
        "version": 0.1, "http": {"addr": "127.0.0.1:5002"},
        "storage": {"filesystem": {"rootdirectory": "/srv/registry"}},
    });
    files.write("/etc/registry.yml", config.to_string());
    let unit = "[Service]\nExecStart=/usr/bin/docker-registry serve /etc/registry.yml\n";
    files.write("/etc/systemd/system/mirror.service", unit);
}

/// One procedure: what is done, and how the file on the node then reads. All but one restart CRI-O.
fn procedure(scene: &Scene, restarts: bool, act: impl FnOnce(), file: &str, has: &str) {
    let (line, crio) = (scene.line(), scene.host.invocation("crio"));
    let before = scene.config()["applied"].clone();
    act();
    scene.applies(&before);
    let text = scene.host.text(file);
    assert!(text.contains(has), "{file}: {text}");
    assert_eq!(scene.host.invocation("crio") != crio, restarts, "{file}");
    let states = ["Ready", "Ready,SchedulingDisabled", "Ready"];
    let states = if restarts { &states[..] } else { &states[..1] };
    scene.until(&format!("{states:?} for {file}"), || scene.states_from(line) == states);
}

#[test]
fn k6_the_daemonset_does_the_six_procedures_of_the_chapter() {
    let scene = Scene::new();
    let api = &scene.cluster.admin;
    let boot = || api.get(&format!("/api/v1/nodes/{NODE}"))["status"]["nodeInfo"]["bootID"].clone();
    let (booted, pods) = (boot(), scene.pods());
    scene.create(&json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"}, "spec": {},
    }));
    scene.applies(&Value::Null);
    let edit = |spec: Value| move |scene: &Scene| scene.edit(&spec);
    let own = &scene.machine.registry;
    let policy = "/etc/containers/policy.json";
    let registries = "/etc/containers/registries.conf";
    let sources = |list: &str, entries: &[&str]| edit(json!({"registrySources": {list: entries}}));
    let allowed = sources("allowedRegistries", &["quay.io", MIRROR, own]);
    procedure(&scene, true, || allowed(&scene), policy, "quay.io");
    let blocked = sources("blockedRegistries", &["untrusted.com"]);
    procedure(&scene, true, || blocked(&scene), registries, "untrusted.com");
    let insecure = sources("insecureRegistries", &["insecure.com", MIRROR]);
    procedure(&scene, true, || insecure(&scene), registries, "insecure.com");
    let short = edit(json!({"registrySources": {
        "insecureRegistries": [MIRROR], "containerRuntimeSearchRegistries": ["reg1.io", "reg2.io"],
    }}));
    let search = "/etc/containers/registries.conf.d/01-image-searchRegistries.conf";
    procedure(&scene, true, || short(&scene), search, "reg2.io");
    trust(&scene);
    mirror(&scene, registries);
    assert_eq!((boot(), scene.pods()), (booted, pods));
}

/// 9.2.5: the CA of a registry.
fn trust(scene: &Scene) {
    let ca = scene.dir.path().join("ca.crt");
    fs::write(&ca, crate::support::CA).unwrap();
    let from = format!("--from-file=registry.example.com..5000={}", ca.display());
    let create = ["create", "configmap", "registry-config", &from, "-n", "openshift-config"];
    let spec = json!({
        "additionalTrustedCA": {"name": "registry-config"},
        "registrySources": {
            "insecureRegistries": [MIRROR], "containerRuntimeSearchRegistries": ["reg1.io", "reg2.io"],
        },
    });
    let act = || {
        scene.cluster.kubectl(&create);
        scene.edit(&spec);
    };
    let file = "/etc/docker/certs.d/registry.example.com:5000/ca.crt";
    procedure(scene, false, act, file, "BEGIN CERTIFICATE");
}

/// 9.2.6: mirrors, and a pull by digest through one.
fn mirror(scene: &Scene, registries: &str) {
    let source = format!("source.test/app@{}", *crate::image::DIGEST);
    pull(&scene.host, &source).unwrap_err();
    let mirrors = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet",
        "metadata": {"name": "ubi9repo"},
        "spec": {"imageDigestMirrors": [
            {"source": "source.test/app", "mirrors": [format!("{MIRROR}/app")]},
        ]},
    });
    procedure(scene, true, || scene.create(&mirrors), registries, "source.test/app");
    pull(&scene.host, &source).unwrap();
}
