//! Who passes the status on, each in a task of its own.

use reqwest::Url;
use tokio::task::JoinHandle;

use super::Driver;
use crate::report;
use crate::settings::Report;

/// The tasks, and what each was begun with.
#[derive(Default)]
pub(super) struct Reports {
    http: Option<(Report, Url, JoinHandle<()>)>,
}

impl Reports {
    /// Begins what the settings ask for, and ends what they no longer do.
    pub(super) fn follow(&mut self, driver: &Driver<'_>) {
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
