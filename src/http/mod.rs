//! Talking HTTP as the settings say: with whom, trusted by what, shown which credentials, and for
//! how long. The endpoint is asked with it, and the report is sent with it.

mod answer;
mod credentials;

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Method, RequestBuilder, Url};

pub use answer::{Answer, LIMIT, read, send};
use credentials::Credentials;

use crate::settings::Server;

/// So many redirects are followed.
const MOST_REDIRECTS: usize = 5;

/// The longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Longer than this no server makes us wait.
const MOST_PATIENCE: Duration = Duration::from_secs(3600);

/// Why nothing came of a request. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    /// In one word in CamelCase.
    pub reason: &'static str,
    /// In one sentence.
    pub message: String,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl HttpError {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry_after: None }
    }

    fn late(what: &str) -> Self {
        Self::new("AnswerLate", format!("the server does not {what} in time"))
    }
}

/// What becomes of redirects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// They are followed: a few, and never from https to http.
    Followed,
    /// They count as errors.
    Refused,
}

/// A server, and the credentials that are shown to it; they are read anew before each request.
#[derive(Debug)]
pub struct Client {
    server: Server,
    url: Url,
    redirects: Redirects,
    ready: Option<(Credentials, reqwest::Client)>,
}

impl Client {
    /// Talks to `server` at this URL of its.
    #[must_use]
    pub fn new(server: Server, url: Url, redirects: Redirects) -> Self {
        Self { server, url, redirects, ready: None }
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How long the server may take to begin an answer, and again to end it.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.server.timeout
    }

    /// Begins a request with the credentials as they are now; connections are kept for as long as
    /// these stay the same.
    ///
    /// # Errors
    /// A file of them cannot be read, or holds something else.
    pub fn request(&mut self, method: Method, url: Url) -> Result<RequestBuilder, HttpError> {
        let credentials = Credentials::read(&self.server)?;
        if self.ready.as_ref().is_none_or(|(shown, _)| *shown != credentials) {
            let client = self.build(&credentials)?;
            self.ready = Some((credentials, client));
        }
        let Some((credentials, client)) = &self.ready else {
            return Err(HttpError::new("CredentialsUnusable", "there are none"));
        };
        Ok(credentials.log_in(client.request(method, url)))
    }

    /// Forgets connections, so that the next request reads the CAs that the system trusts anew.
    pub fn renew(&mut self) {
        self.ready = None;
    }

    fn build(&self, credentials: &Credentials) -> Result<reqwest::Client, HttpError> {
        let built = match self.builder(credentials)?.build() {
            // A host that trusts no CA at all can do without TLS.
            Err(_) if self.url.scheme() == "http" => {
                self.builder(credentials)?.tls_certs_only([]).build()
            }
            built => built,
        };
        built.map_err(|error| {
            let message = format!(
                "no client can be made of the CAs and the client certificate with its key: {}",
                in_words(&error)
            );
            HttpError::new("CredentialsUnusable", message)
        })
    }

    fn builder(&self, credentials: &Credentials) -> Result<reqwest::ClientBuilder, HttpError> {
        // Whoever installed one before has chosen; there is but one in this program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("image-config-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT.min(self.server.timeout))
            .tls_certs_merge(credentials.cas(&self.server)?)
            .referer(false)
            .redirect(match self.redirects {
                Redirects::Followed => Policy::custom(follow),
                Redirects::Refused => Policy::none(),
            });
        if let Some(identity) = credentials.identity(&self.server)? {
            builder = builder.identity(identity);
        }
        if let Some(socket) = &self.server.socket {
            builder = builder.unix_socket(socket.as_path());
        }
        Ok(builder)
    }
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_http = ["https", "http"].contains(&attempt.url().scheme());
    let was_safe = attempt.previous().iter().any(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("it leads on and on")
    } else if !is_http {
        attempt.error("it leads to neither https nor http")
    } else if was_safe && attempt.url().scheme() != "https" {
        attempt.error("it leads from https to http")
    } else {
        attempt.follow()
    }
}

/// What an error of the client means.
fn explain(error: &reqwest::Error) -> HttpError {
    let (reason, what) = if error.is_redirect() {
        ("RedirectRefused", "a redirect of the server is not followed")
    } else if error.is_timeout() {
        return HttpError::late("let itself be reached");
    } else if error.source().is_some_and(is_of_tls) {
        ("TlsFailed", "no trusted connection comes about")
    } else if error.is_connect() {
        ("ServerUnreachable", "the server cannot be reached")
    } else {
        ("AnswerCutOff", "the answer breaks off")
    };
    HttpError::new(reason, format!("{what}: {}", in_words(error)))
}

/// Whether TLS is what failed. An IO error does not name what it wraps among its causes.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|wrapped| is_of_tls(wrapped))
        || error.source().is_some_and(is_of_tls)
}

/// The innermost cause, which says most. The URL is not in it.
fn in_words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = match error.source() {
        Some(source) => source,
        None => return "the request came to nothing".to_owned(),
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What a status other than those that are meant says.
fn refused(status: reqwest::StatusCode) -> HttpError {
    let reason = match status.as_u16() {
        // It says no place to go to, or none that is a URL; or none is gone to (the report).
        301..=303 | 307 | 308 => "RedirectRefused",
        401 | 403 => "AccessRefused",
        404 | 410 => "NothingThere",
        429 => "TooManyRequests",
        500..=599 => "ServerFailing",
        _ => "AnswerUnexpected",
    };
    HttpError::new(reason, format!("the server answers {status}"))
}

/// `Retry-After`: seconds, or a date in one of the three forms of HTTP (RFC 9110).
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let time = match is_number {
        // More than fits is more than we wait.
        true => text.parse().map_or(MOST_PATIENCE, Duration::from_secs),
        false => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()?,
    };
    Some(time.min(MOST_PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    #[test]
    fn h13_retry_after_is_understood_in_all_its_forms_and_never_for_ever() {
        let asked = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]))
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("99999999999"), Some(MOST_PATIENCE));
        assert_eq!(asked("99999999999999999999999999"), Some(MOST_PATIENCE));
        // As they are written today, and as they were before (RFC 9110).
        assert_eq!(asked("Tue, 31 Dec 2199 23:59:59 GMT"), Some(MOST_PATIENCE));
        assert_eq!(asked("Thursday, 31-Dec-65 23:59:59 GMT"), Some(MOST_PATIENCE));
        assert_eq!(asked("Tue Dec 31 23:59:59 2199"), Some(MOST_PATIENCE));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), None);
        assert_eq!(asked("Sun Nov  6 08:49:37 1994"), None);
        for nothing in ["soon", "", "-1", "+7", "7.5"] {
            assert_eq!(asked(nothing), None, "{nothing}");
        }
    }
}
