//! The state machine together with the node that it acts on, walked through to the end: every phase
//! that can be reached, with every outcome of its action, a crash before and after each, and a stop, a
//! hold or other documents in every wait.
//!
//! A slot is one Lease, and no two nodes hold it at once (`src/node/slot.rs` has tests of that). So no
//! more nodes are disturbed than there are slots if each is disturbed only while it holds one: that is
//! what is shown here.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use image_config_agent::machine::{Action, Change, Ending, Event, Kind, NodeSteps, Phase};
use image_config_agent::model::Digests;
use image_config_agent::node::Sign;
use image_config_agent::plan::Tell;
use image_config_agent::report::{Facts, Truth};

/// What the host and the cluster hold of what the agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct World {
    slot: bool,
    cordoned: bool,
    /// What the change brings is in the files.
    is_new: bool,
}

/// Where a walk stands: what was written down, what is about to be done, and the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    phase: Phase,
    action: Option<Doing>,
    world: World,
}

/// The actions that take effect outside, or a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Doing {
    Claim,
    Cordon,
    Drain,
    Change,
    Undo,
    Tell,
    Look { has_sign: bool },
    Leave,
    Wait,
}

fn doing(action: &Action) -> Option<Doing> {
    match action {
        Action::Claim => Some(Doing::Claim),
        Action::Cordon => Some(Doing::Cordon),
        Action::Drain => Some(Doing::Drain),
        Action::Change => Some(Doing::Change),
        Action::Undo => Some(Doing::Undo),
        Action::Tell(_) => Some(Doing::Tell),
        Action::LookAtNode(sign) => Some(Doing::Look { has_sign: sign.is_some() }),
        Action::Leave => Some(Doing::Leave),
        Action::Wait(_) => Some(Doing::Wait),
        Action::Finish(_) | Action::Nothing => None,
    }
}

const DEADLINE: Duration = Duration::from_secs(3600);

fn change(kind: Kind, tell: Option<Tell>, was_failing: bool, node: Option<NodeSteps>) -> Change {
    let digests = Digests { configuration: "c".into(), without_cas: "w".into() };
    let target = (kind == Kind::Apply).then_some(digests);
    Change { kind, target, tell, was_failing, dependents: Vec::new(), node }
}

/// Every change that the driver begins (see `wish`): heals and reverts disturb nobody.
fn changes() -> Vec<Change> {
    let steps = |drain| Some(NodeSteps { drain, obeys_brake: true });
    let nodes = [None, steps(None), steps(Some(DEADLINE))];
    let tells = [None, Some(Tell::Reload), Some(Tell::Restart)];
    let mut all = Vec::new();
    for tell in tells {
        for was_failing in [false, true] {
            for node in nodes.clone() {
                all.push(change(Kind::Apply, tell, was_failing, node.clone()));
                all.push(change(Kind::Rollback, tell, was_failing, node));
            }
            all.push(change(Kind::Revert, tell, was_failing, None));
        }
        all.push(change(Kind::Heal, tell, false, None));
    }
    all.push(change(Kind::Restart, Some(Tell::Restart), false, None));
    all.push(change(Kind::Restart, Some(Tell::Restart), false, steps(None)));
    all
}

