//! The guard: a change must not take from a host what it cannot live without (rule H8).

use super::View;
use super::impact::is_pullable;
use crate::model::{Finding, Origin, Reference, Severity};

/// An image that the host needs, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// As it is written there.
    pub image: String,
    /// Who needs it.
    pub by: String,
}

/// Every needed image that could be pulled before the change and cannot be after it.
#[must_use]
pub fn lock_outs(
    needed: &[Needed],
    before: &View,
    after: &View,
    severity: Severity,
) -> Vec<Finding> {
    let is_lost = |needed: &&Needed| {
        reference(&needed.image)
            .is_some_and(|image| is_pullable(before, &image) && !is_pullable(after, &image))
    };
    needed.iter().filter(is_lost).map(|needed| lock_out(needed, severity)).collect()
}

/// As CRI-O pulls it: a tag beside a digest is dropped.
fn reference(image: &str) -> Option<Reference> {
    let reference = Reference::parse(image).ok()?;
    Some(if reference.digest().is_some() {
        reference.without_tag()
    } else {
        reference.with_default_tag()
    })
}

fn lock_out(needed: &Needed, severity: Severity) -> Finding {
    Finding::new(
        severity,
        "LockOut",
        Origin::object(needed.by.as_str()),
        "this host needs the image, could pull it until now, and could not any more.",
        "Leave it allowed and within reach, or say that you accept it: apply --accept-lockout.",
    )
    .about(needed.image.as_str())
}
