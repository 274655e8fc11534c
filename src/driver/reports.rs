//! Who passes the status on, each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Driver, Place};
use crate::report::kube::Reporter;
use crate::report::{self, ReportStatus, ReportTrouble};
use crate::settings::Report;
use crate::source::http::shown;

/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(6);

/// The tasks, and what each was begun with.
#[derive(Default)]
pub(super) struct Reports {
    http: Option<ToUrl>,
    cluster: Option<ToCluster>,
}

/// The one that tells a URL.
struct ToUrl {
    report: Report,
    url: Url,
    task: JoinHandle<()>,
    /// Why it is told nothing at present, if it is not.
    trouble: watch::Receiver<Option<ReportTrouble>>,
}

impl ToUrl {
    fn status(&self) -> ReportStatus {
        ReportStatus { url: shown(&self.url), trouble: self.trouble.borrow().clone() }
    }
}

/// The one that tells the cluster.
struct ToCluster {
    place: Arc<Place>,
    task: JoinHandle<()>,
    /// What somebody in the cluster asks to be tried again.
    retry: watch::Receiver<Option<String>>,
    /// Why it is not told all at present, if it is not.
    trouble: watch::Receiver<Option<String>>,
}

impl Reports {
    /// Begins what the settings ask for, and ends what they no longer do.
    pub(super) fn follow(&mut self, driver: &mut Driver<'_>) {
        self.follow_http(driver);
        self.follow_cluster(driver);
        let untold = self.cluster.as_ref().and_then(|cluster| cluster.trouble.borrow().clone());
        let reporting = self.http.as_ref().map(ToUrl::status);
        if (&driver.published.untold, &driver.published.reporting) != (&untold, &reporting) {
            (driver.published.untold, driver.published.reporting) = (untold, reporting);
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
                statuses: driver.published.statuses.subscribe(),
                retry: asking,
                trouble: failing,
            };
            ToCluster { place, task: tokio::spawn(reporter.run()), retry, trouble }
        });
    }

    /// Waits until somebody in the cluster asks for another try, which gives what they call it; or
    /// until one of those who are told can be told no more, or again.
    pub(super) async fn news(&mut self) -> Option<String> {
        let (retry, untold) = match &mut self.cluster {
            Some(cluster) => (Some(&mut cluster.retry), Some(&mut cluster.trouble)),
            None => (None, None),
        };
        tokio::select! {
            name = asked(retry) => Some(name),
            () = changed(untold) => None,
            () = changed(self.http.as_mut().map(|http| &mut http.trouble)) => None,
        }
    }

    /// Lets all hear the last word; the driver, who has it, is gone.
    pub(super) async fn end(self) {
        let http = self.http.map(|http| http.task);
        let tasks = http.into_iter().chain(self.cluster.map(|cluster| cluster.task));
        // Who does not listen is told nothing.
        let _ = tokio::time::timeout(LAST_WORD, join_all(tasks)).await;
    }

    fn follow_http(&mut self, driver: &Driver<'_>) {
        let settings = &driver.settings;
        let url = settings.report.server.url(&settings.node_name()).ok().flatten();
        let is_same = match (&self.http, &url) {
            (Some(now), Some(url)) => now.report == settings.report && now.url == *url,
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        if let Some(old) = self.http.take() {
            old.task.abort();
        }
        self.http = url.map(|url| {
            let (statuses, report) =
                (driver.published.statuses.subscribe(), settings.report.clone());
            let (failing, trouble) = watch::channel(None);
            let passing = report::http::pass_on(report.clone(), url.clone(), statuses, failing);
            ToUrl { report, url, task: tokio::spawn(passing), trouble }
        });
    }
}

/// Waits until somebody asks for another try: what they call it.
async fn asked(mut retry: Option<&mut watch::Receiver<Option<String>>>) -> String {
    loop {
        changed(retry.as_deref_mut()).await;
        let name = retry.as_deref_mut().and_then(|retry| retry.borrow_and_update().clone());
        if let Some(name) = name {
            return name;
        }
    }
}

/// Waits until a value is another; for ever where nobody gives one.
async fn changed<T>(value: Option<&mut watch::Receiver<T>>) {
    if let Some(value) = value
        && value.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
