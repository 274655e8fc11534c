//! A machine of a test's own: registries, the agent's files in place, and the tools that pull.

use crate::{
    agent,
    certificates::{Authority, Identity, Validity},
    image,
    registry::{Registry, Serves},
};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

/// Where the image lies, as the machine sees it.
pub const OCI_LAYOUT: &str = "/mnt/image";

/// Sets the machine up inside its new namespaces, prints its process id as the outside knows it, and
/// stays for as long as standard input is open. `$1` is the scratch directory. Whatever the tools
/// might leave behind goes to memory.
const SETUP: &str = r#"
set -eu
read -r pid _ < /proc/self/stat
mount -t proc proc /proc
ip link set lo up
mount --bind "$1" /mnt
for dir in /run /dev/shm /var/lib /var/cache /var/tmp; do mount -t tmpfs tmpfs "$dir"; done
cp -a /etc /run/etc
mount --bind /run/etc /etc
mkdir -p /etc/containers /etc/docker
mount --bind /mnt/node/etc/containers /etc/containers
mount --bind /mnt/node/etc/docker /etc/docker
mount --bind /mnt/hosts /etc/hosts
echo "$pid"
exec cat
"#;

/// The machine. It ends, with all its processes, when it is dropped or when the test dies.
pub struct Host {
    scratch: TempDir,
    init: Child,
    pid: String,
    public: Authority,
    private: Authority,
    pub registries: Vec<Registry>,
}

impl Host {
    pub fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let public = Authority::new("public CA");
        let private = Authority::new("private CA");
        write_scratch(scratch.path(), &public);
        let (init, pid) = start(scratch.path());
        Self { scratch, init, pid, public, private, registries: vec![] }
    }

    /// The CA behind [`Serves::Privately`].
    pub fn private_ca(&self) -> String {
        self.private.pem()
    }

    /// Starts a registry by this name (port 443 unless it names one) with these images in it.
    pub fn serve(&mut self, name: &str, serves: Serves, images: &[&str]) {
        let registry = self.start_registry(name, serves);
        for image in images {
            self.succeeds(&format!(
                "skopeo copy --insecure-policy --dest-tls-verify=false --preserve-digests \
                 oci:{OCI_LAYOUT} docker://{name}/{image}"
            ));
        }
        self.registries.push(registry);
    }

    /// Gives a name to an address where nothing listens.
    pub fn down(&self, name: &str) {
        self.resolve(name);
    }

    /// Writes one of the machine's own files, over which the agent renders.
    pub fn base_file(&self, path: &str, text: &str) {
        let path = self.scratch.path().join("base").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces the machine's files by what the agent renders from `documents`.
    pub fn configure(&self, documents: &[String]) {
        for dir in ["containers", "docker"] {
            empty(&self.node().join("etc").join(dir));
        }
        agent::render(documents, &self.scratch.path().join("base"), &self.node());
    }

    /// The machine's root, as far as the agent is concerned.
    pub fn node(&self) -> PathBuf {
        self.scratch.path().join("node")
    }

    fn start_registry(&self, name: &str, serves: Serves) -> Registry {
        let (host, port) = name.split_once(':').unwrap_or((name, "443"));
        let dir = self.scratch.path().join("registries").join(name);
        fs::create_dir_all(&dir).unwrap();
        let mut config = format!(
            "version: 0.1\nstorage: {{inmemory: {{}}}}\nhttp:\n  addr: {}:{port}\n",
            self.resolve(host)
        );
        if let Some(identity) = self.identity(host, serves) {
            fs::write(dir.join("tls.crt"), identity.certificate).unwrap();
            fs::write(dir.join("tls.key"), identity.key).unwrap();
            config += "  tls: {certificate: tls.crt, key: tls.key}\n";
        }
        fs::write(dir.join("config.yml"), config).unwrap();
        self.succeeds(&format!(
            "cd /mnt/registries/{name}
             docker-registry serve config.yml > access.log 2> error.log &"
        ));
        let registry = Registry::new(name, serves, &dir);
        registry.wait_until_it_listens();
        registry
    }

    /// Gives a host name a loopback address, and returns it.
    fn resolve(&self, host: &str) -> String {
        let path = self.scratch.path().join("hosts");
        let mut hosts = fs::read_to_string(&path).unwrap();
        let known = hosts.lines().find_map(|line| line.strip_suffix(&format!(" {host}")));
        if let Some(address) = known {
            return address.to_owned();
        }
        let address = format!("127.0.0.{}", hosts.lines().count() + 1);
        hosts += &format!("{address} {host}\n");
        fs::write(path, hosts).unwrap();
        address
    }

    fn identity(&self, host: &str, serves: Serves) -> Option<Identity> {
        match serves {
            Serves::Publicly => Some(self.public.sign(host, Validity::Current)),
            Serves::Privately => Some(self.private.sign(host, Validity::Current)),
            Serves::Expired => Some(self.public.sign(host, Validity::Expired)),
            Serves::Plainly => None,
        }
    }

    /// Runs a shell command on the machine, which shall succeed.
    pub fn succeeds(&self, command: &str) {
        assert_success(&self.run(command));
    }

    /// Runs a shell command on the machine, for a minute at most.
    pub fn run(&self, command: &str) -> Output {
        Command::new("timeout")
            .args(["--kill-after=5", "60", "nsenter", "--net", "--mount", "--pid"])
            .args(["--target", &self.pid, "--", "bash", "-euc", command])
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("HOME", "/run")
            .env("STORAGE_DRIVER", "vfs")
            .env("SSL_CERT_FILE", "/mnt/public-ca.crt")
            .output()
            .unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.init.stdin.take());
        self.init.wait().unwrap();
    }
}

/// Lays out what the machine's setup mounts.
fn write_scratch(scratch: &Path, public: &Authority) {
    for dir in ["base", "node/etc/containers", "node/etc/docker"] {
        fs::create_dir_all(scratch.join(dir)).unwrap();
    }
    fs::write(scratch.join("hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(scratch.join("public-ca.crt"), public.pem()).unwrap();
    image::write_layout(&scratch.join("image"));
}

/// Starts the machine: its first process, and that process's id. The end is certain: when standard
/// input closes, or after ten minutes.
fn start(scratch: &Path) -> (Child, String) {
    let mut init = Command::new("timeout")
        .args(["--signal=KILL", "600", "unshare", "--net", "--mount", "--pid"])
        .args(["--fork", "--kill-child", "bash", "-c", SETUP, "setup"])
        .arg(scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(init.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    assert!(!pid.is_empty(), "no machine of our own: are we root, with util-linux and iproute2?");
    (init, pid.trim().to_owned())
}

fn empty(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
}

pub fn assert_success(output: &Output) {
    assert!(output.status.success(), "refused: {}", String::from_utf8_lossy(&output.stderr));
}
