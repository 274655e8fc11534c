//! What the cluster is still to be told, and when: values and times alone, no IO.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::request::ReportError;
use crate::report::events::{About, Said, events};
use crate::report::node_status::Spec;
use crate::report::{NodeImageConfig, NodeImageConfigStatus, Status};
use crate::waits::{backoff, jittered};

/// What was said is written again after so long, and up to a fifth more, although nothing has
/// changed: 5,000 nodes are 15 writes a second.
const HEARTBEAT: Duration = Duration::from_secs(300);

/// Statuses that follow each other within this time are written as one.
const QUIET: Duration = Duration::from_millis(200);

/// How soon a round may follow another one.
const PACE: Duration = Duration::from_secs(1);

/// Every host has the same to say of the documents, so each waits up to so long for another one to
/// say it.
const POLITENESS: Duration = Duration::from_secs(5);

/// The longest wait until a status is tried again: the cluster is to know that a node is degraded while
/// that node still keeps its slot (rule K1).
const LONGEST: Duration = Duration::from_secs(60);

/// How many Events wait at most; the oldest go first.
const MOST_EVENTS: usize = 64;

/// What one round of requests is to say.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// The status.
    pub status: Option<Status>,
    /// What the object says, as far as it is known.
    pub spec: Spec,
    /// What happened to the Node.
    pub on_node: Vec<Said>,
    /// What is to be said of the documents.
    pub on_image: Vec<Said>,
}

/// What came of a round of requests.
#[derive(Debug, Default)]
pub struct Done {
    /// The object, as the API server has it now.
    pub object: Option<NodeImageConfig>,
    /// What of the order was not said.
    pub left: Order,
    /// Why the status was not said.
    pub error: Option<ReportError>,
    /// Why the Events were not. They are no reason for the status to wait.
    pub unposted: Option<ReportError>,
}

/// What is still to be said.
#[derive(Default)]
pub struct Outbox {
    status: Option<Status>,
    on_node: Vec<Said>,
    on_image: Vec<Said>,
    /// When the next round is due; none before there is a status.
    next: Option<Instant>,
    /// What is to be said of the documents waits until then.
    polite_until: Option<Instant>,
    /// Events wait until then, because the last ones could not be posted.
    post_from: Option<Instant>,
    /// How often in a row they could not.
    unposted: u32,
    /// When the round before ended.
    last: Option<Instant>,
    /// How often in a row the status could not be said.
    failures: u32,
    spec: Spec,
    /// What `spec.retry` asks for.
    asked: Option<String>,
}

impl Outbox {
    /// Takes a newer status.
    pub fn take(&mut self, status: Status, now: Instant) {
        let (of_image, of_node): (Vec<_>, Vec<_>) = events(self.status.as_ref(), &status)
            .into_iter()
            .partition(|said| said.about == About::Image);
        let is_news = !of_node.is_empty() || self.is_news(&status);
        self.on_node.extend(of_node);
        let too_many = self.on_node.len().saturating_sub(MOST_EVENTS);
        self.on_node.drain(..too_many);
        if !of_image.is_empty() {
            // What was said of earlier documents nobody needs any more.
            self.on_image = of_image;
            let polite_until = now + POLITENESS.mul_f64(fastrand::f64());
            self.polite_until = Some(polite_until);
            self.tell_by(polite_until, now);
        }
        self.status = Some(status);
        if is_news {
            self.tell_by(now, now);
        }
    }

    /// Whether the cluster would see a difference that matters. What a node waits for, and until when, is
    /// another at each try: of that the heartbeat tells, or a roll-out of thousands would be all reports.
    fn is_news(&self, status: &Status) -> bool {
        let of = |status| {
            let said = NodeImageConfigStatus::of(status, &self.spec, Timestamp::UNIX_EPOCH);
            let mut said = NodeImageConfigStatus { waiting: None, ..said };
            let waits = said.conditions.iter_mut().filter(|said| said.reason == "WaitingForSlot");
            waits.for_each(|said| said.message.clear());
            said
        };
        self.status.as_ref().is_none_or(|old| of(old) != of(status))
    }

    /// Has the next round at `time`, or sooner: but not too soon after the one before, and after
    /// one that failed not before its wait is over. What comes while a round is under way follows it.
    fn tell_by(&mut self, time: Instant, now: Instant) {
        let is_backing_off = self.failures > 0 && self.next.is_some();
        if is_backing_off {
            return;
        }
        let paced = self.last.map_or(now, |last| last + PACE);
        let time = time.max(paced).max(now + QUIET);
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }

