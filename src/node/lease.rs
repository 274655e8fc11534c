//! A slot as a Lease: how one is read, taken, renewed and freed (rules K1, K5).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::slot::{Held, Slot};
use crate::model::annotations::{POOL, TARGET};

/// What the names of all slots begin with.
const PREFIX: &str = "image-config-agent-";

/// The latest `acquireTime` that the admission policy takes, at the begin of the year 2200. A slot whose holder
/// claims a later end may be taken from then on: nobody can claim one that has no end.
const LATEST_TAKEN: Timestamp = Timestamp::constant(7_258_118_400, 0);

/// The latest `renewTime` that it takes, a century later: who takes a slot at the end can still renew it.
const LATEST_RENEWED: Timestamp = Timestamp::constant(10_413_792_000, 0);

/// The name of a slot.
pub(super) fn name(pool: &str, index: u32) -> String {
    format!("{PREFIX}{pool}-{index}")
}

/// The number in the name of a slot of this pool; a number has one name alone.
pub(super) fn index(pool: &str, lease: &Lease) -> Option<u32> {
    let its = lease.metadata.name.as_deref()?;
    let index = its.strip_prefix(PREFIX)?.strip_prefix(pool)?.strip_prefix('-')?.parse().ok()?;
    (its == name(pool, index)).then_some(index)
}

/// A Lease as it is listed. Any agent may have written it: a time that cannot be read is one past all others, and what
/// cannot be read at all is no slot.
pub(super) fn read(mut object: Value) -> Option<Lease> {
    // The times in it are no business of ours, and need not be readable.
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields");
    for time in ["acquireTime", "renewTime"] {
        if let Some(time) = object.get_mut("spec").and_then(|spec| spec.get_mut(time))
            && Option::<MicroTime>::deserialize(&*time).is_err()
        {
            *time = json!(MicroTime(LATEST_RENEWED));
        }
    }
    serde_json::from_value(object).ok()
}

/// Who holds it, if anybody.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

/// What a Lease says; whether the holder's Node is deleted is not known yet.
pub(super) fn slot(index: u32, lease: &Lease) -> Slot {
    let held = holder(lease).map(|holder| Held {
        holder: holder.to_owned(),
        target: annotation(lease, TARGET).unwrap_or_default(),
        renewed: renewed(lease),
        lasts: lasts(lease).unsigned_abs(),
        is_orphan: false,
    });
    Slot { index, held }
}

fn annotation(lease: &Lease, name: &str) -> Option<String> {
    lease.metadata.annotations.as_ref()?.get(name).cloned()
}

fn renewed(lease: &Lease) -> Option<Timestamp> {
    lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0)
}

/// How long it lasts, a day at most: whoever writes more does not hold it for ever.
fn lasts(lease: &Lease) -> SignedDuration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    SignedDuration::from_secs(i64::from(seconds).clamp(0, 86_400))
}

/// A new slot, held by nobody.
pub(super) fn new(pool: &str, index: u32) -> Lease {
    let mut lease = Lease::default();
    lease.metadata.name = Some(name(pool, index));
    lease.metadata.labels = Some([(POOL.to_owned(), pool.to_owned())].into());
    lease
}

/// A slot in the hands of a node. Where it was another's, it changes hands only after that one's
/// time, also where this node's clock is behind: the admission policy asks for it, up to the latest time
/// that it takes.
pub(super) fn taken(
    mut lease: Lease,
    node: &str,
    target: &str,
    lasting: Duration,
    now: Timestamp,
) -> Lease {
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(TARGET.to_owned(), target.to_owned());
    if holder(&lease) == Some(node) {
        return renewed_at(lease, now);
    }
    let end =
        renewed(&lease).map(|renewed| renewed.saturating_add(lasts(&lease)).unwrap_or(renewed));
    let end = end.filter(|_| holder(&lease).is_some());
    let acquired = end.map_or(now, |end| end.max(now)).min(LATEST_TAKEN);
    let acquired = MicroTime(microseconds(acquired));
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: Some(i32::try_from(lasting.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: Some(acquired.clone()),
        renew_time: Some(acquired),
        lease_transitions: Some(transitions.saturating_add(1)),
        ..LeaseSpec::default()
    });
    lease
}

/// The same slot, renewed: always at another time than before, and at a later one up to the latest that the
/// admission policy takes, whatever the clock says.
pub(super) fn renewed_at(mut lease: Lease, now: Timestamp) -> Lease {
    let now = now.min(LATEST_TAKEN);
    let next = renewed(&lease).and_then(|before| {
        before.saturating_add(SignedDuration::from_micros(1)).ok().map(|next| next.max(now))
    });
    let next = next.filter(|next| *next <= LATEST_RENEWED).unwrap_or(now);
    lease.spec.get_or_insert_default().renew_time = Some(MicroTime(microseconds(next)));
    lease
}

