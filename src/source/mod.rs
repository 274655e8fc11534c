//! Where documents come from. Nothing is decided here: bytes come in, or the reason why not.

pub mod file;

use std::sync::Arc;
use std::time::Instant;

use crate::decode::SourceFile;

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

/// Why a source gives nothing newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In one word in CamelCase, for programs.
    pub reason: &'static str,
    /// In one sentence, for people. It holds no secret.
    pub message: String,
    /// Since when, without a break.
    pub since: Instant,
}
