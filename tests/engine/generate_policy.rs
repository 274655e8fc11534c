//! Random policy.json files.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::generate::{name, one_in, pick, scope, word};

const TRANSPORTS: &str = "docker atomic docker-daemon dir oci oci-archive docker-archive tarball sif \
    containers-storage ostree x";
const ODD_SCOPES: &str = "/ /a/b /a/../b /a//b x [/a]b@sha256:1 [a@/b]c [/a] a/b/c:d a/b:c a/b/c/d \
    [] \\u00e9 \\ud800 \\ud83d\\ude00";
const SIGSTORE: &str = "keyPath keyPaths keyData keyDatas fulcio pki rekorPublicKeyPath \
    rekorPublicKeyPaths rekorPublicKeyData rekorPublicKeyDatas signedIdentity signedIdentity";
const SIGNED_BY: &str = "keyPath keyPaths keyData keyType signedIdentity signedIdentity";
const AUTHORITY: &str = "caPath caData oidcIssuer subjectEmail caRootsPath caRootsData \
    caIntermediatesPath caIntermediatesData subjectHostname";
const VALUES: &[&str] = &[
    "null",
    r#""""#,
    r#""/p""#,
    r#""YQ==""#,
    r#""YQ\n==""#,
    r#""YQ=""#,
    r#""Y===""#,
    r#""YQ==YQ==""#,
    r#""+/-_""#,
    "[]",
    r#"[""]"#,
    r#"["/p", null]"#,
    r#"["YQ=="]"#,
    "[1, 255, null]",
    "[256]",
    "[1.0]",
    "[[1]]",
    "{}",
    "true",
    "1",
];

/// A file; most of them are valid.
pub fn file(rng: &mut Rng) -> String {
    let mut fields = Vec::new();
    if !one_in(rng, 60) {
        fields.push(format!("\"default\": {}", requirements(rng)));
    }
    if !one_in(rng, 10) {
        let mut transports = vec![transport(rng, "docker")];
        for _ in 0..rng.usize(..3) {
            let name = word(rng, TRANSPORTS);
            if name != "docker" || one_in(rng, 4) {
                transports.push(transport(rng, name));
            }
        }
        fields.push(format!("\"transports\": {{{}}}", transports.join(",\n ")));
    }
    if one_in(rng, 100) {
        fields.push("\"x\": 1".to_owned());
    }
    format!("{{\n {}\n}}\n", fields.join(",\n "))
}

fn transport(rng: &mut Rng, transport: &str) -> String {
    let length = if transport == "docker" { rng.usize(..6) } else { rng.usize(..2) };
    let scopes = (0..length).map(|_| {
        let scope = match rng.usize(..20) {
            0 => String::new(),
            1 => word(rng, ODD_SCOPES).to_owned(),
            2 => format!("{}:v1", name(rng)),
            _ if transport == "docker" => scope(rng),
            3..6 => scope(rng),
            _ => String::new(),
        };
        format!("\"{scope}\": {}", requirements(rng))
    });
    format!("\"{transport}\": {{{}}}", scopes.collect::<Vec<_>>().join(", "))
}

fn requirements(rng: &mut Rng) -> String {
    let length = if one_in(rng, 100) { 0 } else { pick(rng, &[1, 1, 1, 1, 1, 2]) };
    let items: Vec<_> = (0..length).map(|_| requirement(rng)).collect();
    format!("[{}]", items.join(", "))
}

fn requirement(rng: &mut Rng) -> String {
    match rng.usize(..60) {
        0..25 => r#"{"type": "insecureAcceptAnything"}"#.to_owned(),
        25..40 => r#"{"type": "reject"}"#.to_owned(),
        40..46 => {
            let fields = [("keyType", r#""GPGKeys""#), ("keyPath", r#""/k""#)];
            object(rng, "signedBy", &fields, SIGNED_BY)
        }
        46..48 => {
            format!(r#"{{"type": "signedBaseLayer", "baseLayerIdentity": {}}}"#, identity(rng))
        }
        48..53 => object(rng, "sigstoreSigned", &[("keyPath", r#""/k""#)], SIGSTORE),
        53..56 => {
            let fields =
                [("caPath", r#""/c""#), ("oidcIssuer", r#""i""#), ("subjectEmail", r#""e""#)];
            let fulcio = object(rng, "", &fields, AUTHORITY);
            let fields = [("fulcio", fulcio.as_str()), ("rekorPublicKeyPath", r#""/r""#)];
            object(rng, "sigstoreSigned", &fields, SIGSTORE)
        }
        56..59 => {
            let fields = [("caRootsPath", r#""/c""#), ("subjectEmail", r#""e""#)];
            let pki = object(rng, "", &fields, AUTHORITY);
            object(rng, "sigstoreSigned", &[("pki", &pki)], SIGSTORE)
        }
        _ => {
            pick(rng, &[r#"{"type": "accept"}"#, "null", "{}", r#"{"Type": "reject"}"#]).to_owned()
        }
    }
}

/// An object with these fields, of which some may get lost or others join them.
fn object(rng: &mut Rng, kind: &str, fields: &[(&str, &str)], others: &str) -> String {
    let mut object = BTreeMap::new();
    if !kind.is_empty() {
        object.insert("type", format!("\"{kind}\""));
    }
    for (key, value) in fields {
        if !one_in(rng, 20) {
            object.insert(*key, (*value).to_owned());
        }
    }
    if one_in(rng, 4) {
        let key = word(rng, others);
        let is_identity = key == "signedIdentity";
        let value = if is_identity { identity(rng) } else { pick(rng, VALUES).to_owned() };
        object.insert(key, value);
    }
    let fields: Vec<_> = object.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

fn identity(rng: &mut Rng) -> String {
    match rng.usize(..20) {
        0..6 => r#"{"type": "matchExact"}"#.to_owned(),
        6..10 => r#"{"type": "matchRepository"}"#.to_owned(),
        10..13 => {
            format!(r#"{{"type": "exactReference", "dockerReference": "{}:v1"}}"#, name(rng))
        }
        13..16 => format!(r#"{{"type": "exactRepository", "dockerRepository": "{}"}}"#, name(rng)),
        16..19 => {
            let (prefix, signed) = (name(rng), name(rng));
            let fields = format!(r#""prefix": "{prefix}", "signedPrefix": "{signed}""#);
            format!(r#"{{"type": "remapIdentity", {fields}}}"#)
        }
        _ => pick(rng, VALUES).to_owned(),
    }
}
