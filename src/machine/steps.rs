//! What each phase makes of each event.

use std::time::Duration;

use super::{Action, Change, Ending, Event, Kind, Phase, TRIES, pace};
use crate::node::Sign;
use crate::plan::Tell;
use crate::waits::backoff;

pub(super) fn begin(change: Change) -> (Phase, Action) {
    match change.node {
        Some(_) => (Phase::Claiming(change), Action::Claim),
        None => proceed(change),
    }
}

/// The node is prepared, or need not be.
fn proceed(change: Change) -> (Phase, Action) {
    match change.kind {
        Kind::Restart => changed(change),
        _ => (Phase::Changing(change), Action::Change),
    }
}

/// Another change takes the place of one that the engine does not bear: a slot and a cordon are kept,
/// and nothing is drained first, because the engine is not to fail for longer.
fn take_over(change: Change, mut next: Change) -> (Phase, Action) {
    // That the engine fails is this sequence's doing, and what it took down is to be up again (rule H5).
    next.was_failing = change.was_failing;
    next.tell = next.tell.or(change.tell).or(Some(Tell::Restart));
    let lost = change.dependents.into_iter().filter(|unit| !next.dependents.contains(unit));
    let lost: Vec<String> = lost.collect();
    next.dependents.extend(lost);
    match change.node {
        None => begin(next),
        Some(held) => {
            next.node = next.node.or(Some(held));
            proceed(next)
        }
    }
}

/// The files are in place.
pub(super) fn changed(change: Change) -> (Phase, Action) {
    match change.tell {
        None => end(change, Ending::Done),
        Some(tell) => (Phase::Telling { change, tries: 0 }, Action::Tell(tell)),
    }
}

/// The files of before are back.
pub(super) fn undone(change: Change, why: String) -> (Phase, Action) {
    let tell = change.tell.unwrap_or(Tell::Restart);
    (Phase::Retelling { change, why, tries: 0 }, Action::Tell(tell))
}

/// All is done on the host. A node that was disturbed is waited for and let go.
pub(super) fn end(change: Change, ending: Ending) -> (Phase, Action) {
    let is_told = matches!(ending, Ending::Done | Ending::Unconfirmed | Ending::RolledBack(_));
    match change.node {
        None => finish(ending),
        Some(_) if is_told && change.tell.is_some() => {
            (Phase::Awaiting { change, ending, sign: None }, Action::LookAtNode(None))
        }
        Some(_) => leave(ending),
    }
}

fn leave(ending: Ending) -> (Phase, Action) {
    (Phase::Leaving { ending }, Action::Leave)
}

fn finish(ending: Ending) -> (Phase, Action) {
    (Phase::Idle, Action::Finish(ending))
}

pub(super) fn claiming(change: Change, event: Event) -> (Phase, Action) {
    match event {
        Event::Due => (Phase::Claiming(change), Action::Claim),
        Event::Claimed => (Phase::Cordoning(change), Action::Cordon),
        Event::NotYet { after, .. } => (Phase::Claiming(change), Action::Wait(pace(after))),
        Event::Abandon(why) => finish(Ending::Abandoned(why)),
        Event::Begin(next) => begin(lifted(&change, next)),
        _ => (Phase::Claiming(change), Action::Nothing),
    }
}

pub(super) fn cordoning(change: Change, event: Event) -> (Phase, Action) {
    match event {
        Event::Due => (Phase::Cordoning(change), Action::Cordon),
        Event::Cordoned { is_alone: false } if is_drained(&change) => {
            (Phase::Draining(change), Action::Drain)
        }
        Event::Cordoned { .. } => proceed(stripped_of_drain(change)),
        Event::NotYet { after, .. } => (Phase::Cordoning(change), Action::Wait(pace(after))),
        Event::Abandon(why) => leave(Ending::Abandoned(why)),
        Event::Begin(next) if is_same(&change, &next) => {
            (Phase::Cordoning(lifted(&change, next)), Action::Cordon)
        }
        // It disturbs nobody, or has to ask for a slot of its own (rule K1).
        Event::Begin(_) => leave(Ending::Abandoned("another change is to be made".to_owned())),
        _ => (Phase::Cordoning(change), Action::Nothing),
    }
}

pub(super) fn draining(change: Change, event: Event) -> (Phase, Action) {
    let deadline = change.node.as_ref().and_then(|node| node.drain);
    match event {
        Event::Due => (Phase::Draining(change), Action::Drain),
        Event::Drained => proceed(change),
        Event::NotYet { why, after } if deadline.is_none_or(|deadline| after >= deadline) => {
            leave(Ending::NotDrained(why))
        }
        Event::NotYet { after, .. } => (Phase::Draining(change), Action::Wait(pace(after))),
        // It goes on: a look is no reason for its time to begin anew.
        Event::Begin(next) if is_same(&change, &next) && is_drained(&next) => {
            (Phase::Draining(lifted(&change, next)), Action::Drain)
        }
        Event::Abandon(_) | Event::Begin(_) => cordoning(change, event),
        _ => (Phase::Draining(change), Action::Nothing),
    }
}

/// Whether a change that a look asks for is the one that waits for the node.
fn is_same(change: &Change, next: &Change) -> bool {
    next.node.is_some() && next.kind == change.kind && next.target == change.target
}

fn is_drained(change: &Change) -> bool {
    change.node.as_ref().is_some_and(|node| node.drain.is_some())
}

/// Its pods stay: there are none that have to go, or there is no other node for them.
fn stripped_of_drain(mut change: Change) -> Change {
    if let Some(node) = &mut change.node {
        node.drain = None;
    }
    change
}

