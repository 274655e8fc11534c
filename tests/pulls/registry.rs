//! One of a host's registries, as its logs show it.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How a registry serves its images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Serves {
    /// TLS, certificate by a CA that every machine trusts.
    Publicly,
    /// TLS, certificate by a CA of its own.
    Privately,
    /// TLS, certificate by the public CA, expired.
    Expired,
    /// HTTP.
    Plainly,
}

pub struct Registry {
    /// Host, with its port where the name has one.
    pub name: String,
    pub serves: Serves,
    access_log: PathBuf,
    error_log: PathBuf,
    seen: Cell<usize>,
}

impl Registry {
    /// The registry whose logs are `DIR/access.log` and `DIR/error.log`.
    pub fn new(name: &str, serves: Serves, dir: &Path) -> Self {
        let (access_log, error_log) = (dir.join("access.log"), dir.join("error.log"));
        Self { name: name.to_owned(), serves, access_log, error_log, seen: Cell::new(0) }
    }

    pub fn wait_until_it_listens(&self) {
        let log = || fs::read_to_string(&self.error_log).unwrap_or_default();
        let listens = eventually(|| log().contains("listening on"));
        assert!(listens, "{} does not start: {}", self.name, log());
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.seen.set(self.log().len());
    }

    /// Whether anybody asked this registry for anything since [`Self::forget`]. The log may lag
    /// behind the answer a little.
    pub fn was_asked(&self) -> bool {
        eventually(|| !self.requests().is_empty())
    }

    /// Whether this registry gave a manifest to anybody since [`Self::forget`].
    pub fn served(&self) -> bool {
        let gives = |line: &str| line.contains("/manifests/") && line.contains("\" 200 ");
        eventually(|| self.requests().lines().any(gives))
    }

    /// The lines of the access log since [`Self::forget`].
    pub fn requests(&self) -> String {
        self.log().split_off(self.seen.get())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.access_log).unwrap()
    }
}

/// Whether `condition` comes true within 10 seconds.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    condition()
}
