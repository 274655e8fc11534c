//! The ConfigMap that `additionalTrustedCA` names.

use std::collections::BTreeMap;

use super::document::Document;
use super::value::Value;
use super::walk::{Path, Walk};
use crate::model::config::TrustedCa;
use crate::model::reference::is_domain;
use crate::model::{Finding, Findings, Origin, Severity};
use rustls_pki_types::pem::{PemObject, SectionKind};

/// Finds the ConfigMap `name` among `config_maps` and reads it (rule D4).
pub(super) fn decode(
    name: Option<&str>,
    origin: &Origin,
    config_maps: &[Document<'_>],
    namespace: &str,
    findings: &mut Findings,
) -> TrustedCa {
    let Some(name) = name else { return TrustedCa::Unset };
    let is_named =
        |d: &&Document<'_>| d.name == name && (d.namespace.is_empty() || d.namespace == namespace);
    let mut named = config_maps.iter().filter(is_named);
    let Some(document) = named.next() else {
        findings.push(
            Finding::new(
                Severity::Warning,
                "TrustedCaMissing",
                origin.clone(),
                format!(
                    "there is no ConfigMap of this name in namespace {namespace}; the CA files \
                     already on the host stay as they are."
                ),
                "Create the ConfigMap, or remove additionalTrustedCA.",
            )
            .about(name),
        );
        return TrustedCa::Missing(name.to_owned());
    };
    let data = document.value.at(&["data"]);
    if let Some(other) = named.find(|other| other.value.at(&["data"]) != data) {
        findings.push(super::duplicate(other));
    }
    TrustedCa::Present(certificates(&mut Walk::new(document, findings), document))
}

fn certificates(walk: &mut Walk<'_>, document: &Document<'_>) -> BTreeMap<String, String> {
    let mut certificates = BTreeMap::new();
    let Some(top) = document.value.as_object() else { return certificates };
    if top.get("binaryData").and_then(Value::as_object).is_some_and(|data| !data.is_empty()) {
        walk.push(Finding::new(
            Severity::Warning,
            "BinaryData",
            walk.origin(Path::At("binaryData")),
            "certificates are read from data alone.",
            "Move them to data, in PEM.",
        ));
    }
    let Some(data) = walk.map(top, Path::At("data")) else { return certificates };
    for (key, value) in data.iter() {
        let origin = walk.origin(Path::At(&format!("data[{key:?}]")));
        let host = host_of(key);
        if host.is_none() {
            walk.push(bad_key(origin.clone(), key));
        }
        match value.as_str().map_or(Err(NOT_TEXT), check_pem) {
            Ok(()) => certificates.extend(host.zip(value.as_str().map(str::to_owned))),
            Err((name, why, fix)) => {
                walk.push(Finding::new(Severity::Error, name, origin, why, fix));
            }
        }
    }
    certificates
}

fn bad_key(origin: Origin, key: &str) -> Finding {
    let why = "the key is not a host name, or host..port.";
    let fix = "Use the registry's host name as the key, host..port where it has a port.";
    Finding::new(Severity::Error, "InvalidCaKey", origin, why, fix).about(key)
}

/// The directory below certs.d that a key stands for: keys cannot hold a colon, so the last
/// `..` stands for it.
fn host_of(key: &str) -> Option<String> {
    if key.contains(':') {
        return None;
    }
    let host = match key.rsplit_once("..") {
        Some((host, port)) => format!("{host}:{port}"),
        None => key.to_owned(),
    };
    // The grammar of hosts leaves no room for a slash or a leading dot.
    is_domain(&host).then_some(host)
}

/// What is wrong with a value: the finding's name, why, and what to do.
type Problem = (&'static str, &'static str, &'static str);

const MEND_PEM: &str = "Write the registry's CA certificates in PEM as the value.";
const NOT_TEXT: Problem = ("InvalidCaPem", "the value is not text.", MEND_PEM);
const CONTROL: Problem = (
    "InvalidCaPem",
    "the value holds control characters, which could steer a terminal that shows it.",
    "Put nothing but PEM there.",
);
const DAMAGED: Problem = ("InvalidCaPem", "a certificate in the value is damaged.", MEND_PEM);
const NO_CERTIFICATE: Problem = ("InvalidCaPem", "the value holds no PEM certificate.", MEND_PEM);
const PRIVATE_KEY: Problem = (
    "PrivateKeyInCa",
    "the value holds a private key, which belongs on no node.",
    "Take it out, and replace the key: others could read it.",
);

/// Whether `text` holds certificates and nothing secret. The engine silently passes over what
/// it cannot read.
fn check_pem(text: &str) -> Result<(), Problem> {
    if text.contains("PRIVATE KEY-----") {
        return Err(PRIVATE_KEY);
    }
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(CONTROL);
    }
    let mut certificates = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section {
            Ok((SectionKind::Certificate, der)) if is_der_sequence(&der) => certificates += 1,
            Ok((SectionKind::Certificate, _)) | Err(_) => {
                return Err(DAMAGED);
            }
            Ok(_) => {}
        }
    }
    if certificates == 0 {
        return Err(NO_CERTIFICATE);
    }
    Ok(())
}

/// Whether `der` is one DER sequence of the length that its header says (X.690, 8.1): enough
/// to tell a certificate from a truncated one.
fn is_der_sequence(der: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = der else { return false };
    if *length < 0x80 {
        return rest.len() == usize::from(*length);
    }
    let octets = usize::from(length & 0x7f);
    if octets == 0 || octets > 4 {
        return false;
    }
    let Some((length, content)) = rest.split_at_checked(octets) else { return false };
    length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)) == content.len()
}
