//! Allowed and blocked registries, repositories and tags.

use crate::{documents::image, host::Host, registry::Serves::Publicly, tools::Reason};

#[test]
fn r2_only_an_allowed_registry_is_pulled_from() {
    let mut host = Host::new();
    host.serve("good.example.com", Publicly, &["ns/app:v1"]);
    host.serve("other.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[image("allowedRegistries: [good.example.com]")]);
    host.pulls("good.example.com/ns/app:v1", "good.example.com");
    host.refuses("other.example.com/ns/app:v1", Reason::Rejected);
}

#[test]
fn r2_a_port_is_part_of_what_is_allowed() {
    let mut host = Host::new();
    host.serve("good.example.com", Publicly, &["ns/app:v1"]);
    host.serve("good.example.com:5000", Publicly, &["ns/app:v1"]);
    host.configure(&[image("allowedRegistries: ['good.example.com:5000']")]);
    host.pulls("good.example.com:5000/ns/app:v1", "good.example.com:5000");
    host.refuses("good.example.com/ns/app:v1", Reason::Rejected);
}

#[test]
fn r5_only_an_allowed_tag_is_pulled() {
    let mut host = Host::new();
    host.serve("reg.example.com", Publicly, &["ns/app:good", "ns/app:other"]);
    host.configure(&[image("allowedRegistries: ['reg.example.com/ns/app:good']")]);
    host.pulls("reg.example.com/ns/app:good", "reg.example.com");
    host.refuses("reg.example.com/ns/app:other", Reason::Rejected);
}

#[test]
fn r5_a_blocked_tag_is_rejected_and_its_neighbour_pulled() {
    let mut host = Host::new();
    host.serve("reg.example.com", Publicly, &["ns/app:bad", "ns/app:other"]);
    host.configure(&[image("blockedRegistries: ['reg.example.com/ns/app:bad']")]);
    host.refuses("reg.example.com/ns/app:bad", Reason::Rejected);
    host.pulls("reg.example.com/ns/app:other", "reg.example.com");
}

#[test]
fn r2_a_blocked_registry_is_refused_and_never_asked() {
    let mut host = Host::new();
    host.serve("bad.example.com", Publicly, &["ns/app:v1"]);
    host.serve("other.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[image("blockedRegistries: [bad.example.com]")]);
    host.refuses("bad.example.com/ns/app:v1", Reason::Blocked);
    host.pulls("other.example.com/ns/app:v1", "other.example.com");
}

#[test]
fn r2_a_repository_is_blocked_without_its_neighbour() {
    let mut host = Host::new();
    host.serve("reg.example.com", Publicly, &["ns/bad:v1", "ns/badly:v1"]);
    host.configure(&[image("blockedRegistries: [reg.example.com/ns/bad]")]);
    host.refuses("reg.example.com/ns/bad:v1", Reason::Blocked);
    host.pulls("reg.example.com/ns/badly:v1", "reg.example.com");
}

#[test]
fn r2_a_wildcard_allows_what_is_below_it() {
    let mut host = Host::new();
    host.serve("a.good.example.com", Publicly, &["ns/app:v1"]);
    host.serve("b.a.good.example.com:5000", Publicly, &["ns/app:v1"]);
    host.serve("good.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[image("allowedRegistries: ['*.good.example.com']")]);
    host.pulls("a.good.example.com/ns/app:v1", "a.good.example.com");
    host.pulls("b.a.good.example.com:5000/ns/app:v1", "b.a.good.example.com:5000");
    host.refuses("good.example.com/ns/app:v1", Reason::Rejected);
}

#[test]
fn r2_a_wildcard_blocks_what_is_below_it() {
    let mut host = Host::new();
    host.serve("a.bad.example.com", Publicly, &["ns/app:v1"]);
    host.serve("b.a.bad.example.com:5000", Publicly, &["ns/app:v1"]);
    host.serve("bad.example.com", Publicly, &["ns/app:v1"]);
    host.configure(&[image("blockedRegistries: ['*.bad.example.com']")]);
    host.refuses("a.bad.example.com/ns/app:v1", Reason::Blocked);
    host.refuses("b.a.bad.example.com:5000/ns/app:v1", Reason::Blocked);
    host.pulls("bad.example.com/ns/app:v1", "bad.example.com");
}
