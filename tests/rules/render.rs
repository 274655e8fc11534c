//! R2 to R8: policy.json and registries.conf over what the host has.

use serde_json::{Value, json};

use crate::agent::{DIGEST, Host, POLICY, REGISTRIES, idms, image, itms};

const ACCEPT: &str = "insecureAcceptAnything";

/// Applies a registrySources over a base policy whose requirements are single words.
fn over(default: &str, docker: Value, sources: Value) -> Host {
    let requirement = |name: &str| match name {
        "signedBy" => json!([{"type": name, "keyType": "GPGKeys", "keyPath": "/k"}]),
        _ => json!([{"type": name}]),
    };
    let scopes: serde_json::Map<String, Value> = docker
        .as_object()
        .unwrap()
        .iter()
        .map(|(scope, name)| (scope.clone(), requirement(name.as_str().unwrap())))
        .collect();
    let policy = json!({"default": requirement(default), "transports": {"docker": scopes}});
    let host = Host::with(&[image(sources)]);
    host.write(POLICY, policy.to_string());
    host.apply().exits(0);
    host
}

#[test]
fn r2_allowed_takes_the_requirements_of_the_base() {
    // What the base says of docker, what is listed, and what becomes of the entry.
    for (default, docker, entry, expected) in [
        (ACCEPT, json!({}), "a.io", ACCEPT),
        ("reject", json!({}), "a.io", ACCEPT),
        (ACCEPT, json!({"": "reject"}), "a.io", ACCEPT),
        ("signedBy", json!({}), "a.io", "signedBy"),
        ("reject", json!({"": "signedBy"}), "a.io", "signedBy"),
        (ACCEPT, json!({"a.io": "signedBy"}), "a.io/x", "signedBy"),
        (ACCEPT, json!({"a.io": "reject"}), "a.io", "reject"),
        (ACCEPT, json!({"a.io": "reject"}), "a.io/x", "reject"),
        (ACCEPT, json!({"*.io": "signedBy"}), "a.io", "signedBy"),
        ("signedBy", json!({"a.io": ACCEPT}), "a.io", ACCEPT),
    ] {
        let host = over(default, docker.clone(), json!({"allowedRegistries": [entry]}));
        assert_eq!(host.policy("docker", entry).unwrap(), expected, "{default} {docker} {entry}");
        assert_eq!(host.json(POLICY)["default"], json!([{"type": "reject"}]));
    }
}

#[test]
fn r2_allowed_rejects_what_the_list_does_not_cover() {
    let docker =
        json!({"": ACCEPT, "other.io": ACCEPT, "a.io/signed": "signedBy", "b.io": "signedBy"});
    let host = over(ACCEPT, docker, json!({"allowedRegistries": ["a.io"]}));
    assert_eq!(host.policy("docker", "").unwrap(), "reject");
    assert_eq!(host.policy("docker", "other.io").unwrap(), "reject");
    assert_eq!(host.policy("docker", "b.io").unwrap(), "reject");
    assert_eq!(host.policy("docker", "a.io/signed").unwrap(), "signedBy");
}

#[test]
fn r2_blocked_rejects_its_scope_and_all_below() {
    let docker = json!({"a.io/open": ACCEPT, "a.io/signed": "signedBy", "b.io": "signedBy"});
    let host = over("signedBy", docker, json!({"blockedRegistries": ["a.io"]}));
    for scope in ["a.io", "a.io/open", "a.io/signed"] {
        assert_eq!(host.policy("docker", scope).unwrap(), "reject");
    }
    assert_eq!(host.policy("docker", "b.io").unwrap(), "signedBy");
    assert_eq!(host.json(POLICY)["default"][0]["type"], "signedBy");
    // A base that rejects by default is not opened by a blocked list.
    let host = over("reject", json!({}), json!({"blockedRegistries": ["a.io"]}));
    assert_eq!(host.verdict("b.io/x"), "rejected");
}

