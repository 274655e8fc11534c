//! Documents from a cluster's API: its objects are watched, and given on as the files that they would
//! be (rules D5, D7).
//!
//! Each kind has a task of its own that watches it (`watch`); `seen` says, as a pure value, what
//! all of them together mean; the loop here waits until it is quiet and gives that on.

mod kinds;
mod object;
mod seen;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch as readings};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::store::{Kept, Store};
use super::{Reading, Trouble};
use crate::apply::ApplyError;
use crate::cluster::Cluster;
use crate::decode::SourceFile;
use crate::settings::{Kube, OnMissing, Settings};
use kinds::{Kind, Target};
use seen::{Given, News, Seen};
use watch::Watch;

/// Objects that keep changing are given on after so many quiet times at the latest.
const MOST_QUIET: u32 = 10;

/// When what could not be kept on disk is written once more.
const KEEP_AGAIN: Duration = Duration::from_secs(60);

/// What a cluster is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    kube: Kube,
    /// Where the ConfigMap of trusted CAs lives.
    namespace: String,
    quiet: Duration,
}

impl Options {
    /// What the settings ask for.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            kube: settings.kube.clone(),
            namespace: settings.trusted_ca_namespace.clone(),
            quiet: settings.quiet,
        }
    }

    /// Where the cluster is: the file that says so, or that the agent runs in it.
    #[must_use]
    pub fn origin(&self) -> String {
        let file = self.kube.kubeconfig.as_ref();
        file.map_or_else(|| "the cluster of this pod".into(), |path| path.display().to_string())
    }

    /// The kinds that are watched from the start; trusted CAs are once an Image names them.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds =
            vec![Kind::Image, Kind::DigestMirrors, Kind::TagMirrors, Kind::ContentPolicies];
        kinds.extend(self.kube.takes_release_image.then_some(Kind::ClusterVersion));
        kinds
    }
}

/// Follows a cluster for ever. What was kept of it before is given at once.
pub async fn follow(
    options: Options,
    store: Store,
    kept: Option<Kept>,
    readings: readings::Sender<Reading>,
) {
    let kept = kept.map(|kept| Arc::new(kept.documents));
    // It may have lasted since before a restart.
    let trouble = Trouble::not_asked().after(readings.borrow().trouble.as_ref());
    let trouble = Some(trouble);
    readings.send_replace(Reading { documents: kept.clone(), trouble, ..Reading::default() });
    let cluster = Arc::new(Cluster::new(options.kube.kubeconfig.clone()));
    let (news, incoming) = mpsc::channel(16);
    let seen = Seen::new(options.kinds(), options.kube.on_missing, kept.clone());
    let mut following = Following {
        options,
        cluster,
        store,
        readings,
        seen,
        kept,
        tasks: JoinSet::new(),
        news,
        ca: None,
    };
    for kind in following.options.kinds() {
        following.watch(Target::custom(kind));
    }
    following.run(incoming).await;
}

struct Following {
    options: Options,
    cluster: Arc<Cluster>,
    store: Store,
    readings: readings::Sender<Reading>,
    seen: Seen,
    /// What is on disk.
    kept: Option<Arc<Vec<SourceFile>>>,
    /// They end with this value.
    tasks: JoinSet<()>,
    news: mpsc::Sender<(Target, News)>,
    /// The trusted CAs that are watched.
    ca: Option<(Target, AbortHandle)>,
}

impl Following {
    fn watch(&mut self, target: Target) -> AbortHandle {
        // Those that were given up are forgotten.
        while self.tasks.try_join_next().is_some() {}
        let (cluster, news) = (self.cluster.clone(), self.news.clone());
        self.tasks.spawn(Watch::new(cluster, target, news).run())
    }

    async fn run(mut self, mut incoming: mpsc::Receiver<(Target, News)>) {
        // When to give on what was seen, and when at the latest.
        let mut due: Option<(Instant, Instant)> = None;
        loop {
            let quiet = async {
                match due {
                    Some((at, latest)) => tokio::time::sleep_until(at.min(latest)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((target, news)) = incoming.recv() => {
                    if self.take(&target, news) {
                        let now = Instant::now();
                        let latest = due.map_or(now + self.options.quiet * MOST_QUIET, |due| due.1);
                        due = Some((now + self.options.quiet, latest));
                    }
                }
                () = quiet => {
                    let later = Instant::now() + KEEP_AGAIN;
                    due = (!self.give()).then_some((later, later));
                }
            }
        }
    }

    /// Takes news over, and watches the trusted CAs that the Image then names; false where they are
    /// of CAs that it names no more.
    fn take(&mut self, target: &Target, news: News) -> bool {
        if target.kind == Kind::TrustedCa && self.ca.as_ref().is_none_or(|(ca, _)| ca != target) {
            return false;
        }
        self.seen.take(target.kind, news);
        let wanted = self.seen.trusted_ca();
        let wanted = wanted.map(|name| Target::config_map(&self.options.namespace, &name));
        if wanted.as_ref() != self.ca.as_ref().map(|(target, _)| target) {
            self.seen.forget(Kind::TrustedCa);
            if let Some((_, task)) = self.ca.take() {
                task.abort();
            }
            self.ca = wanted.map(|target| (target.clone(), self.watch(target)));
        }
        true
    }

    /// Gives on what was seen, if it is new; false where it could not be kept on disk.
    fn give(&mut self) -> bool {
        let before = self.readings.borrow().clone();
        let (documents, trouble) = match self.seen.given() {
            Given::Incomplete(trouble) => (before.documents.clone(), Some(trouble)),
            Given::Documents(documents) => {
                let same = before.documents.clone().filter(|before| **before == documents);
                let documents = same.unwrap_or_else(|| Arc::new(documents));
                self.seen.give(documents.clone());
                let unkept = self.keep(&documents).err();
                let unkept = unkept.map(|error| Trouble::silence("NotKept", error.to_string()));
                (Some(documents), unkept.or(self.seen.trouble()))
            }
        };
        let is_kept = trouble.as_ref().is_none_or(|trouble| trouble.reason != "NotKept");
        let trouble = trouble.map(|trouble| trouble.after(before.trouble.as_ref()));
        let reading = Reading { documents, revision: None, trouble };
        if reading.documents != before.documents || reading.trouble != before.trouble {
            match &reading.trouble {
                Some(trouble) => tracing::warn!(reason = %trouble.reason, "{}", trouble.message),
                None => tracing::info!("the cluster's objects were read"),
            }
            self.readings.send_replace(reading);
        }
        is_kept
    }

    /// Makes documents durable that are not so yet.
    fn keep(&mut self, documents: &Arc<Vec<SourceFile>>) -> Result<(), ApplyError> {
        if self.kept.as_ref() != Some(documents) {
            self.store.save(&Kept { documents: documents.to_vec(), ..Kept::default() })?;
            self.kept = Some(documents.clone());
        }
        Ok(())
    }
}
