//! Reports to the cluster: the host's `NodeImageConfig`, an annotation on its Node, and Events.
//!
//! The reporter is a task of its own. It takes the latest status from a channel and never makes the
//! driver wait. Where the API server is away it tries again with growing waits; Events wait with
//! their times, up to a number.

mod outbox;
mod posts;
mod request;
mod writer;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::Api;
use kube::runtime::watcher::watch_object;
use tokio::sync::{mpsc, watch};

use super::{NodeImageConfig, Status};
use crate::cluster::Cluster;
use crate::waits::{backoff, jittered};
use outbox::{Done, Order, Outbox};
pub use request::{FIELD_MANAGER, ReportError};
use writer::Writer;

/// How long one round of requests may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A watch that lasted for so long did not fail at once.
const LASTING: Duration = Duration::from_secs(30);

/// How long the last report may take when the agent stops.
const LAST_DEADLINE: Duration = Duration::from_secs(5);

/// The reporter of one node.
pub struct Reporter {
    /// The way to the API server.
    pub cluster: Arc<Cluster>,
    /// The name of the Node.
    pub node: String,
    /// What the agent says; the reporter ends when its sender is gone.
    pub statuses: watch::Receiver<Option<Status>>,
    /// Gets the request to try again that somebody wrote into `spec.retry` and that was not obeyed
    /// yet. The driver obeys as it does for `retry`, and then says it in [`super::NodeState::retried`].
    pub retry: watch::Sender<Option<String>>,
    /// Gets why the cluster is not told all at present, if it is not.
    pub trouble: watch::Sender<Option<String>>,
}

/// A round of requests that is under way, with the writer that it gives back.
type Round = Pin<Box<dyn Future<Output = (Writer, Done)> + Send>>;

impl Reporter {
    /// Reports until the sender of statuses is gone.
    pub async fn run(mut self) {
        let mut outbox = Outbox::default();
        let mut writer = Some(Writer::new(self.cluster.clone(), self.node.clone()));
        let mut round: Option<Round> = None;
        let (see, mut seen) = mpsc::channel(1);
        let mut following = pin!(follow(self.cluster.clone(), self.node.clone(), see));
        // It may take over from another one, which was told all of that.
        self.take(&mut outbox);
        loop {
            let now = Instant::now();
            if outbox.due().is_some_and(|due| due <= now)
                && let Some(free) = writer.take()
            {
                round = Some(Box::pin(work(free, outbox.order(now), DEADLINE)));
            }
            tokio::select! {
                changed = self.statuses.changed() => match changed {
                    Ok(()) => self.take(&mut outbox),
                    Err(_) => break,
                },
                Some(object) = seen.recv() => outbox.see(object.as_ref(), Instant::now()),
                () = &mut following => {}
                (free, done) = ended(&mut round) => {
                    writer = Some(free);
                    round = None;
                    self.settle(&mut outbox, done);
                }
                () = sleep(outbox.due()), if writer.is_some() => {}
            }
            self.tell_retry(&outbox);
        }
        self.take(&mut outbox);
        self.finish(outbox, writer, round).await;
    }

    /// Says the last word, if that goes quickly.
    async fn finish(&self, mut outbox: Outbox, mut writer: Option<Writer>, round: Option<Round>) {
        if let Some(round) = round
            && let Ok((free, done)) = tokio::time::timeout(LAST_DEADLINE, round).await
        {
            writer = Some(free);
            self.settle(&mut outbox, done);
        }
        if let Some(writer) = writer {
            work(writer, outbox.order(Instant::now()), LAST_DEADLINE).await;
        }
    }

    fn take(&mut self, outbox: &mut Outbox) {
        if let Some(status) = self.statuses.borrow_and_update().clone() {
            outbox.take(status, Instant::now());
        }
    }

    fn settle(&self, outbox: &mut Outbox, done: Done) {
        let trouble = done.error.as_ref().or(done.unposted.as_ref()).map(ToString::to_string);
        if let Some(why) = &trouble {
            tracing::warn!("the cluster could not be told: {why}");
        }
        outbox.settle(done, Instant::now());
        self.trouble.send_if_modified(|old| std::mem::replace(old, trouble.clone()) != trouble);
    }

    fn tell_retry(&self, outbox: &Outbox) {
        let wanted = outbox.wanted_retry();
        self.retry.send_if_modified(|old| std::mem::replace(old, wanted.clone()) != wanted);
    }
}

/// Tells the cluster, for so long at most.
async fn work(mut writer: Writer, order: Order, deadline: Duration) -> (Writer, Done) {
    let done = writer.work(order, Instant::now() + deadline).await;
    (writer, done)
}

/// The end of a round; never, where none is under way.
async fn ended(round: &mut Option<Round>) -> (Writer, Done) {
    match round {
        Some(round) => round.await,
        None => std::future::pending().await,
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

/// Watches the object of a node; none: it does not exist. Never ends while somebody takes it.
async fn follow(cluster: Arc<Cluster>, node: String, see: mpsc::Sender<Option<NodeImageConfig>>) {
    let mut failures = 0;
    loop {
        let start = Instant::now();
        if let Ok(client) = cluster.client().await {
            let mut objects = pin!(watch_object(Api::<NodeImageConfig>::all(client), &node));
            while let Some(seen) = objects.next().await {
                let Ok(object) = seen else { break };
                if see.send(object).await.is_err() {
                    return;
                }
            }
        }
        if start.elapsed() >= LASTING {
            failures = 0;
        }
        tokio::time::sleep(jittered(backoff(failures))).await;
        failures = failures.saturating_add(1);
    }
}
