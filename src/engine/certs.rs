//! certs.d: which certificates the TLS of a registry goes by (containers-certs.d(5)).

use std::collections::BTreeMap;
use std::path::PathBuf;

/// One certs.d directory with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertsDir {
    /// Its path, such as /etc/containers/certs.d.
    pub path: PathBuf,
    /// What lies in it, by name: `host[:port]`.
    pub hosts: BTreeMap<String, Listing>,
}

/// What lies in the directory of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// The names of the files.
    Files(Vec<String>),
    /// It is no directory, or cannot be listed, and why.
    Unreadable(String),
}

/// What TLS with a host goes by, besides the system's own certificate authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The one directory that is read; `None` where there is none for the host.
    pub directory: Option<PathBuf>,
    /// Its `*.crt`: authorities that are trusted too. Bad PEM in them is passed over silently.
    pub authorities: Vec<String>,
    /// Its `*.cert`, each with a `.key`: what the client shows.
    pub client_certificates: Vec<String>,
    /// Directories for the host that are not read because an earlier one exists.
    pub masked: Vec<PathBuf>,
}

/// Why nothing can be pulled from a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertsError {
    /// The directory cannot be listed.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The directory of the host.
        path: PathBuf,
        /// What listing it said.
        reason: String,
    },
    /// A `.cert` needs a `.key`, and the other way round. Authorities end in `.crt`.
    #[error("{path} has {present} without {missing}; an authority has to be called *.crt")]
    HalfPair {
        /// The directory of the host.
        path: PathBuf,
        /// The file that is there.
        present: String,
        /// The file that is not.
        missing: String,
    },
}

/// The certificates for `host[:port]` as a reference names it (`dockerCertDir` and
/// `SetupCertificates`).
///
/// The directories come in the library's order: that below the user's home, then
/// /etc/containers/certs.d, then /etc/docker/certs.d. The first that has an entry of exactly
/// this name is the only one read, even if that is empty.
///
/// # Errors
/// The engine would fail every pull from the host.
pub fn trust(dirs: &[CertsDir], host: &str) -> Result<Trust, CertsError> {
    let mut found = dirs.iter().filter_map(|dir| {
        let listing = dir.hosts.get(host)?;
        Some((dir.path.join(host), listing))
    });
    let Some((path, listing)) = found.next() else { return Ok(Trust::default()) };
    let files = match listing {
        Listing::Files(files) => files,
        Listing::Unreadable(reason) => {
            return Err(CertsError::Unreadable { path, reason: reason.clone() });
        }
    };
    for (suffix, other) in [(".cert", ".key"), (".key", ".cert")] {
        for name in files {
            let missing = name.strip_suffix(suffix).map(|base| format!("{base}{other}"));
            if let Some(missing) = missing.filter(|missing| !files.contains(missing)) {
                return Err(CertsError::HalfPair { path, present: name.clone(), missing });
            }
        }
    }
    let ending = |suffix| files.iter().filter(move |name| name.ends_with(suffix)).cloned();
    Ok(Trust {
        authorities: ending(".crt").collect(),
        client_certificates: ending(".cert").collect(),
        masked: found.map(|(path, _)| path).collect(),
        directory: Some(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str, hosts: &[(&str, &[&str])]) -> CertsDir {
        let listing = |files: &[&str]| Listing::Files(files.iter().map(|f| (*f).into()).collect());
        let hosts = hosts.iter().map(|(host, files)| ((*host).into(), listing(files)));
        CertsDir { path: path.into(), hosts: hosts.collect() }
    }

    #[test]
    fn an_empty_directory_masks_a_later_one() {
        let dirs = [
            dir("/etc/containers/certs.d", &[("reg.example:5000", &[])]),
            dir("/etc/docker/certs.d", &[("reg.example:5000", &["ca.crt"])]),
        ];
        let trust = trust(&dirs, "reg.example:5000").unwrap();
        assert_eq!(trust.directory, Some("/etc/containers/certs.d/reg.example:5000".into()));
        assert!(trust.authorities.is_empty());
        assert_eq!(trust.masked, [PathBuf::from("/etc/docker/certs.d/reg.example:5000")]);
    }

    #[test]
    fn the_port_counts() {
        let dirs = [dir("/etc/docker/certs.d", &[("reg.example", &["ca.crt", "own.crt", "x"])])];
        assert_eq!(trust(&dirs, "reg.example").unwrap().authorities, ["ca.crt", "own.crt"]);
        assert_eq!(trust(&dirs, "reg.example:443").unwrap(), Trust::default());
    }

    #[test]
    fn half_a_pair_fails_every_pull() {
        let pair: &[&str] = &["client.cert", "client.key"];
        let dirs = [dir("/c", &[("a", pair), ("b", &["ca.cert"]), ("c", &["client.key"])])];
        assert_eq!(trust(&dirs, "a").unwrap().client_certificates, ["client.cert"]);
        for host in ["b", "c"] {
            assert!(matches!(trust(&dirs, host), Err(CertsError::HalfPair { .. })), "{host}");
        }
    }
}
