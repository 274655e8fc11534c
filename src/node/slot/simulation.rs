//! A pool of nodes whose clocks differ, which crash, are slow, and are deleted, and who come between each
//! other's reads and writes at every point.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use proptest::prelude::*;

use super::*;
use crate::node::lease;

const LASTS: Duration = Duration::from_secs(60);
const GOOD: &str = "good";
const BAD: &str = "bad";

/// What an agent is at.
#[derive(Default)]
enum At {
    /// Nothing.
    #[default]
    Rest,
    /// It has read the Leases.
    Leases(BTreeMap<u32, (u64, Lease)>, Instant),
    /// It has also read who is Degraded.
    All(BTreeMap<u32, (u64, Lease)>, Instant, Vec<Degraded>),
    /// It believes that it has a slot, and changes its node for so many steps more.
    Changing(u32),
}

#[derive(Default)]
struct Agent {
    name: String,
    skew: i64,
    exists: bool,
    has_crashed: bool,
    at: At,
    memory: Memory,
    applied: String,
    degraded_on: Option<String>,
    /// When it last had a slot for certain.
    renewed: Option<Instant>,
}

struct World {
    agents: Vec<Agent>,
    /// With the version of each.
    leases: BTreeMap<u32, (u64, Lease)>,
    start: Instant,
    elapsed: u64,
    target: String,
    slots: u32,
    /// The most that there ever were.
    most_slots: u32,
    /// As many nodes may be disturbed now: as there are slots, or were at it before these became fewer.
    limit: usize,
    max_degraded: u32,
}

#[derive(Debug, Clone)]
enum Op {
    Step(usize),
    Pass(u64),
    Crash(usize),
    Restart(usize),
    Delete(usize),
    /// So many slots from now on.
    Slots(u32),
}

impl World {
    fn new(skews: &[i64], slots: u32, max_degraded: u32, target: &str) -> Self {
        let agent = |(index, skew): (usize, &i64)| Agent {
            name: format!("n{index}"),
            skew: *skew,
            exists: true,
            ..Agent::default()
        };
        Self {
            agents: skews.iter().enumerate().map(agent).collect(),
            leases: BTreeMap::new(),
            start: Instant::now(),
            elapsed: 0,
            target: target.to_owned(),
            slots,
            most_slots: slots,
            limit: slots as usize,
            max_degraded,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.elapsed)
    }

    fn clock(&self, agent: &Agent) -> Timestamp {
        let true_time = Timestamp::from_second(1_800_000_000).unwrap();
        true_time
            + SignedDuration::from_secs(i64::try_from(self.elapsed).unwrap())
            + SignedDuration::from_secs(agent.skew)
    }

    /// What the API server and the admission policy do with a write: false is a conflict.
    fn write(&mut self, index: u32, seen: Option<u64>, lease: Lease) -> bool {
        let before = self.leases.get(&index);
        if before.map(|(version, _)| *version) != seen {
            return false;
        }
        if let Some((_, before)) = before
            && let (Some(old), Some(new)) = (lease::holder(before), lease::holder(&lease))
            && old != new
        {
            let held = lease::slot(index, before).held.unwrap();
            let acquired = lease.spec.as_ref().unwrap().acquire_time.as_ref().unwrap().0;
            assert!(acquired >= held.renewed.unwrap() + held.lasts, "refused by the policy");
        }
        let version = before.map_or(0, |(version, _)| version + 1);
        self.leases.insert(index, (version, lease));
        true
    }

    fn run(&mut self, op: &Op) {
        let count = self.agents.len();
        let at_it = self.agents.iter().filter(|agent| {
            agent.exists && matches!(agent.at, At::Changing(_)) && self.ours(agent).is_some()
        });
        let at_it = at_it.count();
        match op {
            Op::Step(agent) => self.step(agent % count),
            Op::Pass(seconds) => self.elapsed += seconds,
            Op::Crash(agent) => self.agents[agent % count].has_crashed = true,
            Op::Restart(agent) => {
                let agent = &mut self.agents[agent % count];
                if std::mem::take(&mut agent.has_crashed) {
                    agent.memory = Memory::default();
                    if !matches!(agent.at, At::Changing(_)) {
                        agent.at = At::Rest;
                    }
                }
            }
            Op::Delete(agent) => self.agents[agent % count].exists = false,
            Op::Slots(slots) => {
                self.slots = *slots;
                // It is a setting: who has read by the former one and not yet written begins anew.
                for agent in &mut self.agents {
                    if matches!(agent.at, At::Leases(..) | At::All(..)) {
                        agent.at = At::Rest;
                    }
                }
            }
        }
        self.most_slots = self.most_slots.max(self.slots);
        self.limit = at_it.max(self.slots as usize);
        self.check();
    }

