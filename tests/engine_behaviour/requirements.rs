//! What a requirement of policy.json may and must have (containers-policy.json(5)).

use image_config_agent::engine::{File, Policy};
use serde_json::{Value, json};

/// What is said of a requirement; empty if it is read.
fn said_of(requirement: &Value) -> String {
    let policy = json!({ "default": [requirement] }).to_string();
    match Policy::parse(&File::new("f", policy)) {
        Ok(policy) => {
            let handed_on: Value =
                serde_json::from_str(&policy.default_requirements()[0].json).unwrap();
            assert_eq!(&handed_on, requirement);
            String::new()
        }
        Err(error) => match error.key {
            Some(key) => format!("{key}: {}", error.problem),
            None => error.problem.to_string(),
        },
    }
}

/// Asserts what is said of `base` with each of these fields beside its own.
#[track_caller]
fn says(base: &Value, cases: &[(Value, &str)]) {
    for (fields, said) in cases {
        let mut requirement = base.clone();
        let own = requirement.as_object_mut().unwrap();
        own.extend(fields.as_object().unwrap().clone());
        let expected = if said.is_empty() { String::new() } else { format!("default[0]{said}") };
        assert_eq!(said_of(&requirement), expected, "{requirement}");
    }
}

#[test]
fn a_simple_signature_needs_one_key_of_a_known_type() {
    let one = ": exactly one of keyPath, keyPaths and keyData is needed";
    for key_type in ["GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs"] {
        says(&json!({"type": "signedBy", "keyType": key_type}), &[(json!({"keyPath": "/k"}), "")]);
    }
    says(
        &json!({"type": "signedBy"}),
        &[
            (json!({"keyPath": "/k"}), ".keyType: \"\" is no known type of key"),
            (json!({"keyType": "x"}), ".keyType: \"x\" is no known type of key"),
        ],
    );
    says(
        &json!({"type": "signedBy", "keyType": "GPGKeys"}),
        &[
            (json!({}), one),
            (json!({"keyPaths": ["/k"]}), ""),
            (json!({"keyPaths": []}), ""),
            (json!({"keyPaths": null}), one),
            (json!({"keyPaths": "x"}), ".keyPaths: expected an array, found a string"),
            (json!({"keyPaths": [1]}), ".keyPaths: expected a string, found a number"),
            (json!({"keyData": "YQ=="}), ""),
            (json!({"keyData": null}), one),
            (json!({"keyData": "Y"}), ".keyData: expected base64 with padding, found a string"),
            (json!({"keyPath": ""}), one),
            (json!({"keyPath": null}), one),
            (json!({"keyPath": "/k", "keyData": "YQ=="}), one),
            (json!({"keyPath": "/k", "keyPaths": ["/k"]}), one),
            (json!({"keyPath": "/k", "x": 1}), ".x: this key is not known here"),
            (json!({"keyPath": "/k", "signedIdentity": {"type": "matchExact"}}), ""),
            (
                json!({"keyPath": "/k", "signedIdentity": 1}),
                ".signedIdentity: expected an object, found a number",
            ),
        ],
    );
}

#[test]
fn a_sigstore_signature_needs_one_key() {
    let one = ": exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki is needed";
    let base = json!({"type": "sigstoreSigned"});
    says(
        &base,
        &[
            (json!({}), one),
            (json!({"keyPath": "/k"}), ""),
            (json!({"keyPath": ""}), one),
            (json!({"keyPaths": ["/k", "/l"]}), ""),
            (json!({"keyPaths": []}), ".keyPaths: the list must not be empty"),
            (json!({"keyPaths": null}), ".keyPaths: the list must not be empty"),
            (json!({"keyData": "YQ=="}), ""),
            (json!({"keyDatas": ["YQ=="]}), ""),
            (json!({"keyDatas": []}), ".keyDatas: the list must not be empty"),
            (json!({"keyDatas": ["Y"]}), ".keyDatas: expected base64 with padding, found a string"),
            (json!({"keyPath": "/k", "keyData": "YQ=="}), one),
            (
                json!({"keyPath": "/k", "signedIdentity": {"type": "x"}}),
                ".signedIdentity.type: \"x\" is no known kind of identity",
            ),
            (json!({"keyPath": "/k", "x": 1}), ".x: this key is not known here"),
        ],
    );
    let two = ": only one of the four rekorPublicKey… may be given";
    says(
        &json!({"type": "sigstoreSigned", "keyPath": "/k"}),
        &[
            (json!({"rekorPublicKeyPath": "/r"}), ""),
            (json!({"rekorPublicKeyPaths": ["/r"]}), ""),
            (json!({"rekorPublicKeyData": "YQ=="}), ""),
            (json!({"rekorPublicKeyDatas": ["YQ=="]}), ""),
            (json!({"rekorPublicKeyPath": "/r", "rekorPublicKeyData": "YQ=="}), two),
            (json!({"rekorPublicKeyPaths": ["/r"], "rekorPublicKeyDatas": ["YQ=="]}), two),
        ],
    );
}

