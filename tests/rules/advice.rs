//! The findings of docs/chapter.md that advise: what earns each, and what does not.

use serde_json::{Value, json};

use crate::agent::{DIGEST, Host, idms, image, image_spec, itms};

/// The documents are valid, and these are all findings, sorted.
#[track_caller]
fn advised(documents: &[Value], extra: &[&str], expected: &[&str]) {
    let host = Host::with(documents);
    let docs = host.docs();
    let validate = ["validate", "-o", "json", "-f", docs.to_str().unwrap()];
    let mut names = host.run(&[&validate[..], extra].concat()).exits(0).names();
    names.sort_unstable();
    assert_eq!(names, expected, "{documents:?}");
}

fn lists(lists: Value) -> [Value; 1] {
    [image(lists)]
}

/// These, and where an OpenShift payload comes from.
fn with_payload<'a>(list: &[&'a str]) -> Vec<&'a str> {
    [&["quay.io", "registry.redhat.io"], list].concat()
}

#[test]
fn advice_on_an_allowed_list() {
    let none: &[&str] = &[];
    advised(&lists(json!({"allowedRegistries": with_payload(&[])})), &[], &["PushNotStopped"]);
    for (allowed, insecure, search, expected) in [
        (vec!["a.io"], vec!["a.io"], vec!["a.io"], none),
        (vec!["a.io"], vec!["a.io/x"], vec![], none),
        (vec!["a.io/x"], vec!["a.io"], vec!["a.io"], none),
        (vec!["a.io"], vec!["b.io"], vec![], &["InsecureNotAllowed"]),
        (vec!["a.io"], vec![], vec!["b.io"], &["SearchRegistryNotAllowed"]),
    ] {
        let mut expected: Vec<&str> = [expected, &["PushNotStopped"]].concat();
        if !insecure.is_empty() {
            expected.push("InsecureRegistry");
        }
        expected.sort_unstable();
        let mut sources = json!({"allowedRegistries": with_payload(&allowed)});
        if !insecure.is_empty() {
            sources["insecureRegistries"] = json!(insecure);
        }
        if !search.is_empty() {
            sources["containerRuntimeSearchRegistries"] = json!(search);
        }
        advised(&lists(sources), &[], &expected);
    }
}

#[test]
fn advice_on_the_payload() {
    let allowed = |list: &[&str]| lists(json!({"allowedRegistries": list}));
    let missing = "RedHatRegistryNotAllowed";
    advised(&allowed(&["a.io"]), &[], &["PushNotStopped", missing, missing]);
    advised(&allowed(&["quay.io"]), &[], &["PushNotStopped", missing]);
    advised(&allowed(&["quay.io/x", "registry.redhat.io/y"]), &[], &["PushNotStopped"]);
    // A release image tells where the payload is.
    let release = |name: &str| format!("{name}@{DIGEST}");
    let with = |list: &[&str], name: &str, expected: &[&str]| {
        advised(&allowed(list), &["--release-image", &release(name)], expected);
    };
    with(&["a.io"], "a.io/r", &["PushNotStopped"]);
    with(&["a.io/r"], "a.io/r", &["PushNotStopped"]);
    with(&["b.io"], "a.io/r", &["PayloadNotAllowed", "PushNotStopped"]);
    with(&["quay.io"], "quay.io/r", &["PushNotStopped", missing]);
    let blocked = |list: &[&str]| lists(json!({"blockedRegistries": list}));
    advised(&blocked(&["quay.io"]), &[], &["RedHatRegistryBlocked"]);
    advised(&blocked(&["registry.redhat.io"]), &[], &["RedHatRegistryBlocked"]);
    advised(&blocked(&["*.io"]), &[], &["RedHatRegistryBlocked"]);
    advised(&blocked(&["quay.io/x"]), &[], &[]);
    let release = release("a.io/r");
    advised(&blocked(&["quay.io"]), &["--release-image", &release], &[]);
    advised(&blocked(&["a.io"]), &["--release-image", &release], &["PayloadBlocked"]);
}

#[test]
fn advice_on_the_internal_registry() {
    let host = "image-registry.openshift-image-registry.svc:5000";
    let with = |sources: Value| {
        let mut document = image_spec(json!({"registrySources": sources}));
        document["status"] = json!({"internalRegistryHostname": host});
        [document]
    };
    let allowed = |also: &str| with(json!({"allowedRegistries": with_payload(&[also])}));
    advised(&allowed(host), &[], &["PushNotStopped"]);
    advised(&allowed("a.io"), &[], &["InternalRegistryNotAllowed", "PushNotStopped"]);
    advised(&with(json!({"blockedRegistries": [host]})), &[], &["InternalRegistryBlocked"]);
    advised(&with(json!({"blockedRegistries": ["a.io"]})), &[], &[]);
}

#[test]
fn advice_on_a_search_list() {
    let search = |list: &[&str], blocked: &[&str]| {
        let mut sources = json!({"containerRuntimeSearchRegistries": list});
        if !blocked.is_empty() {
            sources["blockedRegistries"] = json!(blocked);
        }
        lists(sources)
    };
    advised(&search(&["a.io"], &[]), &[], &[]);
    advised(&search(&["a.io", "b.io"], &[]), &[], &["AmbiguousShortNames"]);
    advised(&search(&["docker.io"], &[]), &[], &["PublicSearchRegistry"]);
    advised(&search(&["a.io"], &["b.io"]), &[], &[]);
    advised(&search(&["a.io"], &["a.io"]), &[], &["SearchRegistryBlocked"]);
    advised(&search(&["a.io"], &["a.io/x:v1"]), &[], &["PushNotStopped", "TagOrDigestEntry"]);
}

#[test]
fn advice_on_mirrors() {
    let set = |source: &str, mirrors: &[&str]| json!({"source": source, "mirrors": mirrors});
    let one = |source: &str, mirrors: &[&str]| [idms("m", set(source, mirrors))];
    advised(&one("s.io", &["m.io"]), &[], &[]);
    advised(&one("s.io", &["m.io/a"]), &[], &[]);
    advised(&one("s.io/a", &["m.io/a"]), &[], &[]);
    advised(&one("s.io/a", &["m.io"]), &[], &["SourceNotPullable"]);
    advised(&one("s.io/a", &["s.io/a", "m.io/a"]), &[], &[]);
    advised(&[itms("m", json!({"source": "s.io"}))], &[], &["NoMirrors"]);
    let with = |sources: Value, source: &str, mirror: &str, expected: &[&str]| {
        advised(&[image(sources), idms("m", set(source, &[mirror]))], &[], expected);
    };
    let blocked = |scope: &str| json!({"blockedRegistries": [scope]});
    with(blocked("m.io"), "s.io", "m.io", &["MirrorBlocked"]);
    with(blocked("s.io"), "s.io", "m.io", &["BlockedAndMirrored"]);
    with(blocked("s.io"), "s.io/a", "m.io/a", &["BlockedAndMirrored"]);
    with(blocked("s.io/a"), "s.io", "m.io", &[]);
    let insecure = |scope: &str| json!({"insecureRegistries": [scope]});
    with(insecure("m.io"), "s.io", "m.io", &["InsecureRegistry"]);
    with(insecure("m.io"), "s.io", "m.io/a", &["InsecureRegistry"]);
    with(insecure("m.io/a"), "s.io", "m.io", &["InsecureRegistry", "NotExpressible"]);
    with(insecure("m.io/a/b"), "s.io", "m.io", &["InsecureRegistry", "NotExpressible"]);
}
