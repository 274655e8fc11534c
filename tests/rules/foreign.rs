//! R4, R9 to R11: files of others, and what ours cannot do.

use serde_json::{Value, json};

use crate::agent::{
    CA, CRIO_POLICY, DIGEST, Host, OTHER_CA, POLICY, REGISTRIES, SEARCH, idms, image, image_spec,
    trusting,
};

const DROP_IN: &str = "/etc/containers/registries.conf.d/50-admin.conf";
const CRIO_CONF: &str = "/etc/crio/crio.conf.d/10-crio.conf";

#[test]
fn r4_a_drop_in_that_overrides_is_a_warning() {
    let host = Host::with(&[image(json!({
        "insecureRegistries": ["a.io"], "containerRuntimeSearchRegistries": ["s.io"],
    }))]);
    host.write(DROP_IN, "[[registry]]\nlocation = \"a.io/x\"\n");
    let before = host.text(DROP_IN);
    let run = host.apply().exits(0).finds("warning", "DropInOverrides", DROP_IN, "");
    let finding = run.finding("DropInOverrides");
    assert_eq!(finding["value"], "a.io/x");
    assert!(finding["why"].as_str().unwrap().contains(REGISTRIES), "{finding}");
    assert_eq!(host.text(DROP_IN), before);

    host.write(DROP_IN, "unqualified-search-registries = [\"other.io\"]\n");
    let finding = host.plan().exits(0).finding("DropInOverrides");
    assert!(finding["why"].as_str().unwrap().contains(SEARCH), "{finding}");
    // One that comes first, or says the same, or speaks of other places, is none of it.
    for (name, text) in [
        ("00-first.conf", "unqualified-search-registries = [\"other.io\"]\n"),
        ("50-admin.conf", "[[registry]]\nlocation = \"a.io\"\ninsecure = true\n"),
        ("50-admin.conf", "[[registry]]\nlocation = \"other.io\"\n"),
    ] {
        host.write(DROP_IN, "");
        host.write(&format!("/etc/containers/registries.conf.d/{name}"), text);
        assert!(!host.plan().names().contains(&"DropInOverrides".to_owned()), "{text}");
    }
}

#[test]
fn r4_a_lifted_block_is_applied_and_said() {
    let never =
        json!({"source": "n.io", "mirrors": ["m.io"], "mirrorSourcePolicy": "NeverContactSource"});
    for (drop_in, value) in [("a.io", "a.io"), ("a.io/x", "a.io/x"), ("n.io", "n.io")] {
        let host =
            Host::with(&[image(json!({"blockedRegistries": ["a.io"]})), idms("m", never.clone())]);
        host.write(DROP_IN, format!("[[registry]]\nlocation = \"{drop_in}\"\n"));
        host.plan().exits(1).finds("error", "Overridden", DROP_IN, "");
        let run = host.apply().exits(1).finds("error", "Overridden", DROP_IN, "");
        assert_eq!(run.finding("Overridden")["value"], value);
        assert_eq!(run.changes().len(), 2, "all else is applied");
        assert_eq!(host.verdict("a.io/x"), "rejected");
        assert_eq!(host.on_documents("render").exits(1).out.matches("==>").count(), 2);
    }
}

/// Of two prefixes of one length the engine takes the wildcard, in whichever file it stands.
#[test]
fn r4_a_wildcard_of_the_length_of_our_entry() {
    for (ours, theirs, is_lifted) in [
        ("a.example", "*.example", true),
        ("ab.example", "*.example", false),
        ("a.example", "*.exampla", false),
        ("a.example", "b.example", false),
    ] {
        let host = Host::with(&[image(json!({"blockedRegistries": [ours]}))]);
        host.write(DROP_IN, format!("[[registry]]\nprefix = \"{theirs}\"\nlocation = \"x.io\"\n"));
        let names = host.plan().names();
        assert_eq!(
            names.contains(&"Overridden".to_owned()),
            is_lifted,
            "{ours} {theirs} {names:?}"
        );
        assert!(!names.contains(&"DropInOverrides".to_owned()), "{ours} {theirs} {names:?}");
    }
}

