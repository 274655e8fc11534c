//! ConfigMaps of CAs that would write elsewhere, or what is no CA.

use serde_json::json;

use super::agent::{CA, OTHER_CA, config_map, trusting};
use super::documents_refused;

const OBJECT: &str = "ConfigMap/openshift-config/ca";

#[test]
fn keys_that_are_no_host() {
    for key in [
        "../../etc/x",
        "..",
        "...",
        "....5000",
        "a.io/b",
        "/etc/x",
        "a.io..",
        "a.io..port",
        "*.io",
        "a.io:5000",
        "a.io..5000..5001",
        "",
        ".",
        "-a.io",
        "a.io\n",
    ] {
        let field = format!("data[{key:?}]");
        let documents = trusting(json!({key: CA, "good.io": CA}));
        documents_refused(&documents, &[["InvalidCaKey", OBJECT, &field, key]]);
    }
}

#[test]
fn values_that_are_no_certificate() {
    let field = "data[\"a.io\"]";
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let old_key = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let half: String = CA.lines().take(3).collect::<Vec<_>>().join("\n");
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let dots = "-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n";
    let cases = [
        ("InvalidCaPem", json!("")),
        ("InvalidCaPem", json!("no PEM at all")),
        ("InvalidCaPem", json!(half)),
        ("InvalidCaPem", json!(hollow)),
        ("InvalidCaPem", json!(dots)),
        ("InvalidCaPem", json!(format!("{CA}{hollow}"))),
        ("InvalidCaPem", json!(5)),
        ("InvalidCaPem", json!("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")),
        ("PrivateKeyInCa", json!(key)),
        ("PrivateKeyInCa", json!(format!("{CA}{old_key}"))),
    ];
    for (name, value) in cases {
        let documents = trusting(json!({"a.io": value, "good.io": CA}));
        documents_refused(&documents, &[[name, OBJECT, field, "-"]]);
    }
}

/// What may be a key is not shown, of one line or of more.
#[test]
fn a_key_in_the_place_of_all_data() {
    for key in
        ["-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "MC4CAQAwBQYDK2Vw"]
    {
        let [image, mut map] = trusting(json!({}));
        map["data"] = json!(key);
        documents_refused(&[image, map], &[["WrongType", OBJECT, "data", "-"]]);
    }
}

#[test]
fn key_and_value_are_judged_both() {
    let documents = trusting(json!({"../x": "none", "a.io": CA}));
    let field = "data[\"../x\"]";
    documents_refused(
        &documents,
        &[["InvalidCaKey", OBJECT, field, "../x"], ["InvalidCaPem", OBJECT, field, "-"]],
    );
}

/// Without a namespace it counts as in openshift-config, where there is another.
#[test]
fn two_maps_that_count_as_one() {
    let [image, map] = trusting(json!({"a.io": CA}));
    let mut other = config_map("ca", json!({"a.io": OTHER_CA}));
    other["metadata"].as_object_mut().unwrap().remove("namespace");
    documents_refused(&[image, map, other], &[["DuplicateObject", "ConfigMap/ca", "", "-"]]);
}
