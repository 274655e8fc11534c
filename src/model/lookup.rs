//! What a configuration says of one name, all scopes above it taken together.

use super::config::PullKind;
use super::meaning::{Meaning, Mirrors, Source};
use super::scope::Scope;
use super::scope_map::ScopeMap;

/// A [`Meaning`] that can be asked for names.
#[derive(Debug, Clone)]
pub struct Lookup<'a> {
    scopes: ScopeMap<'a, Listed<'a>>,
    /// The insecure scopes alone: nothing else is asked of mirrors.
    insecure: ScopeMap<'a, ()>,
}

/// What is said of a scope itself.
#[derive(Debug, Clone, Default)]
struct Listed<'a> {
    is_insecure: bool,
    is_blocked: bool,
    source: Option<(&'a Scope, &'a Source)>,
}

/// What is said of a name.
#[derive(Debug, Clone)]
pub struct Said<'l, 'a> {
    /// By every scope above it, narrowest first.
    above: Vec<&'l Listed<'a>>,
}

impl<'a> Lookup<'a> {
    /// Of `meaning`, as it is now.
    #[must_use]
    pub fn of(meaning: &'a Meaning) -> Self {
        let listed = meaning.insecure.len() + meaning.blocked.len() + meaning.sources.len();
        let mut scopes: ScopeMap<'_, Listed<'_>> = ScopeMap::with_capacity(listed);
        for scope in meaning.insecure.keys() {
            scopes.entry(scope.as_str()).or_default().is_insecure = true;
        }
        for scope in meaning.blocked.keys() {
            scopes.entry(scope.as_str()).or_default().is_blocked = true;
        }
        for (scope, source) in &meaning.sources {
            scopes.entry(scope.as_str()).or_default().source = Some((scope, source));
        }
        let insecure = meaning.insecure.keys().map(|scope| (scope.as_str(), ())).collect();
        Self { scopes, insecure }
    }

    /// What is said of `name`, a repository or a scope.
    #[must_use]
    pub fn said(&self, name: &str) -> Said<'_, 'a> {
        Said { above: self.scopes.above_name(name).collect() }
    }

    /// Whether a mirror may be reached over plain HTTP or unverified TLS: it is listed with its
    /// port, so an insecure host without port does not mean it.
    #[must_use]
    pub fn is_insecure_mirror(&self, location: &str) -> bool {
        self.insecure.above_scope(location).next().is_some()
    }
}

impl<'a> Said<'_, 'a> {
    /// Whether it may be reached over plain HTTP or unverified TLS.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.above.iter().any(|listed| listed.is_insecure)
    }

    /// Whether `blocked` or `NeverContactSource` keeps it from being contacted under this very
    /// name.
    #[must_use]
    pub fn is_blocked_place(&self) -> bool {
        self.above.iter().any(|listed| listed.is_blocked) || self.is_never_contacted()
    }

    /// Whether a set says that its source must not be contacted: of the sets that say anything
    /// the most specific one counts, digest and tag sets each for themselves. The files cannot
    /// tell the two apart, so either one suffices (rule R6).
    #[must_use]
    pub fn is_never_contacted(&self) -> bool {
        let is_never = |kind| self.may_contact_source(kind) == Some(false);
        [PullKind::Digest, PullKind::Tag].into_iter().any(is_never)
    }

    /// What the sets for one kind of pull say of it, the most specific one that says anything.
    #[must_use]
    pub fn may_contact_source(&self, kind: PullKind) -> Option<bool> {
        self.sources(kind).find_map(|(_, mirrors)| mirrors.may_contact_source)
    }

    /// The source whose mirrors serve it for one kind of pull: the most specific one.
    #[must_use]
    pub fn mirrored_by(&self, kind: PullKind) -> Option<(&'a Scope, &'a Mirrors)> {
        self.sources(kind).find(|(_, mirrors)| !mirrors.places.is_empty())
    }

    fn sources(&self, kind: PullKind) -> impl Iterator<Item = (&'a Scope, &'a Mirrors)> {
        let sources = self.above.iter().filter_map(|listed| listed.source);
        sources.map(move |(scope, source)| (scope, source.of(kind)))
    }
}
