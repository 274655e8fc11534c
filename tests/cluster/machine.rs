//! A node that really runs pods: controllers, a scheduler, a registry, containerd and a kubelet, all on loopback.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, free_port, program};
use crate::image;
use crate::process::{Process, until_or};

/// The Node's name.
pub const NODE: &str = "n1";

/// The machine of a node. It ends with its test, and leaves nothing.
pub struct Machine {
    /// The registry that the node may pull from.
    pub registry: String,
    kubelet: Child,
    // In the order in which they end: pods lose their kubelet first.
    _controllers: Process,
    _scheduler: Process,
    _registry: Process,
    dir: TempDir,
}

impl Machine {
    /// Lets a machine join the cluster, and waits until its Node is Ready.
    pub fn join(cluster: &Cluster) -> Self {
        let dir = TempDir::with_prefix_in("ica", "/tmp").unwrap();
        let registry = format!("127.0.0.1:{}", free_port());
        fs::copy(cluster.file("kubeconfig"), dir.path().join("kubeconfig")).unwrap();
        let serving = serve_registry(dir.path(), &registry);
        push_pause(dir.path(), &registry);
        write_containerd(dir.path(), &registry);
        write_kubelet(dir.path());
        let machine = Self {
            kubelet: run_kubelet(dir.path()),
            _controllers: control(cluster, dir.path()),
            _scheduler: schedule(dir.path()),
            _registry: serving,
            registry,
            dir,
        };
        until_or("the Node", || machine.said(), || machine.is_ready(cluster));
        machine
    }

    fn is_ready(&self, cluster: &Cluster) -> bool {
        let node = cluster.admin.find(&format!("/api/v1/nodes/{NODE}")).unwrap_or_default();
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    }

    /// Pushes an image of an OCI layout, and gives the name by which pods pull it.
    pub fn push(&self, layout: &str, name: &str) -> String {
        push(layout, &format!("{}/{name}", self.registry));
        format!("{}/{name}", self.registry)
    }

    /// Where its registry keeps what was pushed.
    pub fn images(&self) -> PathBuf {
        self.dir.path().join("registry")
    }

