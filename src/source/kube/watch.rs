//! Watching the objects of one kind, for ever.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::Trouble;
use super::kinds::{Target, selection};
use super::object::document;
use super::seen::{News, Objects};
use crate::cluster::{Cluster, ClusterError, within};
use crate::decode::MAX_FILE_BYTES;
use crate::waits::{backoff, jittered};

/// How long a list may take, page by page.
const LIST: Duration = Duration::from_secs(60);

/// How long one question may take.
const ASK: Duration = Duration::from_secs(20);

/// How often all is listed anew without an occasion, in case an event was lost.
const RESYNC: Duration = Duration::from_secs(6 * 60 * 60);

/// The longest wait before another try.
const LONGEST: Duration = Duration::from_secs(30);

/// A kind is gone only when its definition has read as absent for so long (rule D5).
const ABSENT: Duration = Duration::from_secs(60);

/// How often that is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Watches the objects of one kind.
pub(super) struct Watch {
    cluster: Arc<Cluster>,
    target: Target,
    news: mpsc::Sender<(Target, News)>,
    /// How often in a row it has failed. What is listed and then cannot be watched fails, too.
    failures: u32,
    absence: Absence,
    /// Whether it is proven that the cluster does not have the kind.
    is_gone: bool,
}

impl Watch {
    pub fn new(cluster: Arc<Cluster>, target: Target, news: mpsc::Sender<(Target, News)>) -> Self {
        Self { cluster, target, news, failures: 0, absence: Absence::default(), is_gone: false }
    }

    pub async fn run(mut self) {
        loop {
            let definition = self.target.kind.definition();
            let result = match definition {
                Some(name) if self.is_gone => self.await_definition(&name).await,
                Some(name) => match self.follow().await {
                    Err(error) if error.is_not_found() => self.ask_definition(&name).await,
                    other => other,
                },
                None => self.follow().await,
            };
            if let Err(error) = result {
                if error.is_unauthorized() {
                    self.cluster.renew();
                }
                self.absence.interrupt();
                self.fail(Trouble::silence(error.reason(), error.to_string())).await;
            }
        }
    }

    /// Lists the objects and follows their changes until all is to be listed anew.
    async fn follow(&mut self) -> Result<(), ClusterError> {
        let api = self.target.api(self.cluster.client().await?);
        let mut events = pin!(watcher(api, self.target.selection()));
        let mut objects = Objects::new();
        let mut listed: Option<Instant> = None;
        let mut deadline = Instant::now() + LIST;
        loop {
            let event = match timeout_at(deadline, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => {
                    self.forgive(listed);
                    return Err(error_of(error));
                }
                Ok(None) => return Ok(()),
                Err(_) if listed.is_some() => return Ok(()),
                Err(_) => return Err(ClusterError::Late(LIST)),
            };
            match event {
                Event::Init => objects.clear(),
                Event::InitApply(object) => self.put(&mut objects, object)?,
                Event::InitDone => {
                    deadline = Instant::now() + jittered(RESYNC);
                    listed = Some(Instant::now());
                    self.absence.interrupt();
                    self.tell(News::Listed(objects.clone())).await;
                }
                Event::Apply(object) => {
                    self.put(&mut objects, object)?;
                    self.tell(News::Listed(objects.clone())).await;
                }
                Event::Delete(object) => {
                    objects.remove(object.metadata.name.as_deref().unwrap_or_default());
                    self.tell(News::Listed(objects.clone())).await;
                }
            }
        }
    }

