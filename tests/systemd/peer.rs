//! The engine of these machines: the double of CRI-O.

use std::path::Path;

use serde_json::Value;

use crate::host::{Files, Host};

/// What it needs of Debian.
pub const PACKAGES: &str = "";

/// The double and its unit.
pub fn install(files: &Files) {
    let double = std::env::var("CRIO_DOUBLE").expect("CRIO_DOUBLE: `tests/run systemd` builds it");
    files.program("/usr/bin/crio-double", Path::new(&double));
    with_flags(files, "");
}

/// Its unit, with flags on its command line.
pub fn with_flags(files: &Files, flags: &str) {
    let unit = include_str!("files/crio.service");
    let unit = unit.replace("/usr/bin/crio-double", &format!("/usr/bin/crio-double {flags}"));
    files.write("/etc/systemd/system/crio.service", unit);
}

/// Whether it pulls an image, and why not.
pub fn pull(host: &Host, image: &str) -> Result<(), String> {
    pull_for(host, image, "")
}

/// The same for a pod of a namespace.
pub fn pull_for(host: &Host, image: &str, namespace: &str) -> Result<(), String> {
    let url = format!("http://crio/pull?image={image}&namespace={namespace}");
    let said = host.run(&["crio-double", "--post", &url]);
    let answer: Value = serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err));
    if answer["ok"] == true {
        Ok(())
    } else {
        Err(answer["error"].as_str().unwrap_or_default().to_owned())
    }
}
