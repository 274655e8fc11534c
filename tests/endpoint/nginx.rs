//! The nginx of `examples/endpoint`: the real one, with the example's configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Host;
use crate::certificates::Ca;
use crate::server::{closed_port, listens};
use crate::serving::{Serving, blocking};
use crate::world::serve;

pub struct Nginx {
    dir: TempDir,
    pub port: u16,
    pub ca: Ca,
    child: Child,
}

impl Nginx {
    fn new() -> Self {
        Self::with(&Ca::new(), |config| config)
    }

    /// With another configuration, which may name the CA of clients as `tls/clients.crt`.
    pub fn with(clients: &Ca, edit: impl Fn(String) -> String) -> Self {
        let (dir, port, ca) = (TempDir::new().unwrap(), closed_port(), Ca::new());
        let pair = ca.signs(false);
        for folder in ["tls", "files/bundles", "files/reports"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("tls/server.crt"), pair.certificate).unwrap();
        fs::write(dir.path().join("tls/server.key"), pair.key).unwrap();
        fs::write(dir.path().join("tls/clients.crt"), clients.pem()).unwrap();
        let config = fs::read_to_string(example().join("nginx.conf")).unwrap();
        assert!(config.contains("listen 8443 ssl"));
        let config = config.replace("listen 8443", &format!("listen 127.0.0.1:{port}"));
        fs::write(dir.path().join("nginx.conf"), edit(config)).unwrap();
        let child = start(dir.path());
        let nginx = Self { dir, port, ca, child };
        nginx.is_up();
        nginx
    }

    fn is_up(&self) {
        let start = std::time::Instant::now();
        while !listens(self.port) {
            assert!(start.elapsed().as_secs() < 20, "nginx does not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }

    fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join("files").join(path)
    }

    /// Puts a file there as a whole.
    pub fn gives(&self, bytes: impl AsRef<[u8]>) {
        let draft = self.file("draft");
        fs::write(&draft, bytes).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(draft, self.file("bundles/bundle.yaml")).unwrap();
    }

    /// An agent that is set up as the example's README says.
    fn serves(&self) -> Serving {
        let host = Host::new();
        let beside = host.root().parent().unwrap().to_owned();
        fs::write(beside.join("ca.crt"), self.ca.pem()).unwrap();
        fs::write(beside.join("token"), "change-me\n").unwrap();
        let mut settings = vec!["kube.node=n1".to_owned()];
        for (prefix, path) in
            [("endpoint", "bundles/bundle.yaml"), ("report", "reports/{node}.json")]
        {
            settings.push(format!("{prefix}.url=https://localhost:{}/{path}", self.port));
            settings.push(format!("{prefix}.ca={}", beside.join("ca.crt").display()));
            settings.push(format!("{prefix}.token_file={}", beside.join("token").display()));
        }
        serve(host, &settings)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("access.log")).unwrap()
    }

    fn report(&self) -> Value {
        let bytes = fs::read(self.file("reports/n1.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/endpoint")
}

fn start(dir: &Path) -> Child {
    // As the one process that it is started as: it ends with the test.
    Command::new("nginx")
        .args(["-g", "daemon off; master_process off;", "-c", "nginx.conf", "-p"])
        .arg(dir)
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx")
}

#[test]
fn e1_the_example_serves_bundles_and_takes_reports() {
    let nginx = Nginx::new();
    nginx.gives(fs::read(example().join("bundle.yaml")).unwrap());
    let serving = nginx.serves();
    serving.blocks("untrusted.example.com");
    serving.converges();
    serving.until("the report", || nginx.report() == serving.status());
    assert_eq!(serving.status()["sources"][0]["revision"], "serial 1");
    // What has not changed is not sent again.
    serving.until("a 304", || nginx.log().contains("\" 304 "));
    nginx.gives(blocking("b.io").to_string());
    serving.blocks("b.io");
    serving.converges();
    serving.until("the report", || nginx.report() == serving.status());
}

#[test]
fn d5_a_server_that_is_gone_for_a_while_is_waited_for() {
    let mut nginx = Nginx::new();
    nginx.gives(blocking("a.io").to_string());
    let serving = nginx.serves();
    serving.blocks("a.io");
    serving.converges();
    nginx.stop();
    serving.until_condition("SourceReady", "False", "ServerUnreachable");
    serving.until_condition("Applied", "True", "AsExpected");
    assert_eq!(serving.ask("status").code, 0);
    nginx.gives(blocking("b.io").to_string());
    nginx.child = start(nginx.dir.path());
    nginx.is_up();
    serving.blocks("b.io");
    serving.until_condition("SourceReady", "True", "AsExpected");
}
