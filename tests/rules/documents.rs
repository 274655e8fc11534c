//! D1 to D7: what documents mean before a host is looked at.

use serde_json::{Value, json};

use crate::agent::{self, CA, Host, idms, image, image_spec, trusting};

fn validated(documents: &[Value]) -> agent::Run {
    Host::with(documents).on_documents("validate").exits(0)
}

fn digest(documents: &[Value]) -> Value {
    validated(documents).json()["digest"].clone()
}

#[test]
fn d1_unknown_fields_and_kinds_are_warnings() {
    let mut document = image(json!({"blockedRegistry": ["a.io"]}));
    document["spec"]["disableScheduledImport"] = true.into();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    let run = validated(&[document, pod]);
    let run = run.finds("warning", "UnknownKind", "Pod/p", "");
    let unknown: Vec<Value> =
        run.findings().into_iter().filter(|f| f["name"] == "UnknownField").collect();
    assert_eq!(unknown[0]["field"], "spec.disableScheduledImport");
    assert_eq!(unknown[1]["field"], "spec.registrySources.blockedRegistry");
}

/// Kinds that are not ours may well have the same name twice.
#[test]
fn d1_what_is_not_ours_is_passed_over() {
    let stranger = |version: &str, kind: &str, x: u8| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "cluster"}, "x": x});
    let run = validated(&[
        image(json!({"blockedRegistries": ["a.io"]})),
        stranger("example.com/v1", "Image", 1),
        stranger("example.com/v1", "Image", 2),
        agent::config_map("nobody-names-it", json!({"../x": "y"})),
    ]);
    assert_eq!(run.names(), ["UnknownKind", "UnknownKind"]);
}

#[test]
fn d1_lists_and_many_documents_in_any_mix() {
    let host = Host::new();
    let set = idms("m", json!({"source": "s.io", "mirrors": ["m.io"]}));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [set]});
    let image = image(json!({"blockedRegistries": ["a.io"]}));
    host.document("a.json", list.to_string());
    host.document("b.yml", format!("# a comment\n---\n{image}\n---\n---\n"));
    let typed = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ImageTagMirrorSetList",
        "items": [{"metadata": {"name": "t"}, "spec": {"imageTagMirrors": [{"source": "t.io", "mirrors": ["m.io"]}]}}],
    });
    host.document("c.json", typed.to_string());
    host.document("d.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
    host.apply().exits(0);
    assert_eq!(host.verdict("a.io/x"), "rejected");
    assert_eq!(host.places("t.io/x:1"), ["m.io/x:1", "t.io/x:1"]);
    assert_eq!(host.places(&format!("s.io/x@{}", agent::DIGEST)).len(), 2);
}

#[test]
fn d2_an_empty_list_counts_as_not_set() {
    let lists = ["allowedRegistries", "blockedRegistries", "insecureRegistries"];
    for list in lists {
        let run = validated(&[image(json!({list: []}))]);
        let field = format!("spec.registrySources.{list}");
        let run = run.finds("info", "EmptyList", "Image/cluster", &field);
        assert_eq!(run.json()["digest"], digest(&[image(json!({}))]));
    }
    let run = validated(&[image(json!({"allowedRegistries": [], "blockedRegistries": ["a.io"]}))]);
    assert_eq!(run.names(), ["EmptyList"]);
    // What holds nothing that can be read is not empty.
    let refused = |document| Host::with(&[document]).on_documents("validate").exits(1);
    let run = refused(image(json!({"insecureRegistries": [null, 5]})));
    assert_eq!(run.names(), ["WrongType", "WrongType"]);
    let run = refused(image_spec(json!({"allowedRegistriesForImport": [{"domainName": 5}, {}]})));
    assert_eq!(run.names(), ["WrongType", "InvalidHostname"]);
}

#[test]
fn d3_tags_and_digests_are_accepted_with_an_info() {
    let by_digest = format!("a.io/b@{}", agent::DIGEST);
    for entry in ["a.io/b:v1", by_digest.as_str()] {
        let run = validated(&[image(json!({"blockedRegistries": [entry]}))]);
        assert_eq!(run.finding("TagOrDigestEntry")["value"], entry);
    }
    let both = format!("a.io/b:v1@{}", agent::DIGEST);
    let run = validated(&[image(json!({"blockedRegistries": [both]}))]);
    let why = run.finding("TagOrDigestEntry")["why"].to_string();
    assert!(why.contains("tag beside the digest is ignored"), "{why}");
}