#[test]
fn r2_docker_daemon_keeps_what_it_has() {
    let host = over(ACCEPT, json!({}), json!({"allowedRegistries": ["a.io"]}));
    assert_eq!(host.policy("docker-daemon", "").unwrap(), ACCEPT);
    let host = Host::with(&[image(json!({"allowedRegistries": ["a.io"]}))]);
    host.write(POLICY, json!({
        "default": [{"type": ACCEPT}], "transports": {"docker-daemon": {"": [{"type": "reject"}]}},
    }).to_string());
    host.apply().exits(0);
    assert_eq!(host.policy("docker-daemon", "").unwrap(), "reject");
    let host = over(ACCEPT, json!({}), json!({"blockedRegistries": ["a.io"]}));
    assert_eq!(host.policy("docker-daemon", ""), None);
}

fn over_registries(base: &str, documents: &[Value]) -> Host {
    let host = Host::with(documents);
    host.write(REGISTRIES, base);
    host.apply().exits(0);
    host
}

#[test]
fn r3_flags_join() {
    let base = "[[registry]]\nlocation = \"a.io\"\nblocked = true\n[[registry]]\nlocation = \"b.io/x\"\ninsecure = true\n";
    let lists = json!({"insecureRegistries": ["a.io"], "blockedRegistries": ["b.io"]});
    let host = over_registries(base, &[image(lists)]);
    assert_eq!(host.places("a.io/y:1"), ["a.io/y:1 insecure blocked"]);
    assert_eq!(host.places("b.io/x:1"), ["b.io/x:1 insecure blocked"]);
}

#[test]
fn r3_a_blocked_sources_location_becomes_its_prefix() {
    let base = "[[registry]]\nprefix = \"a.io\"\nlocation = \"elsewhere.io/a\"\n";
    let host = over_registries(base, &[image(json!({}))]);
    assert_eq!(host.places("a.io/x:1"), ["elsewhere.io/a/x:1"]);
    let host = over_registries(base, &[image(json!({"blockedRegistries": ["a.io"]}))]);
    assert_eq!(host.places("a.io/x:1"), ["a.io/x:1 blocked"]);
    let never =
        json!({"source": "a.io", "mirrors": ["m.io"], "mirrorSourcePolicy": "NeverContactSource"});
    let host = over_registries(base, &[idms("m", never)]);
    assert_eq!(host.places(&format!("a.io/x@{DIGEST}"))[1], format!("a.io/x@{DIGEST} blocked"));
    // An entry below inherits where it leads.
    let host = over_registries(base, &[image(json!({"insecureRegistries": ["a.io/b"]}))]);
    assert_eq!(host.places("a.io/b:1"), ["elsewhere.io/a/b:1 insecure"]);
}

/// The library refuses a file whose entries for one place differ in their flags.
#[test]
fn r3_entries_of_one_location_get_the_same_flags() {
    let base = "[[registry]]\nprefix = \"a.io\"\nlocation = \"shared.io\"\n[[registry]]\nprefix = \"b.io\"\nlocation = \"shared.io\"\n";
    let host = over_registries(base, &[image(json!({"insecureRegistries": ["a.io"]}))]);
    assert_eq!(host.places("a.io/x:1"), ["shared.io/x:1 insecure"]);
    assert_eq!(host.places("b.io/x:1"), ["shared.io/x:1 insecure"]);
}

#[test]
fn r3_entries_of_one_location_keep_the_flags_they_share() {
    let entry = |prefix: &str| {
        format!(
            "[[registry]]\nprefix = \"{prefix}\"\nlocation = \"shared.io\"\ninsecure = true\nblocked = true\n"
        )
    };
    let base = entry("a.io") + &entry("b.io");
    let host = over_registries(&base, &[image(json!({"blockedRegistries": ["c.io"]}))]);
    let text = host.text(REGISTRIES);
    assert_eq!(text.matches("insecure = true").count(), 2, "{text}");
    assert_eq!(text.matches("blocked = true").count(), 3, "{text}");
}

#[test]
fn r3_our_mirrors_replace_the_bases() {
    let base = "[[registry]]\nlocation = \"s.io\"\n[[registry.mirror]]\nlocation = \"own.io\"\n";
    let set = json!({"source": "s.io", "mirrors": ["m.io"]});
    let host = over_registries(base, &[idms("m", set.clone())]);
    assert_eq!(host.places(&format!("s.io/x@{DIGEST}"))[0], format!("m.io/x@{DIGEST}"));
    assert_eq!(host.places("s.io/x:1"), ["own.io/x:1", "s.io/x:1"]);
    let field = "spec.imageDigestMirrors[0]";
    host.plan().exits(0).finds("info", "BaseMirrorsReplaced", "ImageDigestMirrorSet/m", field);
    let host = over_registries(base, &[itms("m", set)]);
    assert_eq!(host.places("s.io/x:1"), ["m.io/x:1", "s.io/x:1"]);
    assert_eq!(host.places(&format!("s.io/x@{DIGEST}"))[0], format!("own.io/x@{DIGEST}"));
}

