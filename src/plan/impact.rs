//! What a change costs: what the engine must be told, and whether pods must go (rules H3, K3).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::View;
use super::probes::{Probe, probes};
use crate::engine::{FileError, Registries, Source};
use crate::model::Reference;
use crate::model::scope::names_above;

/// What the engine must be told so that it obeys the new files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeNeed {
    /// It reads what changed at every pull.
    None,
    /// To read registries.conf and its drop-ins again, which it keeps in memory.
    Reload,
    /// To start again.
    Restart,
}

impl Tell {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// What the engine is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tell {
    /// To read its files again.
    Reload,
    /// To start again.
    Restart,
}

/// What the settings want it to be told after a change (rule H3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuntimeAction {
    /// To start again, as the OpenShift documents say.
    #[default]
    Restart,
    /// To read its files again.
    Reload,
    /// The least that the change needs.
    Auto,
}

/// Whether running pods stand in the way of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// Whether the node should be drained first.
    pub needed: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Both, each with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Impact {
    /// What the engine must be told.
    pub runtime: RuntimeNeed,
    /// Why.
    #[serde(rename = "runtimeReason")]
    pub runtime_reason: String,
    /// Whether pods must go.
    pub drain: Drain,
    /// Whether the engine judges images otherwise than before, by registries.conf or policy.json.
    #[serde(skip)]
    is_noticed: bool,
    /// Whether the engine can read the files that this leaves.
    #[serde(skip)]
    is_readable: bool,
}

/// What a change asks to be told to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// This, once the files are in place.
    Now(Tell),
    /// To start again once it can read its files: told of them as they are, it would die.
    Later,
}

impl Impact {
    /// Whether the engine can read the files that this leaves.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// What the engine is to be told, as the settings have it (rules H2, H3).
    #[must_use]
    pub fn asks(&self, action: RuntimeAction) -> Asked {
        let tell = match (action, self.runtime) {
            _ if !self.is_noticed => return Asked::Nothing,
            (RuntimeAction::Auto, RuntimeNeed::None) => return Asked::Nothing,
            (RuntimeAction::Restart, _) | (_, RuntimeNeed::Restart) => Tell::Restart,
            (RuntimeAction::Reload, _) | (RuntimeAction::Auto, RuntimeNeed::Reload) => Tell::Reload,
        };
        if self.is_readable { Asked::Now(tell) } else { Asked::Later }
    }
}

/// What it costs to get from one view to another. `hides_reloads` says why a reload could not be
/// confirmed, if CRI-O's settings make it so (rule H7).
#[must_use]
pub fn impact(before: &View, after: &View, hides_reloads: Option<&str>) -> Impact {
    let (runtime, runtime_reason) = runtime(before, after, hides_reloads);
    Impact {
        is_noticed: runtime != RuntimeNeed::None || before.policy != after.policy,
        is_readable: after.registries.is_ok(),
        runtime,
        runtime_reason,
        drain: drain(before, after),
    }
}

fn runtime(before: &View, after: &View, hides_reloads: Option<&str>) -> (RuntimeNeed, String) {
    let because = match &before.registries {
        Err(error) if before.unread == after.unread => {
            let reason = format!("the engine cannot read its present files, which stay: {error}");
            return (RuntimeNeed::None, reason);
        }
        Err(error) => unread(error, after),
        Ok(before) if after.registries.as_ref().is_ok_and(|after| says_the_same(before, after)) => {
            let reason = "policy.json and certs.d are read at every pull; registries.conf means \
                          the same as before";
            return (RuntimeNeed::None, reason.to_owned());
        }
        Ok(_) => "CRI-O keeps registries.conf in memory".to_owned(),
    };
    match hides_reloads {
        None => (RuntimeNeed::Reload, because),
        Some(why) => {
            let reason = format!("{because}, and a reload could not be confirmed: {why}");
            (RuntimeNeed::Restart, reason)
        }
    }
}

/// The engine refuses the present files, so it goes on with what it read before them, if it
/// read anything.
fn unread(error: &FileError, after: &View) -> String {
    match &after.registries {
        Ok(_) => format!("the engine cannot read its present files ({error})"),
        Err(error) => {
            format!(
                "the engine cannot read its present files, nor those that this leaves ({error})"
            )
        }
    }
}

/// Whether an engine that has read both notices no difference. Where entries stand does not
/// matter, only what they say.
fn says_the_same(before: &Registries, after: &Registries) -> bool {
    let search = |registries: &Registries| registries.search().map(|list| list.registries.clone());
    search(before) == search(after)
        && before.short_name_mode() == after.short_name_mode()
        && before.entries().count() == after.entries().count()
        && before.entries().zip(after.entries()).all(|(a, b)| a.says_the_same(b))
}