#[test]
fn r4_every_directory_that_engines_read() {
    for directory in [
        "/etc/containers/registries.rootful.conf.d",
        "/usr/share/containers/registries.conf.d",
        "/usr/share/containers/registries.rootful.conf.d",
    ] {
        let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
        let file = format!("{directory}/x.conf");
        host.write(&file, "[[registry]]\nlocation = \"a.io\"\n");
        host.apply().exits(1).finds("error", "Overridden", &file, "");
    }
}

#[test]
fn r4_a_drop_in_that_no_engine_reads_is_said() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    host.write(DROP_IN, "not TOML");
    host.apply().exits(0).finds("warning", "DropInUnreadable", DROP_IN, "");
}

const CA_FILE: &str = "/etc/docker/certs.d/a.io:5000/ca.crt";

#[test]
fn r9_cas_come_turn_over_and_go() {
    let host = Host::with(&trusting(json!({"a.io..5000": CA, "b.io": CA})));
    host.mkdir("/etc/docker/certs.d/b.io");
    host.apply().exits(0);
    assert_eq!(host.text(CA_FILE), CA);
    host.documents(&trusting(json!({"a.io..5000": OTHER_CA})));
    let run = host.apply().exits(0);
    let changes =
        [format!("changed {CA_FILE}"), "removed /etc/docker/certs.d/b.io/ca.crt".to_owned()];
    assert_eq!(run.changes(), changes);
    assert_eq!(host.text(CA_FILE), OTHER_CA);
    assert!(host.exists("/etc/docker/certs.d/b.io"), "others made it");
    host.documents(&[image_spec(json!({}))]);
    host.apply().exits(0);
    assert!(!host.exists("/etc/docker/certs.d/a.io:5000"));
    assert!(host.exists("/etc/docker/certs.d/b.io"));
}

#[test]
fn r9_a_ca_of_others_stays() {
    let host = Host::with(&trusting(json!({"a.io..5000": CA})));
    host.write(CA_FILE, OTHER_CA);
    host.apply().exits(0).finds("info", "ForeignCa", CA_FILE, "");
    let beside = "/etc/docker/certs.d/a.io:5000/image-config-agent.crt";
    assert_eq!((host.text(CA_FILE).as_str(), host.text(beside).as_str()), (OTHER_CA, CA));
    assert!(host.apply().exits(0).changes().is_empty());
    host.documents(&[image_spec(json!({}))]);
    host.apply().exits(0);
    assert_eq!(host.text(CA_FILE), OTHER_CA);
    assert!(!host.exists(beside));
}

#[test]
fn r9_a_directory_that_masks_ours_is_a_warning() {
    let host = Host::with(&trusting(json!({"a.io..5000": CA})));
    host.mkdir("/etc/containers/certs.d/a.io:5000");
    let directory = "/etc/docker/certs.d/a.io:5000";
    host.apply().exits(0).finds("warning", "MaskedCa", directory, "");
    let answer = host.check("a.io:5000/x");
    assert_eq!(answer["details"]["cas"], Value::Null, "{answer}");
    let said = host.run(&["check", "a.io:5000/x"]).exits(0).out;
    let note = format!("/etc/containers/certs.d/a.io:5000 has no CA, and hides {directory}");
    assert!(said.contains(&note) && !said.contains("CAs of"), "{said}");
}

/// One tree under both names, or one directory of a host, masks nothing.
#[test]
fn r9_a_directory_that_is_one_under_both_names_masks_nothing() {
    let documents = trusting(json!({"a.io..5000": CA}));
    let (whole, one) = (Host::with(&documents), Host::with(&documents));
    whole.link("/etc/containers/certs.d", "../docker/certs.d");
    one.mkdir("/etc/containers/certs.d");
    one.link("/etc/containers/certs.d/a.io:5000", "../../docker/certs.d/a.io:5000");
    for host in [whole, one] {
        for _ in 0..2 {
            assert_eq!(host.apply().exits(0).names(), Vec::<String>::new());
        }
        assert_eq!(host.text("/etc/containers/certs.d/a.io:5000/ca.crt"), CA);
        assert_eq!(
            host.check("a.io:5000/x")["details"]["cas"],
            json!(["/etc/docker/certs.d/a.io:5000"])
        );
    }
}

