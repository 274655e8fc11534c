//! registries.conf and a drop-in as any bytes: read or refused, and what is read can be asked.

#![no_main]

use image_config_agent::engine::{File, Registries, short_names};
use image_config_agent_fuzz::images;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A zero byte, which TOML does not know, parts the main file from the drop-in.
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let main = File::new("/main", parts.next().unwrap_or_default());
    let drop_ins: Vec<File> = parts.map(|bytes| File::new("/drop-in", bytes)).collect();
    let Ok(registries) = Registries::parse(&main, &drop_ins) else { return };
    let prefixes = registries.entries().map(|entry| entry.prefix.as_str());
    for image in images(prefixes.chain(["quay.io", "localhost:5000"])) {
        let found = registries.find(image.name()).is_some();
        if let Ok(sources) = registries.sources(&image) {
            assert!(found || sources.len() == 1, "{image}");
        }
        let _ = registries.push_target(&image);
    }
    for name in ["app", "ns/app:v1", "ubi9"] {
        let _ = short_names::resolve(name, &registries, registries.short_name_mode());
    }
});