#[test]
fn r5_tag_entries_go_to_policy_only() {
    let by_digest = format!("d.io/x@{DIGEST}");
    let host = Host::with(&[image(json!({
        "blockedRegistries": ["a.io/x:v1", by_digest], "insecureRegistries": ["i.io/x:v1"],
    }))]);
    let run = host.apply().exits(0);
    let field = "spec.registrySources.insecureRegistries[0]";
    let run = run.finds("warning", "InsecureTagIgnored", "Image/cluster", field);
    assert!(run.finding("InsecureTagIgnored")["fix"].as_str().unwrap().ends_with("i.io/x"));
    assert!(!host.exists(REGISTRIES), "nothing of it belongs there");
    assert_eq!(host.verdict("a.io/x:v1"), "rejected");
    assert_eq!(host.verdict("a.io/x:v2"), "allowed");
    assert_eq!(host.verdict(&by_digest), "rejected");
    assert_eq!(host.places("i.io/x:v1"), ["i.io/x:v1"]);
}

#[test]
fn r6_lists_of_several_objects_are_merged() {
    let set =
        |name: &str, mirrors: &[&str]| idms(name, json!({"source": "s.io", "mirrors": mirrors}));
    let host = Host::with(&[set("x", &["b.io", "c.io"]), set("y", &["a.io", "b.io"])]);
    host.apply().exits(0);
    let image = format!("s.io/x@{DIGEST}");
    let expected = ["a.io", "b.io", "c.io", "s.io"].map(|host| format!("{host}/x@{DIGEST}"));
    assert_eq!(host.places(&image), expected);
    assert_eq!(host.places("s.io/x:1"), ["s.io/x:1"]);
    let text = host.text(REGISTRIES);
    assert!(text.contains("mirror-by-digest-only = true") && !text.contains("pull-from-mirror"));
}

#[test]
fn r6_orders_that_contradict_each_other_are_said() {
    let set =
        |name: &str, mirrors: &[&str]| idms(name, json!({"source": "s.io", "mirrors": mirrors}));
    // Whichever comes first, the first by name is the one that is pointed at.
    let host = Host::with(&[set("y", &["a.io", "b.io"]), set("x", &["b.io", "a.io"])]);
    let run = host.apply().exits(0);
    let run =
        run.finds("info", "MergedMirrors", "ImageDigestMirrorSet/x", "spec.imageDigestMirrors[0]");
    assert_eq!(run.finding("MergedMirrors")["value"], "s.io");
    assert_eq!(host.places(&format!("s.io/x@{DIGEST}"))[0], format!("a.io/x@{DIGEST}"));
    host.documents(&[set("x", &["b.io", "c.io"]), set("y", &["a.io", "b.io"])]);
    assert!(!host.plan().names().contains(&"MergedMirrors".to_owned()));
}

#[test]
fn r6_never_contact_source_reaches_below() {
    let set = |source: &str, mirror: &str, policy: &str| json!({"source": source, "mirrors": [mirror], "mirrorSourcePolicy": policy});
    let host = Host::with(&[
        idms("wide", set("s.io", "m.io", "NeverContactSource")),
        itms("tags", json!({"source": "s.io/a", "mirrors": ["t.io/a"]})),
        idms("open", set("s.io/open", "o.io", "AllowContactingSource")),
    ]);
    host.apply().exits(0);
    assert_eq!(host.places("s.io/a:1"), ["t.io/a:1", "s.io/a:1 blocked"]);
    let digest = |name: &str| format!("{name}@{DIGEST}");
    let blocked = |name: &str| format!("{name}@{DIGEST} blocked");
    assert_eq!(host.places(&digest("s.io/b/x")), [digest("m.io/b/x"), blocked("s.io/b/x")]);
    assert_eq!(host.places(&digest("s.io/open/x")), [digest("o.io/x"), digest("s.io/open/x")]);
}

