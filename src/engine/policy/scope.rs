//! Scopes: which a transport takes, and which are for an image.

use crate::model::Reference;
use crate::model::reference::is_digest;

/// The scopes that are for a reference, most specific first: itself, its repository and each
/// parent, its host, and the wildcards for the host, whose port they leave out
/// (`DockerReferenceIdentity`, `DockerReferenceNamespaces`).
pub(super) fn scopes_of(reference: &Reference) -> impl Iterator<Item = String> {
    let name = reference.name();
    let parents = name.rmatch_indices('/').filter_map(|(slash, _)| name.get(..slash));
    let first = name.split(['/', ':']).next().unwrap_or_default();
    let wildcards = first.match_indices('.').filter_map(|(dot, _)| first.get(dot..));
    std::iter::once(reference.to_string())
        .chain(std::iter::once(name).chain(parents).map(str::to_owned))
        .chain(wildcards.map(|suffix| format!("*{suffix}")))
}

/// Whether a transport takes this scope (its `ValidatePolicyConfigurationScope`). Transports
/// that the library does not know, among them `ostree` of old, take all.
pub(super) fn is_valid(transport: &str, scope: &str) -> bool {
    if scope.is_empty() {
        return true;
    }
    match transport {
        "dir" | "oci" | "oci-archive" | "sif" => is_clean_absolute_path(scope),
        "docker-archive" | "tarball" => false,
        "atomic" => is_atomic(scope),
        "docker-daemon" => !is_digest(scope),
        "containers-storage" => is_storage(scope),
        _ => true,
    }
}

/// An absolute path in the form that `filepath.Clean` gives it, but not `/`.
fn is_clean_absolute_path(scope: &str) -> bool {
    scope
        .strip_prefix('/')
        .is_some_and(|path| path.split('/').all(|component| !matches!(component, "" | "." | "..")))
}

/// `HOST/NAMESPACE/STREAM:TAG`, or the start of that (`scopeRegexp`).
fn is_atomic(scope: &str) -> bool {
    let mut parts = scope.splitn(4, '/').skip(1);
    let namespace = parts.next().unwrap_or_default();
    let stream = parts.next().unwrap_or_default();
    parts.next().is_none() && !namespace.contains(':') && stream.matches(':').count() <= 1
}

/// `[STORE]NAME[@DIGEST][@ID]`, where STORE is `[DRIVER@]ROOT`.
fn is_storage(scope: &str) -> bool {
    let Some((store, image)) = scope.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return false;
    };
    let has_root = match store.split_once('@') {
        Some((driver, root)) => !driver.is_empty() && root.starts_with('/'),
        None => store.starts_with('/'),
    };
    let is_id = |text: &str| is_digest(&format!("sha256:{text}"));
    let is_image = match *image.splitn(3, '@').collect::<Vec<_>>().as_slice() {
        [_, version] => is_id(version) || is_digest(version),
        [_, digest, id] => is_digest(digest) && is_id(id),
        _ => true,
    };
    has_root && is_image
}