/// A change that was asked for in spite of the brake is still asked for so when it is looked at again.
fn lifted(change: &Change, mut next: Change) -> Change {
    if let (Some(node), Some(before)) = (&mut next.node, &change.node)
        && next.target == change.target
    {
        node.obeys_brake &= before.obeys_brake;
    }
    next
}

pub(super) fn changing(change: Change, event: Event) -> (Phase, Action) {
    match event {
        Event::Changed => changed(change),
        Event::NotChanged(why) => end(change, Ending::NotChanged(why)),
        Event::Due => (Phase::Changing(change), Action::Change),
        // The slot could not be renewed before the first write.
        Event::NotYet { after, .. } if change.node.is_some() => {
            (Phase::Changing(change), Action::Wait(pace(after)))
        }
        Event::Abandon(why) => end(change, Ending::Abandoned(why)),
        _ => (Phase::Changing(change), Action::Nothing),
    }
}

pub(super) fn awaiting(
    change: Change,
    ending: Ending,
    sign: Option<Sign>,
    event: Event,
) -> (Phase, Action) {
    match event {
        Event::Ready | Event::Abandon(_) => leave(ending),
        Event::Seen(sign) => (
            Phase::Awaiting { change, ending, sign: Some(sign) },
            Action::Wait(pace(Duration::ZERO)),
        ),
        Event::NotYet { after, .. } => {
            (Phase::Awaiting { change, ending, sign }, Action::Wait(pace(after)))
        }
        Event::Due => {
            let action = Action::LookAtNode(sign.clone());
            (Phase::Awaiting { change, ending, sign }, action)
        }
        _ => (Phase::Awaiting { change, ending, sign }, Action::Nothing),
    }
}

pub(super) fn leaving(ending: Ending, event: Event) -> (Phase, Action) {
    match event {
        Event::Left => finish(ending),
        Event::NotYet { after, .. } => (Phase::Leaving { ending }, Action::Wait(pace(after))),
        Event::Due => leave(ending),
        _ => (Phase::Leaving { ending }, Action::Nothing),
    }
}

pub(super) fn telling(mut change: Change, tries: u32, event: Event) -> (Phase, Action) {
    let tell = change.tell.unwrap_or(Tell::Restart);
    match event {
        Event::Due => (Phase::Telling { change, tries }, Action::Tell(tell)),
        Event::Told => end(change, Ending::Done),
        Event::Unconfirmed if matches!(change.kind, Kind::Heal | Kind::Revert) => {
            end(change, Ending::Unconfirmed)
        }
        Event::Unconfirmed => {
            change.tell = Some(Tell::Restart);
            (Phase::Telling { change, tries }, Action::Tell(Tell::Restart))
        }
        Event::NotTold { why, .. } | Event::NotStarted { why, .. } if change.was_failing => {
            end(change, Ending::StillFailing(why))
        }
        Event::NotTold { why, is_passing } | Event::NotStarted { why, is_passing }
            if change.kind == Kind::Apply && !is_tried_again(is_passing, tries) =>
        {
            (Phase::Undoing { change, why, tries: 0 }, Action::Undo)
        }
        // The engine obeys: to restart it once more is no help to what needs it.
        Event::NotStarted { why, is_passing } if !is_tried_again(is_passing, tries) => {
            end(change, Ending::StillFailing(why))
        }
        Event::NotTold { .. } | Event::NotStarted { .. } => (
            Phase::Telling { change, tries: tries.saturating_add(1) },
            Action::Wait(backoff(tries)),
        ),
        // Files that were in place before are told over and over; other documents may mend it.
        Event::Begin(next) if change.kind != Kind::Apply => take_over(change, next),
        _ => (Phase::Telling { change, tries }, Action::Nothing),
    }
}

/// Whether a reason that may pass by itself does not count as lasting yet.
fn is_tried_again(is_passing: bool, tries: u32) -> bool {
    is_passing && tries.saturating_add(1) < TRIES
}

pub(super) fn undoing(change: Change, why: String, tries: u32, event: Event) -> (Phase, Action) {
    match event {
        Event::Due => (Phase::Undoing { change, why, tries }, Action::Undo),
        Event::Changed => undone(change, why),
        Event::NotChanged(_) => {
            let phase = Phase::Undoing { change, why, tries: tries.saturating_add(1) };
            (phase, Action::Wait(backoff(tries)))
        }
        _ => (Phase::Undoing { change, why, tries }, Action::Nothing),
    }
}

pub(super) fn retelling(
    mut change: Change,
    why: String,
    tries: u32,
    event: Event,
) -> (Phase, Action) {
    let tell = change.tell.unwrap_or(Tell::Restart);
    match event {
        Event::Due => (Phase::Retelling { change, why, tries }, Action::Tell(tell)),
        Event::Told => end(change, Ending::RolledBack(why)),
        Event::Unconfirmed => {
            change.tell = Some(Tell::Restart);
            (Phase::Retelling { change, why, tries }, Action::Tell(Tell::Restart))
        }
        // The engine obeys the old files: it is not restarted over and over for what needs it.
        Event::NotStarted { why: then, is_passing } if !is_tried_again(is_passing, tries) => {
            end(change, Ending::RolledBack(format!("{why}; with the old files, too: {then}")))
        }
        Event::NotTold { .. } | Event::NotStarted { .. } => {
            let phase = Phase::Retelling { change, why, tries: tries.saturating_add(1) };
            (phase, Action::Wait(backoff(tries)))
        }
        // The engine fails even with the old files: other documents may be what mends it.
        Event::Begin(next) => take_over(change, next),
        _ => (Phase::Retelling { change, why, tries }, Action::Nothing),
    }
}
