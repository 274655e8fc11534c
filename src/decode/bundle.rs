//! The Bundle: our own kind, which says how old the documents beside it are (rule E2).

use super::document::Document;
use super::value::Value;
use crate::model::{Finding, Findings, Origin, Severity};

/// Its version of the API.
pub const API_VERSION: &str = "image-config-agent.io/v1";

/// Its kind.
pub const KIND: &str = "Bundle";

/// Its serial, an integer that grows with every version of the documents.
pub(super) fn serial(bundle: &Document<'_>, findings: &mut Findings) -> Option<u64> {
    let serial = match bundle.value.at(&["serial"]) {
        Some(Value::Number(number)) => number.as_u64(),
        _ => None,
    };
    if serial.is_none() {
        findings.push(Finding::new(
            Severity::Error,
            "InvalidSerial",
            Origin::field(bundle.object(), "serial"),
            "it is no whole number from 0 on, so nobody could tell old documents from new ones.",
            "Write a whole number that grows with every change, as serial: 7.",
        ));
    }
    serial
}
