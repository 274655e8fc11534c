//! The status, sent to a URL: what is newest, after each change and as a heartbeat. Nothing waits
//! for it.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use tokio::sync::watch;

use super::Status;
use crate::http::{Client, HttpError, Redirects, send};
use crate::settings::{Report, ReportMethod};
use crate::waits::{backoff, jittered};

/// Sends each new status until nobody writes one any more. What could not be sent is tried again
/// with growing waits; by then it is the newest that is sent.
pub async fn pass_on(report: Report, url: Url, mut statuses: watch::Receiver<Option<Status>>) {
    let mut client = Client::new(report.server.clone(), url, Redirects::Refused);
    let mut failures = 0;
    loop {
        let status = statuses.borrow_and_update().clone();
        let sent = match &status {
            Some(status) => put(&mut client, report.method, status).await,
            None => Ok(()),
        };
        match sent {
            Ok(()) => {
                failures = 0;
                tokio::select! {
                    changed = statuses.changed() => if changed.is_err() { return },
                    () = sleep(report.heartbeat) => {}
                }
            }
            Err(error) => {
                tracing::warn!(reason = error.reason, "the status could not be sent: {error}");
                sleep(error.retry_after.unwrap_or_default().max(backoff(failures))).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

async fn put(client: &mut Client, method: ReportMethod, status: &Status) -> Result<(), HttpError> {
    let method = match method {
        ReportMethod::Put => Method::PUT,
        ReportMethod::Post => Method::POST,
    };
    let bytes = serde_json::to_vec(status).map_err(|error| HttpError {
        reason: "Unencodable",
        message: error.to_string(),
        retry_after: None,
    })?;
    let patience = client.timeout();
    let request = client.request(method, client.url().clone())?;
    send(request.header(CONTENT_TYPE, "application/json").body(bytes), patience).await
}

async fn sleep(time: Duration) {
    tokio::time::sleep(jittered(time)).await;
}