#[test]
fn r9_hosts_that_share_a_directory_cannot_have_different_cas() {
    let host = Host::with(&trusting(json!({"a.io": CA, "b.io": OTHER_CA})));
    host.mkdir("/etc/docker/certs.d/a.io").link("/etc/docker/certs.d/b.io", "a.io");
    let before = host.own_files();
    let said = host.apply().exits(1).err;
    let both = "/etc/docker/certs.d/a.io/ca.crt and /etc/docker/certs.d/b.io/ca.crt are one file";
    assert!(said.contains(both), "{said}");
    assert_eq!(host.own_files(), before);
    host.documents(&trusting(json!({"a.io": CA, "b.io": CA})));
    host.apply().exits(0);
    assert!(host.apply().exits(0).changes().is_empty());
    host.run(&["revert"]).exits(0);
    assert_eq!(host.own_files(), before);
}

/// containers/image walks the directory, and a walk does not follow a link that it begins at.
#[test]
fn r4_drop_ins_behind_a_link_are_not_read() {
    let documents = [image_spec(json!({
        "registrySources": {"containerRuntimeSearchRegistries": ["s.io"]},
    }))];
    let host = Host::with(&documents);
    host.mkdir("/etc/conf").link("/etc/containers/registries.conf.d", "../conf");
    let directory = "/etc/containers/registries.conf.d";
    host.apply().exits(0).finds("warning", "LinkedDropIns", directory, "");
    assert_eq!(host.places("x"), ["docker.io/library/x:latest"]);
    host.documents(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    assert_eq!(host.apply().exits(0).names(), Vec::<String>::new());
}

fn with_crio(documents: &[Value]) -> Host {
    let host = Host::with(documents);
    host.write(CRIO_CONF, format!("[crio.image]\nsignature_policy = \"{CRIO_POLICY}\"\n"));
    host.write(POLICY, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    let reject = r#"{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {"crio-only.io": [{"type": "reject"}]}}}"#;
    host.write(CRIO_POLICY, reject);
    host
}

#[test]
fn r10_a_policy_is_known_by_whatever_way_crio_names_it() {
    for (named, is) in [
        ("/etc/crio/../containers/policy.json", POLICY),
        ("/etc/x/../crio/policy.json", CRIO_POLICY),
    ] {
        let host = with_crio(&[image(json!({"blockedRegistries": ["a.io"]}))]);
        host.mkdir("/etc/x");
        host.write(CRIO_CONF, format!("[crio.image]\nsignature_policy = \"{named}\"\n"));
        host.apply().exits(0);
        assert!(host.json(is)["transports"]["docker"]["a.io"].is_array());
        assert!(host.run(&["check", "a.io/x"]).exits(2).out.contains(is));
        assert!(host.apply().exits(0).changes().is_empty());
    }
    // Where a directory is a link, the step back goes where that leads.
    let host = with_crio(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    host.mkdir("/srv/crio/conf").link("/etc/x", "/srv/crio/conf");
    host.write("/srv/crio/policy.json", r#"{"default": [{"type": "reject"}]}"#);
    host.write(CRIO_CONF, "[crio.image]\nsignature_policy = \"/etc/x/../policy.json\"\n");
    assert_eq!(host.verdict("b.io/x"), "rejected");
}

#[test]
fn r10_both_policies_each_from_its_own_base() {
    let host = with_crio(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let before = host.own_files();
    host.apply().exits(0);
    assert_eq!(host.json(POLICY)["transports"]["docker"].as_object().unwrap().len(), 1);
    assert_eq!(host.json(CRIO_POLICY)["transports"]["docker"].as_object().unwrap().len(), 2);
    for engine in ["crio", "podman"] {
        host.run(&["check", "--for", engine, "a.io/x"]).exits(2);
    }
    let run = host.run(&["check", "crio-only.io/x"]).exits(2);
    assert!(run.out.contains(CRIO_POLICY), "{}", run.out);
    let run = host.run(&["check", "--for", "podman", "crio-only.io/x"]).exits(0);
    assert!(run.out.contains(POLICY), "{}", run.out);
    host.run(&["revert"]).exits(0);
    assert_eq!(host.own_files(), before);
}

#[test]
fn r10_a_namespaces_policy_that_accepts_is_a_warning() {
    let file = "/etc/crio/policies/team.json";
    let host = with_crio(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    host.write(file, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    host.apply().exits(0).finds("warning", "NamespacePolicyAccepts", file, "");
    host.write(file, r#"{"default": [{"type": "reject"}]}"#);
    assert!(!host.plan().names().contains(&"NamespacePolicyAccepts".to_owned()));
}

#[test]
fn r10_what_a_namespaces_policy_may_accept() {
    let file = "/etc/crio/policies/team.json";
    let allowed = || json!({"allowedRegistries": ["a.io", "d.io/x:v1"]});
    let blocked = |scope: &str| json!({"blockedRegistries": [scope]});
    for (sources, scope, is_said) in [
        (allowed(), "a.io", false),
        (allowed(), "a.io/x", false),
        (allowed(), "b.io", true),
        (allowed(), "b.io/x/y", true),
        (allowed(), "*.io", true),
        (allowed(), "d.io/x:v1", false),
        (allowed(), "d.io/x", true),
        (blocked("a.io"), "a.io", true),
        (blocked("a.io"), "b.io", false),
        (blocked("a.io/n"), "a.io/n", true),
        (blocked("a.io/n"), "a.io/n/x", false),
        (blocked("*.io"), "*.io", true),
    ] {
        let host = with_crio(&[image(sources.clone())]);
        let accept = json!([{"type": "insecureAcceptAnything"}]);
        let policy =
            json!({"default": [{"type": "reject"}], "transports": {"docker": {scope: accept}}});
        host.write(file, policy.to_string());
        let names = host.plan().names();
        let name = "NamespacePolicyAccepts".to_owned();
        assert_eq!(names.contains(&name), is_said, "{sources} {scope}");
    }
}

#[test]
fn r11_pushes_are_not_stopped() {
    let validated =
        |sources: Value| Host::with(&[image(sources)]).on_documents("validate").exits(0);
    let field = "spec.registrySources.allowedRegistries";
    let run = validated(json!({"allowedRegistries": ["quay.io"]}));
    run.finds("info", "PushNotStopped", "Image/cluster", field);
    let field = "spec.registrySources.blockedRegistries[1]";
    let run = validated(json!({"blockedRegistries": ["a.io", "b.io/x:v1"]}));
    run.finds("info", "PushNotStopped", "Image/cluster", field);
    let run = validated(json!({"blockedRegistries": ["a.io"]}));
    assert!(!run.names().contains(&"PushNotStopped".to_owned()));
}

#[test]
fn r11_ambiguous_short_names() {
    let host = Host::with(&[image(json!({"containerRuntimeSearchRegistries": ["a.io", "b.io"]}))]);
    let field = "spec.registrySources.containerRuntimeSearchRegistries";
    for command in ["validate", "plan"] {
        let run = host.on_documents(command);
        run.finds("warning", "AmbiguousShortNames", "Image/cluster", field);
    }
    host.write("/etc/crio/crio.conf", "[crio.image]\nshort_name_mode = \"permissive\"\n");
    assert!(!host.plan().names().contains(&"AmbiguousShortNames".to_owned()));
}

const PAYLOAD: &str = "quay.io/openshift-release-dev/ocp-release";

fn cluster_version() -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion",
        "metadata": {"name": "version"}, "status": {"desired": {"image": format!("{PAYLOAD}@{DIGEST}")}},
    })
}

fn blocking() -> Value {
    image(json!({"blockedRegistries": ["quay.io", "other.io"]}))
}

#[test]
fn r2_payload_that_nothing_mirrors_is_left_out() {
    let release = format!("{PAYLOAD}@{DIGEST}");
    let by_flag = Host::with(&[blocking()]);
    let docs = by_flag.docs();
    let flag = ["apply", "-o", "json", "--release-image", &release, "-f", docs.to_str().unwrap()];
    let flag = by_flag.run(&flag).exits(0);
    let by_document = Host::with(&[blocking(), cluster_version()]);
    for (host, run) in [(&by_flag, flag), (&by_document, by_document.apply().exits(0))] {
        let field = "spec.registrySources.blockedRegistries[0]";
        let run = run.finds("warning", "PayloadBlocked", "Image/cluster", field);
        assert_eq!(run.finding("PayloadBlocked")["value"], "quay.io");
        assert_eq!(host.verdict(&release), "allowed");
        assert_eq!(host.verdict("quay.io/any/thing"), "allowed");
        assert_eq!(host.verdict("other.io/x"), "rejected");
    }
}

#[test]
fn r2_payload_that_is_mirrored_stays_accepted() {
    let set = |name: &str, source: &str| {
        idms(name, json!({"source": source, "mirrors": [format!("m.io/{name}")]}))
    };
    let dev = "quay.io/openshift-release-dev/ocp-v4.0-art-dev";
    let host = Host::with(&[
        blocking(),
        cluster_version(),
        set("release", PAYLOAD),
        set("art", dev),
        set("other", "other.io/app"),
    ]);
    let run = host.apply().exits(0);
    let field = "spec.registrySources.blockedRegistries[0]";
    let run = run.finds("warning", "PayloadBlockedButMirrored", "Image/cluster", field);
    let mirrored = "spec.registrySources.blockedRegistries[1]";
    let run = run.finds("warning", "BlockedAndMirrored", "Image/cluster", mirrored);
    assert!(run.finding("BlockedAndMirrored")["fix"].to_string().contains("NeverContactSource"));
    for (name, mirror) in [(PAYLOAD, "m.io/release"), (dev, "m.io/art")] {
        let places = host.places(&format!("{name}@{DIGEST}"));
        assert_eq!(places, [format!("{mirror}@{DIGEST}"), format!("{name}@{DIGEST} blocked")]);
        assert_eq!(host.verdict(&format!("{name}@{DIGEST}")), "allowed");
    }
    assert_eq!(host.verdict(&format!("quay.io/other/x@{DIGEST}")), "rejected");
    assert_eq!(host.verdict(&format!("other.io/app@{DIGEST}")), "rejected");
}

/// A mirror that is blocked itself serves nothing.
#[test]
fn r2_payload_whose_mirror_is_blocked_is_left_out() {
    let set = idms("m", json!({"source": PAYLOAD, "mirrors": ["other.io/release"]}));
    let host = Host::with(&[blocking(), cluster_version(), set]);
    let run = host.apply().exits(0);
    assert!(run.names().contains(&"PayloadBlocked".to_owned()), "{:?}", run.names());
    assert_eq!(host.verdict("quay.io/any/thing"), "allowed");
}

/// The image itself may be listed: of what blocks it only the wider entries stay.
#[test]
fn r2_payload_that_is_mirrored_and_listed_itself() {
    let release = format!("{PAYLOAD}@{DIGEST}");
    let lists = json!({"blockedRegistries": ["quay.io", release, "quay.io/x:v1", "other.io/x:v1"]});
    let mirrored = idms("m", json!({"source": PAYLOAD, "mirrors": ["m.io/release"]}));
    let host = Host::with(&[image(lists), cluster_version(), mirrored.clone()]);
    host.apply().exits(0);
    assert_eq!(host.verdict(&release), "allowed");
    for refused in ["quay.io/x:v1", "quay.io/x:v2", "other.io/x:v1"] {
        assert_eq!(host.verdict(refused), "rejected", "{refused}");
    }
    // Mirrors of pulls by digest do not serve a payload that is known by a tag.
    let host = Host::with(&[image(json!({"blockedRegistries": ["quay.io"]})), mirrored]);
    let (docs, tagged) = (host.docs(), format!("{PAYLOAD}:v1"));
    let plan = ["plan", "-o", "json", "--release-image", &tagged, "-f", docs.to_str().unwrap()];
    let names = host.run(&plan).names();
    assert!(names.contains(&"PayloadBlocked".to_owned()), "{names:?}");
}
