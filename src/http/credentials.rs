//! Credentials and CAs, read from files anew whenever they are needed: they are rotated.

use std::path::Path;

use reqwest::{Certificate, Identity, RequestBuilder};

use super::HttpError;
use crate::settings::Server;
use crate::source::file::read_regular;

/// The files' contents. It is not shown: it is secret.
#[derive(PartialEq, Eq)]
pub(super) struct Credentials {
    ca: Option<Vec<u8>>,
    identity: Option<Vec<u8>>,
    login: Option<Login>,
}

#[derive(PartialEq, Eq)]
enum Login {
    Token(String),
    User(String, String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    pub(super) fn read(server: &Server) -> Result<Self, HttpError> {
        let ca = server.ca.as_deref().map(bytes).transpose()?;
        let mut identity = server.client_certificate.as_deref().map(bytes).transpose()?;
        if let (Some(identity), Some(file)) = (&mut identity, &server.client_key) {
            let key = bytes(file)?;
            if is_encrypted(&key) {
                return Err(unusable(file, "it is encrypted: write the key without a passphrase"));
            }
            identity.push(b'\n');
            identity.extend(key);
        }
        let login = match (&server.token_file, &server.user, &server.password_file) {
            (Some(file), _, _) => Some(Login::Token(word(file)?)),
            (None, Some(user), Some(file)) => Some(Login::User(user.clone(), word(file)?)),
            _ => None,
        };
        Ok(Self { ca, identity, login })
    }

    /// The request with the login that it needs. It does not follow a redirect to another host.
    pub(super) fn log_in(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Some(Login::Token(token)) => request.bearer_auth(token),
            Some(Login::User(user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// The CAs to trust beside those of the system.
    pub(super) fn cas(&self, server: &Server) -> Result<Vec<Certificate>, HttpError> {
        let (Some(pem), Some(file)) = (&self.ca, &server.ca) else { return Ok(Vec::new()) };
        match Certificate::from_pem_bundle(pem) {
            Ok(cas) if !cas.is_empty() => Ok(cas),
            _ => Err(unusable(file, "it holds no CA in PEM")),
        }
    }

    /// The certificate to show, with its key.
    pub(super) fn identity(&self, server: &Server) -> Result<Option<Identity>, HttpError> {
        let identity = self.identity.as_deref().map(Identity::from_pem).transpose();
        identity.map_err(|_| {
            let files = [&server.client_certificate, &server.client_key].map(Option::as_deref);
            let [certificate, key] = files.map(|file| file.unwrap_or(Path::new("")).display());
            let message =
                format!("{certificate} and {key} hold no certificate with its key in PEM");
            HttpError::new("CredentialsUnusable", message)
        })
    }
}

/// Whether a PEM holds a key that needs a passphrase: by PKCS #8, or as OpenSSL wrote them before.
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn bytes(path: &Path) -> Result<Vec<u8>, HttpError> {
    read_regular(path).map_err(|error| unusable(path, &error.to_string()))
}

/// One line, without the white space around it.
fn word(path: &Path) -> Result<String, HttpError> {
    let text = String::from_utf8(bytes(path)?).map_err(|_| unusable(path, "it is no text"))?;
    match text.trim() {
        "" => Err(unusable(path, "it is empty")),
        word if word.contains(char::is_control) => Err(unusable(path, "it is more than a line")),
        word => Ok(word.to_owned()),
    }
}

fn unusable(path: &Path, why: &str) -> HttpError {
    HttpError::new("CredentialsUnusable", format!("{} cannot be used: {why}", path.display()))
}