#[test]
fn r6_digest_and_tag_mirrors_stay_apart() {
    let host = Host::with(&[
        idms("d", json!({"source": "s.io", "mirrors": ["d.io"]})),
        itms("t", json!({"source": "s.io/a", "mirrors": ["t.io/a"]})),
        image(json!({"insecureRegistries": ["t.io"]})),
    ]);
    host.apply().exits(0);
    assert_eq!(host.places("s.io/a:1"), ["t.io/a:1 insecure", "s.io/a:1"]);
    let digest = |name: &str| format!("{name}@{DIGEST}");
    assert_eq!(host.places(&digest("s.io/a")), [digest("d.io/a"), digest("s.io/a")]);
    let text = host.text(REGISTRIES);
    assert!(text.contains("pull-from-mirror = \"tag-only\""), "{text}");
    assert!(text.contains("pull-from-mirror = \"digest-only\""), "{text}");
}

#[test]
fn r6_mirrors_outside_the_lists() {
    let set = || idms("m", json!({"source": "s.io", "mirrors": ["m.io"]}));
    let host = Host::with(&[image(json!({"allowedRegistries": ["s.io"]})), set()]);
    let run = host.apply().exits(0);
    run.finds("info", "MirrorNotAllowed", "ImageDigestMirrorSet/m", "spec.imageDigestMirrors[0]");
    assert_eq!(host.verdict(&format!("s.io/x@{DIGEST}")), "allowed");
    host.documents(&[image(json!({"blockedRegistries": ["m.io"]})), set()]);
    let run = host.apply().exits(0);
    run.finds("warning", "MirrorBlocked", "ImageDigestMirrorSet/m", "spec.imageDigestMirrors[0]");
    assert!(host.places(&format!("s.io/x@{DIGEST}"))[0].ends_with(" blocked"));
}

#[test]
fn r7_both_transports_as_far_as_atomic_goes() {
    let host = Host::with(&[image(json!({
        "blockedRegistries": ["a.io", "a.io/n/s:v1", "b.io/x:v1", "c.io/1/2/3", "*.d.io"],
    }))]);
    host.apply().exits(0);
    for scope in ["a.io", "a.io/n/s:v1", "b.io/x:v1", "c.io/1/2/3", "*.d.io"] {
        assert_eq!(host.policy("docker", scope).unwrap(), "reject");
    }
    for (scope, fits) in [
        ("a.io", true),
        ("a.io/n/s:v1", true),
        ("b.io/x:v1", false),
        ("c.io/1/2/3", false),
        ("*.d.io", true),
    ] {
        assert_eq!(host.policy("atomic", scope).is_some(), fits, "{scope}");
    }
}

#[test]
fn r8_the_same_bytes_in_any_order() {
    let documents = [
        image(
            json!({"blockedRegistries": ["b.io", "a.io"], "insecureRegistries": ["m.io", "a.io"]}),
        ),
        idms("x", json!({"source": "s.io", "mirrors": ["m.io", "n.io"]})),
        idms("y", json!({"source": "s.io", "mirrors": ["k.io", "n.io"]})),
        itms("z", json!({"source": "t.io", "mirrors": ["m.io"]})),
    ];
    let mut turned = documents.clone();
    turned.reverse();
    turned[3] = image(
        json!({"insecureRegistries": ["a.io", "m.io"], "blockedRegistries": ["a.io", "b.io"]}),
    );
    let render = |documents: &[Value]| Host::with(documents).on_documents("render").exits(0).out;
    assert_eq!(render(&documents), render(&turned));
}

