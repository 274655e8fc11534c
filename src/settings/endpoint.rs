//! The servers that the agent talks to over HTTP: the endpoint that it asks, and the one that it
//! reports to.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::value::is_object_name;

/// A server, and how it is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The URL, in which `{node}` stands for the name of this node.
    pub url: Option<String>,
    /// Whether http:// will do over a network.
    pub allow_http: bool,
    /// The unix socket to go through, in place of the network.
    pub socket: Option<PathBuf>,
    /// CAs to trust beside those that the system trusts, in PEM.
    pub ca: Option<PathBuf>,
    /// The certificate to show, in PEM.
    pub client_certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub client_key: Option<PathBuf>,
    /// The file of the bearer token to show.
    pub token_file: Option<PathBuf>,
    /// The user to log in as.
    pub user: Option<String>,
    /// The file of that user's password.
    pub password_file: Option<PathBuf>,
    /// How long the server may take to begin an answer, and to end it.
    pub timeout: Duration,
}

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The server.
    pub server: Server,
    /// The file of minisign keys; where it is set, what none of them has signed is refused.
    pub public_keys: Option<PathBuf>,
    /// How often the endpoint is asked.
    pub poll: Duration,
    /// How long it is asked to wait with its answer for something new.
    pub wait: Duration,
}

/// How the status is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportMethod {
    /// In place of what is there.
    #[default]
    Put,
    /// As one more.
    Post,
}

/// Where the status goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The server; nothing is sent where it has no URL.
    pub server: Server,
    /// How it is sent.
    pub method: ReportMethod,
    /// How often it is sent although it says nothing new.
    pub heartbeat: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            url: None,
            allow_http: false,
            socket: None,
            ca: None,
            client_certificate: None,
            client_key: None,
            token_file: None,
            user: None,
            password_file: None,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            server: Server::default(),
            public_keys: None,
            poll: Duration::from_secs(60),
            wait: Duration::from_secs(60),
        }
    }
}

impl Default for Report {
    fn default() -> Self {
        Self {
            server: Server::default(),
            method: ReportMethod::default(),
            heartbeat: Duration::from_secs(300),
        }
    }
}

impl Server {
    /// The URL for a node.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn url(&self, node: &str) -> Result<Option<Url>, String> {
        let Some(text) = &self.url else { return Ok(None) };
        if text.contains("{node}") && !is_object_name(node) {
            return Err(format!(
                "this host has no name to put for {{node}}, which takes lower-case letters, digits, \
                 - and .; it is called {node:?}: set kube.node"
            ));
        }
        let url = Url::parse(&text.replace("{node}", node))
            .map_err(|error| format!("it is no URL: {error}"))?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err("write an https:// URL".to_owned()),
        };
        if is_plain && !self.allow_http && self.socket.is_none() {
            return Err("http:// can be read and altered on its way: write https://, or allow it \
                        with allow_http"
                .to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "write the user and the file of the password into settings of their own".to_owned()
            );
        }
        Ok(Some(url))
    }

    /// What is wrong with settings that do not go together, and which of them to look at, by its name
    /// after the prefix.
    pub(super) fn problem(&self, node: &str) -> Option<(&'static str, String)> {
        let of = |name, problem: &str| Some((name, problem.to_owned()));
        if self.client_certificate.is_some() != self.client_key.is_some() {
            let name = self.client_key.as_ref().map_or("client_certificate", |_| "client_key");
            return of(name, "client_certificate and client_key need each other");
        }
        if self.user.is_some() != self.password_file.is_some() {
            let name = self.user.as_ref().map_or("password_file", |_| "user");
            return of(name, "user and password_file need each other");
        }
        if self.user.iter().any(|user| user.contains(|c: char| c == ':' || c.is_control())) {
            return of("user", "a user name has no colon and no control characters (RFC 7617)");
        }
        if self.user.is_some() && self.token_file.is_some() {
            return of("token_file", "give a token or a user, not both");
        }
        self.url(node).err().map(|problem| ("url", problem))
    }
}