    fn step(&mut self, index: usize) {
        let mut agent = std::mem::take(&mut self.agents[index]);
        if !agent.has_crashed && agent.exists {
            agent.at = match std::mem::take(&mut agent.at) {
                At::Rest if self.has_nothing_to_do(&agent) => {
                    self.free(&agent);
                    At::Rest
                }
                At::Rest => At::Leases(self.leases.clone(), self.now()),
                At::Leases(leases, then) => At::All(leases, then, self.degraded()),
                At::All(leases, then, degraded) => self.claim(&mut agent, &leases, then, &degraded),
                At::Changing(left) => self.change(&mut agent, left),
            };
        }
        self.agents[index] = agent;
    }

    fn has_nothing_to_do(&self, agent: &Agent) -> bool {
        let was_undone = agent.degraded_on.as_ref() == Some(&self.target);
        agent.applied == self.target || was_undone
    }

    fn degraded(&self) -> Vec<Degraded> {
        let degraded = |agent: &Agent| {
            Some(Degraded { node: agent.name.clone(), on: agent.degraded_on.clone()? })
        };
        self.agents.iter().filter(|agent| agent.exists).filter_map(degraded).collect()
    }

    fn claim(
        &mut self,
        agent: &mut Agent,
        leases: &BTreeMap<u32, (u64, Lease)>,
        then: Instant,
        degraded: &[Degraded],
    ) -> At {
        let request = Request {
            node: agent.name.clone(),
            target: self.target.clone(),
            obeys_brake: true,
            is_degraded_here: agent.degraded_on.is_some(),
            slots: self.slots,
            max_degraded: self.max_degraded,
            patience: LASTS,
        };
        let exists = |name: &str| {
            name == agent.name || self.agents.iter().any(|peer| peer.name == name && peer.exists)
        };
        let slots = leases.iter().map(|(index, (_, lease))| {
            let mut slot = lease::slot(*index, lease);
            if let Some(held) = &mut slot.held {
                held.is_orphan = !exists(&held.holder);
            }
            slot
        });
        let slots: Vec<_> = slots.collect();
        let memory = &mut agent.memory;
        let choice = memory
            .standing(&request, &slots, then)
            .and_then(|standing| memory.choose(&request, &standing, degraded, then));
        let Ok(index) = choice else {
            self.free(agent);
            return At::Rest;
        };
        let seen = leases.get(&index);
        let lease = seen.map_or_else(|| lease::new("worker", index), |(_, lease)| lease.clone());
        let lease = lease::taken(lease, &agent.name, &self.target, LASTS, self.clock(agent));
        if !self.write(index, seen.map(|(version, _)| *version), lease) {
            return At::Rest;
        }
        agent.renewed = Some(self.now());
        At::Changing(3)
    }

    /// One step of the change; the slot is renewed with each, and who has lost it stops.
    fn change(&mut self, agent: &mut Agent, left: u32) -> At {
        let ours = self.ours(agent);
        let Some((index, version, lease)) = ours else {
            agent.renewed = None;
            return At::Rest;
        };
        let target = lease::slot(index, &lease).held.unwrap().target;
        self.write(index, Some(version), lease::renewed_at(lease, self.clock(agent)));
        agent.renewed = Some(self.now());
        if left > 0 {
            return At::Changing(left - 1);
        }
        // It is reported before the slot is freed.
        if target == BAD {
            agent.degraded_on = Some(target);
        } else {
            agent.applied = target;
            agent.degraded_on = None;
        }
        self.free(agent);
        agent.renewed = None;
        At::Rest
    }

    fn ours(&self, agent: &Agent) -> Option<(u32, u64, Lease)> {
        let (index, (version, lease)) =
            self.leases.iter().find(|(_, (_, lease))| lease::holder(lease) == Some(&agent.name))?;
        Some((*index, *version, lease.clone()))
    }

