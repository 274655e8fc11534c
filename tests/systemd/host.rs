//! A machine with a real systemd as its PID 1, the agent's unit, an engine, and a unit that needs it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peer;

/// Long enough for a busy machine; what goes well takes a fraction of it.
const SOON: Duration = Duration::from_secs(60);

pub const POLICY: &str = "/etc/containers/policy.json";
pub const REGISTRIES: &str = "/etc/containers/registries.conf";
const DOCUMENTS: &str = "/etc/image-config-agent/cluster.d/image.json";

/// The machine. It ends with the test, and leaves nothing.
pub struct Host {
    machine: Child,
    init: String,
}

/// What a command inside said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// What there is beside systemd before the machine boots.
pub struct Files(TempDir);

impl Files {
    /// The agent, its unit, the engine and what needs it; nothing of it is enabled.
    pub fn new() -> Self {
        let files = Self::without_agent();
        let agent = Path::new(env!("CARGO_BIN_EXE_image-config-agent"));
        files.program("/usr/bin/image-config-agent", agent);
        files.unit("systemd/image-config-agent.service");
        let directories = include_str!("../../packaging/tmpfiles.d/image-config-agent.conf");
        files.write("/usr/lib/tmpfiles.d/image-config-agent.conf", directories);
        files.write("/etc/image-config-agent/config.d/10-tests.toml", "source.quiet_seconds = 1\n");
        for dir in [
            "/etc/containers/registries.conf.d",
            "/etc/docker/certs.d",
            "/etc/image-config-agent/cluster.d",
        ] {
            fs::create_dir_all(files.at(dir)).unwrap();
        }
        files
    }

    /// The same without the agent and its directories.
    pub fn without_agent() -> Self {
        let files = Self(TempDir::new().unwrap());
        fs::set_permissions(files.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        peer::install(&files);
        files.unit("tests/systemd/files/kubelet.service");
        // With logind every client sees the signals of all jobs, which hides whether ours asks
        // for them.
        for unit in ["systemd-logind.service", "dbus-org.freedesktop.login1.service"] {
            let at = files.at(&format!("/etc/systemd/system/{unit}"));
            std::os::unix::fs::symlink("/dev/null", at).unwrap();
        }
        files
    }

    /// A unit of this repository.
    fn unit(&self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let name = path.file_name().unwrap().to_str().unwrap();
        self.write(&format!("/etc/systemd/system/{name}"), fs::read(&path).unwrap());
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
        self
    }

    pub fn program(&self, path: &str, from: &Path) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(from, at).unwrap();
    }

    /// A copy of a directory.
    pub fn copy_tree(&self, path: &str, from: &Path) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-a").args([from, at.as_path()]).status().unwrap();
        assert!(copied.success());
    }

    /// Settings of the agent.
    pub fn settings(&self, toml: &str) -> &Self {
        self.write("/etc/image-config-agent/config.d/20-test.toml", toml)
    }

    pub fn boot(&self) -> Host {
        self.boot_with("")
    }

    /// The same with more arguments for systemd-nspawn.
    pub fn boot_with(&self, arguments: &str) -> Host {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/host.sh");
        let mut machine = Command::new("bash")
            .arg(script)
            .arg(self.0.path())
            .arg(peer::PACKAGES)
            .env("NSPAWN_ARGUMENTS", arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut init = String::new();
        BufReader::new(machine.stdout.take().unwrap()).read_line(&mut init).unwrap();
        assert_ne!(init, "", "the machine does not boot");
        Host { machine, init: init.trim().to_owned() }
    }
}

/// A machine on which CRI-O, what needs it and the agent run, and the agent has converged.
pub fn running(settings: &str) -> Host {
    let files = Files::new();
    files.settings(settings);
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "kubelet", "image-config-agent"]);
    host.converges();
    host
}

/// A document that blocks one registry.
pub fn blocking(registry: &str) -> Value {
    image(&json!({"blockedRegistries": [registry]}))
}

pub fn image(sources: &Value) -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image",
        "metadata": {"name": "cluster"}, "spec": {"registrySources": sources},
    })
}

impl Host {
    /// A namespace of the machine's.
    pub fn namespace(&self, kind: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/{kind}", self.init))
    }

    /// A command inside.
    pub fn run(&self, command: &[&str]) -> Said {
        self.run_with(command, b"")
    }

