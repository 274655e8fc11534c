//! The status, sent to a URL: what is newest, after each change and as a heartbeat. Nothing waits
//! for it.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use tokio::sync::watch;

use super::{ReportTrouble, Status};
use crate::http::{Client, HttpError, Redirects, send};
use crate::settings::{Report, ReportMethod};
use crate::waits::{backoff, jittered};

/// Sends each new status until nobody writes one any more. What could not be sent is tried again
/// with growing waits; by then it is the newest that is sent. `failing` is told why nothing can be
/// sent, as long as that is so. The last one is tried once more, whatever the wait.
pub async fn pass_on(
    report: Report,
    url: Url,
    mut statuses: watch::Receiver<Option<Status>>,
    failing: watch::Sender<Option<ReportTrouble>>,
) {
    let mut client = Client::new(report.server.clone(), url, Redirects::Refused);
    let (mut failures, mut is_last) = (0, false);
    loop {
        let status = statuses.borrow_and_update().clone();
        let sent = match &status {
            Some(status) => put(&mut client, report.method, status).await,
            None => Ok(()),
        };
        match sent {
            Ok(()) => {
                failures = 0;
                failing.send_if_modified(|trouble| trouble.take().is_some());
                tokio::select! {
                    changed = statuses.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(jittered(report.heartbeat)) => {}
                }
            }
            Err(_) if is_last => return,
            Err(error) => {
                client.renew();
                tracing::warn!(reason = error.reason, "the status could not be sent: {error}");
                let pause = jittered(error.retry_after.unwrap_or_default().max(backoff(failures)));
                failures = failures.saturating_add(1);
                failing
                    .send_modify(|trouble| *trouble = Some(after(trouble.as_ref(), error, pause)));
                tokio::select! {
                    () = closed(&mut statuses) => is_last = true,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

/// Waits until nobody writes a status any more.
async fn closed(statuses: &mut watch::Receiver<Option<Status>>) {
    while statuses.changed().await.is_ok() {}
}

/// What is wrong now, with since when nothing has got through.
fn after(earlier: Option<&ReportTrouble>, error: HttpError, pause: Duration) -> ReportTrouble {
    let now = Timestamp::now();
    ReportTrouble {
        reason: error.reason.to_owned(),
        message: error.message,
        since: earlier.map_or(now, |earlier| earlier.since),
        retry: now.checked_add(pause).ok(),
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
