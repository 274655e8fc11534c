//! The configuration with everything merged and decided that does not depend on a host: one
//! mirror list a source, and what the release payload is spared.

use std::collections::{BTreeMap, HashMap};

use super::config::{ClusterConfig, Entry, MirrorSet, PullKind, SourcePolicy, TrustedCa};
use super::lookup::Lookup;
use super::merge::merge;
use super::scope::substitute;
use super::{Finding, Findings, Origin, Reference, Scope, Severity};

/// One source and all its mirrors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Mirrors of pulls by digest, in order; none where no set names any.
    pub digest: Mirrors,
    /// Mirrors of pulls by tag, in order.
    pub tag: Mirrors,
}

/// The mirrors of a source for one kind of pull.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// In the order in which they are asked; empty where wider sources speak for this one.
    pub places: Vec<Scope>,
    /// Whether the source may be asked after them; none where wider sources decide.
    pub may_contact_source: Option<bool>,
    /// Where the sets stand.
    pub origins: Vec<Origin>,
}

impl Source {
    /// The mirrors for one kind of pull.
    #[must_use]
    pub fn of(&self, kind: PullKind) -> &Mirrors {
        match kind {
            PullKind::Digest => &self.digest,
            PullKind::Tag => &self.tag,
        }
    }
}

/// What the documents mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meaning {
    /// Registries and repositories that may be reached over plain HTTP or unverified TLS; never
    /// a tag or digest, which the files could not express (rule R5).
    pub insecure: BTreeMap<Scope, Origin>,
    /// What must not be pulled, less what the payload needs.
    pub blocked: BTreeMap<Scope, Origin>,
    /// What alone may be pulled, if there is such a list.
    pub allowed: Option<BTreeMap<Scope, Origin>>,
    /// What is accepted although a wider entry blocks it: the payload and its mirrored
    /// neighbours, which come from mirrors alone.
    pub kept: BTreeMap<Scope, Origin>,
    /// All mirrored sources.
    pub sources: BTreeMap<Scope, Source>,
    /// The registries to search for short names, if they replace the host's own list.
    pub search: Option<Vec<Entry>>,
    /// CAs.
    pub trusted_ca: TrustedCa,
}

impl Meaning {
    /// Merges and decides; the findings say what could not be had as stated.
    #[must_use]
    pub fn of(config: &ClusterConfig) -> (Self, Vec<Finding>) {
        let mut findings = Findings::default();
        let mut meaning = Self {
            insecure: by_scope(config.insecure.iter().filter(|e| !e.scope.is_single_image())),
            blocked: by_scope(&config.blocked),
            allowed: config.allowed.as_ref().map(by_scope),
            kept: BTreeMap::new(),
            sources: sources(&config.mirrors, &mut findings),
            search: config.search.clone(),
            trusted_ca: config.trusted_ca.clone(),
        };
        if let Some((image, origin)) = &config.release {
            meaning.spare_payload(image, origin, &mut findings);
        }
        (meaning, findings.into_vec())
    }

    /// The release payload must stay within reach, or the cluster locks itself out: what blocks
    /// it is left out, unless a digest mirror serves it that is not blocked itself.
    fn spare_payload(&mut self, image: &Reference, origin: &Origin, findings: &mut Findings) {
        let covers = |scope: &Scope| scope.covers_image(image) || scope.covers_name(image.name());
        let blocking: Vec<Scope> = self.blocked.keys().filter(|s| covers(s)).cloned().collect();
        if blocking.is_empty() {
            return;
        }
        let lookup = Lookup::of(self);
        let by_mirror = image.digest().is_some() && is_served_by_mirror(&lookup, image.name());
        if by_mirror {
            self.kept = self.kept_for_payload(&lookup, image, origin);
            // An entry for the image itself has no part that registries.conf could block.
            self.blocked.retain(|scope, _| !(scope.is_single_image() && covers(scope)));
        }
        for scope in blocking {
            let entry = match self.blocked.get(&scope) {
                Some(entry) if by_mirror => entry.clone(),
                _ => self.blocked.remove(&scope).unwrap_or_else(|| origin.clone()),
            };
            findings.push(payload_finding(&scope, entry, image, by_mirror));
        }
    }

    fn kept_for_payload(
        &self,
        lookup: &Lookup<'_>,
        image: &Reference,
        origin: &Origin,
    ) -> BTreeMap<Scope, Origin> {
        let repository = Scope::of_repository(image);
        let namespace = repository.parent().unwrap_or_else(|| repository.clone());
        let is_neighbour = |scope: &Scope| namespace.covers_name(scope.as_str());
        let mut kept = BTreeMap::from([(repository, origin.clone())]);
        for (scope, source) in &self.sources {
            let place = if is_neighbour(scope) {
                scope
            } else if scope.covers_name(namespace.as_str()) {
                &namespace
            } else {
                continue;
            };
            if is_served_by_mirror(lookup, place.as_str()) {
                let set = source.digest.origins.first().unwrap_or(origin);
                kept.insert(place.clone(), set.clone());
            }
        }
        kept
    }
}

