//! Reading what `base adopt` makes the new base of a file.

use std::path::Path;

use super::base::Base;
use super::error::ApplyError;
use super::state::{Applied, BENEATH, Entry, FOREIGN, mirrored, read_content, sha256};
use crate::engine::{self, Content, File, Registries};
use crate::host::Root;
use crate::model::Paths;
use crate::render::base::BaseFile;
use crate::render::without_ours;

/// The present bytes of `file` with what is ours taken out. Where the file is as it was applied,
/// others' bytes that a heal kept are taken for the present ones, without what was ours then.
///
/// # Errors
/// [`ApplyError::NoBase`] where the file is the host's own, [`ApplyError::NothingForeign`] where
/// others changed nothing; or one of its versions cannot be read.
pub fn adopted(root: &Root, paths: &Paths, file: &Path) -> Result<Vec<u8>, ApplyError> {
    let applied = Applied::load(root)?;
    let Some(Entry { sha256: ours, .. }) = applied.set.files.get(file) else {
        return Err(ApplyError::NoBase(file.to_owned()));
    };
    let (present, ours) = match root.read(file)?.filter(|bytes| sha256(bytes) != *ours) {
        Some(live) => (live, read_content(root, ours)?),
        None => {
            let kept = |dir| root.read(&mirrored(dir, file));
            let kept = kept(FOREIGN)?.zip(kept(BENEATH)?);
            kept.ok_or_else(|| ApplyError::NothingForeign(file.to_owned()))?
        }
    };
    let base = match Base::load(root)?.text(root, paths, file) {
        Content::Bytes(bytes) => bytes,
        Content::Absent => Vec::new(),
        Content::Unreadable(why) => return Err(unusable(file, why)),
    };
    let text = if *file == *paths.registries_conf {
        let read = |bytes: &[u8]| registries(file, bytes);
        without_ours::registries(read(&present)?, &read(&ours)?, &read(&base)?)
    } else if file.extension().is_some_and(|extension| extension == "json") {
        let read = |bytes: &[u8]| policy(file, bytes);
        let base =
            if base.is_empty() { crate::render::policy::DEFAULT_POLICY.as_bytes() } else { &base };
        without_ours::policy(&read(&present)?, &read(&ours)?, &read(base)?)
    } else {
        return Ok(present);
    };
    Ok(text.into_bytes())
}

fn registries(file: &Path, bytes: &[u8]) -> Result<BaseFile, ApplyError> {
    Registries::parse(&File::new(file, bytes), &[])
        .map_err(|error| unusable(file, error.to_string()))?;
    let text = std::str::from_utf8(bytes).map_err(|error| unusable(file, error.to_string()))?;
    BaseFile::parse(text).map_err(|error| unusable(file, error.message().to_owned()))
}

fn policy(file: &Path, bytes: &[u8]) -> Result<engine::Policy, ApplyError> {
    engine::Policy::parse(&File::new(file, bytes))
        .map_err(|error| unusable(file, error.to_string()))
}

fn unusable(file: &Path, why: String) -> ApplyError {
    ApplyError::Unusable { file: file.to_owned(), why }
}
