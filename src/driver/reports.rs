//! Who passes the status on, each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Driver, Place};
use crate::report;
use crate::report::kube::Reporter;
use crate::settings::Report;

/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(6);

/// The tasks, and what each was begun with.
#[derive(Default)]
pub(super) struct Reports {
    http: Option<(Report, Url, JoinHandle<()>)>,
    cluster: Option<ToCluster>,
}

/// The one that tells the cluster.
struct ToCluster {
    place: Arc<Place>,
    task: JoinHandle<()>,
    /// What somebody in the cluster asks to be tried again.
    retry: watch::Receiver<Option<String>>,
    /// Why it is told nothing at present, if it is not.
    trouble: watch::Receiver<Option<String>>,
}

impl Reports {
    /// Begins what the settings ask for, and ends what they no longer do.
    pub(super) fn follow(&mut self, driver: &mut Driver<'_>) {
        self.follow_http(driver);
        self.follow_cluster(driver);
        let trouble = self.cluster.as_ref().and_then(|cluster| cluster.trouble.borrow().clone());
        if driver.untold != trouble {
            driver.untold = trouble;
            driver.report();
        }
    }

    fn follow_cluster(&mut self, driver: &Driver<'_>) {
        let is_same = match (&self.cluster, &driver.place) {
            (Some(now), Some(place)) => Arc::ptr_eq(&now.place, place),
            (now, place) => now.is_none() && place.is_none(),
        };
        if is_same {
            return;
        }
        if let Some(old) = self.cluster.take() {
            old.task.abort();
        }
        self.cluster = driver.place.clone().map(|place| {
            let (asking, retry) = watch::channel(None);
            let (failing, trouble) = watch::channel(None);
            let reporter = Reporter {
                cluster: Arc::clone(&place.cluster),
                node: place.name.clone(),
                statuses: driver.statuses.subscribe(),
                retry: asking,
                trouble: failing,
            };
            ToCluster { place, task: tokio::spawn(reporter.run()), retry, trouble }
        });
    }

    /// Waits until somebody in the cluster asks for another try: what they call it.
    pub(super) async fn retry(&mut self) -> String {
        while let Some(cluster) = &mut self.cluster {
            if cluster.retry.changed().await.is_err() {
                break;
            }
            if let Some(name) = cluster.retry.borrow_and_update().clone() {
                return name;
            }
        }
        std::future::pending().await
    }

    /// Lets all hear the last word; the driver, who has it, is gone.
    pub(super) async fn end(self) {
        let http = self.http.map(|(_, _, task)| task);
        let tasks = http.into_iter().chain(self.cluster.map(|cluster| cluster.task));
        // Who does not listen is told nothing.
        let _ = tokio::time::timeout(LAST_WORD, join_all(tasks)).await;
    }

    fn follow_http(&mut self, driver: &Driver<'_>) {
        let settings = &driver.settings;
        let url = settings.report.server.url(&settings.node_name()).ok().flatten();
        let is_same = match (&self.http, &url) {
            (Some((report, old, _)), Some(url)) => *report == settings.report && old == url,
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        if let Some((_, _, task)) = self.http.take() {
            task.abort();
        }
        self.http = url.map(|url| {
            let statuses = driver.statuses.subscribe();
            let passing = report::http::pass_on(settings.report.clone(), url.clone(), statuses);
            (settings.report.clone(), url, tokio::spawn(passing))
        });
    }
}