/// The same slot, held by nobody.
pub(super) fn freed(mut lease: Lease) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    spec.acquire_time = None;
    spec.renew_time = None;
    if let Some(annotations) = &mut lease.metadata.annotations {
        annotations.remove(TARGET);
    }
    lease
}

/// The time as the API keeps it. Rounded up, so that it is not before what it must not be before.
fn microseconds(time: Timestamp) -> Timestamp {
    let whole = Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time);
    match whole < time {
        true => whole.saturating_add(SignedDuration::from_micros(1)).unwrap_or(time),
        false => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn held_by_a() -> Lease {
        taken(new("worker", 0), "a", "t1", MINUTE, at(1000))
    }

    fn acquired(lease: &Lease) -> Timestamp {
        lease.spec.as_ref().unwrap().acquire_time.as_ref().unwrap().0
    }

    #[test]
    fn k1_a_slot_changes_hands_only_after_its_holders_time_also_by_a_clock_that_is_behind() {
        let lease = renewed_at(held_by_a(), at(1030));
        assert_eq!(acquired(&taken(lease.clone(), "b", "t2", MINUTE, at(500))), at(1090));
        assert_eq!(acquired(&taken(lease.clone(), "b", "t2", MINUTE, at(2000))), at(2000));
        assert_eq!(acquired(&taken(freed(lease.clone()), "b", "t2", MINUTE, at(500))), at(500));
        // Its holder keeps it, for another configuration too.
        let again = taken(lease, "a", "t2", MINUTE, at(500));
        assert_eq!((acquired(&again), renewed(&again) > Some(at(1030))), (at(1000), true));
        let slot = slot(0, &again).held.unwrap();
        assert_eq!((slot.holder.as_str(), slot.target.as_str(), slot.lasts), ("a", "t2", MINUTE));
    }

    #[test]
    fn k1_a_renewal_is_always_a_new_one() {
        let lease = held_by_a();
        let back = renewed_at(lease.clone(), at(10));
        assert!(renewed(&back) > renewed(&lease));
        assert!(renewed(&renewed_at(back.clone(), at(10))) > renewed(&back));
    }

    /// What another agent wrote there is no reason never to take it.
    #[test]
    fn k1_a_slot_whose_holder_claims_the_end_of_time_is_taken_at_the_latest_one() {
        let listed = |time: &str| {
            let mut object = json!(held_by_a());
            object["spec"]["renewTime"] = json!(time);
            read(object).unwrap()
        };
        for last in [
            "2299-12-31T23:59:59.999999Z",
            "9999-12-30T21:59:59.999999Z",
            "9999-12-31T23:59:59.000000Z",
        ] {
            let slot = taken(listed(last), "b", "t2", MINUTE, at(2000));
            assert_eq!(acquired(&slot), LATEST_TAKEN, "{last}");
            let again = renewed_at(slot.clone(), at(2000));
            assert!(renewed(&again) > renewed(&slot), "{last}");
            // Its own, too, is renewed.
            let own = renewed_at(listed(last), at(2000));
            assert!(renewed(&own) <= Some(LATEST_RENEWED), "{last}");
            assert_ne!(renewed(&own), renewed(&listed(last)), "{last}");
        }
        // A clock that is beyond all bounds.
        let slot = taken(new("worker", 0), "b", "t", MINUTE, Timestamp::MAX);
        let again = renewed_at(slot.clone(), Timestamp::MAX);
        assert!(renewed(&again) > renewed(&slot) && renewed(&again) < Some(LATEST_RENEWED));
    }

    #[test]
    fn k1_what_cannot_be_read_at_all_is_no_slot_and_when_who_wrote_is_nobodys_business() {
        let mut object = json!(held_by_a());
        object["metadata"]["managedFields"] = json!([{"time": "9999-12-31T23:59:59Z"}]);
        assert_eq!(read(object.clone()), Some(held_by_a()));
        object["spec"]["leaseDurationSeconds"] = json!("x");
        assert_eq!(read(object), None);
        assert_eq!(read(json!({})), None);
    }

    #[test]
    fn k1_slots_of_other_pools_and_foreign_leases_are_none_of_ours() {
        let named = |name: &str| {
            let mut lease = Lease::default();
            lease.metadata.name = Some(name.to_owned());
            index("worker", &lease)
        };
        assert_eq!(named("image-config-agent-worker-12"), Some(12));
        for other in [
            "image-config-agent-worker-x",
            "image-config-agent-worker-01",
            "image-config-agent-worker2-1",
            "worker-1",
            "",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
