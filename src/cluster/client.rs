//! The one client of the cluster's API, and the credentials that it goes by.

use std::error::Error;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a response may take to begin, the connection and TLS included.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection that says nothing for so long is asked whether it is alive.
const SILENCE: Duration = Duration::from_secs(30);

/// How long it may take to say so. Half-open connections are noticed after both.
const PING: Duration = Duration::from_secs(10);

/// Why the cluster's API could not be asked, or did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// There are no credentials that could be used.
    #[error(
        "there are no credentials for the cluster's API: {0}; they come from kube.kubeconfig, else from \
         the service account of the pod"
    )]
    NoAccess(String),
    /// It answered with an error.
    #[error("the API server says {code}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// In its own words.
        message: String,
    },
    /// It did not answer.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// It answered in another language.
    #[error("what the API server answers cannot be read: {0}")]
    Unreadable(String),
    /// It did not answer in time.
    #[error("the API server has not answered within {} s", .0.as_secs())]
    Late(Duration),
    /// It gives more than anybody needs.
    #[error("all objects of kind {kind} together are larger than {most} MiB; remove some of them")]
    TooLarge {
        /// Their kind.
        kind: &'static str,
        /// The most that is read, in MiB.
        most: usize,
    },
}

impl ClusterError {
    /// In one word in CamelCase, for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAccess(_) => "NoAccess",
            Self::Refused { code: 401, .. } => "Unauthorized",
            Self::Refused { code: 403, .. } => "Forbidden",
            Self::Refused { code: 404, .. } => "NotFound",
            Self::Refused { code: 409, .. } => "Conflict",
            Self::Refused { code: 410, .. } => "Expired",
            Self::Refused { code: 429, .. } => "TooManyRequests",
            Self::Refused { code: 500.., .. } => "ServerError",
            Self::Refused { .. } => "Refused",
            Self::Unreachable(_) => "Unreachable",
            Self::Unreadable(_) => "Unreadable",
            Self::Late(_) => "Late",
            Self::TooLarge { .. } => "TooLarge",
        }
    }

    /// Whether the API server says that what was asked for does not exist. It may say so of
    /// everything while it starts (rule D5).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether it does not take the credentials, so that newer ones may help.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { code: 401, .. })
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                code: status.code,
                message: if status.message.is_empty() { status.reason } else { status.message },
            },
            error @ (kube::Error::Auth(_)
            | kube::Error::InferConfig(_)
            | kube::Error::InferKubeconfig(_)
            | kube::Error::RustlsTls(_)) => Self::NoAccess(causes(&error)),
            error @ (kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)) => {
                Self::Unreadable(causes(&error))
            }
            other if is_late(&other) => Self::Late(ANSWER),
            other => Self::Unreachable(causes(&other)),
        }
    }
}

fn is_late(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<tower::timeout::error::Elapsed>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error and what caused it: the outer ones alone seldom say what is wrong.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What the API server answers within `deadline`.
///
/// # Errors
/// It did not, or answered with an error.
pub async fn within<T>(
    deadline: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(deadline, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ClusterError::Late(deadline)),
    }
}

/// The way to the cluster's API: by a kubeconfig, or the service account of a pod.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: Option<PathBuf>,
    built: Mutex<Option<Built>>,
}

/// A client, and the files that it was built from.
struct Built {
    client: Client,
    files: Files,
}

/// Files, each with what tells whether it is still the same; none where it was not there.
type Files = Vec<(PathBuf, Option<Identity>)>;

