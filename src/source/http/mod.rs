//! Documents from a URL: asked for again and again, kept once they are good. What they mean is
//! others' to decide.

mod proof;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use reqwest::{Method, Url};
use tokio::sync::{Notify, watch};

use super::file::read_regular;
use super::store::{Kept, Notes, Store};
use super::{Judge, Reading, Trouble};
use crate::apply::state::sha256;
use crate::decode::SourceFile;
use crate::http::{Answer, Client, HttpError, LIMIT, Redirects, read};
use crate::settings::Endpoint;
use crate::waits::{backoff, jittered};
use proof::{Keys, admit};

/// The most that a signature may be.
const SIGNATURE_LIMIT: usize = 16 << 10;

/// The least between two requests, even of a server that offers long polls and never waits.
const PAUSE: Duration = Duration::from_secs(1);

/// Why nothing newer came, and how long the server wants to be left alone.
struct Failure {
    trouble: Trouble,
    retry_after: Option<Duration>,
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let trouble = Trouble::silence(error.reason, error.message);
        Self { trouble, retry_after: error.retry_after }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, retry_after: None }
    }
}

/// An endpoint that is followed.
struct Follower {
    endpoint: Endpoint,
    client: Client,
    store: Store,
    kept: Kept,
    judge: Judge,
}

/// A bundle that was fetched.
struct Bundle {
    bytes: Vec<u8>,
    validators: BTreeMap<String, String>,
}

/// What an endpoint gave before it is asked again: its last good documents, if they may still be obeyed.
#[must_use]
pub fn given(endpoint: &Endpoint, kept: &Kept) -> Reading {
    match is_vouched(&keys(endpoint), &kept.notes) {
        true => Reading::kept(kept),
        false => Reading::default(),
    }
}

/// Whether what was kept may be obeyed: where there are keys, one of them has signed it (rule E2). While
/// nobody can read which they are, none of them counts as removed (rule D5).
fn is_vouched(keys: &Result<Option<(Keys, String)>, Trouble>, notes: &Notes) -> bool {
    match (keys, &notes.signer) {
        (Ok(None), _) => true,
        (Ok(Some((keys, _))), Some(signer)) => keys.has(signer),
        (Err(_), signer) => signer.is_some(),
        (Ok(Some(_)), None) => false,
    }
}