#[test]
fn d4_a_missing_config_map_keeps_the_files() {
    let host = Host::with(&trusting(json!({"a.io": CA})));
    host.apply().exits(0);
    let [image, map] = trusting(json!({"a.io": CA}));
    let mut elsewhere = map;
    elsewhere["metadata"]["namespace"] = "default".into();
    let mut with_list = image;
    with_list["spec"]["registrySources"] = json!({"blockedRegistries": ["b.io"]});
    host.documents(&[with_list, elsewhere]);
    let run = host.apply().exits(0);
    let run = run.finds("warning", "TrustedCaMissing", "Image/cluster", "spec.additionalTrustedCA");
    assert_eq!(run.finding("TrustedCaMissing")["value"], "ca");
    assert_eq!(host.text("/etc/docker/certs.d/a.io/ca.crt"), CA);
    assert_eq!(host.verdict("b.io/x"), "rejected");
    host.documents(&[image_spec(json!({}))]);
    host.apply().exits(0);
    assert!(!host.exists("/etc/docker"));
}

#[test]
fn d4_the_namespace_can_be_left_out_or_set() {
    let [image, mut map] = trusting(json!({"a.io": CA}));
    map["metadata"].as_object_mut().unwrap().remove("namespace");
    let host = Host::with(&[image.clone(), map.clone()]);
    host.apply().exits(0);
    assert!(host.exists("/etc/docker/certs.d/a.io/ca.crt"));
    map["metadata"]["namespace"] = "registry-cas".into();
    let host = Host::with(&[image, map]);
    let docs = host.docs();
    let set = ["apply", "--set", "trusted_ca_namespace=registry-cas", "-f"];
    host.run(&[&set[..], &[docs.to_str().unwrap()]].concat()).exits(0);
    assert!(host.exists("/etc/docker/certs.d/a.io/ca.crt"));
}

/// Half a list changes nothing: one file that cannot be read stops all.
#[test]
fn d5_absence_must_be_proven() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    host.apply().exits(0);
    host.documents(&[image(json!({}))]).document("z.yaml", "");
    host.apply().exits(1);
    assert_eq!(host.verdict("a.io/x"), "rejected");
    host.documents(&[image(json!({}))]);
    host.apply().exits(0);
    assert_eq!(host.verdict("a.io/x"), "allowed");
}

#[test]
fn d6_hostnames_with_their_origin() {
    let mut document = image_spec(json!({"externalRegistryHostnames": ["one.io", "two.io:5000"]}));
    document["status"] = json!({
        "internalRegistryHostname": "registry.svc:5000",
        "externalRegistryHostnames": ["two.io:5000", "three.io"],
    });
    let report = validated(&[document]).json();
    let internal = json!({"hostname": "registry.svc:5000", "from": "status"});
    assert_eq!(report["internalRegistry"], internal);
    let external = report["externalRegistries"].as_array().unwrap();
    let names: Vec<&Value> = external.iter().map(|one| &one["hostname"]).collect();
    assert_eq!(names, ["one.io", "two.io:5000", "three.io"]);
    let first: Vec<&Value> =
        external.iter().map(|one| &one["publicDockerImageRepository"]).collect();
    assert_eq!(first, [true, false, false]);

    let host = Host::with(&[image(json!({}))]);
    let docs = host.docs();
    let run = agent::agent(
        |agent| {
            agent.env("OPENSHIFT_DEFAULT_REGISTRY", "other.svc:5000");
            agent.args(["validate", "-o", "json", "-f"]).arg(docs)
        },
        "",
    );
    let internal = json!({"hostname": "other.svc:5000", "from": "environment"});
    assert_eq!(run.json()["internalRegistry"], internal);
    let bad = image_spec(json!({"externalRegistryHostnames": ["http://x"]}));
    let field = "spec.externalRegistryHostnames[0]";
    validated(&[bad]).finds("warning", "InvalidHostname", "Image/cluster", field);
}

fn imports(document: Value, reference: &str) -> Value {
    let host = Host::with(&[document]);
    let docs = host.docs();
    host.run(&["check", "--import", "-o", "json", "-f", docs.to_str().unwrap(), reference]).json()
}