    fn free(&mut self, agent: &Agent) {
        while let Some((index, version, lease)) = self.ours(agent) {
            assert!(self.write(index, Some(version), lease::freed(lease)));
        }
    }

    /// Never more nodes that may be disturbed than there are slots, and never more that a broken
    /// configuration breaks than those who stop it and those who were at it.
    fn check(&self) {
        let lasts = |since: Instant| self.now().saturating_duration_since(since) <= LASTS;
        let holders = self.agents.iter().filter(|agent| {
            agent.exists && matches!(agent.at, At::Changing(_)) && agent.renewed.is_some_and(lasts)
        });
        assert!(holders.count() <= self.limit, "more holders than slots");
        let is_broken = |a: &&Agent| a.exists && a.degraded_on.as_deref() == Some(BAD);
        let broken = self.agents.iter().filter(is_broken);
        assert!(
            broken.count() < (self.max_degraded + self.most_slots) as usize,
            "it does not stop"
        );
    }

    /// With one configuration all the time, also those count that fell silent.
    fn check_silent(&self) {
        let holders = self.agents.iter().filter(|a| a.exists && matches!(a.at, At::Changing(_)));
        assert!(holders.count() <= self.limit, "more disturbed than slots");
    }

    /// All goes well from now on, and time passes.
    fn run_on(&mut self, rounds: usize) {
        for agent in 0..self.agents.len() {
            self.run(&Op::Restart(agent));
        }
        for _ in 0..rounds {
            self.run(&Op::Pass(10));
            for agent in 0..self.agents.len() {
                self.run(&Op::Step(agent));
            }
        }
    }

    #[track_caller]
    fn all_have(&self, target: &str) {
        for agent in self.agents.iter().filter(|agent| agent.exists) {
            assert_eq!(agent.applied, target, "{} is not done", agent.name);
            assert!(self.ours(agent).is_none(), "{} keeps its slot", agent.name);
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (0..6_usize).prop_map(Op::Step),
        4 => (1..50_u64).prop_map(Op::Pass),
        1 => (0..6_usize).prop_map(Op::Crash),
        1 => (0..6_usize).prop_map(Op::Restart),
        1 => (0..6_usize).prop_map(Op::Delete),
        1 => (1..4_u32).prop_map(Op::Slots),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..200)
}

fn skews() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(prop_oneof![Just(0), -100_000..100_000_i64], 2..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens on the way, a good configuration reaches every node, and never are more
    /// nodes disturbed at once than there are slots.
    #[test]
    fn k1_a_roll_out_keeps_its_limit_and_reaches_all(
        skews in skews(), slots in 1..4_u32, ops in ops(),
    ) {
        let mut world = World::new(&skews, slots, 1, GOOD);
        for op in &ops {
            world.run(op);
            world.check_silent();
        }
        world.run_on(400);
        world.all_have(GOOD);
    }

    /// A broken one stops at the limit, and the next good one reaches every node.
    #[test]
    fn k1_a_broken_configuration_stops_and_a_good_one_passes(
        skews in skews(), slots in 1..4_u32, max_degraded in 1..3_u32, ops in ops(), more in ops(),
    ) {
        let mut world = World::new(&skews, slots, max_degraded, BAD);
        for op in &ops {
            world.run(op);
            world.check_silent();
        }
        world.run_on(50);
        world.target = GOOD.to_owned();
        for op in &more {
            world.run(op);
        }
        world.run_on(600);
        world.all_have(GOOD);
    }

    /// Who is silent for ever holds up its own configuration, and no other.
    #[test]
    fn k1_a_node_that_stays_away_holds_up_no_other_configuration(
        skews in skews(), slots in 1..4_u32, ops in ops(),
    ) {
        let mut world = World::new(&skews, slots, 1, "first");
        for op in &ops {
            world.run(op);
        }
        let is_away: Vec<_> = world.agents.iter().map(|agent| agent.has_crashed).collect();
        world.target = GOOD.to_owned();
        for _ in 0..600 {
            world.run(&Op::Pass(10));
            for (agent, _) in is_away.iter().enumerate().filter(|(_, away)| !**away) {
                world.run(&Op::Step(agent));
            }
        }
        for (agent, _) in world.agents.iter().zip(is_away).filter(|(a, away)| a.exists && !away) {
            prop_assert_eq!(&agent.applied, GOOD);
        }
    }
}