/// The keys of the settings, and the digest of their file.
fn keys(endpoint: &Endpoint) -> Result<Option<(Keys, String)>, Trouble> {
    let Some(path) = &endpoint.public_keys else { return Ok(None) };
    let unusable = |why: String| {
        let message = format!("{} cannot be used: {why}", path.display());
        Trouble::silence("KeysUnusable", message)
    };
    let bytes = read_regular(path).map_err(|error| unusable(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| unusable(error.to_string()))?;
    Ok(Some((Keys::parse(text).map_err(unusable)?, sha256(&bytes))))
}

/// Follows an endpoint at `url` for ever. `kept` is what `store` holds, which `out` has been told; `again`
/// ends a wait.
pub async fn follow(
    endpoint: Endpoint,
    url: Url,
    store: Store,
    kept: Kept,
    judge: Judge,
    out: watch::Sender<Reading>,
    again: Arc<Notify>,
) {
    let client = Client::new(endpoint.server.clone(), url, Redirects::Followed);
    let mut follower = Follower { endpoint, client, store, kept, judge };
    let mut failures = 0;
    loop {
        let pause = match follower.ask().await {
            Ok(waits) => {
                failures = 0;
                out.send_if_modified(|reading| follower.is_well(reading));
                jittered(if waits { PAUSE } else { follower.endpoint.poll })
            }
            Err(failure) => {
                follower.client.renew();
                let pause = failure.retry_after.unwrap_or_default().max(backoff(failures));
                let pause = jittered(pause);
                failures = failures.saturating_add(1);
                let retry = Timestamp::now().checked_add(pause).ok();
                let trouble = Trouble { retry, ..failure.trouble };
                tracing::warn!(reason = %trouble.reason, "the endpoint gives nothing newer: {}", trouble.message);
                out.send_modify(|reading| follower.fails(reading, trouble));
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = again.notified() => {}
        }
    }
}

impl Follower {
    /// Asks once; whether the server waits for something new by itself.
    async fn ask(&mut self) -> Result<bool, Failure> {
        let keys = keys(&self.endpoint);
        let known = self.known(&keys);
        let keys = keys?;
        let (answer, waits) = self.fetch(self.client.url().clone(), &known, LIMIT).await?;
        let Some(bundle) = self.bundle(answer) else {
            return if known.is_empty() { Err(unasked().into()) } else { Ok(waits) };
        };
        match keys {
            None => self.take(bundle, None)?,
            Some((keys, digest)) => {
                let (mut bundle, signer) = self.prove(bundle, &keys).await?;
                bundle.validators.insert("keys".to_owned(), digest);
                self.take(bundle, Some(&signer))?;
            }
        }
        // It can only wait for something new if it can be told what we have.
        let known = &self.kept.notes.validators;
        Ok(waits && (known.contains_key("etag") || known.contains_key("last-modified")))
    }

    /// What an answer brings, with what tells it from others; none where nothing has changed.
    fn bundle(&self, answer: Answer) -> Option<Bundle> {
        let Answer::Body { bytes, etag, last_modified } = answer else { return None };
        let mut validators = BTreeMap::from([("url".to_owned(), self.place())]);
        validators.extend(etag.map(|etag| ("etag".to_owned(), etag)));
        validators.extend(last_modified.map(|date| ("last-modified".to_owned(), date)));
        Some(Bundle { bytes, validators })
    }

    /// What tells the place that we ask from others: not the URL itself, in which there may be a secret.
    fn place(&self) -> String {
        let mut place = self.client.url().as_str().as_bytes().to_vec();
        if let Some(socket) = &self.endpoint.server.socket {
            place.push(b'\n');
            place.extend(socket.as_os_str().as_encoded_bytes());
        }
        sha256(&place)
    }

    /// What the server needs to be told to say that nothing has changed: not where we ask at
    /// another place, or by other keys, or what we have is not to be obeyed.
    fn known(&self, keys: &Result<Option<(Keys, String)>, Trouble>) -> BTreeMap<String, String> {
        let known = &self.kept.notes.validators;
        let digest = keys.as_ref().ok().and_then(Option::as_ref).map(|(_, digest)| digest);
        let is_same = known.get("url") == Some(&self.place())
            && known.get("keys") == digest
            && is_vouched(keys, &self.kept.notes);
        if is_same { known.clone() } else { BTreeMap::new() }
    }

    async fn fetch(
        &mut self,
        url: Url,
        known: &BTreeMap<String, String>,
        limit: usize,
    ) -> Result<(Answer, bool), HttpError> {
        let patience = self.client.timeout();
        let mut request = self
            .client
            .request(Method::GET, url)?
            .header(ACCEPT, "application/json, application/yaml;q=0.9, */*;q=0.5")
            .header(ACCEPT_ENCODING, "gzip, zstd");
        let mut wait = Duration::ZERO;
        for (name, header) in [("etag", IF_NONE_MATCH), ("last-modified", IF_MODIFIED_SINCE)] {
            if let Some(value) = known.get(name) {
                request = request.header(header, value);
                wait = self.endpoint.wait;
            }
        }
        if !wait.is_zero() {
            let prefer = HeaderName::from_static("prefer");
            request = request.header(prefer, format!("wait={}", wait.as_secs()));
        }
        read(request, patience, wait, limit).await
    }

    /// The bundle with who signed it. One that does not fit its signature is fetched once more,
    /// with the signature: the two may have been replaced between our requests (rule E2).
    async fn prove(&mut self, bundle: Bundle, keys: &Keys) -> Result<(Bundle, String), Failure> {
        let signature = self.signature().await?;
        if let Ok(signer) = keys.signer(&bundle.bytes, &signature) {
            return Ok((bundle, signer.to_owned()));
        }
        let url = self.client.url().clone();
        let (answer, _) = self.fetch(url, &BTreeMap::new(), LIMIT).await?;
        // What it is known by goes with its bytes: the two answers may be of two servers.
        let Some(bundle) = self.bundle(answer) else { return Err(unasked().into()) };
        let signature = self.signature().await?;
        let signer = keys.signer(&bundle.bytes, &signature)?.to_owned();
        Ok((bundle, signer))
    }

    /// The signature beside the bundle.
    async fn signature(&mut self) -> Result<Vec<u8>, Failure> {
        let mut url = self.client.url().clone();
        url.set_path(&format!("{}.minisig", url.path()));
        match self.fetch(url, &BTreeMap::new(), SIGNATURE_LIMIT).await {
            Ok((Answer::Body { bytes, .. }, _)) => Ok(bytes),
            Err(HttpError { reason: "NothingThere", .. }) => {
                let message = "the bundle is not signed: there is nothing at its URL with .minisig";
                Err(Trouble::refusal("BundleUnsigned", message).into())
            }
            Ok((Answer::Unchanged, _)) => {
                Err(Trouble::silence("AnswerUnexpected", "the signature has no bytes").into())
            }
            Err(error) => {
                let message = format!("the signature beside the bundle: {}", error.message);
                Err(HttpError { message, ..error }.into())
            }
        }
    }

    /// Takes a bundle over, if it is good, and makes it durable.
    fn take(&mut self, bundle: Bundle, signer: Option<&str>) -> Result<(), Trouble> {
        let digest = sha256(&bundle.bytes);
        let origin = shown(self.client.url());
        let documents = vec![SourceFile { name: origin, bytes: bundle.bytes }];
        let serial = (self.judge)(&documents).map_err(|finding| Trouble::from(finding.as_ref()))?;
        let mut serials = self.kept.notes.serials.clone();
        if let Some(signer) = signer {
            let accepted = admit(serial, &digest, serials.get(signer))?;
            serials.insert(signer.to_owned(), accepted);
        }
        let revision = match (serial, bundle.validators.get("etag")) {
            (Some(serial), _) => format!("serial {serial}"),
            (None, Some(etag)) => etag.clone(),
            (None, None) => format!("sha256 {}", digest.get(..12).unwrap_or_default()),
        };
        let (revision, signer) = (Some(revision), signer.map(str::to_owned));
        let notes = Notes { revision, validators: bundle.validators, signer, serials };
        let kept = Kept { documents, notes };
        if kept == self.kept {
            return Ok(());
        }
        // What cannot be kept is not obeyed: after a restart it would be gone.
        self.store
            .save(&kept)
            .map_err(|error| Trouble::silence("StoreFailed", error.to_string()))?;
        self.kept = kept;
        Ok(())
    }

    /// Says what is wrong, and what may be obeyed meanwhile: the keys may be others than before.
    fn fails(&self, reading: &mut Reading, trouble: Trouble) {
        let has_kept = !self.kept.documents.is_empty();
        let is_vouched = is_vouched(&keys(&self.endpoint), &self.kept.notes);
        let trouble = match has_kept && !is_vouched {
            true => withheld(trouble),
            false => trouble,
        };
        let trouble = Some(trouble.after(reading.trouble.as_ref()));
        if reading.documents.is_some() == (has_kept && is_vouched) {
            reading.trouble = trouble;
        } else if is_vouched {
            *reading = Reading { trouble, ..Reading::kept(&self.kept) };
        } else {
            *reading = Reading { trouble, ..Reading::default() };
        }
    }

    /// Says that all is well; whether that is news.
    fn is_well(&self, reading: &mut Reading) -> bool {
        let was_well = reading.trouble.take().is_none();
        let given = reading.documents.as_deref();
        let is_same = given.is_some_and(|given| is_same(given, &self.kept.documents));
        if !is_same || reading.revision != self.kept.notes.revision {
            tracing::info!(
                revision = self.kept.notes.revision.as_deref(),
                "the endpoint gave documents"
            );
            *reading = Reading::kept(&self.kept);
            return true;
        }
        !was_well
    }
}

/// Trouble of an endpoint whose last documents are not obeyed either. What it offers, bad as it is,
/// is the reason to name; else that is.
fn withheld(trouble: Trouble) -> Trouble {
    let message = format!(
        "{}; and what it gave before is not obeyed, because none of endpoint.public_keys is noted as \
         the one that signed it",
        trouble.message
    );
    let reason = if trouble.is_refusal { trouble.reason } else { "KeptUnsigned".into() };
    Trouble { reason, message, is_refusal: true, ..trouble }
}

fn unasked() -> Trouble {
    let message = "the server says that nothing has changed, and was not asked";
    Trouble::silence("AnswerUnexpected", message)
}

fn is_same(one: &[SourceFile], other: &[SourceFile]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.bytes == other.bytes)
}

/// The URL without its query, which may hold what is secret.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
