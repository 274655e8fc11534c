//! What the cluster's objects alone say about a pull: a direct reading of the API documents,
//! independent of any file. The property tests hold [`crate::render`] and [`crate::engine`]
//! against it.

use super::config::PullKind;
use super::meaning::{Meaning, Mirrors, Source};
use super::scope::substitute;
use super::{Reference, Scope};

/// One place that is asked for the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The image there.
    pub reference: Reference,
    /// Whether plain HTTP and unverified TLS are fine.
    pub insecure: bool,
    /// Whether it must not be contacted after all.
    pub blocked: bool,
}

/// What is meant to happen when a host pulls an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Whether the image may be used at all.
    pub accepted: bool,
    /// The places to ask in order; none where a mirror would have to serve the image under a
    /// name that no image can have.
    pub places: Option<Vec<Place>>,
}

impl Meaning {
    /// What is meant to happen when a host pulls `reference`, which has a tag or a digest.
    #[must_use]
    pub fn pull(&self, reference: &Reference) -> Pull {
        Pull { accepted: self.accepts(reference), places: self.places(reference) }
    }

    fn accepts(&self, reference: &Reference) -> bool {
        if let Some(allowed) = &self.allowed {
            return allowed.keys().any(|scope| scope.covers_image(reference));
        }
        let most_specific = |scopes: &mut dyn Iterator<Item = &Scope>| {
            scopes.filter(|s| s.covers_image(reference)).map(specificity).max()
        };
        let blocked = most_specific(&mut self.blocked.keys());
        let kept = most_specific(&mut self.kept.keys());
        blocked.is_none() || kept >= blocked
    }

    fn places(&self, reference: &Reference) -> Option<Vec<Place>> {
        let kind = match reference.digest() {
            Some(_) => PullKind::Digest,
            None => PullKind::Tag,
        };
        let mut places = Vec::new();
        let has_mirrors = |source: &Source| !source.of(kind).places.is_empty();
        if let Some((source, mirrors)) = self.most_specific(reference.name(), kind, has_mirrors) {
            for mirror in &mirrors.places {
                let name = substitute(&reference.to_string(), source, mirror);
                let insecure = self.insecure.keys().any(|s| s.covers_exact_port(mirror.as_str()));
                places.push((Reference::parse_canonical(&name).ok()?, insecure));
            }
        }
        let insecure = self.insecure.keys().any(|scope| scope.covers_name(reference.name()));
        places.push((reference.clone(), insecure));
        let place = |(reference, insecure): (Reference, bool)| {
            let blocked = self.blocks(reference.name());
            Place { reference, insecure, blocked }
        };
        Some(places.into_iter().map(place).collect())
    }

    fn blocks(&self, name: &str) -> bool {
        let is_listed =
            self.blocked.keys().any(|scope| !scope.is_single_image() && scope.covers_name(name));
        let is_never_contacted = |kind| {
            let says = |source: &Source| source.of(kind).may_contact_source.is_some();
            let decisive = self.most_specific(name, kind, says);
            decisive.is_some_and(|(_, mirrors)| mirrors.may_contact_source == Some(false))
        };
        is_listed || is_never_contacted(PullKind::Digest) || is_never_contacted(PullKind::Tag)
    }

    fn most_specific(
        &self,
        name: &str,
        kind: PullKind,
        counts: impl Fn(&Source) -> bool,
    ) -> Option<(&Scope, &Mirrors)> {
        let covering =
            self.sources.iter().filter(|(scope, source)| scope.covers_name(name) && counts(source));
        let (scope, source) = covering.max_by_key(|(scope, _)| specificity(scope))?;
        Some((scope, source.of(kind)))
    }
}

/// Of two scopes that cover the same name the one with the higher value is more specific.
fn specificity(scope: &Scope) -> (bool, usize) {
    (!scope.is_wildcard(), scope.as_str().len())
}
