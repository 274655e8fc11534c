//! References that stand for all others: between the scopes of a host's files the engine's
//! answers are the same everywhere, so one reference in each part of the name space will do.

use std::collections::BTreeSet;

use super::View;
use crate::model::Reference;

/// The part of names that no configuration has.
const UNLISTED: &str = "image-config-agent-probe";
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// References that fall into every part of the name space that either view tells apart.
pub(super) fn probes(views: [&View; 2]) -> BTreeSet<Reference> {
    let mut probes = BTreeSet::new();
    add(&mut probes, &format!("{UNLISTED}.invalid/{UNLISTED}"));
    for view in views {
        for entry in view.registries.iter().flat_map(|registries| registries.entries()) {
            scope(&mut probes, &entry.prefix);
        }
        let scopes = view.policy.iter().flat_map(|policy| policy.scopes());
        for (_, text, _) in scopes.filter(|(transport, ..)| *transport == "docker") {
            scope(&mut probes, text);
        }
    }
    probes
}

fn scope(probes: &mut BTreeSet<Reference>, text: &str) {
    if let Some(domain) = text.strip_prefix('*') {
        add(probes, &format!("{UNLISTED}{domain}/{UNLISTED}"));
        add(probes, &format!("{UNLISTED}{domain}:1/{UNLISTED}"));
    } else if !text.contains('/') {
        add(probes, &format!("{text}/{UNLISTED}"));
        if !text.contains(':') {
            add(probes, &format!("{text}:1/{UNLISTED}"));
        }
    } else if let Ok(image) = Reference::parse_canonical(text)
        && (image.tag().is_some() || image.digest().is_some())
    {
        probes.insert(image);
    } else {
        add(probes, text);
        add(probes, &format!("{text}/{UNLISTED}"));
    }
}

fn add(probes: &mut BTreeSet<Reference>, name: &str) {
    for version in [format!(":{UNLISTED}"), format!("@{DIGEST}")] {
        probes.extend(Reference::parse_canonical(&format!("{name}{version}")));
    }
}
