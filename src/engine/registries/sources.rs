//! Where a pull goes.

use super::find::after_prefix;
use super::{Mirror, PullFromMirror, Registries, Registry};
use crate::model::Reference;
use crate::model::reference::ReferenceError;

/// A place that a pull tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The image by its name in that place.
    pub reference: Reference,
    /// Plain HTTP and certificates that nobody vouches for are put up with.
    pub insecure: bool,
    /// The place is passed over, because the entry for it says `blocked`.
    pub blocked: bool,
    /// What put the place into the list.
    pub origin: Origin,
}

/// What put a place into the list of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// No entry is for the name, so it is pulled from where it says.
    Name,
    /// The location of the entry for the name.
    Location,
    /// The mirror of that entry with this index.
    Mirror(usize),
}

/// A place whose name would be no valid image name. None of the sources is tried then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location:?} in place of {prefix:?} makes {name:?}, which cannot be pulled: {reason}")]
pub struct SourcesError {
    /// The prefix of the entry.
    pub prefix: String,
    /// The location that takes its place.
    pub location: String,
    /// What that makes.
    pub name: String,
    /// What is wrong with it.
    #[source]
    pub reason: ReferenceError,
}

impl Registries {
    /// The places that a pull tries, in order: mirrors first, then the location. The first that
    /// has the image serves it (`PullSourcesFromReference`, and the docker transport's
    /// `newImageSource` for the flags).
    ///
    /// The reference is one that [`pull_reference`](crate::engine::pull_reference) returns.
    ///
    /// # Errors
    /// One of the places has no valid name.
    pub fn sources(&self, reference: &Reference) -> Result<Vec<Source>, SourcesError> {
        let Some(registry) = self.find(reference.name()) else {
            return Ok(vec![Source {
                reference: reference.clone(),
                insecure: false,
                blocked: false,
                origin: Origin::Name,
            }]);
        };
        let by_digest = reference.digest().is_some();
        let mirrors = registry.mirrors.iter().enumerate();
        mirrors
            .filter(|(_, mirror)| registry.uses(mirror, by_digest))
            .map(|(index, mirror)| (Origin::Mirror(index), &mirror.location, mirror.insecure))
            .chain([(Origin::Location, &registry.location, registry.insecure)])
            .map(|(origin, location, insecure)| {
                let reference = rewrite(reference, &registry.prefix, location)?;
                let blocked = self.is_blocked(reference.name());
                Ok(Source { reference, insecure, blocked, origin })
            })
            .collect()
    }

    /// The one place that a push goes to: what the reference says, without mirrors and without
    /// the location, and with the flags of the entry for it (`newDockerClient`).
    pub fn push_target(&self, reference: &Reference) -> Source {
        let registry = self.find(reference.name());
        Source {
            reference: reference.clone(),
            insecure: registry.is_some_and(|registry| registry.insecure),
            blocked: registry.is_some_and(|registry| registry.blocked),
            origin: Origin::Name,
        }
    }
}

impl Registry {
    fn uses(&self, mirror: &Mirror, by_digest: bool) -> bool {
        match mirror.pull_from_mirror {
            PullFromMirror::All => by_digest || !self.mirror_by_digest_only,
            PullFromMirror::DigestOnly => by_digest,
            PullFromMirror::TagOnly => !by_digest,
        }
    }
}

/// The name with the location in place of the prefix (`rewriteReference`).
fn rewrite(reference: &Reference, prefix: &str, location: &str) -> Result<Reference, SourcesError> {
    if location.is_empty() {
        return Ok(reference.clone());
    }
    let text = reference.to_string();
    let name = format!("{location}{}", after_prefix(&text, prefix).unwrap_or_default());
    Reference::parse_canonical(&name).map_err(|reason| SourcesError {
        prefix: prefix.to_owned(),
        location: location.to_owned(),
        name,
        reason,
    })
}
