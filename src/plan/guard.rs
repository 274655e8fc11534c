//! The guard: a change must not take from a host what it cannot live without (rule H8).

use std::collections::BTreeSet;

use serde::Serialize;

use super::View;
use super::impact::is_pullable;
use crate::engine::ShortNameMode;
use crate::engine::short_names::resolve;
use crate::model::annotations::ACCEPT_LOCKOUT;
use crate::model::reference::is_short_name;
use crate::model::{ClusterConfig, Digests, Finding, Origin, Reference, Severity};

/// An image that the host needs, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// As it is written there.
    pub image: String,
    /// Who needs it.
    pub by: String,
}

/// A change, as the guard sees it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'c> {
    /// The host before it.
    pub before: &'c View,
    /// The host after it.
    pub after: &'c View,
    /// CRI-O's short-name mode.
    pub short_names: ShortNameMode,
    /// The digest of the configuration that is changed to.
    pub digest: &'c str,
}

/// How many needed images could be pulled before a change, by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Guarded {
    /// They can be pulled after it too.
    pub kept: usize,
    /// They cannot.
    pub lost: usize,
}

impl Change<'_> {
    /// Every needed image that could be pulled before the change and cannot be after it, with how
    /// many others still can.
    #[must_use]
    pub fn lock_outs(&self, needed: &[Needed], severity: Severity) -> (Vec<Finding>, Guarded) {
        let can_pull = |view, image: &str| can_pull(view, image, self.short_names);
        let (kept, lost): (Vec<_>, Vec<_>) = needed
            .iter()
            .filter(|needed| can_pull(self.before, &needed.image))
            .partition(|needed| can_pull(self.after, &needed.image));
        let findings = lost.iter().map(|needed| self.lock_out(needed, severity)).collect();
        // One image may be needed by several.
        let count = |needed: Vec<&Needed>| {
            needed.into_iter().map(|one| &one.image).collect::<BTreeSet<_>>().len()
        };
        (findings, Guarded { kept: count(kept), lost: count(lost) })
    }

    fn lock_out(&self, needed: &Needed, severity: Severity) -> Finding {
        Finding::new(
            severity,
            "LockOut",
            Origin::object(needed.by.as_str()),
            "this host needs the image, could pull it until now, and could not any more.",
            format!(
                "Leave it allowed and within reach, or accept the lock-out: apply \
                 --accept-lockout, or the annotation {ACCEPT_LOCKOUT}: {} on the Image.",
                self.digest
            ),
        )
        .about(needed.image.as_str())
    }
}

/// Whether CRI-O can pull `image` as it is written: it drops a tag beside a digest, and takes
/// the first meaning of a short name that it gets.
fn can_pull(view: &View, image: &str, short_names: ShortNameMode) -> bool {
    let Ok(reference) = Reference::parse(image) else { return false };
    if !is_short_name(image) {
        return is_pullable(view, &reference.pinned().with_default_tag());
    }
    let meanings = view.registries.as_ref().ok().and_then(|r| resolve(image, r, short_names).ok());
    let Some(meanings) = meanings.filter(|meanings| !meanings.ambiguous) else { return false };
    meanings.references.into_iter().any(|one| is_pullable(view, &one.pinned()))
}

/// Whether the Image's annotation accepts what this configuration locks out.
#[must_use]
pub fn is_accepted(config: &ClusterConfig, digests: &Digests) -> bool {
    config.accepted_lock_out.as_ref().is_some_and(|(digest, _)| *digest == digests.configuration)
}

/// That the Image's annotation speaks of another configuration, if it does: what somebody
/// accepted once must not let a later change pass.
#[must_use]
pub fn stale_acceptance(config: &ClusterConfig, digests: &Digests) -> Option<Finding> {
    let (accepted, origin) = config.accepted_lock_out.as_ref()?;
    if is_accepted(config, digests) {
        return None;
    }
    let why = format!(
        "the annotation accepts nothing: the digest of this configuration is {}.",
        digests.configuration
    );
    let fix = "Remove it; or set it to that digest, if plan shows a lock-out that you accept.";
    let stale = Finding::new(Severity::Warning, "StaleAcceptance", origin.clone(), why, fix);
    Some(stale.about(accepted.as_str()))
}
