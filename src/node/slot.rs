//! Who takes the next slot of the roll-out, as pure functions (rule K1).
//!
//! A slot is a Lease; who holds one may disturb their node. Clocks of different nodes are never
//! compared: a holder is silent once this node, by its own clock that knows no jumps, has seen one and
//! the same renewal for as long as the Lease lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::model::digest::sha256;
use crate::model::finding::printable;

/// A Lease of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its number.
    pub index: u32,
    /// Who has it, if anybody.
    pub held: Option<Held>,
}

/// What a holder wrote into the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The name of its Node.
    pub holder: String,
    /// The configuration that it was taking, by the digest without CAs.
    pub target: String,
    /// When it last renewed the Lease, by its own clock.
    pub renewed: Option<Timestamp>,
    /// How long the Lease lasts.
    pub lasts: Duration,
    /// Whether its Node is deleted.
    pub is_orphan: bool,
}

/// A node of the pool that says that it is Degraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// Its name.
    pub node: String,
    /// On which configuration, by the digest without CAs.
    pub on: String,
}

/// Who asks for a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name of its Node.
    pub node: String,
    /// The configuration that it is to take, by the digest without CAs.
    pub target: String,
    /// Whether too many degraded nodes stop it: not a rollback, nor a retry.
    pub obeys_brake: bool,
    /// Whether it is Degraded on another configuration: then it goes first.
    pub is_degraded_here: bool,
    /// How many slots there are.
    pub slots: u32,
    /// How many degraded nodes stop the roll-out.
    pub max_degraded: u32,
    /// For how long a free slot is left to those that go first.
    pub patience: Duration,
}

/// How the slots stand for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The one that it has already.
    pub ours: Option<u32>,
    /// Those that it may take.
    pub free: Vec<u32>,
    /// Those whose holders live.
    taken: Vec<String>,
    /// Holders that fell silent while they took the configuration that is asked for: they count as
    /// unavailable and as degraded on it until they renew or free their slot, or their Node is deleted.
    silent: BTreeSet<String>,
}

/// What this node has seen so far.
#[derive(Debug, Default)]
pub struct Memory {
    /// For each slot the renewal that was seen last, and since when.
    renewals: BTreeMap<u32, (String, Option<Timestamp>, Instant)>,
    /// For each node that goes first, since when a free slot has been left to it.
    waits: BTreeMap<String, Patience>,
    /// What that was for.
    target: String,
}

#[derive(Debug, Clone, Copy)]
enum Patience {
    /// None is left to it now.
    Unused,
    /// Since then.
    Since(Instant),
    /// It did not take one in time: nobody waits for it any more.
    Over,
}

impl Memory {
    /// For how long the renewal of a slot has been seen unchanged; it is seen now.
    pub fn unchanged(&mut self, index: u32, held: &Held, now: Instant) -> Duration {
        let seen = self.renewals.get(&index);
        let since = match seen {
            Some((holder, renewed, since))
                if *holder == held.holder && *renewed == held.renewed =>
            {
                *since
            }
            _ => now,
        };
        self.renewals.insert(index, (held.holder.clone(), held.renewed, since));
        now.saturating_duration_since(since)
    }

    /// How the slots stand; the reason to wait where all are taken.
    ///
    /// # Errors
    /// None may be taken now, and why.
    pub fn standing(
        &mut self,
        request: &Request,
        slots: &[Slot],
        now: Instant,
    ) -> Result<Standing, String> {
        let mut standing = Standing::default();
        let mut occupied = BTreeSet::new();
        for slot in slots {
            let Some(held) = slot.held.as_ref().filter(|held| !held.is_orphan) else { continue };
            let is_silent = self.unchanged(slot.index, held, now) > held.lasts;
            if held.holder == request.node {
                standing.ours = Some(slot.index);
                continue;
            }
            match is_silent {
                false => standing.taken.push(held.holder.clone()),
                true if held.target == request.target => {
                    standing.silent.insert(held.holder.clone());
                }
                // What it was taking is history: its slot is free.
                true => continue,
            }
            occupied.insert(slot.index);
        }
        let count = u32::try_from(occupied.len()).unwrap_or(u32::MAX);
        if count >= request.slots && standing.ours.is_none() {
            self.nothing_is_free();
            return Err(standing.all_taken(request.slots));
        }
        let left = usize::try_from(request.slots.saturating_sub(count)).unwrap_or(usize::MAX);
        standing.free = in_turn(request, free(request, slots, &occupied, left));
        Ok(standing)
    }

