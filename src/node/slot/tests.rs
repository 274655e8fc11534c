//! The sentences of rule K1, one at a time.

use super::*;

const LASTS: Duration = Duration::from_secs(60);

fn request(node: &str) -> Request {
    Request {
        node: node.to_owned(),
        target: "new".to_owned(),
        obeys_brake: true,
        is_degraded_here: false,
        slots: 1,
        max_degraded: 1,
        patience: LASTS,
    }
}

fn held(index: u32, holder: &str, target: &str) -> Slot {
    let held = Held {
        holder: holder.to_owned(),
        target: target.to_owned(),
        renewed: Some(Timestamp::UNIX_EPOCH),
        lasts: LASTS,
        is_orphan: false,
    };
    Slot { index, held: Some(held) }
}

fn degraded(node: &str, on: &str) -> Degraded {
    Degraded { node: node.to_owned(), on: on.to_owned() }
}

/// One attempt.
fn decide(
    memory: &mut Memory,
    request: &Request,
    slots: &[Slot],
    degraded: &[Degraded],
    now: Instant,
) -> Result<u32, String> {
    let standing = memory.standing(request, slots, now)?;
    memory.choose(request, &standing, degraded, now)
}

/// The first attempt of a node that has seen nothing before.
fn first(request: &Request, slots: &[Slot], degraded: &[Degraded]) -> Result<u32, String> {
    decide(&mut Memory::default(), request, slots, degraded, Instant::now())
}

fn later(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn k1_a_free_slot_is_taken_and_a_held_one_is_not() {
    assert_eq!(first(&request("a"), &[], &[]), Ok(0));
    assert_eq!(first(&request("a"), &[Slot { index: 0, held: None }], &[]), Ok(0));
    let why = first(&request("a"), &[held(0, "b", "new")], &[]).unwrap_err();
    assert!(why.contains("taken by b"), "{why}");
    let two = Request { slots: 2, ..request("a") };
    assert_eq!(first(&two, &[held(0, "b", "new")], &[]), Ok(1));
    assert_eq!(first(&two, &[held(1, "b", "new")], &[]), Ok(0));
    // A slot with a number beyond the present limit counts all the same.
    assert!(first(&request("a"), &[held(7, "b", "new")], &[]).is_err());
}

/// There were more slots once, and one of these is still held: of the rest all nodes find the same ones free.
#[test]
fn k1_a_slot_beyond_their_number_leaves_the_same_ones_to_all() {
    for node in ["a", "c", "d", "e", "f", "g"] {
        let two = Request { slots: 2, ..request(node) };
        assert_eq!(first(&two, &[held(5, "b", "new")], &[]), Ok(0), "{node}");
        let slots = [held(5, "b", "new"), held(0, "x", "new")];
        assert!(first(&two, &slots, &[]).is_err());
        let three = Request { slots: 3, ..request(node) };
        assert_eq!(first(&three, &slots, &[]), Ok(1), "{node}");
    }
}

#[test]
fn k1_a_holder_goes_on_with_its_own_slot() {
    assert_eq!(first(&request("a"), &[held(0, "a", "new")], &[]), Ok(0));
    assert_eq!(first(&request("a"), &[held(3, "a", "old"), held(0, "b", "new")], &[]), Ok(3));
    // The brake stops it too, but not for its own sake.
    let slots = [held(0, "a", "new")];
    assert!(first(&request("a"), &slots, &[degraded("b", "new")]).is_err());
    assert_eq!(first(&request("a"), &slots, &[degraded("a", "new")]), Ok(0));
}

#[test]
fn k1_a_holder_whose_node_is_deleted_frees_its_slot_at_once() {
    let mut slot = held(0, "b", "new");
    slot.held.as_mut().unwrap().is_orphan = true;
    assert_eq!(first(&request("a"), &[slot], &[]), Ok(0));
}

#[test]
fn k1_silence_is_what_this_node_has_seen_itself() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    let slots = |renewed: i64| {
        let mut slot = held(0, "b", "old");
        slot.held.as_mut().unwrap().renewed = Some(Timestamp::from_second(renewed).unwrap());
        [slot]
    };
    let mut at = |seconds, renewed| {
        decide(&mut memory, &request("a"), &slots(renewed), &[], later(start, seconds)).is_ok()
    };
    // However old its time is, or however far in the future, it is not judged by it.
    assert!(!at(0, 0));
    assert!(!at(60, 0));
    assert!(!at(61, 9_999_999_999));
    assert!(!at(121, 9_999_999_999));
    assert!(at(122, 9_999_999_999));
    // It lives again.
    assert!(!at(123, 5));
}