/// What tells whether a file is still the same.
type Identity = (u64, u64, i64, i64, u64);

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Cluster {
    /// By the kubeconfig at this path, as the agent itself sees it; without one by the service
    /// account of the pod that it runs in.
    #[must_use]
    pub fn new(kubeconfig: Option<PathBuf>) -> Self {
        Self { kubeconfig, built: Mutex::new(None) }
    }

    /// A client: the one of before, unless its kubeconfig, certificates or keys have changed since.
    /// Tokens in files and the pod's CA are read anew by the client itself, once a minute.
    ///
    /// # Errors
    /// [`ClusterError::NoAccess`].
    pub async fn client(&self) -> Result<Client, ClusterError> {
        if let Some(client) = self.unchanged() {
            return Ok(client);
        }
        let (config, files) = self.config().await?;
        let client = build(&config)?;
        self.keep(Some(Built { client: client.clone(), files }));
        Ok(client)
    }

    /// Forgets the client: the next one reads its credentials anew.
    pub fn renew(&self) {
        self.keep(None);
    }

    fn keep(&self, built: Option<Built>) {
        *self.built.lock().unwrap_or_else(PoisonError::into_inner) = built;
    }

    fn unchanged(&self) -> Option<Client> {
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let built = built.as_ref()?;
        let is_same = built.files.iter().all(|(path, known)| identity(path) == *known);
        is_same.then(|| built.client.clone())
    }

    /// The settings of a client, and the files that they come from as they were before they were read:
    /// what changes in between is then seen the next time.
    async fn config(&self) -> Result<(Config, Files), ClusterError> {
        let no_access = |error: &dyn Error| ClusterError::NoAccess(causes(error));
        let Some(path) = &self.kubeconfig else {
            let config = Config::incluster().map_err(|error| no_access(&error))?;
            return Ok((config, Vec::new()));
        };
        let mut files = vec![identified(path.clone())];
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| no_access(&error))?;
        files.extend(named_in(&kubeconfig).map(identified));
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Ok((config.map_err(|error| no_access(&error))?, files))
    }
}

/// A client by a kubeconfig that somebody has read, and one of its contexts; by default its current one.
///
/// # Errors
/// [`ClusterError::NoAccess`].
pub async fn client_of(
    kubeconfig: Kubeconfig,
    context: Option<String>,
) -> Result<Client, ClusterError> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    build(&config.map_err(|error| ClusterError::NoAccess(causes(&error)))?)
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = path.metadata().ok()?;
    let (dev, ino, len) = (metadata.dev(), metadata.ino(), metadata.len());
    Some((dev, ino, metadata.mtime(), metadata.mtime_nsec(), len))
}

fn identified(path: PathBuf) -> (PathBuf, Option<Identity>) {
    let identity = identity(&path);
    (path, identity)
}

/// The files that a kubeconfig names.
fn named_in(kubeconfig: &Kubeconfig) -> impl Iterator<Item = PathBuf> {
    let clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let users = kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref());
    let authorities = clusters.filter_map(|cluster| cluster.certificate_authority.as_ref());
    let identities = users.flat_map(|user| {
        [&user.client_certificate, &user.client_key, &user.token_file].into_iter().flatten()
    });
    authorities.chain(identities).map(PathBuf::from)
}

/// A client that shares one connection among all its watches where the server speaks HTTP/2, as
/// API servers do, and that notices when nobody is at the other end any more.
fn build(config: &Config) -> Result<Client, ClusterError> {
    // Another part of the process may have said so before; it says the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if config.proxy_url.is_some() {
        let mut config = config.clone();
        config.connect_timeout = Some(CONNECT);
        config.default_retry = false;
        return Ok(ClientBuilder::try_from(config)?.build());
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT));
    http.set_keepalive(Some(SILENCE));
    http.set_keepalive_interval(Some(PING));
    http.set_nodelay(true);
    let mut https = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name
            .clone()
            .try_into()
            .map_err(|_| ClusterError::NoAccess(format!("tls-server-name cannot be {name:?}")))?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(SILENCE)
        .http2_keep_alive_timeout(PING)
        .build(https.enable_all_versions().wrap_connector(http));
    let builder = ClientBuilder::new(client, config.default_namespace.clone())
        .with_layer(&TimeoutLayer::new(ANSWER))
        .with_layer(&config.extra_headers_layer()?);
    Ok(match config.auth_layer()? {
        Some(auth) => builder.with_layer(&auth).with_layer(&config.base_uri_layer()).build(),
        None => builder.with_layer(&config.base_uri_layer()).build(),
    })
}