/// Of two prefixes of one length the engine takes the wildcard.
#[test]
fn r3_a_host_of_one_letter_beside_its_wildcard() {
    let lists = |insecure: &[&str], blocked: &[&str]| {
        image(json!({"insecureRegistries": insecure, "blockedRegistries": blocked}))
    };
    let mirrored = json!({"source": "a.example", "mirrors": ["m.io"]});
    let never = json!({"source": "a.example", "mirrors": ["m.io"], "mirrorSourcePolicy": "NeverContactSource"});
    let leads =
        |prefix: &str| format!("[[registry]]\nprefix = \"{prefix}\"\nlocation = \"b.io\"\n");
    for (base, documents, severity) in [
        ("", vec![lists(&["*.example", "a.example"], &[])], None),
        ("", vec![lists(&["*.example", "ab.example"], &["ab.example"])], None),
        ("", vec![lists(&["*.example"], &["a.example"])], Some("warning")),
        ("", vec![lists(&["a.example"], &["*.example"])], Some("warning")),
        ("", vec![lists(&["*.example"], &[]), idms("m", mirrored.clone())], Some("warning")),
        ("", vec![lists(&["*.example"], &[]), itms("m", mirrored)], Some("warning")),
        ("", vec![lists(&["*.example"], &[]), idms("m", never.clone())], Some("error")),
        ("", vec![lists(&[], &["*.example"]), idms("m", never)], Some("warning")),
        (&leads("a.example"), vec![lists(&["*.example"], &[])], Some("warning")),
        (&leads("*.example"), vec![lists(&["a.example"], &[])], Some("warning")),
    ] {
        let host = Host::with(&documents);
        host.write(REGISTRIES, base);
        let run = host.plan();
        let named: Vec<Value> =
            run.findings().into_iter().filter(|f| f["name"] == "NotExpressible").collect();
        let found = named.first().map(|f| f["severity"].as_str().unwrap().to_owned());
        assert_eq!(found.as_deref(), severity, "{base} {documents:?}: {}", run.out);
        assert!(named.iter().all(|f| f["value"] == "a.example"), "{named:?}");
    }
}

#[test]
fn r3_an_entry_below_one_of_the_base_inherits_its_mirrors() {
    let entry = |prefix: &str, location: &str| {
        format!(
            "[[registry]]\nprefix = \"{prefix}\"\nlocation = \"{location}\"\n[[registry.mirror]]\nlocation = \"own.io/m\"\ninsecure = true\n"
        )
    };
    let below = |scope: &str| [image(json!({"insecureRegistries": [scope]}))];
    let host = over_registries(&entry("s.io", "s.io"), &below("s.io/a"));
    assert_eq!(host.places("s.io/a/x:1"), ["own.io/m/a/x:1 insecure", "s.io/a/x:1 insecure"]);
    assert_eq!(host.places("s.io/b/x:1"), ["own.io/m/b/x:1 insecure", "s.io/b/x:1"]);
    let host = over_registries(&entry("*.s.io", "d.io"), &below("a.s.io/b"));
    assert_eq!(host.places("a.s.io/b/x:1"), ["own.io/m/b/x:1 insecure", "d.io/b/x:1 insecure"]);
    let bare = "[[registry]]\nprefix = \"*.s.io\"\nlocation = \"d.io\"\n";
    let host = over_registries(bare, &below("a.s.io:5000"));
    assert_eq!(host.places("a.s.io:5000/b:1"), ["d.io:5000/b:1 insecure"]);
}

#[test]
fn r3_the_text_of_a_base_that_is_added_to_stays() {
    for base in [
        "# own\r\n[[registry]]\r\nlocation = \"a.io\" # mine\r\n",
        "[[registry]]\nlocation   =   'a.io'\n\n\n# the end",
        "unqualified-search-registries = [\n  \"a.io\",\n]\n",
    ] {
        let host = over_registries(base, &[image(json!({"blockedRegistries": ["b.io"]}))]);
        let text = host.text(REGISTRIES);
        let added = text.strip_prefix(base).unwrap_or_else(|| panic!("{text}")).trim_start();
        assert!(added.starts_with("# From here on: the cluster's image configuration"), "{text}");
        assert_eq!(host.places("b.io/x:1"), ["b.io/x:1 blocked"]);
    }
}

#[test]
fn r6_lists_that_agree_contradict_nothing() {
    let set =
        |name: &str, mirrors: &[&str]| idms(name, json!({"source": "s.io", "mirrors": mirrors}));
    for sets in [
        vec![set("x", &["m.io"])],
        vec![set("x", &["m.io", "s.io", "n.io"])],
        vec![set("x", &["m.io", "n.io"]), set("y", &["m.io", "n.io"])],
    ] {
        let host = Host::with(&sets);
        let names = host.apply().exits(0).names();
        assert!(!names.contains(&"MergedMirrors".to_owned()), "{names:?}");
        assert_eq!(host.places(&format!("s.io/x@{DIGEST}"))[0], format!("m.io/x@{DIGEST}"));
    }
}
