//! Taking, renewing and freeing a slot of the roll-out (rule K1).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::{Api, Resource as _};

use super::lease;
use super::pool::{Amount, CONTROL_PLANE, Labels, Pool};
use super::slot::{Degraded, Memory, Request, Slot, Standing};
use super::{Node, NodeError};
use crate::model::annotations::POOL;
use crate::report::NodeImageConfig;

/// Of at most so many holders one attempt asks whether their Nodes still exist, those first that have shown no life
/// for longest. Whoever waits asks so, and in a large pool that are many; the agent of a Node that is gone renews
/// nothing, so that it is among them soon.
const HOLDERS_ASKED: usize = 3;

/// How many objects one request lists.
const PAGE: u32 = 500;

/// For how long a count of the pool's nodes serves.
const COUNT_SERVES: Duration = Duration::from_secs(600);

/// How often a slot is written anew because somebody else was quicker.
const TRIES: u32 = 3;

/// What a slot is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The configuration to take, by the digest without CAs (rule D7).
    pub target: String,
    /// Whether too many degraded nodes stop it: not a rollback, nor a retry.
    pub obeys_brake: bool,
    /// Whether this node is Degraded on another configuration: then it goes first.
    pub is_degraded_here: bool,
}

/// What became of the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The slot is this node's.
    Taken,
    /// Not now, and why.
    NotYet(String),
}

/// What this node remembers of the slots between its attempts.
#[derive(Debug, Default)]
pub(super) struct Watched {
    memory: Mutex<Memory>,
    /// The node's pool, when it was looked at last.
    pool: Mutex<Option<Pool>>,
    /// How many nodes the pool has, and when they were counted.
    count: Mutex<Option<(Pool, Instant, u32)>>,
}

