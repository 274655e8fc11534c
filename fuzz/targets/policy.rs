//! policy.json as any bytes: read or refused, and what is read can be asked.

#![no_main]

use image_config_agent::engine::{File, Policy};
use image_config_agent_fuzz::images;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = Policy::parse(&File::new("/policy.json", bytes)) else { return };
    let scopes = policy.scopes().map(|(_, scope, _)| scope);
    for image in images(scopes.chain(["quay.io", "localhost:5000"])) {
        for transport in ["docker", "atomic"] {
            let decision = policy.decide(transport, &image);
            assert!(!(decision.allowed && decision.signature_required), "{image}");
            assert!(!decision.requirements.is_empty(), "{image}");
        }
    }
});
