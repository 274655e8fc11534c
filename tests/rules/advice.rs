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

/// What concerns a list points at the list.
#[test]
fn advice_on_a_list_points_at_it() {
    let mut document = image(json!({
        "allowedRegistries": ["a.io"], "insecureRegistries": ["a.io"],
        "containerRuntimeSearchRegistries": ["a.io", "a.io:5000"],
    }));
    document["status"] = json!({"internalRegistryHostname": "registry.svc:5000"});
    let host = Host::with(&[document]);
    let docs = host.docs();
    let release = format!("b.io/r@{DIGEST}");
    let validate = ["validate", "-o", "json", "--release-image", &release, "-f"];
    let run = host.run(&[&validate[..], &[docs.to_str().unwrap()]].concat()).exits(0);
    for (name, list) in [
        ("PushNotStopped", "allowedRegistries"),
        ("PayloadNotAllowed", "allowedRegistries"),
        ("InternalRegistryNotAllowed", "allowedRegistries"),
        ("InsecureRegistry", "insecureRegistries"),
        ("AmbiguousShortNames", "containerRuntimeSearchRegistries"),
    ] {
        assert_eq!(run.finding(name)["field"], format!("spec.registrySources.{list}"), "{name}");
    }
    let host = Host::with(&lists(json!({"allowedRegistries": ["a.io", "quay.io"]})));
    let run = host.plan();
    assert_eq!(
        run.finding("RedHatRegistryNotAllowed")["field"],
        "spec.registrySources.allowedRegistries"
    );
    assert_eq!(run.finding("RedHatRegistryNotAllowed")["value"], "registry.redhat.io");
}

/// Entries that look like images of Docker Hub, and are for other images or for none.
#[test]
fn r11_names_that_the_engine_writes_otherwise() {
    let blocked = |entry: &str| lists(json!({"blockedRegistries": [entry]}));
    for entry in ["index.docker.io", "index.docker.io/library/nginx", "internal"] {
        advised(&blocked(entry), &[], &["NeverMatches"]);
    }
    let of_image = ["NeverMatches", "PushNotStopped", "TagOrDigestEntry"];
    advised(&blocked("docker.io/nginx:1.25"), &[], &of_image);
    advised(&blocked("docker.io/nginx"), &[], &["NamespaceAlone"]);
    for entry in ["docker.io/library", "docker.io/library/nginx", "docker.io", "docker.io/a/b"] {
        advised(&blocked(entry), &[], &[]);
    }
    advised(
        &[idms("m", json!({"source": "docker.io/nginx", "mirrors": ["m.io/a"]}))],
        &[],
        &["NamespaceAlone"],
    );
    advised(
        &[idms("m", json!({"source": "index.docker.io", "mirrors": ["m.io"]}))],
        &[],
        &["NeverMatches"],
    );
    // The engine would pull from no place at all.
    let documents =
        [idms("m", json!({"source": "s.io", "mirrors": ["index.docker.io/x", "m.io"]}))];
    advised(&documents, &[], &["UnusableMirror"]);
    let host = Host::with(&documents);
    host.apply().exits(0);
    let places = [format!("m.io/a@{DIGEST}"), format!("s.io/a@{DIGEST}")];
    assert_eq!(host.places(&format!("s.io/a@{DIGEST}")), places);
    // A block is a warning, all else an info; and the finding says what is so.
    let host = Host::with(&blocked("docker.io/nginx"));
    let finding = host.apply().exits(0).finding("NamespaceAlone");
    assert_eq!(finding["severity"], "warning");
    assert!(finding["fix"].to_string().contains("docker.io/library/nginx"), "{finding}");
    assert_eq!(host.verdict("docker.io/nginx"), "allowed");
    assert_eq!(host.verdict("docker.io/nginx/app"), "rejected");
    let host = Host::with(&lists(json!({"allowedRegistries": ["docker.io/nginx"]})));
    assert_eq!(host.plan().finding("NamespaceAlone")["severity"], "info");
}

#[test]
fn r11_capitals_are_other_hosts() {
    for entry in ["Quay2.io", "quay2.IO/x", "*.Corp.io"] {
        advised(&lists(json!({"blockedRegistries": [entry]})), &[], &["UpperCaseHost"]);
    }
    let set = json!({"source": "Quay2.io", "mirrors": ["m.io"]});
    advised(&[idms("m", set)], &[], &["UpperCaseHost"]);
    let host = Host::with(&lists(json!({"blockedRegistries": ["quay2.io"]})));
    host.apply().exits(0);
    assert_eq!(host.verdict("quay2.io/x"), "rejected");
    assert_eq!(host.verdict("QUAY2.io/x"), "allowed");
}

/// The files have one block for pulls of both kinds.
#[test]
fn r6_never_contact_source_blocks_both_kinds() {
    let never = |source: &str| json!({"source": source, "mirrors": ["m.io/a"], "mirrorSourcePolicy": "NeverContactSource"});
    advised(&[idms("d", never("s.io"))], &[], &["OtherPullsBlocked"]);
    advised(&[itms("t", never("s.io"))], &[], &["OtherPullsBlocked"]);
    advised(&[idms("d", never("s.io")), itms("t", never("s.io"))], &[], &[]);
    // What the wider set says of the other kind holds below it.
    advised(&[idms("d", never("s.io/x")), itms("t", never("s.io"))], &[], &["OtherPullsBlocked"]);
    let host = Host::with(&[idms("d", never("s.io"))]);
    let finding = host.plan().finding("OtherPullsBlocked");
    assert_eq!(finding["object"], "ImageDigestMirrorSet/d");
    assert_eq!(finding["field"], "spec.imageDigestMirrors[0]");
    host.apply().exits(0);
    assert_eq!(host.places("s.io/x:v1"), ["s.io/x:v1 blocked"]);
}
