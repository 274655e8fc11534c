//! The engine really pulls, before and after each change, under each way to tell it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::{Authority, Validity};
use crate::host::{Files, Host, image};
use crate::image::write_layout;
use crate::peer::pull;

/// Names of registries inside the machine, each with a port of its own.
pub const PLAIN: &str = "plain.test:5001";
const MIRROR: &str = "mirror.test:5002";
const PRIVATE: &str = "private.test:5003";

/// A directory as docker-registry keeps it, with the one image as `app:v1`.
fn store() -> TempDir {
    let dir = TempDir::new().unwrap();
    write_layout(&dir.path().join("layout"));
    let port = free_port();
    let mut registry = serve(dir.path(), &format!("127.0.0.1:{port}"));
    let layout = format!("oci:{}", dir.path().join("layout").display());
    let image = format!("docker://127.0.0.1:{port}/app:v1");
    let start = Instant::now();
    loop {
        let pushed = Command::new("skopeo")
            .args([
                "copy",
                "--insecure-policy",
                "--preserve-digests",
                "--dest-tls-verify=false",
                &layout,
                &image,
            ])
            .output()
            .unwrap();
        if pushed.status.success() {
            break;
        }
        let why = String::from_utf8_lossy(&pushed.stderr).into_owned();
        assert!(start.elapsed() < Duration::from_secs(20), "{why}");
        std::thread::sleep(Duration::from_millis(100));
    }
    registry.kill().unwrap();
    registry.wait().unwrap();
    dir
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn settings(data: &str, address: &str, tls: Option<&str>) -> String {
    let tls = tls.map(
        |dir| json!({"certificate": format!("{dir}/cert.pem"), "key": format!("{dir}/key.pem")}),
    );
    let mut http = json!({"addr": address});
    if let Some(tls) = tls {
        http["tls"] = tls;
    }
    // YAML takes JSON.
    json!({"version": 0.1, "storage": {"filesystem": {"rootdirectory": data}}, "http": http})
        .to_string()
}

fn serve(dir: &Path, address: &str) -> Child {
    let file = dir.join("registry.yml");
    std::fs::write(&file, settings(dir.join("data").to_str().unwrap(), address, None)).unwrap();
    Command::new("docker-registry")
        .args(["serve".as_ref(), file.as_os_str()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Three registries, with a unit each, and the CA that one of them serves by.
pub fn add_registries(files: &Files) -> Authority {
    let store = store();
    files.program("/usr/bin/docker-registry", Path::new("/usr/bin/docker-registry"));
    files.copy_tree("/srv/registry", &store.path().join("data"));
    files.write("/etc/hosts", "127.0.0.1 localhost plain.test mirror.test private.test\n");
    let authority = Authority::new("a CA of its own");
    let identity = authority.sign("private.test", Validity::Current);
    files.write("/etc/registry/cert.pem", identity.certificate);
    files.write("/etc/registry/key.pem", identity.key);
    for (name, tls) in [(PLAIN, None), (MIRROR, None), (PRIVATE, Some("/etc/registry"))] {
        let (name, port) = name.split_once(".test:").unwrap();
        files.write(
            &format!("/etc/registry/{name}.yml"),
            settings("/srv/registry", &format!("127.0.0.1:{port}"), tls),
        );
        let unit = format!(
            "[Service]\nExecStart=/usr/bin/docker-registry serve /etc/registry/{name}.yml\n"
        );
        files.write(&format!("/etc/systemd/system/{name}.service"), unit);
    }
    authority
}

/// A machine with them, on which the agent has converged, and that CA.
fn machine(action: &str) -> (Host, String) {
    let files = Files::new();
    files.settings(&format!("runtime.action = '{action}'"));
    // What the guard keeps the host from losing must be where these documents allow it.
    let pause = format!("[crio.image]\npause_image = '{MIRROR}/app:v1'\n");
    files.write("/etc/crio/crio.conf.d/10-pause.conf", pause);
    let authority = add_registries(&files);
    let host = files.boot();
    host.documents(&image(&json!({"insecureRegistries": [PLAIN, MIRROR]})));
    host.ok(&["systemctl", "start", "plain", "mirror", "private", "crio", "image-config-agent"]);
    host.converges();
    host.until("the registry", || pull(&host, &format!("{PLAIN}/app:v1")).is_ok());
    (host, authority.pem())
}

fn list(documents: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": documents})
}

/// Blocked, allowed, mirrored and trusted while the engine runs: pulls obey.
fn scenario(action: &str) {
    let (host, ca) = machine(action);
    let plain = format!("{PLAIN}/app:v1");
    let private = format!("{PRIVATE}/app:v1");
    let insecure = [PLAIN, MIRROR];

    host.applies(&image(&json!({"insecureRegistries": insecure, "blockedRegistries": [PLAIN]})));
    let why = pull(&host, &plain).unwrap_err();
    assert!(why.contains("blocked"), "{why}");

    host.applies(&image(&json!({"insecureRegistries": insecure, "allowedRegistries": [MIRROR]})));
    let why = pull(&host, &plain).unwrap_err();
    assert!(why.contains("reject"), "{why}");
    pull(&host, &format!("{MIRROR}/app:v1")).unwrap();

    // The source is down; its mirror serves by tag.
    let tag_mirrors = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ImageTagMirrorSet", "metadata": {"name": "m"},
        "spec": {"imageTagMirrors": [{"source": PLAIN, "mirrors": [MIRROR]}]},
    });
    host.systemctl("stop", "plain");
    host.applies(&image(&json!({"insecureRegistries": insecure})));
    pull(&host, &plain).unwrap_err();
    host.applies(&list(&[image(&json!({"insecureRegistries": insecure})), tag_mirrors]));
    pull(&host, &plain).unwrap_or_else(|why| panic!("{why}\n{}", host.journal()));

    // Trusted, without the engine being told of anything.
    let why = pull(&host, &private).unwrap_err();
    assert!(why.contains("x509"), "{why}");
    let crio = host.invocation("crio");
    let mut trusting = image(&json!({"insecureRegistries": insecure}));
    host.applies(&trusting);
    let told = host.invocation("crio");
    trusting["spec"]["additionalTrustedCA"] = json!({"name": "ca"});
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca", "namespace": "openshift-config"},
        "data": {PRIVATE.replace(':', ".."): ca},
    });
    host.applies(&list(&[trusting, map]));
    pull(&host, &private).unwrap();
    assert_eq!(host.invocation("crio"), told, "a CA disturbs nobody");
    let is_restarted = crio != told;
    assert_eq!(is_restarted, action == "restart");
}

#[test]
fn h3_pulls_obey_under_restart() {
    scenario("restart");
}

#[test]
fn h3_pulls_obey_under_reload() {
    scenario("reload");
}

#[test]
fn h3_pulls_obey_under_auto() {
    scenario("auto");
}
