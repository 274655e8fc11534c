//! The classes of differences for one reference.

use std::collections::BTreeSet;

use image_config_agent::engine::{Level, PullFromMirror};
use image_config_agent::model::config::PullKind;
use image_config_agent::model::meaning::Source;
use image_config_agent::model::scope::names_above;
use image_config_agent::model::scope::substitute;
use image_config_agent::model::{Lookup, Reference, Scope};

use serde_json::Value;

use super::answers::{Aspect, Case, Verdict};
use super::line::Line;

/// A reason for which upstream answers otherwise, and how to tell that it is the one.
struct Class {
    name: &'static str,
    explains: fn(&Case<'_>, &Aspect) -> bool,
}

const CLASSES: [Class; 12] = [
    Class { name: "ImagePolicies", explains: image_policies },
    Class { name: "BlockedListDropped", explains: blocked_list_dropped },
    Class { name: "PayloadNeighbours", explains: payload_neighbours },
    Class { name: "PayloadAsAllowedList", explains: payload_as_allowed_list },
    Class { name: "PayloadImageBlocked", explains: payload_image_blocked },
    Class { name: "NeverContactNotInherited", explains: never_contact_not_inherited },
    Class { name: "FirstAncestorMirrors", explains: first_ancestor_mirrors },
    Class { name: "OtherKindHides", explains: other_kind_hides },
    Class { name: "UnusableMirror", explains: unusable_mirror },
    Class { name: "DuplicateMirror", explains: duplicate_mirror },
    Class { name: "PortAfterPath", explains: port_after_path },
    Class { name: "HostOnEveryPort", explains: host_on_every_port },
];

/// The classes that explain a difference.
pub fn explain(case: &Case<'_>, aspect: &Aspect) -> Vec<&'static str> {
    let explaining = CLASSES.iter().filter(|class| (class.explains)(case, aspect));
    explaining.map(|class| class.name).collect()
}

/// Both verdicts, if it is they that differ.
fn verdicts<'a>(case: &'a Case<'_>, aspect: &Aspect) -> Option<(&'a Verdict, &'a Verdict)> {
    let both = case.ours.verdict.as_ref().zip(case.theirs.verdict.as_ref());
    both.filter(|_| *aspect == Aspect::Verdict)
}

/// A signature that a ClusterImagePolicy or ImagePolicy asks for.
fn image_policies(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some((ours, theirs)) = verdicts(case, aspect) else { return false };
    ours.allowed
        && theirs.signature_required
        && case.line.policy_scopes().any(|scope| scope == theirs.scope)
}

fn blocked_list_dropped(case: &Case<'_>, aspect: &Aspect) -> bool {
    let is_explained = match aspect {
        Aspect::Verdict => verdicts(case, aspect).is_some_and(|(ours, theirs)| {
            theirs.allowed && case.line.meaning.blocked.contains_key(ours.scope.as_str())
        }),
        Aspect::Blocked(place) => is_listed_blocked(case.line, place),
        Aspect::Places | Aspect::Insecure(_) => false,
    };
    is_explained && drops_blocked_list(case)
}

/// Whether the payload is blocked, its mirrors cannot be looked up, and nothing of the blocked
/// list is in upstream's policy.
fn drops_blocked_list(case: &Case<'_>) -> bool {
    let Some(release) = case.line.release() else { return false };
    let cannot_look_up = case.their_registries().sources(release).is_err();
    let has_wildcard_above_payload = || {
        let mut sources = case.line.meaning.sources.keys();
        sources.any(|scope| scope.is_wildcard() && scope.covers_name(release.name()))
    };
    case.line.config.blocked.iter().any(|entry| entry.scope.covers_name(release.name()))
        && (cannot_look_up || has_wildcard_above_payload())
        && their_policy_scopes(case.line).is_empty()
}

/// What the payload's namespace keeps, beyond the one repository of the release image.
fn payload_neighbours(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some(((ours, theirs), release)) = verdicts(case, aspect).zip(case.line.release()) else {
        return false;
    };
    ours.allowed
        && ours.scope != release.name()
        && case.line.meaning.kept.contains_key(ours.scope.as_str())
        && !theirs.allowed
        && case.line.lists_blocked(&theirs.scope)
}

/// The payload's repository is all that is blocked, and becomes all that is allowed.
fn payload_as_allowed_list(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some(((ours, theirs), release)) = verdicts(case, aspect).zip(case.line.release()) else {
        return false;
    };
    let config = &case.line.config;
    ours.allowed
        && theirs.level == Level::Default
        && config.allowed.is_none()
        && config.blocked.iter().all(|entry| entry.scope.as_str() == release.name())
        && their_policy_scopes(case.line) == [release.name()]
}

fn payload_image_blocked(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some(((ours, theirs), release)) = verdicts(case, aspect).zip(case.line.release()) else {
        return false;
    };
    ours.allowed
        && !theirs.allowed
        && case.reference == release
        && theirs.scope == release.to_string()
}

/// An entry of upstream that is not blocked stands below a source that must not be contacted.
fn never_contact_not_inherited(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Aspect::Blocked(place) = aspect else { return false };
    let Some(entry) = case.their_registries().find(place.name()) else { return false };
    let says_never = |source: &Source| {
        [&source.digest, &source.tag].iter().any(|m| m.may_contact_source == Some(false))
    };
    let mut above = names_above(&entry.prefix).skip(1);
    !is_listed_blocked(case.line, place)
        && Lookup::of(&case.line.meaning).said(place.name()).is_never_contacted()
        && !entry.blocked
        && above.any(|name| case.line.meaning.sources.get(name.as_ref()).is_some_and(says_never))
}

/// Upstream's entry is for no source of its own, and has the mirrors of the first source above
/// it, in the order in which upstream writes them down: digest sets first, then by name.
fn first_ancestor_mirrors(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some((ours, theirs)) = places(case, aspect) else { return false };
    let Some(prefix) = their_prefix(case) else { return false };
    let sources = &case.line.meaning.sources;
    let above = names_above(prefix).filter_map(|name| sources.get_key_value(name.as_ref()));
    let order = |(scope, source): &(&Scope, &Source)| {
        (source.digest.origins.is_empty(), scope.as_str().to_owned())
    };
    let Some((first, _)) = above.min_by_key(order) else { return false };
    !sources.contains_key(prefix) && theirs == through(case, first) && theirs != ours
}

/// Upstream's entry is for a source that has mirrors of the other kind alone, and so none for
/// this pull, although a wider source has.
fn other_kind_hides(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some((ours, theirs)) = places(case, aspect) else { return false };
    let Some(prefix) = their_prefix(case) else { return false };
    let Some(own) = case.line.meaning.sources.get(prefix) else { return false };
    let wider = Lookup::of(&case.line.meaning).said(prefix).mirrored_by(case.kind());
    own.of(case.kind()).places.is_empty()
        && theirs == [case.reference.clone()]
        && wider.is_some_and(|(source, _)| ours == through(case, source) && ours != theirs)
}

/// One of upstream's mirrors is one that no image can be named at; without those its places
/// would be ours. Lists that are merged without them may come out in another order, and the
/// source, if it was listed before them, is then the last place anyway.
fn unusable_mirror(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some((ours, mut theirs)) = places(case, aspect) else { return false };
    theirs.dedup();
    let (_, unusable): (Vec<_>, Vec<_>) = their_mirrors(case).into_iter().partition(is_usable);
    let left_out = |mirror: &Scope| {
        let hosts = case.line.unusable_mirrors.iter().filter_map(|text| text.split('/').next());
        hosts.into_iter().any(|host| host == mirror.host())
    };
    let is_merged = || {
        let named = |source: &Scope| Some(source.as_str()) == their_prefix(case);
        case.line.config.mirrors.iter().filter(|set| named(&set.source)).count() > 1
    };
    !unusable.is_empty()
        && unusable.iter().all(left_out)
        && (ours == theirs || is_merged() && is_reordered(&ours, &theirs))
}

/// A list that names one mirror twice; the places are the same ones in another order.
fn duplicate_mirror(case: &Case<'_>, aspect: &Aspect) -> bool {
    let Some((ours, theirs)) = places(case, aspect) else { return false };
    let lists = case.line.objects.iter();
    let lists = lists.filter_map(|object| object["spec"]["repositoryDigestMirrors"].as_array());
    let names_one_twice = |set: &Value| {
        let mirrors = set["mirrors"].as_array().into_iter().flatten();
        let mirrors: Vec<_> = mirrors.filter_map(Value::as_str).collect();
        mirrors.len() > BTreeSet::from_iter(&mirrors).len()
            && set["source"].as_str() == their_prefix(case)
    };
    lists.flatten().any(names_one_twice) && ours != theirs && is_reordered(&ours, &theirs)
}

/// The mirrors of a source without port hold for a name with one, and have a path, after which
/// a port cannot stand; upstream has an entry for that port, which does without them.
fn port_after_path(case: &Case<'_>, aspect: &Aspect) -> bool {
    let mirrored =
        Lookup::of(&case.line.meaning).said(case.reference.name()).mirrored_by(case.kind());
    *aspect == Aspect::Places
        && case.ours.names().is_none()
        && case.theirs.names() == Some(vec![case.reference])
        && their_prefix(case).is_some_and(|prefix| prefix.contains(':'))
        && mirrored.is_some_and(|(source, mirrors)| {
            !source.as_str().contains(':')
                && mirrors.places.iter().any(|mirror| mirror.as_str().contains('/'))
        })
}

/// A host without port that is listed speaks for all its ports; upstream has an entry for one of
/// them, which does without the flag.
fn host_on_every_port(case: &Case<'_>, aspect: &Aspect) -> bool {
    let (list, place) = match aspect {
        Aspect::Insecure(place) => (&case.line.meaning.insecure, place),
        Aspect::Blocked(place) => (&case.line.meaning.blocked, place),
        Aspect::Verdict | Aspect::Places => return false,
    };
    let entry = case.their_registries().find(place.name());
    list.keys().any(|scope| scope.covers_name(place.name()))
        && !list.keys().any(|scope| scope.covers_exact_port(place.name()))
        && entry.is_some_and(|entry| entry.prefix.contains(':'))
}

/// Both lists of places, if it is they that differ; of upstream's mirrors only those at which
/// an image can be named, since one other voids them all.
fn places(case: &Case<'_>, aspect: &Aspect) -> Option<(Vec<Reference>, Vec<Reference>)> {
    let ours = case.ours.names().filter(|_| *aspect == Aspect::Places)?;
    let source = Scope::parse(their_prefix(case)?).unwrap();
    let mirrors = their_mirrors(case).into_iter().filter(is_usable);
    let theirs = at_mirrors(case, &source, &mirrors.collect::<Vec<_>>());
    Some((ours.into_iter().cloned().collect(), theirs))
}

/// The mirrors that upstream's entry has for this kind of pull.
fn their_mirrors(case: &Case<'_>) -> Vec<Scope> {
    let entry = case.their_registries().find(case.reference.name());
    let serves = |pull| match pull {
        PullFromMirror::All => true,
        PullFromMirror::DigestOnly => case.kind() == PullKind::Digest,
        PullFromMirror::TagOnly => case.kind() == PullKind::Tag,
    };
    let mirrors = entry.into_iter().flat_map(|entry| &entry.mirrors);
    let mirrors = mirrors.filter(|mirror| serves(mirror.pull_from_mirror));
    mirrors.map(|mirror| Scope::parse(&mirror.location).unwrap()).collect()
}

fn is_usable(mirror: &Scope) -> bool {
    mirror.is_nameable()
}

fn is_reordered(ours: &[Reference], theirs: &[Reference]) -> bool {
    BTreeSet::from_iter(ours) == BTreeSet::from_iter(theirs)
}

fn their_prefix<'a>(case: &'a Case<'_>) -> Option<&'a str> {
    Some(&case.their_registries().find(case.reference.name())?.prefix)
}

/// The scopes for registries in upstream's policy.
fn their_policy_scopes(line: &Line) -> Vec<&str> {
    let scopes = line.upstream.files.policy.iter().flat_map(|policy| policy.scopes());
    scopes.filter(|(transport, ..)| *transport == "docker").map(|(_, scope, _)| scope).collect()
}

/// The places of a pull that goes by our mirrors of this source.
fn through(case: &Case<'_>, source: &Scope) -> Vec<Reference> {
    at_mirrors(case, source, &case.line.meaning.sources[source].of(case.kind()).places)
}

fn at_mirrors(case: &Case<'_>, source: &Scope, mirrors: &[Scope]) -> Vec<Reference> {
    let name = case.reference.to_string();
    let at = |mirror| Reference::parse(&substitute(&name, source, mirror)).ok();
    mirrors.iter().filter_map(at).chain([case.reference.clone()]).collect()
}

fn is_listed_blocked(line: &Line, place: &Reference) -> bool {
    line.meaning.blocked.keys().any(|scope| scope.covers_name(place.name()))
}