#[test]
fn a_sigstore_signature_by_a_short_lived_key() {
    let rekor = json!({"type": "sigstoreSigned", "rekorPublicKeyPath": "/r"});
    let none = json!({"type": "sigstoreSigned"});
    let good = json!({"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"});
    says(&none, &[(json!({"fulcio": good}), ": fulcio needs a public key of Rekor")]);
    let ca = ".fulcio: exactly one of caPath and caData is needed";
    let who = ".fulcio: both oidcIssuer and subjectEmail are needed";
    says(
        &rekor,
        &[
            (json!({"fulcio": good}), ""),
            (json!({"fulcio": {"caData": "YQ==", "oidcIssuer": "i", "subjectEmail": "e"}}), ""),
            (json!({"fulcio": {"oidcIssuer": "i", "subjectEmail": "e"}}), ca),
            (
                json!({"fulcio": {"caPath": "/c", "caData": "YQ==", "oidcIssuer": "i", "subjectEmail": "e"}}),
                ca,
            ),
            (json!({"fulcio": {"caPath": "/c", "oidcIssuer": "i"}}), who),
            (json!({"fulcio": {"caPath": "/c", "subjectEmail": "e"}}), who),
            (json!({"fulcio": {"x": 1}}), ".fulcio.x: this key is not known here"),
            (json!({"fulcio": []}), ".fulcio: expected an object, found an array"),
        ],
    );
    let pki = json!({"caRootsPath": "/c", "subjectEmail": "e"});
    says(&rekor, &[(json!({"pki": pki}), ": pki does not go with a public key of Rekor")]);
    let ca = ".pki: exactly one of caRootsPath and caRootsData is needed";
    let between = ".pki: only one of caIntermediatesPath and caIntermediatesData may be given";
    let with = |extra: Value| {
        let mut fields = pki.clone();
        fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "pki": fields })
    };
    says(
        &none,
        &[
            (json!({"pki": pki}), ""),
            (json!({"pki": {"caRootsData": "YQ==", "subjectHostname": "h"}}), ""),
            (with(json!({"subjectHostname": "h"})), ""),
            (
                json!({"pki": {"caRootsPath": "/c"}}),
                ".pki: subjectEmail or subjectHostname is needed",
            ),
            (json!({"pki": {"subjectEmail": "e"}}), ca),
            (with(json!({"caRootsData": "YQ=="})), ca),
            (with(json!({"caIntermediatesPath": "/i"})), ""),
            (with(json!({"caIntermediatesData": "YQ=="})), ""),
            (with(json!({"caIntermediatesPath": "/i", "caIntermediatesData": "YQ=="})), between),
            (with(json!({"x": 1})), ".pki.x: this key is not known here"),
        ],
    );
}

#[test]
fn an_identity_is_of_a_known_kind_and_form() {
    let key = ".signedIdentity";
    let form = "is not of the form HOST[:PORT][/PATH]";
    let name = "is no image name: it is not of the form [HOST[:PORT]/]PATH[:TAG][@DIGEST]";
    for (identity, said) in [
        (json!({"type": "matchExact"}), String::new()),
        (json!({"type": "matchRepoDigestOrExact"}), String::new()),
        (json!({"type": "matchRepository"}), String::new()),
        (json!({"type": "matchExact", "x": 1}), format!("{key}.x: this key is not known here")),
        (json!({"type": "exactReference", "dockerReference": "a.example/b:v1"}), String::new()),
        (
            json!({"type": "exactReference", "dockerReference": "a.example/b"}),
            format!("{key}.dockerReference: a tag or digest is needed"),
        ),
        (
            json!({"type": "exactReference", "dockerReference": "-"}),
            format!("{key}.dockerReference: \"-\" {name}"),
        ),
        (
            json!({"type": "exactReference"}),
            format!("{key}: the key \"dockerReference\" is missing"),
        ),
        (json!({"type": "exactRepository", "dockerRepository": "a.example/b"}), String::new()),
        (
            json!({"type": "exactRepository", "dockerRepository": "-"}),
            format!("{key}.dockerRepository: \"-\" {name}"),
        ),
        (
            json!({"type": "exactRepository"}),
            format!("{key}: the key \"dockerRepository\" is missing"),
        ),
        (
            json!({"type": "remapIdentity", "prefix": "a.example", "signedPrefix": "b.example:5000/c"}),
            String::new(),
        ),
        (
            json!({"type": "remapIdentity", "prefix": "a.example/", "signedPrefix": "b.example"}),
            format!("{key}.prefix: \"a.example/\" {form}"),
        ),
        (
            json!({"type": "remapIdentity", "prefix": "a.example", "signedPrefix": "-/b"}),
            format!("{key}.signedPrefix: \"-/b\" {form}"),
        ),
        (
            json!({"type": "remapIdentity", "prefix": "a.example"}),
            format!("{key}: the key \"signedPrefix\" is missing"),
        ),
        (json!({}), format!("{key}.type: \"\" is no known kind of identity")),
    ] {
        let base = json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"});
        says(&base, &[(json!({ "signedIdentity": identity }), &said)]);
    }
    says(
        &json!({"type": "signedBaseLayer"}),
        &[
            (json!({"baseLayerIdentity": {"type": "matchExact"}}), ""),
            (
                json!({"baseLayerIdentity": {"type": "x"}}),
                ".baseLayerIdentity.type: \"x\" is no known kind of identity",
            ),
            (json!({}), ": the key \"baseLayerIdentity\" is missing"),
        ],
    );
    for kind in ["insecureAcceptAnything", "reject"] {
        says(
            &json!({ "type": kind }),
            &[(json!({}), ""), (json!({"keyPath": "/k"}), ".keyPath: this key is not known here")],
        );
    }
}