    /// Takes the object as the cluster has it now; none: somebody deleted it.
    pub fn see(&mut self, object: Option<&NodeImageConfig>, now: Instant) {
        let spec = object.map(Spec::of).unwrap_or_default();
        if self.status.is_some() && spec.generation != self.spec.generation {
            self.tell_by(now, now);
        }
        self.spec = spec;
        self.asked = object.and_then(|object| object.spec.retry.clone());
    }

    /// The request to try again that nobody has obeyed yet.
    pub fn wanted_retry(&self) -> Option<String> {
        let node = self.status.as_ref().and_then(|status| status.node.as_ref());
        let obeyed = [node.and_then(|node| node.retried.as_ref()), self.spec.retried.as_ref()];
        self.asked.clone().filter(|asked| !obeyed.contains(&Some(asked)))
    }

    /// When the next round is due.
    pub fn due(&self) -> Option<Instant> {
        self.next
    }

    /// What a round says that begins now.
    pub fn order(&mut self, now: Instant) -> Order {
        self.next = None;
        let is_past = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        let mut order =
            Order { status: self.status.clone(), spec: self.spec.clone(), ..Order::default() };
        if is_past(self.post_from) {
            order.on_node = std::mem::take(&mut self.on_node);
            if is_past(self.polite_until) {
                order.on_image = std::mem::take(&mut self.on_image);
            }
        }
        order
    }

    /// Takes what came of a round.
    pub fn settle(&mut self, done: Done, now: Instant) {
        self.on_node.splice(..0, done.left.on_node);
        if self.on_image.is_empty() {
            self.on_image = done.left.on_image;
        }
        if let Some(object) = &done.object {
            self.spec = Spec::of(object);
            self.asked = object.spec.retry.clone();
        }
        self.last = Some(now);
        match done.unposted {
            Some(_) if done.error.is_some() => {}
            Some(_) => {
                self.post_from = Some(now + jittered(backoff(self.unposted)));
                self.unposted = self.unposted.saturating_add(1);
            }
            None if self.post_from.is_none_or(|from| from <= now) => {
                (self.post_from, self.unposted) = (None, 0);
            }
            None => {}
        }
        if done.error.is_some() {
            self.next = Some(now + jittered(backoff(self.failures).min(LONGEST)));
            self.failures = self.failures.saturating_add(1);
            return;
        }
        self.failures = 0;
        let heartbeat = now + jittered(HEARTBEAT);
        let news = self.next.map(|next| next.max(now + PACE));
        let of_node = self.post_from.filter(|_| !self.on_node.is_empty());
        let of_image = self.polite_until.max(self.post_from).filter(|_| !self.on_image.is_empty());
        self.next = [Some(heartbeat), news, of_node, of_image].into_iter().flatten().min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Finding, Origin, Severity};
    use crate::report::node_status::tests::status;
    use crate::report::{NodeState, Waiting};

    const SECOND: Duration = Duration::from_secs(1);

    fn failed() -> Done {
        Done { error: Some(ReportError::NoKind), ..Done::default() }
    }

