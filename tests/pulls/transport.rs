//! Insecure registries, and CAs that are trusted for one registry.

use crate::{
    documents::{image, trusted_ca},
    host::Host,
    registry::Serves::{Expired, Plainly, Privately},
    tools::Reason,
};

#[test]
fn plain_http_needs_an_insecure_entry() {
    let mut host = Host::new();
    host.serve("plain.example.com:5000", Plainly, &["ns/app:v1"]);
    host.configure(&[image("")]);
    host.refuses("plain.example.com:5000/ns/app:v1", Reason::Unverified(Plainly));
    host.configure(&[image("insecureRegistries: ['plain.example.com:5000']")]);
    host.pulls_insecurely("plain.example.com:5000/ns/app:v1", "plain.example.com:5000");
}

#[test]
fn an_expired_certificate_needs_an_insecure_entry() {
    let mut host = Host::new();
    host.serve("old.example.com", Expired, &["ns/app:v1"]);
    host.configure(&[image("")]);
    host.refuses("old.example.com/ns/app:v1", Reason::Unverified(Expired));
    host.configure(&[image("insecureRegistries: [old.example.com]")]);
    host.pulls_insecurely("old.example.com/ns/app:v1", "old.example.com");
}

#[test]
fn a_foreign_certificate_needs_an_insecure_entry() {
    let mut host = Host::new();
    host.serve("foreign.example.com", Privately, &["ns/app:v1"]);
    host.configure(&[image("")]);
    host.refuses("foreign.example.com/ns/app:v1", Reason::Unverified(Privately));
    host.configure(&[image("insecureRegistries: [foreign.example.com]")]);
    host.pulls_insecurely("foreign.example.com/ns/app:v1", "foreign.example.com");
}

#[test]
fn an_insecure_wildcard_covers_what_is_below_it() {
    let mut host = Host::new();
    host.serve("old.lab.example.com", Expired, &["ns/app:v1"]);
    host.serve("plain.lab.example.com:5000", Plainly, &["ns/app:v1"]);
    host.serve("lab.example.com", Expired, &["ns/app:v1"]);
    host.configure(&[image("insecureRegistries: ['*.lab.example.com']")]);
    host.pulls_insecurely("old.lab.example.com/ns/app:v1", "old.lab.example.com");
    host.pulls_insecurely("plain.lab.example.com:5000/ns/app:v1", "plain.lab.example.com:5000");
    host.refuses("lab.example.com/ns/app:v1", Reason::Unverified(Expired));
}

#[test]
fn r9_a_trusted_ca_counts_until_it_is_removed() {
    let mut host = Host::new();
    host.serve("private.example.com", Privately, &["ns/app:v1"]);
    host.configure(&trusted_ca("private.example.com", &host.private_ca()));
    host.pulls("private.example.com/ns/app:v1", "private.example.com");
    host.configure(&[image("")]);
    host.refuses("private.example.com/ns/app:v1", Reason::Unverified(Privately));
}

#[test]
fn r9_a_trusted_ca_counts_for_its_port_alone() {
    let mut host = Host::new();
    host.serve("private.example.com:5000", Privately, &["ns/app:v1"]);
    host.serve("private.example.com:5001", Privately, &["ns/app:v1"]);
    host.configure(&trusted_ca("private.example.com..5000", &host.private_ca()));
    host.pulls("private.example.com:5000/ns/app:v1", "private.example.com:5000");
    host.refuses("private.example.com:5001/ns/app:v1", Reason::Unverified(Privately));
}