/// Whether a digest mirror that may be contacted serves `name`.
fn is_served_by_mirror(lookup: &Lookup<'_>, name: &str) -> bool {
    let Some((scope, mirrors)) = lookup.said(name).mirrored_by(PullKind::Digest) else {
        return false;
    };
    mirrors.places.iter().any(|mirror| {
        let place = substitute(name, scope, mirror);
        place != name && !lookup.said(&place).is_blocked_place()
    })
}

/// The first of several entries for one scope stands.
fn by_scope<'a>(
    entries: impl IntoIterator<Item = &'a Entry, IntoIter: DoubleEndedIterator>,
) -> BTreeMap<Scope, Origin> {
    // Of equal keys a map that is built at once keeps the last.
    let entries = entries.into_iter().rev();
    entries.map(|entry| (entry.scope.clone(), entry.origin.clone())).collect()
}

fn payload_finding(scope: &Scope, entry: Origin, image: &Reference, by_mirror: bool) -> Finding {
    let (name, why) = if by_mirror {
        (
            "PayloadBlockedButMirrored",
            format!(
                "it covers the release image {image}, which goes on being accepted from its mirrors."
            ),
        )
    } else {
        (
            "PayloadBlocked",
            format!(
                "it covers the release image {image}, without which this node could not be repaired; the entry is left out."
            ),
        )
    };
    let fix = "Set mirrorSourcePolicy NeverContactSource on an ImageDigestMirrorSet of the payload in \
               place of this entry.";
    Finding::new(Severity::Warning, name, entry, why, fix).about(scope.as_str())
}

fn sources(sets: &[MirrorSet], findings: &mut Findings) -> BTreeMap<Scope, Source> {
    let mut sets: Vec<&MirrorSet> = sets.iter().collect();
    sets.sort_by(|one, other| one.source.cmp(&other.source));
    let of_one_source = sets.chunk_by(|one, other| one.source == other.source);
    let source = |sets: &[&MirrorSet]| {
        let scope = &sets.first()?.source;
        findings.extend(policy_conflict(scope, sets));
        let mut mirrors = |kind| mirrors(scope, sets, kind, findings);
        let source = Source { digest: mirrors(PullKind::Digest), tag: mirrors(PullKind::Tag) };
        Some((scope.clone(), source))
    };
    of_one_source.filter_map(source).collect()
}

fn mirrors(scope: &Scope, sets: &[&MirrorSet], kind: PullKind, findings: &mut Findings) -> Mirrors {
    let sets = || sets.iter().filter(|set| set.kind == kind);
    // A list that names nothing but the source mirrors nothing.
    let lists: Vec<&[Scope]> = sets()
        .map(|set| set.mirrors.as_slice())
        .filter(|mirrors| mirrors.iter().any(|mirror| mirror != scope))
        .collect();
    let says = |policy| sets().any(|set| set.policy == policy);
    let may_contact_source = match (says(SourcePolicy::Never), says(SourcePolicy::Allow)) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    };
    let mut origins: Vec<Origin> = sets().map(|set| set.origin.clone()).collect();
    origins.sort();
    let places = merge(scope, &lists);
    let positions: HashMap<&Scope, usize> = places.iter().zip(0..).collect();
    if !lists.iter().all(|list| keeps_order(&positions, list, scope)) {
        let origin = origins.first().cloned().unwrap_or_default();
        findings.push(merged_out_of_order(origin, scope));
    }
    Mirrors { places, may_contact_source, origins }
}

/// Whether the mirrors of `list` have positions in their order; the source, which comes last
/// anyway, may have none.
fn keeps_order(positions: &HashMap<&Scope, usize>, list: &[Scope], source: &Scope) -> bool {
    let mirrors = list.iter().filter(|mirror| *mirror != source);
    mirrors.map(|mirror| positions.get(mirror)).is_sorted()
}

fn merged_out_of_order(origin: Origin, scope: &Scope) -> Finding {
    Finding::new(
        Severity::Info,
        "MergedMirrors",
        origin,
        "several objects list mirrors of this source in orders that contradict each other, so \
         not every list keeps its own.",
        "Put the mirrors of the source into one object.",
    )
    .about(scope.as_str())
}

/// One source cannot be both never contacted and contacted.
fn policy_conflict(scope: &Scope, sets: &[&MirrorSet]) -> Option<Finding> {
    let never = sets.iter().find(|set| set.policy == SourcePolicy::Never)?;
    let other = sets.iter().find(|set| set.policy != SourcePolicy::Never)?;
    Some(
        Finding::new(
            Severity::Error,
            "ConflictingSourcePolicy",
            never.origin.clone(),
            format!("the source must never be contacted here, but may be by {}.", other.origin),
            "Set the same mirrorSourcePolicy for this source everywhere.",
        )
        .about(scope.as_str()),
    )
}
