//! Pushes, which only a blocked registry stops.

use crate::{documents::image, host::Host, registry::Serves::Publicly};

#[test]
fn r11_a_push_to_a_blocked_registry_is_refused() {
    let mut host = Host::new();
    host.serve("bad.example.com", Publicly, &[]);
    host.serve("other.example.com", Publicly, &[]);
    host.configure(&[image("blockedRegistries: [bad.example.com]")]);
    host.refuses_push("bad.example.com/ns/app:v1");
    host.pushes("other.example.com/ns/app:v1");
}
