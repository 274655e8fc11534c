//! Which entry is for a name.

use super::{Registries, Registry};

/// What may follow a prefix in a name.
const BOUNDARIES: [char; 3] = [':', '/', '@'];

impl Registries {
    /// The entry for a name without tag or digest: that with the longest prefix (`FindRegistry`).
    ///
    /// `example.com` is for `example.com:5000/app` too. Of a wildcard and a literal prefix of
    /// equal length the wildcard wins, for it sorts first.
    pub fn find(&self, name: &str) -> Option<&Registry> {
        let literal = literal_prefixes(name).find_map(|prefix| self.entries.get(prefix));
        let wildcard =
            wildcard_suffixes(name).find_map(|suffix| self.entries.get(&format!("*{suffix}")));
        match (literal, wildcard) {
            (Some(literal), Some(wildcard)) if literal.prefix.len() > wildcard.prefix.len() => {
                Some(literal)
            }
            (literal, wildcard) => wildcard.or(literal),
        }
    }

    /// Whether nothing may be pulled from or pushed to a name, taken as a physical place.
    pub fn is_blocked(&self, name: &str) -> bool {
        self.find(name).is_some_and(|registry| registry.blocked)
    }
}

/// What follows the prefix in a name that it is for (`refMatchingPrefix`).
pub(super) fn after_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = match prefix.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
        // Only the first place at which the suffix stands is looked at, so that `*.io` is not
        // for `reg.io.example.io`.
        Some(suffix) => {
            name.split_once(suffix).filter(|(host, _)| !host.contains('/')).map(|(_, rest)| rest)?
        }
        None => name.strip_prefix(prefix)?,
    };
    (rest.is_empty() || rest.starts_with(BOUNDARIES)).then_some(rest)
}

/// The literal prefixes that are for a name, longest first.
fn literal_prefixes(name: &str) -> impl Iterator<Item = &str> {
    let shorter = name.rmatch_indices(BOUNDARIES).filter_map(|(end, _)| name.get(..end));
    std::iter::once(name).chain(shorter).filter(|prefix| !prefix.starts_with("*."))
}

/// The parts of a name's host that a wildcard may stand before, longest first: `.b.c` and `.c`.
fn wildcard_suffixes(name: &str) -> impl Iterator<Item = &str> {
    let host = name.split('/').next().unwrap_or_default();
    host.match_indices('.').filter_map(move |(start, _)| {
        let suffix = host.get(start..)?.split(BOUNDARIES).next()?;
        (name.find(suffix) == Some(start)).then_some(suffix)
    })
}
