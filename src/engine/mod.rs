//! What containers/image does with the files of a host: parse, match, resolve a pull.
//!
//! Everything here answers as the library does that CRI-O and podman pull with (Go module
//! `go.podman.io/image/v5`, version 5.38), bugs included: what it refuses to read is an error
//! here, and what it tries in which order is what is returned. Nothing here does IO. Files come
//! in as [`File`]s, so that a host's, a rendered and a made-up set are judged alike.
//!
//! - [`Registries`]: registries.conf and its drop-ins; which places a name is pulled from.
//! - [`Policy`]: policy.json; whether an image may run.
//! - [`certs`]: certs.d; which certificates a registry's TLS goes by.
//! - [`short_names`]: what a name without registry may mean.

pub mod certs;
mod files;
mod policy;
mod registries;
pub mod short_names;
mod toml;

pub use files::{Content, File, FileError, Position, Problem};
pub use policy::{Decision, Kind, Level, Policy, Requirement};
pub use registries::{
    Alias, Mirror, Origin, PullFromMirror, Registries, Registry, SearchList, ShortNameMode, Source,
    SourcesError,
};

use crate::model::Reference;
use crate::model::reference::ReferenceError;

/// Why a text cannot be pulled, whatever the files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PullReferenceError {
    /// It is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// It has both a tag and a digest, which the library does not support.
    #[error("it has both a tag and a digest, of which a pull takes one")]
    TagAndDigest,
}

/// Reads what a pull asks for, as the docker transport does: familiar names are written out and
/// `latest` is added where there is neither tag nor digest.
///
/// # Errors
/// The text is no reference, or has both a tag and a digest.
pub fn pull_reference(text: &str) -> Result<Reference, PullReferenceError> {
    let reference = Reference::parse(text)?.with_default_tag();
    if reference.tag().is_some() && reference.digest().is_some() {
        return Err(PullReferenceError::TagAndDigest);
    }
    Ok(reference)
}
