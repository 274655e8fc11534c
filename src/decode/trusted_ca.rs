//! The ConfigMap that `additionalTrustedCA` names.

use std::collections::BTreeMap;

use rustls_pki_types::pem::{PemObject, SectionKind};
use serde_json::Value;

use super::document::Document;
use super::walk::Walk;
use crate::model::config::TrustedCa;
use crate::model::reference::is_domain;
use crate::model::{Finding, Origin, Severity};

/// Finds the ConfigMap `name` among `config_maps` and reads it (rule D4).
pub(super) fn decode(
    name: Option<&str>,
    origin: &Origin,
    config_maps: &[Document],
    namespace: &str,
    findings: &mut Vec<Finding>,
) -> TrustedCa {
    let Some(name) = name else { return TrustedCa::Unset };
    let is_named =
        |d: &&Document| d.name == name && (d.namespace.is_empty() || d.namespace == namespace);
    let Some(document) = config_maps.iter().find(is_named) else {
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
    TrustedCa::Present(certificates(&mut Walk::new(document, findings), document))
}

fn certificates(walk: &mut Walk<'_>, document: &Document) -> BTreeMap<String, String> {
    let mut certificates = BTreeMap::new();
    let Some(top) = document.value.as_object() else { return certificates };
    if top.get("binaryData").and_then(Value::as_object).is_some_and(|data| !data.is_empty()) {
        walk.push(Finding::new(
            Severity::Warning,
            "BinaryData",
            walk.origin("binaryData"),
            "certificates are read from data alone.",
            "Move them to data, in PEM.",
        ));
    }
    let Some(data) = top.get("data").and_then(Value::as_object) else { return certificates };
    for (key, value) in data {
        let origin = walk.origin(&format!("data[{key:?}]"));
        let (host, problem) = match (host_of(key), value.as_str().map(check_pem)) {
            (None, _) => (None, Some("the key is not a host name, or host..port.")),
            (_, None) => (None, Some("the value is not text.")),
            (_, Some(Err(problem))) => (None, Some(problem)),
            (host, Some(Ok(()))) => (host, None),
        };
        if let Some(problem) = problem {
            let fix = "Use the registry's host name as the key, host..port where it has a port, \
                       and its CA certificates in PEM as the value.";
            walk.push(Finding::new(Severity::Error, "InvalidCa", origin, problem, fix));
        }
        if let (Some(host), Some(pem)) = (host, value.as_str()) {
            certificates.insert(host, pem.to_owned());
        }
    }
    certificates
}

/// The directory below certs.d that a key stands for: keys cannot hold a colon, so the last
/// `..` stands for it.
fn host_of(key: &str) -> Option<String> {
    let host = match key.rsplit_once("..") {
        Some((host, port)) => format!("{host}:{port}"),
        None => key.to_owned(),
    };
    // The grammar of hosts leaves no room for a slash or a leading dot.
    is_domain(&host).then_some(host)
}

/// Whether `text` holds certificates and nothing secret. The engine silently passes over what
/// it cannot read.
fn check_pem(text: &str) -> Result<(), &'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Err("the value holds a private key, which belongs on no node.");
    }
    let mut certificates = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section {
            Ok((SectionKind::Certificate, der)) if is_der_sequence(&der) => certificates += 1,
            Ok((SectionKind::Certificate, _)) | Err(_) => {
                return Err("a certificate in the value is damaged.");
            }
            Ok(_) => {}
        }
    }
    if certificates == 0 {
        return Err("the value holds no PEM certificate.");
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
