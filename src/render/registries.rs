//! registries.conf: from where images come (containers-registries.conf(5); rules R3, R5, R6).
//!
//! The engine uses the one entry with the longest prefix and nothing of wider ones, so every
//! entry that is written carries all that wider entries say of it. Entries of the base take
//! part like those of the cluster.

use std::collections::{BTreeMap, HashMap};

use super::base::{BaseFile, Entry, Mirror};
use crate::model::config::PullKind;
use crate::model::meaning::{Mirrors, Source};
use crate::model::scope::substitute;
use crate::model::{Finding, Lookup, Meaning, Origin, Scope, ScopeMap, Severity};

/// The file over its base. None if nothing is added to the base.
#[must_use]
pub fn render(meaning: &Meaning, base: &mut BaseFile) -> (Option<String>, Vec<Finding>) {
    let cluster = Cluster { meaning, lookup: Lookup::of(meaning) };
    let over = OverBase::of(base);
    let mut prefixes: Vec<&str> = cluster.prefixes().chain(base.prefixes()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let entry = |prefix: &str| (prefix.to_owned(), cluster.entry(prefix, over.inherited(prefix)));
    let mut entries: BTreeMap<String, Entry> = prefixes.into_iter().map(entry).collect();
    share_flags(&mut entries);
    let mut findings = ties(&entries, &cluster.lookup);
    findings.extend(cluster.replaced(&over));
    (base.write(&entries), findings)
}

/// What the cluster says.
struct Cluster<'a> {
    meaning: &'a Meaning,
    lookup: Lookup<'a>,
}

impl Cluster<'_> {
    /// The scopes that need an entry of their own.
    fn prefixes(&self) -> impl Iterator<Item = &str> {
        let says_something = |source: &Source| {
            let says = |m: &Mirrors| !m.places.is_empty() || m.may_contact_source.is_some();
            says(&source.digest) || says(&source.tag)
        };
        let meaning = self.meaning;
        let blocked = meaning.blocked.keys().filter(|scope| !scope.is_single_image());
        let sources = meaning.sources.iter().filter(move |(_, source)| says_something(source));
        let sources = sources.map(|(scope, _)| scope);
        meaning.insecure.keys().chain(blocked).chain(sources).map(Scope::as_str)
    }

    /// The entry for `prefix`, given what the base alone would say of it.
    fn entry(&self, prefix: &str, base: Entry) -> Entry {
        let said = self.lookup.said(prefix);
        let mut entry = base;
        entry.insecure |= said.is_insecure();
        if said.is_blocked_place() {
            entry.blocked = true;
            // The engine judges `blocked` by the place that the location leads to.
            entry.location = if prefix.starts_with("*.") { "" } else { prefix }.to_owned();
        }
        for mirror in entry.digest.iter_mut().chain(&mut entry.tag) {
            mirror.insecure |= self.lookup.is_insecure_mirror(&mirror.location);
        }
        if let Some((source, mirrors)) = said.mirrored_by(PullKind::Digest) {
            entry.digest = self.mirrors(prefix, source, mirrors);
        }
        if let Some((source, mirrors)) = said.mirrored_by(PullKind::Tag) {
            entry.tag = self.mirrors(prefix, source, mirrors);
        }
        entry
    }

    fn mirrors(&self, prefix: &str, source: &Scope, mirrors: &Mirrors) -> Vec<Mirror> {
        let place = |mirror: &Scope| Mirror {
            location: substitute(prefix, source, mirror),
            // Judged by the mirror as it is listed, not by what lies below it.
            insecure: self.lookup.is_insecure_mirror(mirror.as_str()),
        };
        mirrors.places.iter().map(place).collect()
    }

    /// Sources whose mirrors in the base are replaced by the cluster's.
    fn replaced(&self, over: &OverBase<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (prefix, entry) in over.entries.values() {
            let said = self.lookup.said(prefix);
            for (kind, mirrors) in [(PullKind::Digest, &entry.digest), (PullKind::Tag, &entry.tag)]
            {
                let ours = said.mirrored_by(kind).filter(|_| !mirrors.is_empty());
                let Some((_, ours)) = ours else { continue };
                let origin = ours.origins.first().cloned().unwrap_or_default();
                let why = "the host's own registries.conf names other mirrors for it, which these replace.";
                let fix = "Add the host's mirrors to the object if they are still wanted.";
                findings.push(
                    Finding::new(Severity::Info, "BaseMirrorsReplaced", origin, why, fix)
                        .about(*prefix),
                );
            }
        }
        findings.sort();
        findings.dedup();
        findings
    }
}