#[test]
fn d6_imports() {
    let mut document = image_spec(json!({"allowedRegistriesForImport": [
        {"domainName": "a.io"}, {"domainName": "plain.io", "insecure": true},
        {"domainName": "*.b.io:5000"},
    ]}));
    document["status"] = json!({"internalRegistryHostname": "registry.svc:5000"});
    for (reference, verdict, insecure) in [
        ("a.io/x", "allowed", false),
        ("a.io:443/x", "allowed", false),
        ("a.io:80/x", "rejected", false),
        ("plain.io:80/x", "allowed", true),
        ("plain.io:443/x", "rejected", false),
        ("x.b.io:5000/x", "allowed", false),
        ("b.io:5000/x", "rejected", false),
        ("registry.svc:5000/x", "allowed", false),
    ] {
        let answer = imports(document.clone(), reference);
        assert_eq!(answer["verdict"], verdict, "{reference}");
        assert_eq!(answer["sources"][0]["insecure"], insecure, "{reference}");
        assert!(answer.to_string().contains("are not bound by this"), "{answer}");
    }
    assert_eq!(imports(image(json!({})), "anything.io/x")["verdict"], "allowed");
}

#[test]
fn d6_wildcards_stand_in_host_and_port() {
    let admits = |domain: &str, reference: &str| {
        let rules = json!({"allowedRegistriesForImport": [{"domainName": domain}]});
        imports(image_spec(rules), reference)["verdict"] == "allowed"
    };
    for (domain, admitted, refused) in [
        ("reg.io:*", "reg.io:5000/x", "other.io:5000/x"),
        ("reg.io:50*", "reg.io:5000/x", "reg.io:443/x"),
        ("reg?.io:*", "reg1.io:8443/x", "reg.io:8443/x"),
        ("*.io:?", "a.b.io:9/x", "a.b.io:99/x"),
        ("*", "any.io/x", "any.io:5000/x"),
    ] {
        assert!(admits(domain, admitted), "{domain} {admitted}");
        assert!(!admits(domain, refused), "{domain} {refused}");
    }
    for domain in ["reg.io:x*", "reg.io:5*:", "http://*", "", "a.io/*"] {
        let rules = json!({"allowedRegistriesForImport": [{"domainName": domain}]});
        assert_eq!(validated(&[image_spec(rules)]).finding("InvalidHostname")["value"], domain);
    }
}

/// As OpenShift's observer has it. A list of nothing but mistakes still is one.
#[test]
fn d6_an_empty_list_admits_all() {
    let field = "spec.allowedRegistriesForImport";
    let rules = |list: Value| image_spec(json!({"allowedRegistriesForImport": list}));
    let run = validated(&[rules(json!([]))]);
    run.finds("info", "EmptyList", "Image/cluster", field);
    assert_eq!(imports(rules(json!([])), "quay.io/x")["verdict"], "allowed");
    let mistaken = rules(json!([{"domainName": "http://quay.io"}]));
    assert_eq!(imports(mistaken, "quay.io/x")["verdict"], "rejected");
}

#[test]
fn d7_the_digest_is_of_what_is_meant() {
    let sources = json!({"blockedRegistries": ["a.io", "b.io"], "insecureRegistries": ["c.io"]});
    let set = idms("m", json!({"source": "s.io", "mirrors": ["m.io"]}));
    let first = digest(&[image(sources), set.clone()]);
    let other =
        json!({"insecureRegistries": ["c.io"], "blockedRegistries": ["b.io", "a.io", "a.io"]});
    let mut annotated = image(other);
    annotated["metadata"]["annotations"] = json!({"x": "y"});
    let renamed = idms("other", set["spec"]["imageDigestMirrors"][0].clone());
    assert_eq!(digest(&[renamed, annotated]), first);
    assert_ne!(digest(&[image(json!({"blockedRegistries": ["a.io"]}))]), first);
    assert_ne!(digest(&trusting(json!({"a.io": CA}))), digest(&[image(json!({}))]));
    let search = |list: Value| digest(&[image(json!({"containerRuntimeSearchRegistries": list}))]);
    assert_ne!(search(json!(["a.io", "b.io"])), search(json!(["b.io", "a.io"])));
}