    /// The end of what containerd, the kubelet and the pods said.
    pub fn said(&self) -> String {
        let log = |name: &str| {
            let text = fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(15)..].join("\n")
        };
        let pods = Command::new("sh")
            .args(["-c", "cd \"$0\" && tail -n 30 */*/*.log"])
            .arg(self.dir.path().join("pods"))
            .output()
            .unwrap();
        let pods = String::from_utf8_lossy(&pods.stdout).into_owned();
        format!("{}\n{}\n{pods}", log("containerd.log"), log("kubelet.log"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The script ends both when its input ends.
        drop(self.kubelet.stdin.take());
        let _ = self.kubelet.wait();
    }
}

fn run_kubelet(dir: &Path) -> Child {
    let built = program("kubelet");
    let path = format!(
        "{}:{}:{}",
        dir.display(),
        built.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    Command::new("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/kubelet.sh"))
        .arg(NODE)
        .current_dir(dir)
        .env("PATH", path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn control(cluster: &Cluster, dir: &Path) -> Process {
    let with = |command: &mut Command| {
        command.current_dir(dir).args(["--kubeconfig=kubeconfig", "--leader-elect=false"]);
        command.arg("--bind-address=127.0.0.1").arg(format!("--secure-port={}", free_port()));
        command.arg("--cert-dir=controllers");
        let file = |flag: &str, name: &str| format!("{flag}={}", cluster.file(name).display());
        command.arg(file("--service-account-private-key-file", "account.key"));
        command.arg(file("--root-ca-file", "certs/apiserver.crt"));
    };
    Process::start(program("kube-controller-manager"), with, dir.join("controllers.log"))
}

fn schedule(dir: &Path) -> Process {
    let with = |command: &mut Command| {
        command.current_dir(dir).args(["--kubeconfig=kubeconfig", "--leader-elect=false"]);
        command.arg("--bind-address=127.0.0.1").arg(format!("--secure-port={}", free_port()));
        command.arg("--cert-dir=scheduler");
    };
    Process::start(program("kube-scheduler"), with, dir.join("scheduler.log"))
}

fn serve_registry(dir: &Path, address: &str) -> Process {
    // YAML takes JSON.
    let config = json!({
        "version": 0.1, "http": {"addr": address},
        "storage": {"filesystem": {"rootdirectory": dir.join("registry")}},
    });
    let file = dir.join("registry.yml");
    fs::write(&file, config.to_string()).unwrap();
    let with = |command: &mut Command| {
        command.arg("serve").arg(&file);
    };
    Process::start("docker-registry", with, dir.join("registry.log"))
}

fn push(layout: &str, image: &str) {
    let (layout, image) = (format!("oci:{layout}"), format!("docker://{image}"));
    let skopeo = || {
        let flags = ["copy", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false"];
        Command::new("skopeo").args(flags).args([&layout, &image]).output().unwrap()
    };
    let mut said = String::new();
    until_or(
        "the registry",
        || format!("{image} cannot be pushed"),
        || {
            let pushed = skopeo();
            said = String::from_utf8_lossy(&pushed.stderr).into_owned();
            pushed.status.success()
        },
    );
}

/// What holds a pod together: an image with one program that waits.
fn push_pause(dir: &Path, registry: &str) {
    let pause =
        PathBuf::from(std::env::var("PAUSE").expect("PAUSE: `tests/run cluster` builds it"));
    let tar = Command::new("tar")
        .args(["--mode=0555", "--owner=0", "--group=0", "-C"])
        .args([pause.parent().unwrap(), Path::new("-cf-"), Path::new("pause")])
        .output()
        .unwrap();
    let layout = dir.join("pause");
    image::write(&layout, &tar.stdout, &json!({"Entrypoint": ["/pause"]}));
    push(layout.to_str().unwrap(), &format!("{registry}/pause:1"));
}

fn write_containerd(dir: &Path, registry: &str) {
    let at = |name: &str| dir.join(name).display().to_string();
    let hosts = dir.join("certs.d").join(registry);
    fs::create_dir_all(&hosts).unwrap();
    fs::write(hosts.join("hosts.toml"), format!("server = \"http://{registry}\"\n")).unwrap();
    fs::create_dir(dir.join("cni")).unwrap();
    // Pods are on the host's network; without any the Node would not be Ready.
    let network = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [{
        "type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "127.77.0.0/24"}]]},
    }]});
    fs::write(dir.join("cni/10-pods.conflist"), network.to_string()).unwrap();
    write_runc(&dir.join("runc"));
    let config = format!(
        r#"version = 4
root = "{root}"
state = "{state}"
oom_score = 0
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{registry}/pause:1"
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = "{certs}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_hugetlb_controller = true
disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
conf_dir = "{cni}"
bin_dirs = ["/usr/lib/cni"]
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "{runc}"
"#,
        root = at("containerd"),
        state = at("containerd-state"),
        certs = at("certs.d"),
        cni = at("cni"),
        runc = at("runc"),
    );
    fs::write(dir.join("containerd.toml"), config).unwrap();
}

/// Where root lacks CAP_SYS_RESOURCE, as in many sandboxes, a pod may not ask for it, nor for a negative OOM score or
/// for huge pages.
fn write_runc(path: &Path) {
    let script = r#"#!/bin/bash
arguments=("$@")
for i in "${!arguments[@]}"; do
    case ${arguments[i]} in
        --bundle | -b) bundle=${arguments[i + 1]} ;;
        --bundle=*) bundle=${arguments[i]#*=} ;;
    esac
done
config=${bundle:-/nowhere}/config.json
if [ -f "$config" ]; then
    jq -c '.process.oomScoreAdj = 0
        | (.process.capabilities | select(.) | .[]) |= map(select(. != "CAP_SYS_RESOURCE"))
        | del(.linux.resources.hugepageLimits)' "$config" >"$config.new"
    cat "$config.new" >"$config"
fi
exec /usr/sbin/runc "$@"
"#;
    fs::File::create(path).unwrap().write_all(script.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn write_kubelet(dir: &Path) {
    // The name that kubelet.sh gives to the control group.
    let group = format!("/ica-{}", dir.file_name().unwrap().display());
    // It takes JSON.
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": "127.0.0.1", "port": free_port(), "readOnlyPort": 0, "healthzPort": 0,
        "cgroupDriver": "cgroupfs", "cgroupRoot": group, "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [], "failCgroupV1": false, "failSwapOn": false, "oomScoreAdj": 0,
        "containerRuntimeEndpoint": format!("unix://{}/containerd.sock", dir.display()),
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}},
        "localStorageCapacityIsolation": false,
        "podLogsDir": dir.join("pods"),
        "evictionHard": {
            "memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
    });
    fs::write(dir.join("kubelet.yaml"), config.to_string()).unwrap();
}
