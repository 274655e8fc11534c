//! References that stand for all others: between the scopes of a host's files the engine's
//! answers are the same everywhere, so one reference in each part of the name space will do.

use std::collections::BTreeSet;

use super::View;
use crate::model::Reference;

/// The part of names that no configuration has.
const UNLISTED: &str = "image-config-agent-probe";
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// How well a probe explains to people what is lost, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// All that no file names: a default.
    Unlisted,
    /// What a file names.
    Listed,
    /// What a file names, on a port that hardly anybody uses.
    OnAPort,
}

/// One reference, and the images it stands for. The first to lose something is the reason that is
/// given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Probe {
    rank: Rank,
    /// As in "images *of quay.io/ns*".
    pub of: String,
    /// The reference.
    pub reference: Reference,
}

/// References that fall into every part of the name space that either view tells apart.
pub(super) fn probes(views: [&View; 2]) -> BTreeSet<Probe> {
    let mut probes = BTreeSet::new();
    let unlisted = "of registries that no file names";
    add(&mut probes, Rank::Unlisted, unlisted, &format!("{UNLISTED}.invalid/{UNLISTED}"));
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

fn scope(probes: &mut BTreeSet<Probe>, text: &str) {
    let of = format!("of {text}");
    let on_a_port = format!("of {text} on a port");
    if let Some(domain) = text.strip_prefix('*') {
        add(probes, Rank::Listed, &of, &format!("{UNLISTED}{domain}/{UNLISTED}"));
        add(probes, Rank::OnAPort, &on_a_port, &format!("{UNLISTED}{domain}:1/{UNLISTED}"));
    } else if !text.contains('/') {
        add(probes, Rank::Listed, &of, &format!("{text}/{UNLISTED}"));
        if !text.contains(':') {
            add(probes, Rank::OnAPort, &on_a_port, &format!("{text}:1/{UNLISTED}"));
        }
    } else if let Ok(reference) = Reference::parse_canonical(text)
        && (reference.tag().is_some() || reference.digest().is_some())
    {
        probes.insert(Probe { rank: Rank::Listed, of: format!("named {text}"), reference });
    } else {
        add(probes, Rank::Listed, &of, text);
    }
}

fn add(probes: &mut BTreeSet<Probe>, rank: Rank, of: &str, name: &str) {
    for (kind, version) in [("tag", format!(":{UNLISTED}")), ("digest", format!("@{DIGEST}"))] {
        // docker.io has no names of one part, so that at a mirror there only deeper names have one.
        for below in ["".to_owned(), format!("/{UNLISTED}"), format!("/{UNLISTED}/{UNLISTED}")] {
            let reference = Reference::parse_canonical(&format!("{name}{below}{version}"));
            let of = format!("{of} by {kind}");
            probes.extend(reference.map(|reference| Probe { rank, of, reference }));
        }
    }
}