    /// Adds an object, up to what may be read of a file.
    fn put(&self, objects: &mut Objects, object: DynamicObject) -> Result<(), ClusterError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        objects.insert(name, document(self.target.kind, object));
        let size: usize = objects.values().map(|file| file.bytes.len()).sum();
        if size > MAX_FILE_BYTES {
            return Err(ClusterError::TooLarge {
                kind: self.target.kind.name(),
                most: MAX_FILE_BYTES >> 20,
            });
        }
        Ok(())
    }

    /// The API server does not know the kind: whether the cluster does is for its definition to say. An
    /// API server that starts says so of everything.
    async fn ask_definition(&mut self, name: &str) -> Result<(), ClusterError> {
        let api = self.definitions().await?;
        if within(ASK, api.get_opt(name)).await?.is_some() {
            self.absence.interrupt();
            let message = format!("the API server does not serve {name} yet, though it is defined");
            self.fail(Trouble::silence("NotServed", message)).await;
            return Ok(());
        }
        self.is_gone = self.absence.is_proven(Instant::now());
        if self.is_gone {
            return Ok(());
        }
        let message = format!(
            "the CustomResourceDefinition {name} does not exist; that counts once it has been so for \
             {} s",
            ABSENT.as_secs()
        );
        self.tell(News::Failed(Trouble::silence("KindAbsent", message))).await;
        sleep(jittered(ASK_AGAIN)).await;
        Ok(())
    }

    /// The cluster does not have the kind: waits until it does.
    async fn await_definition(&mut self, name: &str) -> Result<(), ClusterError> {
        let api = self.definitions().await?;
        let mut events = pin!(watcher(api, selection(Some(name))));
        let mut listed = None;
        loop {
            let event = match events.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    self.forgive(listed);
                    return Err(error_of(error));
                }
                None => return Ok(()),
            };
            match event {
                Event::InitApply(_) | Event::Apply(_) => {
                    self.absence.interrupt();
                    self.is_gone = false;
                    return Ok(());
                }
                Event::InitDone => {
                    listed = Some(Instant::now());
                    self.tell(News::Listed(Objects::new())).await;
                }
                Event::Init | Event::Delete(_) => {}
            }
        }
    }

    /// Forgets earlier failures where it went well for long since all was listed: a server that gives
    /// lists and no watches is not to be asked for lists without a pause.
    fn forgive(&mut self, listed: Option<Instant>) {
        if listed.is_some_and(|listed| listed.elapsed() >= LONGEST) {
            self.failures = 0;
        }
    }

    /// Of definitions only the metadata is asked for.
    async fn definitions(
        &self,
    ) -> Result<Api<PartialObjectMeta<CustomResourceDefinition>>, ClusterError> {
        Ok(Api::all(self.cluster.client().await?))
    }

    /// Says what is wrong and waits: the first time hardly, so that a connection that was cut is no
    /// trouble at all.
    async fn fail(&mut self, trouble: Trouble) {
        let wait = match self.failures.checked_sub(1) {
            None => Duration::from_millis(fastrand::u64(100..600)),
            Some(earlier) => jittered(backoff(earlier).min(LONGEST)),
        };
        self.failures = self.failures.saturating_add(1);
        self.tell(News::Failed(trouble)).await;
        sleep(wait).await;
    }

    async fn tell(&self, news: News) {
        // Nobody to tell: the source is given up, and this task with it.
        let _ = self.news.send((self.target.clone(), news)).await;
    }
}

/// For how long a definition has read as absent, without a break.
#[derive(Debug, Default)]
struct Absence {
    since: Option<Instant>,
}

impl Absence {
    /// It has read as absent once more; whether that has been so for long enough.
    fn is_proven(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) >= ABSENT
    }

    /// It is there, or nobody knows.
    fn interrupt(&mut self) {
        self.since = None;
    }
}

fn error_of(error: watcher::Error) -> ClusterError {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error.into(),
        watcher::Error::WatchError(status) => kube::Error::Api(status).into(),
        watcher::Error::NoResourceVersion => ClusterError::Unreachable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_a_kind_is_gone_only_when_its_definition_was_absent_for_a_minute_without_a_break() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut absence = Absence::default();
        assert!(!absence.is_proven(at(0)));
        assert!(!absence.is_proven(at(59)));
        assert!(absence.is_proven(at(60)));
        absence.interrupt();
        assert!(!absence.is_proven(at(61)));
        assert!(!absence.is_proven(at(120)));
        assert!(absence.is_proven(at(121)));
    }
}
