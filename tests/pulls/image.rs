//! The one image that is pulled: an OCI layout made by hand, from nothing.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, path::Path, sync::LazyLock};

/// The digest of the image's manifest.
pub static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let config = config(&LAYER, &json!({}));
    digest(&manifest(&LAYER, &config))
});

/// An empty tar archive: two blocks of zeros.
const LAYER: [u8; 1024] = [0; 1024];

/// Writes the image as an OCI layout into `dir`.
pub fn write_layout(dir: &Path) {
    write(dir, &LAYER, &json!({}));
}

/// Writes another one: a tar archive, and what is run of it.
pub fn write(dir: &Path, layer: &[u8], runs: &Value) {
    let config = config(layer, runs);
    let manifest = manifest(layer, &config);
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for blob in [layer, &config, &manifest] {
        fs::write(blobs.join(digest(blob).trim_start_matches("sha256:")), blob).unwrap();
    }
    let manifest = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(dir.join("index.json"), bytes(&index)).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}

fn config(layer: &[u8], runs: &Value) -> Vec<u8> {
    let rootfs = json!({"type": "layers", "diff_ids": [digest(layer)]});
    bytes(&json!({"architecture": "amd64", "os": "linux", "config": runs, "rootfs": rootfs}))
}

fn manifest(layer: &[u8], config: &[u8]) -> Vec<u8> {
    bytes(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    }))
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

fn digest(blob: &[u8]) -> String {
    let hex = Sha256::digest(blob).into_iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", hex.collect::<String>())
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