    fn run_with(&self, command: &[&str], input: &[u8]) -> Said {
        let mut child = Command::new("nsenter")
            .args(["-t", &self.init, "-a", "--", "env", "NO_COLOR=1"])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads no input may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    /// The output of a command that must succeed.
    #[track_caller]
    pub fn ok(&self, command: &[&str]) -> String {
        let said = self.run(command);
        assert_eq!(said.code, 0, "{command:?}: {}{}{}", said.out, said.err, self.journal());
        said.out
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let said = self.run_with(
            &[
                "sh",
                "-c",
                "mkdir -p \"${1%/*}\" && cat >\"$1.new\" && mv \"$1.new\" \"$1\"",
                "-",
                path,
            ],
            bytes.as_ref(),
        );
        assert_eq!(said.code, 0, "{}", said.err);
    }

    pub fn text(&self, path: &str) -> String {
        self.ok(&["cat", path])
    }

    /// This in place of the documents.
    pub fn documents(&self, document: &Value) {
        self.write(DOCUMENTS, document.to_string());
    }

    /// How CRI-O's double starts from now on.
    pub fn behaves(&self, words: &str) {
        self.write("/run/crio-double/behaviour", words);
    }

    pub fn systemctl(&self, command: &str, unit: &str) {
        self.ok(&["systemctl", command, unit]);
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&["systemctl", "show", "--value", "-p", name, unit]).trim().to_owned()
    }

    pub fn invocation(&self, unit: &str) -> String {
        self.property(unit, "InvocationID")
    }

    pub fn is_active(&self, unit: &str) -> bool {
        self.property(unit, "ActiveState") == "active"
    }

    /// What the agent, CRI-O and what needs it logged.
    pub fn journal(&self) -> String {
        self.run(&[
            "journalctl",
            "--no-pager",
            "-o",
            "short",
            "-u",
            "image-config-agent",
            "-u",
            "crio",
            "-u",
            "kubelet",
        ])
        .out
    }

    pub fn status(&self) -> Value {
        let said = self.run(&["image-config-agent", "status", "-o", "json"]);
        serde_json::from_str(&said.out).unwrap_or_default()
    }

    /// A condition's status and reason.
    pub fn condition(&self, kind: &str) -> (String, String) {
        let status = self.status();
        let found = status["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["type"] == kind));
        let text =
            |key: &str| found.and_then(|found| found[key].as_str()).unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// From now on each sync of the agent's takes its time: a phase that is over in no time can then be met.
    pub fn slow_disk(&self) -> Injection {
        self.inject("fsync", "delay_enter=300ms")
    }

    /// From now on this becomes of each such call of the agent's, in the words of strace.
    pub fn inject(&self, call: &str, what: &str) -> Injection {
        // Of the processes that systemd started the one of this name; a name has 15 letters at most.
        let found =
            Command::new("pgrep").args(["-P", &self.init, "-x", "image-config-ag"]).output();
        let pid = Said::from(found.unwrap()).out.trim().to_owned();
        let strace = Command::new("strace")
            .args(["-f", "-p", &pid, "-o", "/dev/null", "-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:{what}")])
            .stderr(Stdio::piped())
            .spawn();
        let mut strace = strace.expect("strace: `tests/run systemd` installs it");
        let (mut line, mut said) = (String::new(), BufReader::new(strace.stderr.take().unwrap()));
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        Injection { strace, _said: said }
    }

    /// Asks until it is so.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < SOON,
                "{what} does not come: {:#}\n{}",
                self.status(),
                self.journal()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn until_condition(&self, kind: &str, status: &str, reason: &str) {
        let wanted = (status.to_owned(), reason.to_owned());
        self.until(&format!("{kind} {status} {reason}"), || self.condition(kind) == wanted);
    }

    #[track_caller]
    pub fn converges(&self) {
        self.until("convergence", || self.run(&["image-config-agent", "status"]).code == 0);
    }

    /// Until the documents that are there are applied and the engine obeys them.
    #[track_caller]
    pub fn applies(&self, document: &Value) {
        self.documents(document);
        self.ok(&["image-config-agent", "apply"]);
        self.converges();
    }

    /// Whether the engine's socket accepts.
    pub fn connects(&self) -> bool {
        self.connect().is_ok()
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(format!("/proc/{}/root/run/crio/crio.sock", self.init))
    }

    /// What the engine says to `GET path` on its socket.
    pub fn ask(&self, path: &str) -> String {
        let mut socket = self.connect().unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: crio\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// How often the engine has said something in its log.
    pub fn said(&self, what: &str) -> usize {
        self.ok(&["journalctl", "--no-pager", "-o", "cat", "-u", "crio"]).matches(what).count()
    }
}

/// What becomes of calls of the agent, until this ends.
pub struct Injection {
    strace: Child,
    /// It says more, and dies where nobody listens: the agent would be left standing.
    _said: BufReader<std::process::ChildStderr>,
}

impl Drop for Injection {
    fn drop(&mut self) {
        // strace lets go of the agent first; it ends with the agent too.
        let pid = nix::unistd::Pid::from_raw(self.strace.id().try_into().unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.strace.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The script ends the machine when its input ends.
        drop(self.machine.stdin.take());
        let _ = self.machine.wait();
    }
}