/// The base's entries by prefix.
struct OverBase<'a> {
    /// The first of several entries with one prefix is the one that counts.
    entries: ScopeMap<'a, (&'a str, &'a Entry)>,
}

impl<'a> OverBase<'a> {
    fn of(base: &'a BaseFile) -> Self {
        let entries = base.entries().map(|(prefix, entry)| (prefix, (prefix, entry)));
        Self { entries: entries.collect() }
    }

    /// What the base says of `prefix`, rewritten for an entry of its own.
    fn inherited(&self, prefix: &str) -> Entry {
        let plain = || Entry {
            location: if prefix.starts_with("*.") { String::new() } else { prefix.to_owned() },
            ..Entry::default()
        };
        let covering = self
            .entries
            .above_name(prefix)
            // Of two prefixes of one length the engine takes the wildcard.
            .max_by_key(|(above, _)| (above.len(), above.starts_with("*.")));
        let Some((above, entry)) = covering else { return plain() };
        if *above == prefix {
            return (*entry).clone();
        }
        let rewrite = |location: &str| rewrite(prefix, above, location);
        let mirror =
            |mirror: &Mirror| Mirror { location: rewrite(&mirror.location), ..mirror.clone() };
        Entry {
            location: if entry.location.is_empty() {
                plain().location
            } else {
                rewrite(&entry.location)
            },
            insecure: entry.insecure,
            blocked: entry.blocked,
            digest: entry.digest.iter().map(mirror).collect(),
            tag: entry.tag.iter().map(mirror).collect(),
        }
    }
}

/// `prefix`, which lies below `above`, as it is called where `above` is called `location`.
fn rewrite(prefix: &str, above: &str, location: &str) -> String {
    let rest = if above.starts_with("*.") {
        prefix.find([':', '/']).and_then(|end| prefix.get(end..))
    } else {
        prefix.get(above.len()..)
    };
    [location, rest.unwrap_or_default()].concat()
}

/// Entries that lead to one place must agree in their flags, or the library refuses the file.
fn share_flags(entries: &mut BTreeMap<String, Entry>) {
    if entries.iter().all(|(prefix, entry)| entry.place(prefix) == prefix) {
        return;
    }
    let mut flags: HashMap<String, (bool, bool)> = HashMap::new();
    for (prefix, entry) in entries.iter() {
        let shared = flags.entry(entry.place(prefix).to_owned()).or_default();
        *shared = (shared.0 | entry.insecure, shared.1 | entry.blocked);
    }
    for (prefix, entry) in entries.iter_mut() {
        if let Some((insecure, blocked)) = flags.get(entry.place(prefix)) {
            (entry.insecure, entry.blocked) = (*insecure, *blocked);
        }
    }
}

/// Of two prefixes of one length the engine takes the wildcard, so an entry for a host with one
/// letter before the wildcard's domain never counts.
fn ties(entries: &BTreeMap<String, Entry>, lookup: &Lookup<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (prefix, entry) in entries {
        let is_host = !prefix.contains([':', '/']) && prefix.chars().nth(1) == Some('.');
        let Some(domain) = prefix.get(1..).filter(|_| is_host && !prefix.starts_with('*')) else {
            continue;
        };
        let wildcard = format!("*{domain}");
        let Some(winner) = entries.get(&wildcard) else { continue };
        if winner.says_the_same(entry, &wildcard, prefix) {
            continue;
        }
        let lost = lookup.said(prefix).is_never_contacted() && !winner.blocked;
        let severity = if lost { Severity::Error } else { Severity::Warning };
        let why = format!(
            "the engine takes the entry for {wildcard} in its place, because both are equally long."
        );
        let fix = "Say the same of both, or name the repositories of the host one by one.";
        let origin = Origin::object("registries.conf");
        findings.push(
            Finding::new(severity, "NotExpressible", origin, why, fix).about(prefix.as_str()),
        );
    }
    findings
}
