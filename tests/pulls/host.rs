//! A machine of a test's own: registries, the agent's files in place, and the tools that pull.

use crate::{
    agent::{self, Answer, Source},
    certificates::{Authority, Identity, Validity},
    image,
    registry::{Registry, Serves},
    tools::{Reason, TOOLS, Tool},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

/// Where the hand-made image lies, as the machine sees it.
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

/// What is asserted of a pull or push.
#[derive(Clone, Copy, Debug)]
enum Outcome<'a> {
    Served { from: &'a str, insecure: bool },
    Refused(Reason),
}

/// The machine. It ends, with all its processes, when it is dropped or when the test dies.
pub struct Host {
    scratch: TempDir,
    init: Child,
    pid: String,
    public: Authority,
    private: Authority,
    registries: Vec<Registry>,
}

impl Host {
    pub fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let public = Authority::new("public CA");
        write_scratch(scratch.path(), &public);
        let mut init = start(scratch.path());
        let mut pid = String::new();
        BufReader::new(init.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        assert!(!pid.is_empty(), "no machine of our own: are we root, with util-linux, iproute2?");
        let private = Authority::new("private CA");
        let pid = pid.trim().to_owned();
        Self { scratch, init, pid, public, private, registries: vec![] }
    }

    /// The CA behind [`Serves::Privately`].
    pub fn private_ca(&self) -> String {
        self.private.pem()
    }

    /// Starts a registry by this name (port 443 unless it names one) with these images in it.
    pub fn serve(&mut self, name: &str, serves: Serves, images: &[&str]) {
        let dir = self.scratch.path().join(format!("registries/{}", self.registries.len()));
        fs::create_dir_all(&dir).unwrap();
        let address = self.resolve(name, self.registries.len() + 2);
        fs::write(dir.join("config.yml"), self.registry_config(name, serves, &address, &dir))
            .unwrap();
        let inside = format!("/mnt/registries/{}", self.registries.len());
        self.succeeds(&format!(
            "docker-registry serve {inside}/config.yml \
             > {inside}/access.log 2> {inside}/error.log &"
        ));
        let registry = Registry::new(name, serves, &dir);
        registry.wait_until_it_listens();
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
        self.resolve(name, 254);
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

    /// Asserts that every tool pulls `reference`, and gets it over verified TLS from this registry.
    pub fn pulls(&self, reference: &str, from: &str) {
        for tool in TOOLS {
            self.pull(tool, reference, Outcome::Served { from, insecure: false });
        }
    }

    /// Asserts that every tool pulls `reference` from this registry, which it does not verify.
    pub fn pulls_insecurely(&self, reference: &str, from: &str) {
        for tool in TOOLS {
            self.pull(tool, reference, Outcome::Served { from, insecure: true });
        }
    }

    /// Asserts that every tool refuses to pull `reference`, for this reason.
    pub fn refuses(&self, reference: &str, reason: Reason) {
        for tool in TOOLS {
            self.pull(tool, reference, Outcome::Refused(reason));
        }
    }

    /// Asserts that podman, which alone knows short names, pulls one from this registry.
    pub fn pulls_short(&self, name: &str, from: &str) {
        self.pull(Tool::Podman, name, Outcome::Served { from, insecure: false });
    }

    /// Asserts that podman refuses to pull a short name, for this reason.
    pub fn refuses_short(&self, name: &str, reason: Reason) {
        self.pull(Tool::Podman, name, Outcome::Refused(reason));
    }

    /// Asserts that every tool can push to `reference`.
    pub fn pushes(&self, reference: &str) {
        assert_eq!(agent::check_push(&self.node(), reference).verdict, "allowed", "{reference}");
        for tool in TOOLS {
            self.succeeds(&tool.push(reference));
        }
    }

    /// Asserts that every tool refuses to push to `reference`, because its registry is blocked.
    pub fn refuses_push(&self, reference: &str) {
        assert_eq!(agent::check_push(&self.node(), reference).verdict, "blocked", "{reference}");
        for tool in TOOLS {
            self.forget_requests();
            assert_refused(&self.run(&tool.push(reference)), Reason::Blocked);
            self.assert_asked(&[]);
        }
    }

    /// Pulls and holds what happens against `outcome` and against what `check` says.
    fn pull(&self, tool: Tool, reference: &str, outcome: Outcome) {
        eprintln!("{tool:?} pulls {reference}: {outcome:?}");
        self.forget_requests();
        let output = self.run(&tool.pull(reference));
        let answer = agent::check(&self.node(), reference);
        match outcome {
            Outcome::Served { from, insecure } => {
                assert_success(&output);
                self.agrees_on_a_pull(from, insecure, &answer);
            }
            Outcome::Refused(reason) => {
                assert_refused(&output, reason);
                self.agrees_on_a_refusal(reason, &answer);
            }
        }
    }

    /// The pull was served by `from`: `check` allows it, and the places that were asked are those
    /// that it lists, in its order, up to the one that served.
    fn agrees_on_a_pull(&self, from: &str, insecure: bool, answer: &Answer) {
        let registry = self.registry(from).unwrap();
        assert!(registry.answered("200"), "{from} did not serve: {}", registry.requests());
        assert_eq!(answer.verdict, "allowed", "{answer:?}");
        assert!(answer.policy.allowed, "{answer:?}");
        let places = open_places(answer);
        let position = places.iter().position(|place| place.registry() == from);
        let position = position.unwrap_or_else(|| panic!("{from} is not in {answer:?}"));
        assert_eq!(places[position].insecure, insecure, "{answer:?}");
        self.assert_asked(&places[..=position]);
    }

    /// The pull was refused: `check` says so too, unless it is for a reason that only the registry
    /// knows; then the places that it lists are those that were asked.
    fn agrees_on_a_refusal(&self, reason: Reason, answer: &Answer) {
        let places = open_places(answer);
        match reason {
            Reason::Rejected => {
                assert_eq!(answer.verdict, "rejected", "{answer:?}");
                assert!(!places.is_empty(), "blocked as well: {answer:?}");
            }
            Reason::Blocked => {
                // The tools look at the places first, `check` at the policy.
                let verdict = if answer.policy.allowed { "blocked" } else { "rejected" };
                assert_eq!(answer.verdict, verdict, "{answer:?}");
                assert!(places.is_empty(), "{answer:?}");
                self.assert_asked(&[]);
            }
            Reason::NotFound => {
                assert_eq!(answer.verdict, "allowed", "{answer:?}");
                self.assert_asked(&places);
            }
            Reason::Unverified(serves) => {
                assert_eq!(answer.verdict, "allowed", "{answer:?}");
                let place = places.iter().find(|place| self.serves(place) == Some(serves));
                assert!(place.is_some_and(|place| !place.insecure), "{answer:?}");
            }
        }
    }

    /// Of the running registries, those of `places` were asked and no others.
    fn assert_asked(&self, places: &[&Source]) {
        for registry in &self.registries {
            if places.iter().any(|place| place.registry() == registry.name) {
                assert!(registry.was_asked(), "{} was not asked: {places:?}", registry.name);
            } else {
                let requests = registry.requests();
                assert_eq!(requests, "", "{} was asked, in spite of {places:?}", registry.name);
            }
        }
    }

    fn forget_requests(&self) {
        self.registries.iter().for_each(Registry::forget);
    }

    fn registry(&self, name: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.name == name)
    }

    /// How the registry behind a place serves, if one runs there.
    fn serves(&self, place: &Source) -> Option<Serves> {
        self.registry(place.registry()).map(|registry| registry.serves)
    }

    /// The machine's root, as far as the agent is concerned.
    fn node(&self) -> PathBuf {
        self.scratch.path().join("node")
    }

    /// Makes `name` resolve to a loopback address of its own and returns address and port.
    fn resolve(&self, name: &str, number: usize) -> String {
        let (host, port) = name.split_once(':').unwrap_or((name, "443"));
        let mut hosts =
            fs::OpenOptions::new().append(true).open(self.scratch.path().join("hosts")).unwrap();
        writeln!(hosts, "127.0.0.{number} {host}").unwrap();
        format!("127.0.0.{number}:{port}")
    }

    fn registry_config(&self, name: &str, serves: Serves, address: &str, dir: &Path) -> String {
        let tls = self.identity(name, serves).map_or(String::new(), |identity| {
            fs::write(dir.join("tls.crt"), identity.certificate).unwrap();
            fs::write(dir.join("tls.key"), identity.key).unwrap();
            let inside = format!("/mnt/registries/{}", self.registries.len());
            format!("  tls: {{certificate: {inside}/tls.crt, key: {inside}/tls.key}}\n")
        });
        format!("version: 0.1\nstorage: {{inmemory: {{}}}}\nhttp:\n  addr: {address}\n{tls}")
    }

    fn identity(&self, name: &str, serves: Serves) -> Option<Identity> {
        let host = name.split(':').next().unwrap();
        match serves {
            Serves::Publicly => Some(self.public.sign(host, Validity::Current)),
            Serves::Privately => Some(self.private.sign(host, Validity::Current)),
            Serves::Expired => Some(self.public.sign(host, Validity::Expired)),
            Serves::Plainly => None,
        }
    }

    fn succeeds(&self, command: &str) {
        assert_success(&self.run(command));
    }

    /// Runs a shell command on the machine, for a minute at most.
    fn run(&self, command: &str) -> Output {
        Command::new("timeout")
            .args(["--kill-after=5", "60", "nsenter", "--net", "--mount", "--pid"])
            .args(["--target", &self.pid, "--", "bash", "-euc", command])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
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

/// Starts the machine. Its end is certain: when its standard input closes, or after ten minutes.
fn start(scratch: &Path) -> Child {
    Command::new("timeout")
        .args(["--signal=KILL", "600", "unshare", "--net", "--mount", "--pid"])
        .args(["--fork", "--kill-child", "bash", "-c", SETUP, "setup"])
        .arg(scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn empty(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
}

/// The places that a pull goes to, in order: those of each candidate where the name is short.
fn open_places(answer: &Answer) -> Vec<&Source> {
    let short = answer.candidates.iter().flat_map(|candidate| &candidate.sources);
    let sources: Vec<_> = if answer.candidates.is_empty() {
        answer.sources.iter().collect()
    } else {
        short.collect()
    };
    sources.into_iter().filter(|source| !source.blocked).collect()
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "refused: {}", String::from_utf8_lossy(&output.stderr));
}

fn assert_refused(output: &Output, reason: Reason) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "not refused, though {reason:?}");
    assert!(stderr.contains(reason.message()), "refused, but not because {reason:?}: {stderr}");
}
