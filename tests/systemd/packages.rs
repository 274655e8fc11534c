//! The packages on a real systemd: install, upgrade, downgrade, removal (rules H11, H12, X3).

use std::path::{Path, PathBuf};

use crate::host::{Files, Host, POLICY, REGISTRIES, blocking};
use crate::network;

/// The two versions that `tests/run systemd` builds.
fn package(version: &str, kind: &str) -> PathBuf {
    let dir = std::env::var("PACKAGES").expect("PACKAGES: `tests/run systemd` builds them");
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.contains(version) && name.ends_with(kind)
    };
    all.into_iter().find(is_it).unwrap_or_else(|| panic!("no {kind} of {version}"))
}

/// What a package manager is told.
struct Manager {
    kind: &'static str,
    install: &'static [&'static str],
    downgrade: &'static [&'static str],
    remove: &'static [&'static str],
}

const DPKG: Manager = Manager {
    kind: ".deb",
    install: &["dpkg", "--force-confold", "-i"],
    downgrade: &["dpkg", "--force-confold", "-i"],
    remove: &["dpkg", "-r", "image-config-agent"],
};

const RPM: Manager = Manager {
    kind: ".rpm",
    install: &["rpm", "-U", "--nodeps"],
    downgrade: &["rpm", "-U", "--nodeps", "--oldpackage"],
    remove: &["rpm", "-e", "image-config-agent"],
};

impl Manager {
    fn machine(&self) -> Host {
        let files = Files::without_agent();
        for version in ["0.0.9", "0.1.0"] {
            let from = package(version, self.kind);
            files.program(&format!("/root/{version}{}", self.kind), Path::new(&from));
        }
        files.write(POLICY, OWN_POLICY);
        let host = files.boot();
        host.ok(&["systemctl", "start", "crio", "kubelet"]);
        host
    }

    /// What the package manager said, which has nothing to say but what it does.
    fn run(&self, host: &Host, command: &[&str], version: &str) -> String {
        let file = format!("/root/{version}{}", self.kind);
        let said = host.run(&[command, &[&file]].concat());
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        said.err
    }
}

const OWN_POLICY: &str = "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n";

fn life(manager: &Manager) {
    let host = manager.machine();
    let said = manager.run(&host, manager.install, "0.0.9");
    assert!(!said.contains("tmpfiles"), "{said}");

    // It serves, and changes nothing until there are documents.
    host.until_condition("Valid", "False", "NoDocuments");
    assert_eq!(host.text(POLICY), OWN_POLICY);
    let said =
        host.run(&["systemd-analyze", "security", "--no-pager", "image-config-agent.service"]);
    assert!(said.out.lines().last().is_some_and(|line| line.contains(": 1.")), "{}", said.out);
    host.ok(&["test", "-d", "/etc/docker/certs.d"]);

    host.documents(&blocking("a.test"));
    host.converges();
    assert!(host.text(REGISTRIES).contains("a.test"));
    let own = "drift = \"report\"\n";
    host.write("/etc/image-config-agent/config.toml", own);

    // An upgrade restarts the service, keeps the settings and touches no file of the host.
    let (pid, crio) = (host.property("image-config-agent", "MainPID"), host.invocation("crio"));
    let before = host.ok(&["stat", "-c", "%i %y", POLICY, REGISTRIES]);
    for (command, version) in
        [(manager.install, "0.1.0"), (manager.downgrade, "0.0.9"), (manager.install, "0.1.0")]
    {
        manager.run(&host, command, version);
        host.until("the service", || host.is_active("image-config-agent"));
        assert_ne!(host.property("image-config-agent", "MainPID"), pid);
        host.converges();
        assert_eq!(host.text("/etc/image-config-agent/config.toml"), own);
        assert_eq!(host.ok(&["stat", "-c", "%i %y", POLICY, REGISTRIES]), before);
        assert_eq!(host.invocation("crio"), crio);
    }

    // Removal gives the host's own files back and tells the engine, which goes on running.
    host.ok(manager.remove);
    assert_eq!(host.text(POLICY), OWN_POLICY);
    assert_ne!(host.run(&["test", "-e", REGISTRIES]).code, 0);
    assert_eq!(host.invocation("crio"), crio);
    host.until("a reload", || host.journal().contains("Applied new registry configuration"));
    assert_ne!(host.run(&["systemctl", "is-active", "image-config-agent"]).code, 0);
    assert_ne!(host.run(&["which", "image-config-agent"]).code, 0);
}

