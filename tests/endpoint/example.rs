//! The commands and the settings of `examples/endpoint/README.md`, as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Host;
use crate::nginx::example;
use crate::server::closed_port;
use crate::world::serve;

/// A copy of the example at another port, and the nginx that its commands started there.
struct Example {
    dir: TempDir,
    readme: String,
    port: u16,
}

impl Example {
    fn start() -> Self {
        let (dir, port) = (TempDir::new().unwrap(), closed_port());
        // nginx's own user is to reach it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["README.md", "bundle.yaml", "nginx.conf"] {
            let text = fs::read_to_string(example().join(name)).unwrap();
            assert!(name == "bundle.yaml" || text.contains("8443"), "{name}");
            fs::write(dir.path().join(name), text.replace("8443", &port.to_string())).unwrap();
        }
        let readme = fs::read_to_string(dir.path().join("README.md")).unwrap();
        let example = Self { dir, readme, port };
        let commands = example.block("```\n");
        assert!(commands.contains("openssl req") && commands.contains("CA:FALSE"), "{commands}");
        let run = Command::new("sh").args(["-euc", commands]).current_dir(&example.dir).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        example
    }

    /// The first block of its README that begins so.
    fn block(&self, fence: &str) -> &str {
        let (_, rest) = self.readme.split_once(fence).unwrap();
        rest.split_once("```").unwrap().0
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(self.path("srv")).args(["-c", "nginx.conf", "-s", "stop"]);
        // It may not have started.
        let _ = nginx.status();
    }
}

#[test]
fn e1_the_commands_and_settings_of_the_example_work_as_they_stand() {
    let example = Example::start();
    let host = Host::new();
    let beside = host.root().parent().unwrap().to_owned();
    fs::copy(example.path("srv/tls/server.crt"), beside.join("endpoint-ca.crt")).unwrap();
    fs::write(beside.join("token"), "change-me").unwrap();
    // These files are the agent's own, not of the host below its root.
    let settings = example.block("```toml\n");
    let settings = settings.replace("/etc/image-config-agent", beside.to_str().unwrap());
    host.write("/etc/image-config-agent/config.d/endpoint.toml", settings);
    let serving = serve(host, &["kube.node=n1".into()]);
    serving.blocks("untrusted.example.com");
    serving.converges();
    let source = serving.status()["sources"][0].clone();
    assert_eq!(source["revision"], "serial 1");
    let url = format!("https://localhost:{}/bundles/bundle.yaml", example.port);
    assert_eq!(source["origin"], url);
    let report = || {
        let bytes = fs::read(example.path("srv/files/reports/n1.json")).unwrap_or_default();
        serde_json::from_slice::<Value>(&bytes).unwrap_or_default()
    };
    serving.until("the report", || report() == serving.status());
    // The certificate is its own authority for this server alone, and no CA of any other.
    let text = Command::new("openssl")
        .args(["x509", "-noout", "-ext", "basicConstraints", "-in"])
        .arg(example.path("srv/tls/server.crt"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("CA:FALSE"));
}