fn drain(before: &View, after: &View) -> Drain {
    let mirrors = mirrors(before);
    let loss = |probe: Probe| {
        let loss = loss(&probe.reference, before, after)
            .or_else(|| mirror_loss(&probe.reference, &mirrors, before, after))?;
        Some(format!("images {}: {loss}", probe.of))
    };
    let reason = probes([before, after]).into_iter().find_map(loss);
    let needed = reason.is_some();
    let nothing = || "no image that could be pulled loses a place or a check".to_owned();
    Drain { needed, reason: reason.unwrap_or_else(nothing) }
}

/// Every place that mirrors another.
fn mirrors(view: &View) -> HashSet<&str> {
    let entries = view.registries.iter().flat_map(|registries| registries.entries());
    entries.flat_map(|entry| &entry.mirrors).map(|mirror| mirror.location.as_str()).collect()
}

/// Whether part of a mirror is blocked: images of other names lose a place.
fn mirror_loss(
    reference: &Reference,
    mirrors: &HashSet<&str>,
    before: &View,
    after: &View,
) -> Option<&'static str> {
    let is_blocked = |view: &View| {
        view.registries.as_ref().is_ok_and(|registries| registries.is_blocked(reference.name()))
    };
    let is_mirror = || names_above(reference.name()).any(|above| mirrors.contains(above.as_ref()));
    let is_lost = !is_blocked(before) && is_blocked(after) && is_mirror();
    is_lost.then_some("what they mirror loses a place")
}

/// What a pull of `reference` loses, if anything (rule K3).
fn loss(reference: &Reference, before: &View, after: &View) -> Option<&'static str> {
    let was_accepted = accepts(before, reference);
    if !was_accepted {
        return None;
    }
    if !accepts(after, reference) {
        return Some("they were accepted and are refused");
    }
    if is_unnameable_at_mirror(after, reference) {
        return None;
    }
    // Blocked places count too: what lies below them need not be blocked.
    let (all_before, all_after) = (places(before, reference), places(after, reference));
    let (before, after) = (distinct(&all_before), distinct(&all_after));
    let position = |place: &&Source| after.iter().position(|p| p.reference == place.reference);
    let positions: Option<Vec<usize>> = before.iter().map(position).collect();
    let Some(positions) = positions else { return Some("a place to pull from is lost") };
    let pairs = || before.iter().zip(positions.iter().filter_map(|at| after.get(*at)));
    if pairs().any(|(before, after)| !before.blocked && after.blocked) {
        return Some("a place to pull from is blocked");
    }
    if !positions.is_sorted() {
        return Some("the places are asked in another order");
    }
    let demands = |places: &[Source], one: &Source| {
        let asked = || places.iter().filter(|place| place.reference == one.reference);
        [asked().any(|place| place.insecure), asked().any(|place| !place.insecure)]
    };
    if before.iter().any(|place| demands(&all_before, place) != demands(&all_after, place)) {
        return Some("a place is asked with other demands on TLS");
    }
    let is_appended = positions.iter().enumerate().all(|(index, position)| index == *position);
    if reference.tag().is_some() && !is_appended {
        return Some("a tag would be asked for at a new place first");
    }
    None
}

/// Whether it is asked for by digest, and a mirror keeps it from being pulled only because it makes no
/// name there: a mirror with a port or a path for a name with a port, a bare host for an image named
/// exactly as the source. The finding `SourceNotPullable` and docs/limits.md say so. Taken for a loss it
/// would drain the node for every ordinary digest mirror; what else the same entry takes shows in the
/// names below it (rule K3).
fn is_unnameable_at_mirror(view: &View, reference: &Reference) -> bool {
    let Ok(registries) = &view.registries else { return false };
    let Some(entry) = registries.find(reference.name()) else { return false };
    reference.digest().is_some()
        && registries.sources(reference).is_err_and(|error| error.location != entry.location)
}

fn accepts(view: &View, reference: &Reference) -> bool {
    view.policy.as_ref().is_ok_and(|policy| {
        let decision = policy.decide("docker", reference);
        decision.allowed || decision.signature_required
    })
}

/// The places in order, blocked ones too.
fn places(view: &View, reference: &Reference) -> Vec<Source> {
    let sources = view.registries.as_ref().ok().and_then(|r| r.sources(reference).ok());
    sources.unwrap_or_default()
}

/// Each place once, where it is asked first: a source that is among its own mirrors is asked twice.
fn distinct(places: &[Source]) -> Vec<&Source> {
    let is_first = |(index, place): &(usize, &Source)| {
        places.iter().take(*index).all(|before| before.reference != place.reference)
    };
    places.iter().enumerate().filter(is_first).map(|(_, place)| place).collect()
}

/// Whether the host can pull `reference`: accepted, if need be with a signature, and served by
/// at least one place that may be contacted.
#[must_use]
pub fn is_pullable(view: &View, reference: &Reference) -> bool {
    accepts(view, reference) && places(view, reference).iter().any(|place| !place.blocked)
}
