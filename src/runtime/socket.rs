//! CRI-O's own socket: whether it serves, and what its settings are.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::error::RuntimeError;
use crate::model::finding::printable;

/// The longest wait for one answer: the socket accepts long before it serves.
const TRY: Duration = Duration::from_secs(5);
/// The pause behind the first try; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The most bytes of settings that are read.
const MOST_BYTES: usize = 4 << 20;

/// The socket at a path.
pub(super) struct Socket<'s> {
    path: &'s Path,
    client: Client,
}

impl<'s> Socket<'s> {
    /// Nothing is opened yet, and nothing is kept open: the engine behind it may be restarted.
    pub(super) fn new(path: &'s Path) -> Result<Self, RuntimeError> {
        let client = Client::builder()
            .unix_socket(path)
            .tls_backend_preconfigured(
                no_tls().map_err(|error| bad_answer(path, "/", why(&error)))?,
            )
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| bad_answer(path, "/", why(&error)))?;
        Ok(Self { path, client })
    }

    /// Waits until `GET /info` is answered with 200: then CRI-O serves.
    pub(super) async fn answers(&self, patience: Duration) -> Result<(), RuntimeError> {
        const INFO: &str = "/info";
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let left = patience.saturating_sub(start.elapsed());
            let last = match self.get(INFO, left.min(TRY)).await {
                Ok(answer) if answer.status() == StatusCode::OK => return Ok(()),
                Ok(answer) => bad_answer(self.path, INFO, answer.status().to_string()),
                Err(error) => self.silent(INFO, start.elapsed(), &error),
            };
            if start.elapsed() + pause >= patience {
                return Err(last);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The settings that CRI-O runs with, as TOML.
    pub(super) async fn config(&self, patience: Duration) -> Result<Vec<u8>, RuntimeError> {
        const CONFIG: &str = "/config";
        let start = Instant::now();
        let silent = |error| self.silent(CONFIG, start.elapsed(), &error);
        let mut answer = self.get(CONFIG, patience).await.map_err(silent)?;
        if answer.status() != StatusCode::OK {
            return Err(bad_answer(self.path, CONFIG, answer.status().to_string()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(silent)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                let why = format!("more than {MOST_BYTES} bytes");
                return Err(bad_answer(self.path, CONFIG, why));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// One question; the time is for all of the answer.
    async fn get(&self, path: &str, patience: Duration) -> reqwest::Result<Response> {
        self.client.get(format!("http://localhost{path}")).timeout(patience).send().await
    }

    fn silent(&self, path: &'static str, waited: Duration, error: &reqwest::Error) -> RuntimeError {
        RuntimeError::Silent { socket: self.path.to_owned(), path, waited, why: why(error) }
    }
}

/// Nothing is encrypted on this socket. Left to itself the client would still read all CAs that
/// the machine trusts.
fn no_tls() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn bad_answer(socket: &Path, path: &'static str, why: String) -> RuntimeError {
    RuntimeError::BadAnswer { socket: socket.to_owned(), path, why }
}

/// The innermost cause: the outer ones only repeat what was asked.
fn why(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    printable(&innermost.to_string())
}
