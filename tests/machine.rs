//! The state machine of a change, walked through exhaustively: every phase that can be reached, with
//! every event, and a crash after each.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashSet, VecDeque};

use image_config_agent::machine::{Action, Change, Ending, Event, Kind, Phase};
use image_config_agent::plan::Tell;
use image_config_agent::waits::backoff;

const KINDS: [Kind; 5] = [Kind::Apply, Kind::Heal, Kind::Rollback, Kind::Revert, Kind::Restart];

fn change(kind: Kind, tell: Option<Tell>, was_failing: bool) -> Change {
    Change { kind, target: None, tell, was_failing, dependents: Vec::new(), node: None }
}

fn changes() -> Vec<Change> {
    let tells = [None, Some(Tell::Reload), Some(Tell::Restart)];
    let each = |kind| tells.map(|tell| [false, true].map(|failing| change(kind, tell, failing)));
    let all = KINDS.into_iter().flat_map(each).flatten();
    all.filter(|change| change.kind != Kind::Restart || change.tell == Some(Tell::Restart))
        .collect()
}

fn events() -> Vec<Event> {
    let failing = |is_passing| Event::NotTold { why: "why".into(), is_passing };
    let alone = |is_passing| Event::NotStarted { why: "kubelet.service".into(), is_passing };
    let mut events = vec![
        Event::Changed,
        Event::NotChanged("disk".into()),
        Event::Told,
        Event::Unconfirmed,
        failing(false),
        failing(true),
        alone(false),
        alone(true),
        Event::Due,
    ];
    events.extend(changes().into_iter().map(Event::Begin));
    events
}

/// One step of a walk.
struct Step {
    from: Phase,
    event: Option<Event>,
    to: Phase,
    action: Action,
}

/// Every step that can happen, up to so many failed tries in a row; `event` is none for a crash.
fn steps(most_tries: u32) -> Vec<Step> {
    let (mut seen, mut todo) = (HashSet::new(), VecDeque::from([Phase::Idle]));
    let mut steps = Vec::new();
    while let Some(from) = todo.pop_front() {
        if tries(&from) > most_tries || !seen.insert(from.clone()) {
            continue;
        }
        for event in events() {
            let (to, action) = from.clone().step(event.clone());
            steps.push(Step { from: from.clone(), event: Some(event), to, action });
        }
        for at_target in [false, true] {
            let (to, action) = from.clone().resume(at_target);
            steps.push(Step { from: from.clone(), event: None, to, action });
        }
        let here = steps.iter().rev().take_while(|step| step.from == from);
        todo.extend(here.map(|step| step.to.clone()));
    }
    assert!(seen.len() > 50, "the walk is stuck: {}", seen.len());
    steps
}

fn tries(phase: &Phase) -> u32 {
    match phase {
        Phase::Telling { tries, .. }
        | Phase::Undoing { tries, .. }
        | Phase::Retelling { tries, .. } => *tries,
        _ => 0,
    }
}

#[test]
fn h1_the_engine_is_told_only_when_the_files_are_in_place() {
    for step in steps(5) {
        if let Action::Tell(_) = step.action {
            assert!(
                matches!(step.to, Phase::Telling { .. } | Phase::Retelling { .. }),
                "{:?}",
                step.to
            );
            let is_entered = !matches!(step.from, Phase::Telling { .. } | Phase::Retelling { .. });
            let is_allowed = match &step.event {
                Some(Event::Changed) | None => true,
                // Nothing changes: the engine is only restarted for what changed before.
                Some(Event::Begin(change)) => change.kind == Kind::Restart,
                _ => false,
            };
            assert!(!is_entered || is_allowed, "{:?} {:?}", step.from, step.event);
        }
    }
}

#[test]
fn h5_only_an_apply_is_undone_and_never_for_an_engine_that_was_failing() {
    for step in steps(5).iter().filter(|step| step.action == Action::Undo) {
        let change = step.to.change().unwrap();
        assert_eq!(change.kind, Kind::Apply);
        assert!(!change.was_failing);
        assert!(change.tell.is_some());
    }
}

