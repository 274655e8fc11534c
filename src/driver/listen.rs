//! The address at which metrics and probes are served, where the settings name one: `GET /metrics`, `/healthz`
//! and `/readyz`. It gives away what the status says and changes nothing; still, whoever asks is bounded in time,
//! in number, and in what he may send.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::control;
use super::vitals::Onlooker;
use crate::host::{Node, Root};
use crate::model::finding::{Finding, Origin, Severity};
use crate::report::metrics::MEDIA_TYPE;
use crate::settings::Listen;

/// How many may ask at a time; others wait.
const MOST: usize = 16;

/// How long a request may take to come.
const REQUEST: Duration = Duration::from_secs(5);

/// How long all of a connection may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most headers of a request, and the most bytes of them.
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 16 * 1024;

/// What is served at present, if anything is.
#[derive(Debug, Default)]
pub(super) struct Served(Option<(Listen, JoinHandle<()>)>);

impl Served {
    /// Serves at the address that the settings name, and no longer at another; anew where somebody has
    /// removed the socket. Where that cannot be done it is said, and tried again with the next call: a node
    /// without metrics is no reason to do nothing.
    pub(super) async fn follow(
        &mut self,
        root: &Root,
        listen: Option<&Listen>,
        onlooker: impl FnOnce() -> Onlooker,
    ) -> Option<Finding> {
        let served = self.0.as_ref().map(|(listen, _)| listen);
        if served == listen && !served.is_some_and(|listen| is_removed(root, listen)) {
            return None;
        }
        if let Some((_, task)) = self.0.take() {
            task.abort();
            // It ends by being aborted; only then its address is free.
            let _ = task.await;
        }
        let listen = listen?;
        match Socket::open(root, listen) {
            Ok(socket) => {
                tracing::info!("metrics are served at {listen}");
                let task = tokio::spawn(serve(socket, onlooker()));
                self.0 = Some((listen.clone(), task));
                None
            }
            Err(error) => Some(unavailable(listen, &error)),
        }
    }
}

/// Whether the socket that is listened at stands there no more.
fn is_removed(root: &Root, listen: &Listen) -> bool {
    match listen {
        Listen::Tcp(_) => false,
        Listen::Unix(path) => !matches!(root.node(path), Ok(Some(Node::Other))),
    }
}

fn unavailable(listen: &Listen, error: &io::Error) -> Finding {
    Finding::new(
        Severity::Warning,
        "MetricsUnavailable",
        Origin::field("settings", "metrics.listen"),
        format!("there are no metrics and no probes: {error}."),
        "Name an address of this host that is free, or a unix socket in a directory that can be written.",
    )
    .about(listen.to_string())
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    fn open(root: &Root, listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            // Whoever is on the host may read them, as at a loopback address.
            Listen::Unix(path) => control::bind(root, path, 0o666).map(Self::Unix),
        }
    }

    /// Serves the next who asks, in a task of its own.
    async fn accept(&self, onlooker: &Onlooker, room: OwnedSemaphorePermit) -> io::Result<()> {
        let onlooker = onlooker.clone();
        match self {
            Self::Tcp(listener) => {
                tokio::spawn(converse(listener.accept().await?.0, onlooker, room));
            }
            Self::Unix(listener) => {
                tokio::spawn(converse(listener.accept().await?.0, onlooker, room));
            }
        }
        Ok(())
    }
}

async fn serve(socket: Socket, onlooker: Onlooker) {
    let rooms = Arc::new(Semaphore::new(MOST));
    loop {
        // The semaphore is never closed.
        let Ok(room) = rooms.clone().acquire_owned().await else { return };
        if socket.accept(&onlooker, room).await.is_err() {
            // Out of file descriptors, in practice: that passes.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// One request, one answer.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    onlooker: Onlooker,
    _room: OwnedSemaphorePermit,
) {
    let service = service_fn(|request| {
        let onlooker = onlooker.clone();
        async move { Ok::<_, Infallible>(answer(&request, onlooker).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_headers(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(PATIENCE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("somebody asked for metrics in vain: {error}"),
        Err(_) => tracing::debug!("somebody asked for metrics and took too long"),
    }
}

async fn answer(request: &Request<Incoming>, mut onlooker: Onlooker) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        return text(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n");
    }
    if request.method() != Method::GET {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    match path {
        "/metrics" => metrics(&onlooker),
        "/healthz" if !onlooker.is_alive().await => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the loop does not move\n")
        }
        // Nobody listens before settings and journal are read (rule H11).
        _ => text(StatusCode::OK, "ok\n"),
    }
}

fn metrics(onlooker: &Onlooker) -> Response<Full<Bytes>> {
    match onlooker.page().text() {
        Ok(page) => typed(StatusCode::OK, MEDIA_TYPE, page),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

fn typed(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}
