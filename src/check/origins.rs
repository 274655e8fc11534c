//! Which fields of objects are behind an answer. Where none is, the host's own files are.

use std::collections::BTreeMap;

use crate::engine::{Decision, Level};
use crate::model::config::PullKind;
use crate::model::scope::{names_above, scopes_above};
use crate::model::{Meaning, Origin, Reference, Scope};

/// The fields behind an answer of policy.json; none where the host itself answers so.
pub(super) fn of_policy(meaning: &Meaning, decision: &Decision<'_>) -> Vec<Origin> {
    let above = |list: &BTreeMap<Scope, Origin>| {
        scopes_above(decision.scope).find_map(|scope| list.get(scope.as_ref()).cloned())
    };
    let allowed = meaning.allowed.as_ref();
    let origin = if decision.allowed || decision.signature_required {
        meaning.kept.get(decision.scope).cloned().or_else(|| allowed.and_then(above))
    } else {
        // What the list covers is refused by the host alone, in so many words (rule R2).
        let outside = || allowed.filter(|list| above(list).is_none())?.values().next();
        above(&meaning.blocked).or_else(|| outside().map(Origin::list))
    };
    origin.into_iter().collect()
}

/// Whether the host itself has `decision` in its policy.json: its entry for a scope, or a default that
/// refuses.
pub(super) fn is_hosts_policy(meaning: &Meaning, decision: &Decision<'_>) -> bool {
    let is_plain_default = decision.level != Level::TransportScope && decision.allowed;
    !is_plain_default && of_policy(meaning, decision).is_empty()
}

/// The fields behind the places of a pull: who names its mirrors, and what makes it insecure or keeps
/// the source from being contacted.
pub(super) fn of_places(meaning: &Meaning, reference: &Reference) -> Vec<Origin> {
    let above = |list: &BTreeMap<Scope, Origin>| {
        names_above(reference.name()).find_map(|scope| list.get(scope.as_ref()).cloned())
    };
    let sources = || {
        let sources = names_above(reference.name());
        sources.filter_map(|scope| meaning.sources.get(scope.as_ref()))
    };
    let kind = if reference.digest().is_some() { PullKind::Digest } else { PullKind::Tag };
    let mirrors = sources().map(|source| source.of(kind)).find(|set| !set.places.is_empty());
    let policies = [PullKind::Digest, PullKind::Tag].into_iter().filter_map(|kind| {
        let says = sources().map(|source| source.of(kind));
        says.into_iter().find(|set| set.may_contact_source.is_some())
    });
    let never = policies.filter(|set| set.may_contact_source == Some(false));
    let mut origins: Vec<Origin> = Vec::new();
    for origin in mirrors.into_iter().chain(never).flat_map(|set| &set.origins) {
        if !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }
    origins.extend(above(&meaning.insecure));
    origins.extend(above(&meaning.blocked));
    origins
}

/// Whether the documents say anything of the name, so that the agent writes an entry for it.
pub(super) fn say_anything_of(meaning: &Meaning, reference: &Reference) -> bool {
    names_above(reference.name()).any(|scope| {
        let scope = scope.as_ref();
        meaning.insecure.contains_key(scope)
            || meaning.blocked.contains_key(scope)
            || meaning.sources.contains_key(scope)
    })
}