#[test]
fn h5_a_passing_reason_gets_three_tries_another_none() {
    let apply = change(Kind::Apply, Some(Tell::Restart), false);
    let tries_until_undo = |is_passing| {
        let (mut phase, _) = Phase::Idle.step(Event::Begin(apply.clone()));
        (phase, _) = phase.step(Event::Changed);
        for told in 1.. {
            let (next, action) = phase.step(Event::NotTold { why: "why".into(), is_passing });
            if action == Action::Undo {
                return told;
            }
            assert!(matches!(action, Action::Wait(_)));
            (phase, _) = next.step(Event::Due);
        }
        unreachable!()
    };
    assert_eq!(tries_until_undo(false), 1);
    assert_eq!(tries_until_undo(true), 3);
}

/// An engine that obeys is no help to what needs it when it is restarted once more.
#[test]
fn h5_the_engine_is_not_told_over_and_over_for_what_needs_it() {
    let alone = |is_passing| Event::NotStarted { why: "kubelet.service".into(), is_passing };
    let lasting = steps(5).into_iter().filter(|step| step.event == Some(alone(false)));
    for step in lasting.filter(|step| is_told(&step.from)) {
        let why = match (&step.from, &step.action) {
            (Phase::Telling { .. }, Action::Undo) => continue,
            (Phase::Telling { .. }, Action::Finish(Ending::StillFailing(why)))
            | (Phase::Retelling { .. }, Action::Finish(Ending::RolledBack(why))) => why,
            other => panic!("{other:?}"),
        };
        assert!(why.contains("kubelet.service"), "{why}");
    }
    for start in steps(0).into_iter().map(|step| step.from).filter(is_told) {
        let (mut phase, mut told) = (start, 0);
        while is_told(&phase) {
            told += 1;
            phase = phase.step(Event::Due).0.step(alone(true)).0;
        }
        assert!(told <= 3, "{phase:?}");
    }
}

fn is_told(phase: &Phase) -> bool {
    matches!(phase, Phase::Telling { .. } | Phase::Retelling { .. })
}

#[test]
fn h7_what_is_not_confirmed_is_neither_a_success_nor_a_reason_to_undo() {
    for step in steps(5).iter().filter(|step| step.event == Some(Event::Unconfirmed)) {
        assert_ne!(step.action, Action::Finish(Ending::Done));
        assert_ne!(step.action, Action::Undo);
        let Some(change) = step.from.change() else { continue };
        let is_quiet = matches!(change.kind, Kind::Heal | Kind::Revert);
        if is_quiet && matches!(step.from, Phase::Telling { .. }) {
            assert_eq!(step.action, Action::Finish(Ending::Unconfirmed), "never on the spot");
        }
    }
}

#[test]
fn h10_from_everywhere_there_is_a_way_back_to_idle() {
    for Step { to, .. } in steps(5) {
        let mut phase = to;
        for _ in 0..6 {
            let (next, action) = phase.step(Event::Due);
            phase = match action {
                Action::Change | Action::Undo => next.step(Event::Changed).0,
                Action::Tell(_) => next.step(Event::Told).0,
                _ => next,
            };
        }
        assert_eq!(phase, Phase::Idle);
    }
}

#[test]
fn h10_a_crash_repeats_a_step_and_skips_none() {
    for step in steps(3).iter().filter(|step| step.event.is_none()) {
        match (&step.from, &step.to) {
            // The journal has taken the files back: nothing happened.
            (Phase::Changing(_), Phase::Idle) | (Phase::Idle, Phase::Idle) => {}
            (Phase::Changing(change), Phase::Telling { change: told, .. }) => {
                assert_eq!(change, told)
            }
            (Phase::Undoing { change, .. }, Phase::Retelling { change: told, .. }) => {
                assert_eq!(change, told)
            }
            (from, to) => assert_eq!(from, to),
        }
    }
}

#[test]
fn h13_waits_grow_and_stay_below_five_minutes() {
    let waits: Vec<u64> = (0..40).map(|tries| backoff(tries).as_secs()).collect();
    assert!(waits.is_sorted() && waits.first() == Some(&2) && waits.last() == Some(&300));
    let mut by_phase = BTreeMap::new();
    for step in steps(5) {
        if let Action::Wait(_) = step.action {
            *by_phase.entry(step.to.name()).or_insert(0) += 1;
        }
    }
    assert_eq!(by_phase.keys().copied().collect::<Vec<_>>(), ["Retelling", "Telling", "Undoing"]);
}