#[test]
fn h11_the_deb_installs_upgrades_downgrades_and_goes() {
    life(&DPKG);
}

#[test]
fn h11_the_rpm_installs_upgrades_downgrades_and_goes() {
    life(&RPM);
}

/// Its sandbox lets it reach the endpoint, whose name either build resolves: by DNS, and by /etc/hosts.
#[test]
fn h11_the_service_of_a_package_follows_an_endpoint_by_its_name() {
    for manager in [&DPKG, &RPM] {
        let host = manager.machine();
        network::resolve(&host, "config.example");
        network::serve(&host, blocking("a.test").to_string());
        let settings = "[source]\norder = ['endpoint']\n[endpoint]\nallow_http = true\n";
        let url = |name| format!("{settings}url = 'http://{name}:{}/'\n", network::PORT);
        host.write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
        host.write("/etc/hosts", "127.0.0.1 hosts.example\n");
        host.write("/etc/image-config-agent/config.d/10-tests.toml", url("config.example"));
        manager.run(&host, manager.install, "0.1.0");
        host.converges();
        assert!(host.text(REGISTRIES).contains("a.test"));

        host.write("/etc/image-config-agent/config.d/10-tests.toml", url("nowhere.example"));
        host.systemctl("reload", "image-config-agent");
        host.until("no such name", || host.condition("SourceReady").0 == "False");

        host.write("/etc/image-config-agent/config.d/10-tests.toml", url("hosts.example"));
        host.systemctl("reload", "image-config-agent");
        host.converges();
    }
}

#[test]
fn h11_a_purge_removes_the_state() {
    let host = DPKG.machine();
    let before = directories(&host);
    DPKG.run(&host, DPKG.install, "0.1.0");
    host.documents(&blocking("a.test"));
    host.converges();
    host.ok(&["dpkg", "-P", "image-config-agent"]);
    assert_eq!(host.text(POLICY), OWN_POLICY);
    for gone in [
        "/var/lib/image-config-agent",
        "/run/image-config-agent",
        "/etc/image-config-agent/config.toml",
    ] {
        assert_ne!(host.run(&["test", "-e", gone]).code, 0, "{gone}");
    }
    // What the administrator wrote stays, and nothing else.
    host.ok(&["rm", "/etc/image-config-agent/cluster.d/image.json"]);
    host.ok(&["rmdir", "-p", "--ignore-fail-on-non-empty", "/etc/image-config-agent/cluster.d"]);
    assert_eq!(directories(&host), before);
}

/// Every directory where a package may leave one.
fn directories(host: &Host) -> String {
    host.ok(&["find", "/etc", "/usr", "/var/lib", "/opt", "-xdev", "-type", "d"])
}

/// The package goes while a slip in the settings keeps the service from starting.
#[test]
fn x3_a_removal_under_wrong_settings_gives_the_files_back() {
    for manager in [&DPKG, &RPM] {
        let host = manager.machine();
        manager.run(&host, manager.install, "0.1.0");
        host.documents(&blocking("a.test"));
        host.converges();
        host.write("/etc/image-config-agent/config.d/typo.toml", "gaurd = 'off'\n");
        host.ok(manager.remove);
        assert_eq!(host.text(POLICY), OWN_POLICY);
        assert_ne!(host.run(&["test", "-e", REGISTRIES]).code, 0);
    }
}

/// Where the host's own files could not be given back, the only copy of them is not thrown away.
#[test]
fn x3_a_purge_after_a_failed_revert_keeps_the_hosts_own_files() {
    let host = DPKG.machine();
    DPKG.run(&host, DPKG.install, "0.1.0");
    host.documents(&blocking("a.test"));
    host.converges();
    host.write("/var/lib/image-config-agent/base/origins.json", "{");
    host.ok(&["dpkg", "-P", "image-config-agent"]);
    assert_ne!(host.text(POLICY), OWN_POLICY, "the revert was to fail");
    let how = host.text("/var/lib/image-config-agent/recovery.md");
    assert_eq!(how, include_str!("../../docs/recovery.md"), "the way by hand outlives the package");
    assert_eq!(host.text(&format!("/var/lib/image-config-agent/base/files{POLICY}")), OWN_POLICY);
}
