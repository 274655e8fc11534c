//! Bad input, from outside: whatever is wrong is said by name, object, field and value, the exit
//! code is 1, and the host is as it was, down to the times of its files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/agent.rs"]
mod agent;
#[path = "bad_input/base.rs"]
mod base;
#[path = "bad_input/entries.rs"]
mod entries;
#[path = "bad_input/files.rs"]
mod files;
#[path = "bad_input/mirrors.rs"]
mod mirrors;
#[path = "bad_input/trusted_ca.rs"]
mod trusted_ca;

use agent::{Host, POLICY, REGISTRIES, image};
use serde_json::{Value, json};

/// What a finding must be: name, object, field, value. A value of "-" means none.
type Expected<'a> = [&'a str; 4];

/// A host with files of its own, and one on which the agent has been before.
fn hosts() -> [Host; 2] {
    [false, true].map(|has_been_applied| {
        let host = Host::with(&[image(json!({"blockedRegistries": ["first.io"]}))]);
        host.write(REGISTRIES, "unqualified-search-registries = [\"docker.io\"]\n");
        host.write(POLICY, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
        if has_been_applied {
            host.apply().exits(0);
        }
        host.documents(&[]);
        host
    })
}

/// Every command refuses what `prepare` makes of the documents, with exactly these errors.
#[track_caller]
fn refused(prepare: impl Fn(&Host), expected: &[Expected<'_>]) {
    for host in hosts() {
        prepare(&host);
        refused_on(&host, &["validate", "plan", "apply"], expected);
    }
}

#[track_caller]
fn refused_on(host: &Host, commands: &[&str], expected: &[Expected<'_>]) {
    let before = host.snapshot();
    for command in commands {
        let run = host.on_documents(command).exits(1);
        let errors = run.findings();
        let errors: Vec<&Value> = errors.iter().filter(|f| f["severity"] == "error").collect();
        assert_eq!(errors.len(), expected.len(), "{command}: {errors:#?}");
        for expected in expected {
            assert!(errors.iter().any(|f| is(f, expected)), "{command}: {expected:?}: {errors:#?}");
        }
        assert!(errors.iter().all(|f| f["why"] != "" && f["fix"] != ""), "{errors:#?}");
        assert_eq!(host.snapshot(), before, "{command} left a trace");
    }
    if commands.len() < 3 {
        return;
    }
    let printed = host.on_documents("render").exits(1);
    assert_eq!(printed.out, "");
    assert!(expected.iter().all(|[name, ..]| printed.err.contains(&format!("[{name}]"))));
    assert_eq!(host.snapshot(), before, "render left a trace");
}

/// Objects that are files are compared by the end of their path.
fn is(finding: &Value, [name, object, field, value]: &Expected<'_>) -> bool {
    let text = |key: &str| finding.get(key).and_then(Value::as_str);
    text("name") == Some(name)
        && text("object").is_some_and(|o| o == *object || o.ends_with(&format!("/{object}")))
        && text("field").unwrap_or_default() == *field
        && text("value").unwrap_or("-") == *value
}

/// One document that is refused for this.
#[track_caller]
fn document_refused(document: &Value, expected: Expected<'_>) {
    documents_refused(std::slice::from_ref(document), &[expected]);
}

/// What a finding shows of a value of the wrong type: what fits a line.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => "-".to_owned(),
        scalar => scalar.to_string(),
    }
}

#[track_caller]
fn documents_refused(documents: &[Value], expected: &[Expected<'_>]) {
    // All commands read documents alike: the tests of whole files ask every one.
    refused_on(&Host::with(documents), &["validate", "apply"], expected);
}

#[test]
fn all_mistakes_are_said_at_once() {
    let sources = "spec.registrySources";
    let at = |list: &str, index: usize| format!("{sources}.{list}[{index}]");
    let document = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
        "spec": {
            "imageStreamImportMode": "Sometimes",
            "registrySources": {
                "allowedRegistries": ["quay.io", "https://reg.io", 5],
                "blockedRegistries": ["", "reg.io/"],
                "insecureRegistries": "reg.io",
                "containerRuntimeSearchRegistries": [],
            },
        },
    });
    let mirrors = agent::idms("m", json!({"source": "a.io:b", "mirrors": ["*.io", ""]}));
    let (allowed, blocked) = (at("allowedRegistries", 1), at("blockedRegistries", 0));
    let (number, slash) = (at("allowedRegistries", 2), at("blockedRegistries", 1));
    let insecure = format!("{sources}.insecureRegistries");
    let search = format!("{sources}.containerRuntimeSearchRegistries");
    let (image, set) = ("Image/cluster", "ImageDigestMirrorSet/m");
    refused(
        |host| {
            host.documents(&[document.clone(), mirrors.clone()]);
            host.document("broken.yaml", "a: [").document("empty.yaml", "");
        },
        &[
            ["InvalidValue", image, "spec.imageStreamImportMode", "Sometimes"],
            ["InvalidEntry", image, &allowed, "https://reg.io"],
            ["WrongType", image, &number, "5"],
            ["InvalidEntry", image, &blocked, ""],
            ["InvalidEntry", image, &slash, "reg.io/"],
            ["WrongType", image, &insecure, "reg.io"],
            ["EmptySearchList", image, &search, "-"],
            ["InvalidEntry", set, "spec.imageDigestMirrors[0].source", "a.io:b"],
            ["InvalidEntry", set, "spec.imageDigestMirrors[0].mirrors[0]", "*.io"],
            ["InvalidEntry", set, "spec.imageDigestMirrors[0].mirrors[1]", ""],
            ["MalformedDocument", "broken.yaml", "", "-"],
            ["MalformedDocument", "empty.yaml", "", "-"],
            ["AllowedAndBlocked", image, sources, "-"],
        ],
    );
}