#[test]
fn k1_a_silent_holder_counts_for_the_configuration_that_it_was_taking_only() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    let ask = request("a");
    let two = Request { slots: 2, ..ask.clone() };
    let slots = [held(0, "b", "new")];
    assert!(decide(&mut memory, &ask, &slots, &[], start).is_err());
    let now = later(start, 100);
    let why = decide(&mut memory, &ask, &slots, &[], now).unwrap_err();
    assert!(why.contains("not given back by b"), "{why}");
    // It is unavailable, and degraded: even where there are more slots, and a retry passes.
    let why = decide(&mut memory, &two, &slots, &[], now).unwrap_err();
    assert!(why.contains("max_degraded is 1"), "{why}");
    let retry = Request { obeys_brake: false, ..two };
    assert_eq!(decide(&mut memory, &retry, &slots, &[], now), Ok(1));
    let other = Request { target: "newer".to_owned(), ..ask };
    assert_eq!(decide(&mut memory, &other, &slots, &[], now), Ok(0));
}

#[test]
fn k1_the_first_degraded_node_stops_the_roll_out() {
    let ask = request("a");
    let why = first(&ask, &[], &[degraded("b", "new")]).unwrap_err();
    assert!(why.contains("b (max_degraded is 1)"), "{why}");
    let two = Request { max_degraded: 2, ..ask.clone() };
    assert_eq!(first(&two, &[], &[degraded("b", "new")]), Ok(0));
    assert!(first(&two, &[], &[degraded("b", "new"), degraded("c", "new")]).is_err());
    // One node counts once, for whatever reasons.
    assert_eq!(first(&two, &[], &[degraded("b", "new"), degraded("b", "new")]), Ok(0));
    // Neither a node itself, nor what it asks for by hand.
    assert_eq!(first(&ask, &[], &[degraded("a", "new")]), Ok(0));
    let retry = Request { obeys_brake: false, ..ask };
    assert_eq!(first(&retry, &[], &[degraded("b", "new")]), Ok(0));
}

#[test]
fn k1_nodes_degraded_on_an_older_configuration_go_first_but_not_for_ever() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    let peers = [degraded("b", "old")];
    let mut at = |seconds, slots: &[Slot]| {
        decide(&mut memory, &request("a"), slots, &peers, later(start, seconds))
    };
    let why = at(0, &[]).unwrap_err();
    assert!(why.ends_with("go first: b"), "{why}");
    assert!(at(60, &[]).is_err());
    // While no slot is free nobody is waited for.
    assert!(at(61, &[held(0, "c", "new")]).is_err());
    assert!(at(200, &[]).is_err());
    assert_eq!(at(261, &[]), Ok(0));
    // It had its time.
    assert_eq!(at(300, &[]), Ok(0));
    let itself = Request { is_degraded_here: true, ..request("d") };
    assert_eq!(first(&itself, &[], &peers), Ok(0));
    // There is one for it too, or it is at it already.
    let two = Request { slots: 2, ..request("a") };
    assert!(first(&two, &[], &peers).is_ok());
    assert_eq!(first(&two, &[held(0, "b", "new")], &peers), Ok(1));
}