    /// Which slot to take.
    ///
    /// # Errors
    /// None may be taken now, and why.
    pub fn choose(
        &mut self,
        request: &Request,
        standing: &Standing,
        degraded: &[Degraded],
        now: Instant,
    ) -> Result<u32, String> {
        let others = || degraded.iter().filter(|peer| peer.node != request.node);
        let here = others().filter(|peer| peer.on == request.target);
        let mut on_target: BTreeSet<&str> = here.map(|peer| peer.node.as_str()).collect();
        on_target.extend(standing.silent.iter().map(String::as_str));
        let max = request.max_degraded;
        if request.obeys_brake && u32::try_from(on_target.len()).is_ok_and(|count| count >= max) {
            return Err(format!(
                "the roll-out has stopped: Degraded on this configuration or silent since they began to \
                 take it: {} (max_degraded is {max}); mend the configuration or these nodes",
                some(on_target)
            ));
        }
        if let Some(ours) = standing.ours {
            return Ok(ours);
        }
        let is_at_it = |name: &str| standing.taken.iter().any(|taken| taken == name);
        let older = others().filter(|peer| peer.on != request.target && !is_at_it(&peer.node));
        let older: BTreeSet<&str> = older.map(|peer| peer.node.as_str()).collect();
        let heeded = self.heeded(request, older, now);
        match standing.free.first() {
            Some(_) if !request.is_degraded_here && heeded.len() >= standing.free.len() => {
                Err(format!(
                    "nodes that are Degraded on another configuration go first: {}",
                    some(heeded)
                ))
            }
            Some(free) => Ok(*free),
            None => Err(standing.all_taken(request.slots)),
        }
    }

    /// Those of `older` for whom a free slot is left, because it has not been left to them for too
    /// long already.
    fn heeded<'n>(
        &mut self,
        request: &Request,
        older: BTreeSet<&'n str>,
        now: Instant,
    ) -> BTreeSet<&'n str> {
        if self.target != request.target {
            self.waits.clear();
            self.target.clone_from(&request.target);
        }
        self.waits.retain(|node, _| older.contains(node.as_str()));
        let mut is_heeded = |node: &&str| {
            let patience = self.waits.entry((*node).to_owned()).or_insert(Patience::Unused);
            if let Patience::Unused = patience {
                *patience = Patience::Since(now);
            }
            if let Patience::Since(since) = patience
                && now.saturating_duration_since(*since) > request.patience
            {
                *patience = Patience::Over;
            }
            !matches!(patience, Patience::Over)
        };
        older.into_iter().filter(|node| is_heeded(node)).collect()
    }

    /// Nobody can be expected to take a slot while none is free.
    fn nothing_is_free(&mut self) {
        for patience in self.waits.values_mut() {
            if let Patience::Since(_) = patience {
                *patience = Patience::Unused;
            }
        }
    }
}

impl Standing {
    fn all_taken(&self, slots: u32) -> String {
        let mut parts = Vec::new();
        if !self.taken.is_empty() {
            parts.push(format!("taken by {}", some(self.taken.iter().map(String::as_str))));
        }
        if !self.silent.is_empty() {
            let silent = some(self.silent.iter().map(String::as_str));
            parts.push(format!(
                "not given back by {silent}, silent until they report or their Node is deleted"
            ));
        }
        format!("all slots of the pool ({slots}) are {}", parts.join(", or "))
    }
}

/// The slots that may be taken: first those of the silent, who may yet come back and know of it only by their own slot;
/// then those of deleted Nodes, and as many new ones as are still missing. All nodes find the same new ones: else two
/// of them could take two where there is one, while slots beyond the present number are held.
fn free(request: &Request, slots: &[Slot], occupied: &BTreeSet<u32>, left: usize) -> Vec<u32> {
    let held = || slots.iter().filter_map(|slot| Some((slot.index, slot.held.as_ref()?)));
    let not_counted =
        held().filter(|(index, by)| !occupied.contains(index) && by.holder != request.node);
    let (orphans, silent): (Vec<_>, Vec<_>) = not_counted.partition(|(_, by)| by.is_orphan);
    let missing = usize::try_from(request.slots).unwrap_or(usize::MAX);
    let missing = missing.saturating_sub(held().count());
    let new = (0..request.slots).filter(|new| held().all(|(index, _)| index != *new)).take(missing);
    let taken_over = silent.into_iter().chain(orphans).map(|(index, _)| index);
    taken_over.chain(new).take(left).collect()
}

/// The same, each node from a place of its own on, so that not all want the same one.
fn in_turn(request: &Request, mut free: Vec<u32>) -> Vec<u32> {
    let digest = sha256(request.node.as_bytes());
    let place = digest.get(..8).and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let start = place.unwrap_or_default() % free.len().max(1);
    free.rotate_left(start);
    free
}

/// The most names in a sentence.
const MOST_NAMES: usize = 5;

fn some<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.into_iter().map(printable).collect();
    let shown = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