impl Node {
    /// One attempt to take a slot of the roll-out.
    ///
    /// # Errors
    /// The API server cannot be asked, or this node does not exist.
    pub async fn claim(&self, claim: &Claim) -> Result<Claimed, NodeError> {
        let (pool, _) = self.look().await?;
        let name = pool.name();
        let request = self.request(claim, &pool).await?;
        let leases = self.slots(&name).await?;
        let now = Instant::now();
        let slots = self.without_orphans(&leases, now).await?;
        let standing = locked(&self.watched.memory).standing(&request, &slots, now);
        let choice = match standing {
            Ok(standing) => {
                let degraded = self.degraded(&pool, &request.target).await?;
                self.choose(&request, &standing, &degraded, now)
            }
            Err(why) => Err(why),
        };
        let index = match choice {
            Ok(index) => index,
            Err(why) => {
                // One of an earlier attempt would fall silent in our hands.
                if leases.values().any(|lease| lease::holder(lease) == Some(&self.name)) {
                    self.free().await?;
                }
                return Ok(Claimed::NotYet(why));
            }
        };
        match self.take(&name, index, leases.get(&index), &request.target).await {
            Ok(()) => Ok(Claimed::Taken),
            Err(NodeError::Conflict { .. }) => Ok(Claimed::NotYet(
                "another node was quicker; there may be another slot".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    /// Renews the slot; false: it is no longer this node's.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn renew(&self) -> Result<bool, NodeError> {
        let mut tries = 1;
        loop {
            let renewed = self.ours().await?.into_iter();
            let renewed: Vec<_> =
                renewed.map(|lease| lease::renewed_at(lease, Timestamp::now())).collect();
            match try_join_all(renewed.iter().map(|lease| self.replace(lease))).await {
                // It was written to since it was read, by another task of this agent or by somebody else:
                // a new look tells whose it is.
                Err(NodeError::Conflict { .. } | NodeError::Absent { .. }) if tries < TRIES => {
                    tries += 1;
                }
                Ok(_) => return Ok(!renewed.is_empty()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Frees the slot, if this node has one.
    ///
    /// # Errors
    /// The API server does not do it.
    pub async fn free(&self) -> Result<(), NodeError> {
        let mut tries = 1;
        loop {
            let frees = self.ours().await?.into_iter().map(lease::freed);
            let frees: Vec<_> = frees.collect();
            match try_join_all(frees.iter().map(|lease| self.replace(lease))).await {
                Err(NodeError::Conflict { .. } | NodeError::Absent { .. }) if tries < TRIES => {
                    tries += 1;
                }
                result => return result.map(drop),
            }
        }
    }

    /// Whether this node's NodeImageConfig says that it is Degraded: others go by that (rule K1).
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn says_degraded(&self) -> Result<bool, NodeError> {
        let api: Api<NodeImageConfig> = Api::all(self.client.clone());
        let object = api.get(&self.name).await;
        let object = object.map_err(NodeError::of(format!("NodeImageConfig {}", self.name)))?;
        Ok(object.status.is_some_and(|status| status.degraded_on.is_some()))
    }

    /// The name of the pool that this node belonged to when its labels were read last; empty before.
    #[must_use]
    pub fn pool(&self) -> String {
        locked(&self.watched.pool).as_ref().map(Pool::name).unwrap_or_default()
    }

    /// How often a slot is to be renewed.
    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.settings.lease / 3
    }

    /// Reads this node's labels and annotations, and remembers the pool.
    pub(super) async fn look(&self) -> Result<(Pool, Labels), NodeError> {
        let object = self.nodes().get_metadata(&self.name).await;
        let metadata = object.map_err(NodeError::of(self.object_name()))?.metadata;
        let labels = metadata.labels.unwrap_or_default();
        let pool = Pool::of(&labels, self.settings.pool.as_ref());
        *locked(&self.watched.pool) = Some(pool.clone());
        Ok((pool, metadata.annotations.unwrap_or_default()))
    }

    async fn request(&self, claim: &Claim, pool: &Pool) -> Result<Request, NodeError> {
        let slots = match self.settings.max_unavailable {
            Amount::Nodes(nodes) => nodes,
            share @ Amount::Percent(_) => share.of(self.count(pool).await?),
        };
        Ok(Request {
            node: self.name.clone(),
            target: claim.target.clone(),
            obeys_brake: claim.obeys_brake,
            is_degraded_here: claim.is_degraded_here,
            slots,
            max_degraded: self.settings.max_degraded,
            patience: self.settings.lease,
        })
    }

    fn choose(
        &self,
        request: &Request,
        standing: &Standing,
        degraded: &[Degraded],
        now: Instant,
    ) -> Result<u32, String> {
        locked(&self.watched.memory).choose(request, standing, degraded, now)
    }

    /// The Leases of the pool by number, as they are now: an old list would let two nodes count on
    /// one slot.
    async fn slots(&self, pool: &str) -> Result<BTreeMap<u32, Lease>, NodeError> {
        let list = self.list(&format!("{POOL}={pool}")).await?;
        let slots = list.into_iter().filter_map(|lease| Some((lease::index(pool, &lease)?, lease)));
        Ok(slots.collect())
    }

    /// The Leases that this node holds, of whatever pool: its labels may have changed.
    async fn ours(&self) -> Result<Vec<Lease>, NodeError> {
        let mut ours = self.list(POOL).await?;
        ours.retain(|lease| lease::holder(lease) == Some(self.name.as_str()));
        Ok(ours)
    }

    /// Each is read by itself: one that somebody has made unreadable keeps nobody from the others.
    async fn list(&self, labels: &str) -> Result<Vec<Lease>, NodeError> {
        let mut page = ListParams::default().labels(labels).limit(PAGE);
        let mut leases = Vec::new();
        let path = Lease::url_path(&(), Some(&self.settings.namespace));
        loop {
            let list = self.list_of(&path, &page).await;
            let list = list.map_err(NodeError::of(self.leases_name()))?;
            leases.extend(list.items.into_iter().filter_map(lease::read));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => return Ok(leases),
            }
        }
    }

    /// The slots, with what is known of the Nodes of those who hold them.
    async fn without_orphans(
        &self,
        leases: &BTreeMap<u32, Lease>,
        now: Instant,
    ) -> Result<Vec<Slot>, NodeError> {
        let mut slots: Vec<_> =
            leases.iter().map(|(index, lease)| lease::slot(*index, lease)).collect();
        {
            let mut memory = locked(&self.watched.memory);
            slots.sort_by_cached_key(|slot| {
                let held = slot.held.as_ref().filter(|held| held.holder != self.name);
                Reverse(held.map(|held| memory.unchanged(slot.index, held, now)))
            });
        }
        let held = slots.iter_mut().filter_map(|slot| slot.held.as_mut());
        let others = held.filter(|held| held.holder != self.name).take(HOLDERS_ASKED);
        try_join_all(others.map(|held| async {
            held.is_orphan = self.labels_of(&held.holder).await?.is_none();
            Ok(())
        }))
        .await?;
        Ok(slots)
    }

    async fn take(
        &self,
        pool: &str,
        index: u32,
        lease: Option<&Lease>,
        target: &str,
    ) -> Result<(), NodeError> {
        let is_new = lease.is_none();
        let lease = lease.cloned().unwrap_or_else(|| lease::new(pool, index));
        let lease = lease::taken(lease, &self.name, target, self.settings.lease, Timestamp::now());
        if !is_new {
            return self.replace(&lease).await;
        }
        let created = self.leases().create(&PostParams::default(), &lease).await;
        created.map(drop).map_err(NodeError::of(self.lease_name(&lease)))
    }

    /// Writes a Lease in place of the version that was read; of any other it is refused.
    async fn replace(&self, lease: &Lease) -> Result<(), NodeError> {
        let name = lease.metadata.name.as_deref().unwrap_or_default();
        let replaced = self.leases().replace(name, &PostParams::default(), lease).await;
        replaced.map(drop).map_err(NodeError::of(self.lease_name(lease)))
    }

    /// How many nodes the pool has, as of some minutes ago.
    async fn count(&self, pool: &Pool) -> Result<u32, NodeError> {
        if let Some((known, when, count)) = &*locked(&self.watched.count)
            && known == pool
            && when.elapsed() < COUNT_SERVES
        {
            return Ok(*count);
        }
        let control_plane = self.count_of(Some(CONTROL_PLANE)).await?;
        let selected = match &self.settings.pool {
            Some(selector) if *pool != Pool::ControlPlane => {
                self.count_of(Some(&format!("{selector},!{CONTROL_PLANE}"))).await?
            }
            _ => 0,
        };
        let count = match pool {
            Pool::ControlPlane => control_plane,
            Pool::Selected(_) => selected,
            Pool::Workers => {
                let all = self.count_of(None).await?;
                all.saturating_sub(control_plane).saturating_sub(selected)
            }
        };
        *locked(&self.watched.count) = Some((pool.clone(), Instant::now(), count));
        Ok(count)
    }

    /// How many nodes have these labels. Of all nodes the API server says how many more there are
    /// than the one it is asked for.
    async fn count_of(&self, labels: Option<&str>) -> Result<u32, NodeError> {
        let mut page = match labels {
            Some(labels) => ListParams::default().labels(labels).limit(PAGE),
            None => ListParams::default().limit(1),
        };
        let mut count = 0_usize;
        loop {
            let list = self.list_of_nodes(&page).await?;
            count = count.saturating_add(list.items.len());
            let more =
                list.metadata.remaining_item_count.and_then(|more| usize::try_from(more).ok());
            let token = list.metadata.continue_.filter(|token| !token.is_empty());
            match (more, token) {
                (None, Some(token)) => page.continue_token = Some(token),
                (more, _) => {
                    let count = count.saturating_add(more.unwrap_or(0));
                    return Ok(u32::try_from(count).unwrap_or(u32::MAX));
                }
            }
        }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.settings.namespace)
    }

    fn leases_name(&self) -> String {
        format!("the Leases of namespace {}", self.settings.namespace)
    }

    fn lease_name(&self, lease: &Lease) -> String {
        let name = lease.metadata.name.as_deref().unwrap_or_default();
        format!("Lease {}/{name}", self.settings.namespace)
    }
}

/// What a lock guards is whole even where a task was ended while it held it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
