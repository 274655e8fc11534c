//! Mirrors: which places are asked, in which order, and which never.

use crate::{
    documents::{
        content_source_policy, digest_mirrors, image, only_digest_mirrors, only_tag_mirrors,
        tag_mirrors,
    },
    host::Host,
    image::DIGEST,
    registry::Serves::{Expired, Plainly, Publicly},
    tools::Reason,
};

/// The image that the tests pull, by digest.
fn by_digest() -> String {
    format!("source.example.com/ns/app@{}", *DIGEST)
}

const BY_TAG: &str = "source.example.com/ns/app:v1";

#[test]
fn r6_the_second_mirror_serves_when_the_first_is_down() {
    let mut host = Host::new();
    host.down("down.example.com");
    host.serve("second.example.com", Publicly, &["ns/app:v1"]);
    host.serve("source.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[digest_mirrors(
        "source.example.com/ns",
        "down.example.com/ns, second.example.com/ns",
    )]);
    host.pulls(&by_digest(), "second.example.com");
}

#[test]
fn r6_the_first_mirror_that_has_the_image_serves() {
    let mut host = Host::new();
    host.serve("first.example.com", Publicly, &["ns/common:v1"]);
    host.serve("second.example.com", Publicly, &["ns/common:v1", "ns/app:v1"]);
    host.serve("source.example.com", Publicly, &["ns/common:v1", "ns/app:v1"]);
    host.configure(&[digest_mirrors(
        "source.example.com/ns",
        "first.example.com/ns, second.example.com/ns",
    )]);
    host.pulls(&format!("source.example.com/ns/common@{}", *DIGEST), "first.example.com");
    host.pulls(&by_digest(), "second.example.com");
}

#[test]
fn r6_the_source_serves_when_all_mirrors_fail() {
    let mut host = Host::new();
    host.down("down.example.com");
    host.serve("empty.example.com", Publicly, &[]);
    host.serve("source.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[digest_mirrors(
        "source.example.com/ns",
        "down.example.com/ns, empty.example.com/ns",
    )]);
    host.pulls(&by_digest(), "source.example.com");
}

#[test]
fn r6_a_tag_pull_never_asks_a_digest_mirror() {
    let mut host = Host::new();
    host.serve("mirror.example.com", Publicly, &["ns/app:v1"]);
    host.serve("source.example.com", Publicly, &["ns/app:v1"]);
    for mirrors in [digest_mirrors, content_source_policy] {
        host.configure(&[mirrors("source.example.com/ns", "mirror.example.com/ns")]);
        host.pulls(BY_TAG, "source.example.com");
        host.pulls(&by_digest(), "mirror.example.com");
    }
}

#[test]
fn r6_a_digest_pull_never_asks_a_tag_mirror() {
    let mut host = Host::new();
    host.serve("mirror.example.com", Publicly, &["ns/app:v1"]);
    host.serve("source.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[tag_mirrors("source.example.com/ns", "mirror.example.com/ns")]);
    host.pulls(BY_TAG, "mirror.example.com");
    host.pulls(&by_digest(), "source.example.com");
}

#[test]
fn r6_a_source_with_both_kinds_asks_each_for_its_own() {
    let mut host = Host::new();
    host.serve("digests.example.com", Publicly, &["ns/app:v1"]);
    host.serve("tags.example.com", Publicly, &["ns/app:v1"]);
    host.serve("source.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[
        digest_mirrors("source.example.com/ns", "digests.example.com/ns"),
        tag_mirrors("source.example.com/ns", "tags.example.com/ns"),
    ]);
    host.pulls(BY_TAG, "tags.example.com");
    host.pulls(&by_digest(), "digests.example.com");
}

#[test]
fn r6_never_contact_source_serves_from_the_mirror_or_not_at_all() {
    let mut host = Host::new();
    host.serve("empty.example.com", Publicly, &[]);
    host.serve("mirror.example.com", Publicly, &["ns/app:v1"]);
    host.serve("source.example.com", Publicly, &["ns/app:v1", "ns/only-here:v1"]);
    let mirrors = "empty.example.com/ns, mirror.example.com/ns";
    host.configure(&[only_digest_mirrors("source.example.com/ns", mirrors)]);
    host.pulls(&by_digest(), "mirror.example.com");
    host.refuses(&format!("source.example.com/ns/only-here@{}", *DIGEST), Reason::NotFound);
    host.refuses(BY_TAG, Reason::Blocked);
    host.configure(&[only_tag_mirrors("source.example.com/ns", mirrors)]);
    host.pulls(BY_TAG, "mirror.example.com");
    host.refuses("source.example.com/ns/only-here:v1", Reason::NotFound);
    host.refuses(&by_digest(), Reason::Blocked);
}

#[test]
fn r6_a_mirror_needs_an_insecure_entry_of_its_own() {
    let mut host = Host::new();
    host.serve("mirror.example.com:5000", Plainly, &["ns/app:v1"]);
    let mirrors = only_digest_mirrors("source.example.com/ns", "mirror.example.com:5000/ns");
    host.configure(&[image("insecureRegistries: [source.example.com]"), mirrors.clone()]);
    host.refuses(&by_digest(), Reason::Unverified(Plainly));
    host.configure(&[image("insecureRegistries: ['mirror.example.com:5000']"), mirrors]);
    host.pulls_insecurely(&by_digest(), "mirror.example.com:5000");
}

#[test]
fn r6_an_insecure_mirror_leaves_its_source_secure() {
    let mut host = Host::new();
    host.serve("mirror.example.com:5000", Plainly, &[]);
    host.serve("source.example.com", Expired, &["ns/app:v1"]);
    host.configure(&[
        image("insecureRegistries: ['mirror.example.com:5000']"),
        digest_mirrors("source.example.com/ns", "mirror.example.com:5000/ns"),
    ]);
    host.refuses(&by_digest(), Reason::Unverified(Expired));
}

#[test]
fn r6_a_mirror_outside_the_allowed_registries_serves_its_source() {
    let mut host = Host::new();
    host.serve("mirror.example.com", Publicly, &["ns/app:v1"]);
    host.serve("source.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[
        image("allowedRegistries: [source.example.com]"),
        digest_mirrors("source.example.com/ns", "mirror.example.com/ns"),
    ]);
    host.pulls(&by_digest(), "mirror.example.com");
    host.refuses("mirror.example.com/ns/app:v1", Reason::Rejected);
}
