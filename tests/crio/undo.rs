//! The real CRI-O whose start fails or hangs: a command before it sees to that, for files that say so.

use crate::host::{Files, Host, REGISTRIES, blocking};

const GATE: &str = "[Service]\nExecStartPre=/bin/sh -c '\
    while grep -q slow.test /etc/containers/registries.conf; do sleep 0.1; done; \
    ! grep -q evil.test /etc/containers/registries.conf'\n";

fn running(settings: &str) -> Host {
    let files = Files::new();
    files.settings(settings);
    files.write("/etc/systemd/system/crio.service.d/gate.conf", GATE);
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "kubelet", "image-config-agent"]);
    host.converges();
    host
}

fn is_undone(host: &Host, registry: &str) {
    host.documents(&blocking(registry));
    host.until_condition("Degraded", "True", "RolledBack");
    let files = host.text(REGISTRIES);
    assert!(files.contains("a.test") && !files.contains(registry), "{files}");
    assert!(host.is_active("crio") && host.is_active("kubelet"), "{}", host.journal());
    assert!(host.ask("/info").contains("200 OK"));
    host.applies(&blocking("b.test"));
}

#[test]
fn h5_a_restart_that_fails_is_undone() {
    is_undone(&running(""), "evil.test");
}

#[test]
fn h5_a_restart_that_hangs_is_undone_at_its_deadline() {
    is_undone(&running("runtime.restart_seconds = 3"), "slow.test");
}
