//! One entry of a list, and what its text is taken for.

use super::walk::{Path, Walk};
use crate::model::config::Entry;
use crate::model::reference::LEGACY_DEFAULT_HOST;
use crate::model::{Finding, Origin, Scope, Severity};

/// An entry of a list; none where it is no scope.
pub(super) fn entry(walk: &mut Walk<'_>, path: Path<'_>, text: &str) -> Option<Entry> {
    let origin = walk.origin(path);
    let scope = match Scope::parse(text) {
        Ok(scope) => scope,
        Err(error) => {
            walk.push(invalid_entry(origin, text, &error.to_string()));
            return None;
        }
    };
    if scope.is_single_image() {
        let dropped =
            if scope.dropped_tag(text) { " The tag beside the digest is ignored." } else { "" };
        walk.push(
            Finding::new(
                Severity::Info,
                "TagOrDigestEntry",
                origin.clone(),
                format!(
                    "newer OpenShift API servers refuse entries with a tag or digest.{dropped}"
                ),
                "Name the repository if all of its images are meant.",
            )
            .about(text),
        );
    }
    odd_name(walk, path, text, &scope);
    Some(Entry { scope, origin })
}

/// Says where an entry is not for the images that its author has in mind: the engine writes names out
/// before it looks them up, and compares them letter by letter.
pub(super) fn odd_name(walk: &mut Walk<'_>, path: Path<'_>, text: &str, scope: &Scope) {
    if scope.host() == LEGACY_DEFAULT_HOST {
        let why = "the engine writes docker.io for this host, so no image is ever named so.";
        walk.push(never_matches(walk.origin(path), text, why, "Write docker.io in its place."));
    } else if !scope.is_nameable() && !scope.is_wildcard() {
        let why = "a host without a dot or a port is taken for a path on docker.io, so no image is \
                   ever named so.";
        let fix = "Write the full host name, or add the port.";
        walk.push(never_matches(walk.origin(path), text, why, fix));
    } else if let Some(image) = scope.docker_name().filter(|_| scope.is_single_image()) {
        let why = "the engine puts images of docker.io that have no namespace into library, so no \
                   image is ever named so.";
        let fix = format!("Write docker.io/library/{image}.");
        walk.push(never_matches(walk.origin(path), text, why, fix));
    }
    if scope.host().contains(|c: char| c.is_ascii_uppercase()) {
        walk.push(upper_case(walk.origin(path), text));
    }
}

fn never_matches(origin: Origin, text: &str, why: &str, fix: impl Into<String>) -> Finding {
    Finding::new(Severity::Warning, "NeverMatches", origin, why, fix).about(text)
}

fn upper_case(origin: Origin, text: &str) -> Finding {
    let why = "the engine compares hosts letter by letter, so this is only for images whose names are \
               written with the same capitals.";
    let fix = "Write the host in lower case, as images do.";
    Finding::new(Severity::Warning, "UpperCaseHost", origin, why, fix).about(text)
}

pub(super) fn invalid_entry(origin: Origin, text: &str, problem: &str) -> Finding {
    Finding::new(
        Severity::Error,
        "InvalidEntry",
        origin,
        format!("{problem}."),
        "Write host[:port], host[:port]/path or *.domain.",
    )
    .about(text)
}
