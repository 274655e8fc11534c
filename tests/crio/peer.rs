//! The engine of these machines: the CRI-O of this one.

use std::path::PathBuf;

use crate::host::{Files, Host};

/// What it needs of Debian.
pub const PACKAGES: &str = "conmon,containernetworking-plugins,runc";

/// CRI-O, what it pins namespaces with, its client, and its unit.
pub fn install(files: &Files) {
    for program in ["crio", "crictl", "pinns"] {
        let from = on_path(program).unwrap_or_else(|| panic!("{program} is not on PATH"));
        files.program(&format!("/usr/bin/{program}"), &from);
    }
    files.write("/etc/crio/crio.conf.d/00-machine.conf", include_str!("crio.conf"));
    files.write("/etc/crictl.yaml", "runtime-endpoint: unix:///var/run/crio/crio.sock\n");
    with_flags(files, "");
}

/// Its unit, with flags on its command line.
pub fn with_flags(files: &Files, flags: &str) {
    let unit = include_str!("crio.service");
    let unit = unit.replace("/usr/bin/crio", &format!("/usr/bin/crio {flags}"));
    files.write("/etc/systemd/system/crio.service", unit);
}

/// Whether it pulls an image, and why not.
pub fn pull(host: &Host, image: &str) -> Result<(), String> {
    crictl_pull(host, &[image])
}

/// The same for a pod of a namespace.
pub fn pull_for(host: &Host, image: &str, namespace: &str) -> Result<(), String> {
    let pod = serde_json::json!({"metadata": {"name": "pod", "namespace": namespace, "uid": "1"}});
    host.write("/root/pod.json", pod.to_string());
    crictl_pull(host, &["--pod-config", "/root/pod.json", image])
}

fn crictl_pull(host: &Host, arguments: &[&str]) -> Result<(), String> {
    let said = host.run(&[&["crictl", "--timeout=60s", "pull"], arguments].concat());
    if said.code == 0 { Ok(()) } else { Err(said.err) }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
