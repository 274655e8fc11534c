//! One `[[registry]]`: its checks, and what is left of it after them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::decode::{WrittenEndpoint, WrittenRegistry};
use crate::engine::files::Fault;

/// A `[[registry]]` of containers-registries.conf(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The names it is for: those that are the prefix or go on with `/`, `:` or `@` after it.
    /// `*.example.com` is for subdomains of any depth. The location, if no prefix is written.
    pub prefix: String,
    /// What takes the prefix's place in the name. Empty only with a wildcard prefix: the name
    /// stays as it is.
    pub location: String,
    /// Pulls from the location may go over plain HTTP, or to a certificate nobody vouches for.
    pub insecure: bool,
    /// Nothing may be pulled from a physical place that this entry is for, nor be pushed there.
    pub blocked: bool,
    /// Places that are tried before the location, in this order.
    pub mirrors: Vec<Mirror>,
    /// The mirrors serve only pulls by digest.
    pub mirror_by_digest_only: bool,
    /// The file that the entry stands in.
    pub file: PathBuf,
}

/// A `[[registry.mirror]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What takes the prefix's place in the name.
    pub location: String,
    /// As in [`Registry`]. It comes from here alone, not from an entry for the mirror's name.
    pub insecure: bool,
    /// Which pulls it serves.
    pub pull_from_mirror: PullFromMirror,
}

/// Which pulls a mirror serves (`pull-from-mirror`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullFromMirror {
    /// Every pull, unless the entry says `mirror-by-digest-only`.
    #[default]
    All,
    /// Pulls by digest.
    DigestOnly,
    /// Pulls by tag.
    TagOnly,
}

impl Registry {
    /// Whether two entries differ in nothing but the files that they stand in.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let file = self.file.clone();
        *self == Self { file, ..other.clone() }
    }
}

/// Checks the entries of one file (`postProcessRegistries`). Of two with one prefix, the
/// first stands.
pub(super) fn read_all(
    written: Vec<WrittenRegistry>,
    file: &Path,
) -> Result<BTreeMap<String, Registry>, Fault> {
    let entries =
        written.into_iter().map(|registry| read(registry, file)).collect::<Result<Vec<_>, _>>()?;
    check_conflicts(&entries)?;
    // Of equal keys a map that is built at once keeps the last.
    let by_prefix = entries.into_iter().rev().map(|entry| (entry.prefix.clone(), entry));
    Ok(by_prefix.collect())
}

fn read(written: WrittenRegistry, file: &Path) -> Result<Registry, Fault> {
    let location = read_location(written.endpoint.location.unwrap_or_default(), "registry")?;
    let prefix = match written.prefix.filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => read_location(prefix, "registry")?,
        None => location.clone(),
    };
    let is_wildcard = prefix.starts_with("*.");
    if location.is_empty() && !is_wildcard {
        return Err(Fault::refused("an entry needs a location, unless its prefix is a wildcard")
            .key("registry"));
    }
    if is_wildcard && prefix.contains(['/', '@', ':']) {
        let problem = "a wildcard is of the form *.example.com, without port and path";
        return Err(refused(&prefix, problem));
    }
    if written.endpoint.pull_from_mirror.is_some_and(|value| !value.is_empty()) {
        return Err(refused(&prefix, "pull-from-mirror is for mirrors, not for the entry itself"));
    }
    let by_digest_only = written.mirror_by_digest_only.unwrap_or_default();
    let mirrors = written
        .mirrors
        .unwrap_or_default()
        .into_iter()
        .map(|mirror| read_mirror(mirror, &prefix, by_digest_only))
        .collect::<Result<_, _>>()?;
    Ok(Registry {
        prefix,
        location,
        insecure: written.endpoint.insecure.unwrap_or_default(),
        blocked: written.blocked.unwrap_or_default(),
        mirrors,
        mirror_by_digest_only: by_digest_only,
        file: file.to_owned(),
    })
}

fn read_mirror(
    written: WrittenEndpoint,
    prefix: &str,
    by_digest_only: bool,
) -> Result<Mirror, Fault> {
    let location = read_location(written.location.unwrap_or_default(), "registry.mirror")?;
    if location.is_empty() {
        return Err(refused(prefix, "a mirror needs a location"));
    }
    let value = written.pull_from_mirror.unwrap_or_default();
    let pull_from_mirror = match value.as_str() {
        "" | "all" => PullFromMirror::All,
        "digest-only" => PullFromMirror::DigestOnly,
        "tag-only" => PullFromMirror::TagOnly,
        _ => {
            let problem = format!(
                "pull-from-mirror {value:?} is none of \"all\", \"digest-only\" and \"tag-only\""
            );
            return Err(refused(prefix, &problem));
        }
    };
    if by_digest_only && !value.is_empty() {
        let problem = "mirror-by-digest-only and pull-from-mirror must not be used together";
        return Err(refused(prefix, problem));
    }
    Ok(Mirror { location, insecure: written.insecure.unwrap_or_default(), pull_from_mirror })
}

/// Entries that share a location have to agree on its flags.
fn check_conflicts(entries: &[Registry]) -> Result<(), Fault> {
    let mut first_by_place = HashMap::with_capacity(entries.len());
    for entry in entries {
        let place = if entry.location.is_empty() { &entry.prefix } else { &entry.location };
        let first: &&Registry = first_by_place.entry(place.as_str()).or_insert(entry);
        let flag = match () {
            () if first.insecure != entry.insecure => "insecure",
            () if first.blocked != entry.blocked => "blocked",
            () => continue,
        };
        let problem = format!("entries for the location {place:?} do not agree on `{flag}`");
        return Err(refused(&entry.prefix, &problem));
    }
    Ok(())
}

/// A place without the slashes at its end (`parseLocation`).
pub(super) fn read_location(mut text: String, key: &str) -> Result<String, Fault> {
    let location = text.trim_end_matches('/');
    if location.starts_with("http://") || location.starts_with("https://") {
        return Err(Fault::refused(format!("{text:?} must not begin with a URI scheme")).key(key));
    }
    text.truncate(location.len());
    Ok(text)
}

fn refused(prefix: &str, problem: &str) -> Fault {
    Fault::refused(problem).key(format!("registry {prefix:?}"))
}