    /// An outbox whose one status was written at `now`.
    fn told(now: Instant) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.take(status(), now);
        outbox.order(now);
        outbox.settle(Done::default(), now);
        outbox
    }

    fn with_slot() -> Status {
        Status { node: Some(NodeState { has_slot: true, ..NodeState::default() }), ..status() }
    }

    #[test]
    fn k1_a_heartbeat_is_slow_and_not_in_step() {
        let now = Instant::now();
        assert_eq!(Outbox::default().due(), None);
        let beats: Vec<Duration> =
            (0..20).map(|_| told(now).due().unwrap().duration_since(now)).collect();
        assert!(beats.iter().all(|beat| (HEARTBEAT..=HEARTBEAT * 6 / 5).contains(beat)));
        assert!(beats.iter().any(|beat| *beat != beats[0]));
    }

    #[test]
    fn k1_news_is_told_soon_and_nothing_new_is_not() {
        let now = Instant::now();
        let mut outbox = told(now);
        outbox.take(Status { pid: 7, written: Timestamp::now(), ..status() }, now);
        assert!(outbox.due().unwrap() > now + 10 * SECOND);
        outbox.take(with_slot(), now);
        assert_eq!(outbox.due(), Some(now + PACE));
        // More of it changes nothing about when.
        outbox.take(Status { phase: "Changing".to_owned(), ..with_slot() }, now + SECOND / 2);
        assert_eq!(outbox.due(), Some(now + PACE));
        let order = outbox.order(now + PACE);
        assert_eq!(order.status.unwrap().phase, "Changing");
        assert_eq!(order.on_node.len(), 1);
    }

    /// Thousands of nodes wait for a slot, and each try ends with another word for it.
    #[test]
    fn k1_what_is_waited_for_and_until_when_is_no_news() {
        let now = Instant::now();
        let waits = |until: i64, holder: &str| {
            let mut status = status();
            let until = Timestamp::from_second(until).unwrap();
            status.waiting = Some(Waiting { what: holder.to_owned(), until });
            let applied = status.conditions.iter_mut().find(|one| one.kind == "Applied").unwrap();
            applied.reason = "WaitingForSlot".to_owned();
            applied.message = holder.to_owned();
            status
        };
        let mut outbox = told(now);
        outbox.take(waits(1, "the slot is that of a"), now);
        assert_eq!(outbox.due(), Some(now + PACE), "that it waits at all is news");
        outbox.order(now);
        outbox.settle(Done::default(), now);
        outbox.take(waits(2, "the slot is that of b"), now);
        assert!(outbox.due().unwrap() > now + 10 * SECOND);
    }

    /// Whatever comes in between, a failed round is tried again when its growing wait is over.
    #[test]
    fn h13_a_failed_round_is_tried_again_with_growing_waits() {
        let mut now = Instant::now();
        let mut outbox = told(now);
        for failures in 0..8 {
            outbox.order(now);
            outbox.settle(failed(), now);
            outbox.take(if failures % 2 == 0 { with_slot() } else { status() }, now);
            let wait = outbox.due().unwrap().duration_since(now);
            let expected = backoff(failures).min(LONGEST);
            assert!((expected..=expected * 6 / 5).contains(&wait), "{failures}: {wait:?}");
            now += wait;
        }
        outbox.order(now);
        outbox.settle(Done::default(), now);
        assert!(outbox.due().unwrap() > now + 200 * SECOND);
    }

    #[test]
    fn h13_news_that_comes_while_a_failed_round_is_tried_again_follows_it() {
        let now = Instant::now();
        let mut outbox = told(now);
        outbox.order(now);
        outbox.settle(failed(), now);
        let again = outbox.due().unwrap();
        outbox.order(again);
        outbox.take(with_slot(), again);
        outbox.settle(Done::default(), again);
        assert_eq!(outbox.due(), Some(again + PACE));
        // Where the second try fails too, its wait is the one that counts.
        let mut outbox = told(now);
        outbox.order(now);
        outbox.settle(failed(), now);
        outbox.order(again);
        outbox.take(with_slot(), again);
        outbox.settle(failed(), again);
        assert!(outbox.due().unwrap() >= again + backoff(1));
    }

    /// An API server that takes no Events, as with too many of them, is told the status all the same.
    #[test]
    fn k1_events_that_cannot_be_posted_keep_no_status_waiting() {
        let mut now = Instant::now();
        let mut outbox = told(now);
        outbox.take(with_slot(), now);
        for failures in 0..8 {
            now = outbox.due().unwrap();
            let order = outbox.order(now);
            assert_eq!(order.on_node.len(), if failures == 0 { 1 } else { 2 });
            let unposted = Some(ReportError::NoKind);
            outbox.settle(Done { left: order, unposted, ..Done::default() }, now);
            if failures == 0 {
                outbox.take(status(), now);
                assert_eq!(outbox.due(), Some(now + PACE));
                let order = outbox.order(now + PACE);
                assert!(order.status.is_some() && order.on_node.is_empty());
                outbox.settle(Done::default(), now + PACE);
            }
            let wait = outbox.due().unwrap().duration_since(now);
            let (least, most) = (backoff(failures), backoff(failures) * 6 / 5);
            assert!((least..=most).contains(&wait), "{failures}: {wait:?}");
        }
        now = outbox.due().unwrap();
        outbox.order(now);
        outbox.settle(Done::default(), now);
        assert!(outbox.due().unwrap() >= now + HEARTBEAT);
        outbox.take(with_slot(), now);
        assert_eq!(outbox.order(now + PACE).on_node.len(), 1, "they are posted at once again");
    }

    #[test]
    fn h13_what_was_not_said_waits_in_its_order_up_to_a_number() {
        let now = Instant::now();
        let mut outbox = told(now);
        outbox.take(with_slot(), now);
        let order = outbox.order(now);
        outbox.take(status(), now);
        outbox.settle(Done { left: order, ..failed() }, now);
        let reasons = |outbox: &Outbox| -> Vec<String> {
            outbox.on_node.iter().map(|said| said.reason.clone()).collect()
        };
        assert_eq!(reasons(&outbox), ["SlotTaken", "SlotFreed"]);
        for index in 0..MOST_EVENTS {
            outbox.take(if index % 2 == 0 { with_slot() } else { status() }, now);
        }
        assert_eq!(outbox.on_node.len(), MOST_EVENTS);
        assert_eq!(reasons(&outbox)[0], "SlotTaken");
    }

    /// Everybody has the same to say of the documents: nobody says it at once.
    #[test]
    fn k1_what_is_said_of_documents_waits_for_others() {
        let now = Instant::now();
        let mut outbox = told(now);
        let origin = Origin::object("Image/cluster");
        let finding = Finding::new(Severity::Error, "BothLists", origin, "why", "fix");
        outbox.take(Status { findings: vec![finding], ..status() }, now);
        let polite_until = outbox.polite_until.unwrap();
        assert!(polite_until <= now + POLITENESS);
        // The count of findings is news of this node.
        assert_eq!(outbox.due(), Some((now + PACE).min(polite_until.max(now + PACE))));
        outbox.polite_until = Some(now + POLITENESS);
        assert_eq!(outbox.order(now + PACE).on_image.len(), 0);
        outbox.settle(Done::default(), now + PACE);
        assert_eq!(outbox.due(), Some(now + POLITENESS));
        assert_eq!(outbox.order(now + POLITENESS).on_image.len(), 1);
    }

    fn object(generation: i64, retry: Option<&str>) -> NodeImageConfig {
        let retry = retry.map(str::to_owned);
        let mut object = NodeImageConfig::new("n", crate::report::NodeImageConfigSpec { retry });
        object.metadata.generation = Some(generation);
        object
    }

    #[test]
    fn k1_a_request_to_try_again_is_passed_on_until_it_is_obeyed() {
        let now = Instant::now();
        let mut outbox = told(now);
        assert_eq!(outbox.wanted_retry(), None);
        outbox.see(Some(&object(2, Some("x"))), now);
        assert_eq!(outbox.wanted_retry().as_deref(), Some("x"));
        // That it was seen is told.
        assert_eq!(outbox.due(), Some(now + PACE));
        let node = Some(NodeState { retried: Some("x".to_owned()), ..NodeState::default() });
        outbox.take(Status { node, ..status() }, now);
        assert_eq!(outbox.wanted_retry(), None);
        outbox.see(Some(&object(3, Some("y"))), now);
        assert_eq!(outbox.wanted_retry().as_deref(), Some("y"));
    }

    /// What an earlier process obeyed is not obeyed again.
    #[test]
    fn k1_a_request_of_before_the_start_is_not_obeyed_twice() {
        let now = Instant::now();
        let mut object = object(2, Some("x"));
        let spec = Spec { generation: Some(2), retried: Some("x".to_owned()) };
        object.status = Some(NodeImageConfigStatus::of(&status(), &spec, Timestamp::now()));
        let mut outbox = Outbox::default();
        outbox.see(Some(&object), now);
        assert_eq!(outbox.wanted_retry(), None);
    }

    #[test]
    fn k1_an_object_that_was_deleted_is_written_again() {
        let now = Instant::now();
        let mut outbox = told(now);
        outbox.see(Some(&object(1, None)), now);
        outbox.order(now);
        outbox.settle(Done { object: Some(object(1, None)), ..Done::default() }, now);
        outbox.see(Some(&object(1, None)), now);
        assert!(outbox.due().unwrap() > now + 10 * SECOND);
        outbox.see(None, now);
        assert_eq!(outbox.due(), Some(now + PACE));
    }
}
