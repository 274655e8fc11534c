//! Where documents come from. Nothing is decided here: bytes come in, or the reason why not.

pub mod file;
pub mod http;
pub mod kube;
pub mod precedence;
pub mod store;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::decode::SourceFile;
use crate::model::finding::PENDING;
use crate::model::{Finding, Origin, Severity};

/// What a source that is followed over the network gives at present. Its task sends a new one
/// whenever something changes, and never an older one.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The last good documents, from before a restart too; none where there never were any.
    pub documents: Option<Arc<Vec<SourceFile>>>,
    /// What tells these documents from others, as their sender names them: an ETag, a serial.
    pub revision: Option<String>,
    /// Why it gives nothing newer at present, if it does not (rule D5).
    pub trouble: Option<Trouble>,
}

impl Reading {
    /// What a source gave before it was asked again: the last good documents, all being well.
    #[must_use]
    pub fn kept(kept: &store::Kept) -> Self {
        Self {
            documents: Some(Arc::new(kept.documents.clone())),
            revision: kept.notes.revision.clone(),
            trouble: None,
        }
    }
}

/// Judges documents: their serial (rule E2), or the first thing that keeps them from being applied to
/// any host. A source is given it, because it decides nothing itself.
pub type Judge = Arc<dyn Fn(&[SourceFile]) -> Result<Option<u64>, Box<Finding>> + Send + Sync>;

/// Why a source gives nothing newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In one word in CamelCase, for programs.
    pub reason: Cow<'static, str>,
    /// In one sentence, for people. It holds no secret.
    pub message: String,
    /// Whether it gave documents that are refused: bad, altered, unsigned or older ones. Else it
    /// gave none.
    pub is_refusal: bool,
    /// Since when it has been in trouble, without a break.
    pub since: Instant,
    /// When it is asked again.
    pub retry: Option<Timestamp>,
}

impl Trouble {
    /// It gives nothing.
    #[must_use]
    pub fn silence(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason: Cow::Borrowed(reason),
            message: message.into(),
            is_refusal: false,
            since: Instant::now(),
            retry: None,
        }
    }

    /// Nobody has asked it yet: what a source that is followed says first.
    #[must_use]
    pub fn not_asked() -> Self {
        Self::silence("NotAskedYet", "the source has not been asked yet")
    }

    /// The same trouble, which has lasted for so long already.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { since: self.since.checked_sub(time).unwrap_or(self.since), ..self }
    }

    /// Whether its first answer is still to come, so that nobody knows what it will give.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        PENDING.contains(&self.reason.as_ref())
    }

    /// It gives what is refused.
    #[must_use]
    pub fn refusal(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_refusal: true, ..Self::silence("", message) }
    }

    /// The same trouble, where it is not the first in a row.
    #[must_use]
    pub fn after(self, earlier: Option<&Self>) -> Self {
        Self { since: earlier.map_or(self.since, |earlier| earlier.since), ..self }
    }

    /// For a source that has never given anything: nothing may be concluded from that (rule D5).
    #[must_use]
    pub fn finding(&self, origin: &str) -> Finding {
        Finding::new(
            Severity::Error,
            self.reason.clone(),
            Origin::object(origin),
            format!("{}.", self.message),
            "The host stays as it is until the source gives documents; `status` says more.",
        )
    }
}

impl From<&Finding> for Trouble {
    /// Documents that cannot be used.
    fn from(finding: &Finding) -> Self {
        Self::refusal(finding.name.clone(), finding.to_string())
    }
}