fn sign() -> Sign {
    serde_json::from_str(r#"{"lease":null,"heartbeat":null,"isReady":true}"#).unwrap()
}

/// What the world and the machine can make of an action: the event, and the world afterwards.
fn outcomes(doing: Doing, world: World) -> Vec<(Event, World)> {
    let not_yet = |after| Event::NotYet { why: "why".into(), after };
    let soon = (not_yet(Duration::ZERO), world);
    let not_told = |is_passing| Event::NotTold { why: "why".into(), is_passing };
    let not_started = |is_passing| Event::NotStarted { why: "why".into(), is_passing };
    match doing {
        Doing::Claim => vec![(Event::Claimed, World { slot: true, ..world }), soon],
        Doing::Cordon => {
            let world_then = World { cordoned: true, ..world };
            let done = |is_alone| (Event::Cordoned { is_alone }, world_then);
            vec![done(false), done(true), soon]
        }
        Doing::Drain => vec![(Event::Drained, world), soon, (not_yet(DEADLINE), world)],
        Doing::Change => vec![
            (Event::Changed, World { is_new: true, ..world }),
            (Event::NotChanged("disk".into()), world),
            (not_yet(Duration::ZERO), world),
            (Event::Abandon("the slot is another's".into()), world),
        ],
        Doing::Undo => vec![
            (Event::Changed, World { is_new: false, ..world }),
            (Event::NotChanged("disk".into()), world),
        ],
        Doing::Tell => [
            Event::Told,
            Event::Unconfirmed,
            not_told(true),
            not_told(false),
            not_started(true),
            not_started(false),
        ]
        .map(|event| (event, world))
        .into(),
        Doing::Look { has_sign: false } => vec![(Event::Seen(sign()), world), soon],
        Doing::Look { has_sign: true } => vec![(Event::Ready, world), soon],
        Doing::Leave => vec![
            (Event::Left, World { slot: false, cordoned: false, ..world }),
            // Uncordoned, but the slot could not be freed.
            (not_yet(Duration::ZERO), World { cordoned: false, ..world }),
            soon,
        ],
        Doing::Wait => {
            vec![(Event::Due, world), (Event::Abandon("the agent is stopping".into()), world)]
        }
    }
}

/// The same phase with tries that do not grow without end.
fn bounded(phase: Phase) -> Phase {
    match phase {
        Phase::Telling { change, tries } => Phase::Telling { change, tries: tries.min(3) },
        Phase::Undoing { change, why, tries } => {
            Phase::Undoing { change, why, tries: tries.min(1) }
        }
        Phase::Retelling { change, why, tries } => {
            Phase::Retelling { change, why, tries: tries.min(1) }
        }
        phase => phase,
    }
}

fn state((phase, action): (Phase, Action), world: World) -> State {
    let phase = bounded(phase);
    // Once a change has ended, what it brought is what is there.
    let world = match phase {
        Phase::Idle => World { is_new: false, ..world },
        _ => world,
    };
    State { action: doing(&action), phase, world }
}

/// A crash, and the next start.
fn restart(phase: &Phase, world: World) -> State {
    // What is left of a heal the next look finds, and a restart changes no file.
    let at_target = match phase.change().map(|change| change.kind) {
        Some(Kind::Apply | Kind::Rollback | Kind::Revert) => world.is_new,
        Some(Kind::Heal | Kind::Restart) | None => true,
    };
    let mut state = state(phase.clone().resume(at_target), world);
    if state.phase == Phase::Idle && *phase != Phase::Idle {
        // A slot that was taken unknowingly: nobody renews it.
        state.world.slot = false;
    }
    state
}

fn successors(from: &State) -> Vec<State> {
    let begin = || {
        // What an earlier change brought is what the next one finds.
        let world = World { is_new: false, ..from.world };
        let step = move |change| from.phase.clone().step(Event::Begin(change));
        // What has no meaning here leaves all as it is.
        let counts = |step: &(Phase, Action)| step.1 != Action::Nothing;
        changes().into_iter().map(step).filter(counts).map(move |step| state(step, world))
    };
    let Some(doing) = from.action else { return begin().collect() };
    let mut next = vec![restart(&from.phase, from.world)];
    for (event, world) in outcomes(doing, from.world) {
        next.push(restart(&from.phase, world));
        let (phase, action) = from.phase.clone().step(event);
        match action {
            // The wait goes on; only who has a slot asks for it once more before the first write.
            Action::Nothing => {
                assert_eq!(phase, from.phase);
                assert!(matches!(doing, Doing::Wait | Doing::Change));
            }
            action => next.push(state((phase, action), world)),
        }
    }
    if doing == Doing::Wait && from.phase.is_open() {
        next.extend(begin());
    }
    next
}

fn reachable() -> HashMap<State, Vec<State>> {
    let start = State { phase: Phase::Idle, action: None, world: World::default() };
    let (mut seen, mut todo) = (HashMap::new(), VecDeque::from([start]));
    while let Some(from) = todo.pop_front() {
        if seen.contains_key(&from) {
            continue;
        }
        let next = successors(&from);
        todo.extend(next.iter().cloned());
        seen.insert(from, next);
    }
    assert!(seen.len() > 500, "the walk is stuck: {}", seen.len());
    seen
}

#[test]
fn h4_no_node_is_left_cordoned_nor_a_slot_held_with_nothing_pending() {
    for state in reachable().keys().filter(|state| state.phase == Phase::Idle) {
        assert!(!state.world.cordoned && !state.world.slot, "{state:?}");
        assert_eq!(state.action, None);
    }
}

#[test]
fn k1_a_node_is_disturbed_only_while_it_holds_a_slot() {
    for State { phase, action, world } in reachable().keys() {
        let wants_node = phase.change().is_some_and(|change| change.node.is_some());
        let disturbs = matches!(
            action,
            Some(Doing::Cordon | Doing::Drain | Doing::Change | Doing::Undo | Doing::Tell)
        );
        if wants_node && disturbs {
            assert!(world.slot, "{phase:?} {action:?} {world:?}");
            assert!(world.cordoned || *action == Some(Doing::Cordon), "{phase:?} {action:?}");
            assert!(phase.has_slot(), "nobody renews the slot in {phase:?}");
        }
        // What is held, but by no phase that renews it, was taken by a crashed agent.
        assert!(!world.cordoned || phase.has_slot(), "{phase:?} {world:?}");
    }
}

#[test]
fn h4_the_engine_is_told_only_after_a_finished_transaction() {
    for State { phase, action, world } in reachable().keys() {
        let is_new = [Kind::Apply, Kind::Rollback, Kind::Revert];
        if *action != Some(Doing::Tell) || !is_new.contains(&phase.change().unwrap().kind) {
            continue;
        }
        match phase {
            Phase::Telling { .. } => assert!(world.is_new, "{phase:?}"),
            Phase::Retelling { .. } => assert!(!world.is_new, "{phase:?}"),
            phase => panic!("told in {phase:?}"),
        }
    }
}

#[test]
fn h13_from_everywhere_there_is_a_way_back_to_converged() {
    let graph = reachable();
    let mut ends: HashSet<&State> = graph.keys().filter(|s| s.phase == Phase::Idle).collect();
    loop {
        let more: Vec<&State> = graph
            .iter()
            .filter(|(from, next)| !ends.contains(from) && next.iter().any(|to| ends.contains(to)))
            .map(|(from, _)| from)
            .collect();
        if more.is_empty() {
            break;
        }
        ends.extend(more);
    }
    let lost = graph.keys().find(|state| !ends.contains(state));
    assert!(lost.is_none(), "{lost:?}");
}

#[test]
fn h13_where_all_goes_well_a_change_ends_within_a_dozen_steps() {
    for start in reachable().into_keys() {
        let mut at = start.clone();
        for _ in 0..12 {
            let Some(doing) = at.action else { break };
            let (event, world) = outcomes(doing, at.world).into_iter().next().unwrap();
            at = state(at.phase.step(event), world);
        }
        assert_eq!(at.phase, Phase::Idle, "from {start:?}");
    }
}

#[test]
fn h10_a_stop_before_the_first_write_lets_the_node_go_and_changes_nothing() {
    let stop = || Event::Abandon("the agent is stopping".into());
    for State { phase, world, .. } in reachable().into_keys().filter(|s| s.phase.is_pending()) {
        assert!(!world.is_new);
        let was_claiming = matches!(phase, Phase::Claiming(_));
        match phase.step(stop()) {
            (Phase::Idle, Action::Finish(Ending::Abandoned(_))) => assert!(was_claiming),
            (Phase::Leaving { ending: Ending::Abandoned(_) }, Action::Leave) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn k4_at_its_deadline_a_drain_gives_the_node_back_and_says_what_stays() {
    let node = Some(NodeSteps { drain: Some(DEADLINE), obeys_brake: true });
    let draining = Phase::Draining(change(Kind::Apply, Some(Tell::Restart), false, node));
    let not_yet = |after| Event::NotYet { why: "budget web".into(), after };
    let (phase, action) = draining.clone().step(not_yet(DEADLINE - Duration::from_secs(1)));
    assert_eq!((phase, action), (draining.clone(), Action::Wait(Duration::from_secs(30))));
    let (phase, action) = draining.step(not_yet(DEADLINE));
    let ending = Ending::NotDrained("budget web".into());
    assert_eq!((phase, action), (Phase::Leaving { ending }, Action::Leave));
}

#[test]
fn k1_a_retry_that_waits_for_its_slot_stays_one_when_the_documents_are_looked_at_again() {
    let of = |obeys_brake| {
        let node = Some(NodeSteps { drain: None, obeys_brake });
        change(Kind::Apply, Some(Tell::Restart), false, node)
    };
    let (phase, _) = Phase::Claiming(of(false)).step(Event::Begin(of(true)));
    assert_eq!(phase, Phase::Claiming(of(false)));
    let other = Digests { configuration: "d".into(), without_cas: "v".into() };
    let other = Change { target: Some(other), ..of(true) };
    let (phase, _) = Phase::Claiming(of(false)).step(Event::Begin(other.clone()));
    assert_eq!(phase, Phase::Claiming(other));
}

#[test]
fn k1_a_node_that_does_not_get_ready_again_counts_as_degraded() {
    let change = change(Kind::Apply, Some(Tell::Restart), false, None);
    let phase = Phase::Awaiting { change, ending: Ending::Done, sign: Some(sign()) };
    let degraded = |minutes: u64| {
        let after = Duration::from_secs(60 * minutes);
        let facts = Facts { not_yet: Some(("no kubelet".into(), after)), ..Facts::default() };
        let all = facts.conditions(&phase, &[], jiff::Timestamp::UNIX_EPOCH);
        let found = all.into_iter().find(|condition| condition.kind == "Degraded").unwrap();
        (found.status, found.reason)
    };
    assert_eq!(degraded(9), (Truth::False, "AsExpected".to_owned()));
    assert_eq!(degraded(10), (Truth::True, "NodeNotReady".to_owned()));
}

#[test]
fn k4_a_look_in_the_middle_of_a_drain_does_not_give_it_more_time() {
    let node = Some(NodeSteps { drain: Some(DEADLINE), obeys_brake: true });
    let change = change(Kind::Apply, Some(Tell::Restart), false, node);
    let (phase, action) = Phase::Draining(change.clone()).step(Event::Begin(change.clone()));
    assert_eq!((phase, action), (Phase::Draining(change), Action::Drain));
}

#[test]
fn k1_other_documents_ask_for_a_slot_of_their_own() {
    let node = Some(NodeSteps { drain: None, obeys_brake: true });
    let change = change(Kind::Apply, Some(Tell::Restart), false, node);
    let other = Digests { configuration: "d".into(), without_cas: "v".into() };
    let next = Change { target: Some(other), ..change.clone() };
    let (phase, action) = Phase::Cordoning(change).step(Event::Begin(next));
    assert_eq!(action, Action::Leave);
    assert!(matches!(phase, Phase::Leaving { ending: Ending::Abandoned(_) }));
}

#[test]
fn h5_what_takes_the_place_of_a_failed_roll_back_still_restarts_the_engine_and_what_needs_it() {
    let failed = Change {
        dependents: vec!["kubelet.service".into()],
        ..change(Kind::Apply, Some(Tell::Restart), false, None)
    };
    let phase = Phase::Retelling { change: failed, why: "why".into(), tries: 2 };
    let next = change(Kind::Apply, None, true, None);
    let (phase, _) = phase.step(Event::Begin(next));
    let next = phase.change().unwrap();
    assert_eq!(next.tell, Some(Tell::Restart));
    assert_eq!(next.dependents, ["kubelet.service"]);
    assert!(!next.was_failing, "that it fails is our doing");
}

/// The slot is asked for once more before the first write. While nobody answers nothing begins anew: the
/// node stays cordoned, the waits grow, and the reason is said.
#[test]
fn h13_a_slot_that_cannot_be_renewed_is_waited_for_where_the_change_stands() {
    let node = Some(NodeSteps { drain: Some(DEADLINE), obeys_brake: true });
    let changing = Phase::Changing(change(Kind::Apply, Some(Tell::Restart), false, node));
    let after = |seconds| {
        let after = Duration::from_secs(seconds);
        changing.clone().step(Event::NotYet { why: "403".into(), after })
    };
    assert_eq!(after(0), (changing.clone(), Action::Wait(Duration::from_secs(2))));
    assert_eq!(after(60), (changing.clone(), Action::Wait(Duration::from_secs(15))));
    assert_eq!(changing.clone().step(Event::Due), (changing.clone(), Action::Change));
    let facts = Facts { not_yet: Some(("403".into(), Duration::ZERO)), ..Facts::default() };
    let conditions = facts.conditions(&changing, &[], jiff::Timestamp::UNIX_EPOCH);
    let applied = conditions.iter().find(|condition| condition.kind == "Applied").unwrap();
    assert_eq!((applied.reason.as_str(), applied.message.as_str()), ("Changing", "403"));
}

#[test]
fn k4_pods_of_the_only_node_stay() {
    let node = |drain| Some(NodeSteps { drain, obeys_brake: true });
    let cordoning =
        Phase::Cordoning(change(Kind::Apply, Some(Tell::Restart), false, node(Some(DEADLINE))));
    let (phase, action) = cordoning.clone().step(Event::Cordoned { is_alone: true });
    let changing = Phase::Changing(change(Kind::Apply, Some(Tell::Restart), false, node(None)));
    assert_eq!((phase, action), (changing, Action::Change));
    let (phase, action) = cordoning.step(Event::Cordoned { is_alone: false });
    assert!(matches!(phase, Phase::Draining(_)));
    assert_eq!(action, Action::Drain);
}
