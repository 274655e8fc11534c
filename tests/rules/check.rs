//! C1, C2: what `check` answers.

use serde_json::{Value, json};

use crate::agent::{CA, DIGEST, Host, POLICY, REGISTRIES, SEARCH, idms, image, trusting};

fn applied(documents: &[Value]) -> Host {
    let host = Host::with(documents);
    host.apply().exits(0);
    host
}

#[test]
fn c1_the_answer_has_the_promised_shape() {
    let host = applied(&[
        image(json!({"blockedRegistries": ["a.io"], "insecureRegistries": ["m.io"]})),
        idms("m", json!({"source": "s.io", "mirrors": ["m.io"]})),
    ]);
    let answer = host.check(&format!("s.io/x@{DIGEST}"));
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    let mut expected = ["ref", "verdict", "policy", "sources", "candidates", "errors", "details"]
        .map(String::from);
    expected.sort();
    assert_eq!(keys, expected.iter().collect::<Vec<_>>());
    assert_eq!(answer["policy"], json!({"level": "default", "scope": "", "allowed": true}));
    let sources = json!([
        {"ref": format!("m.io/x@{DIGEST}"), "insecure": true, "blocked": false},
        {"ref": format!("s.io/x@{DIGEST}"), "insecure": false, "blocked": false},
    ]);
    assert_eq!(answer["sources"], sources);
    assert_eq!((&answer["candidates"], &answer["errors"]), (&json!([]), &json!([])));
    let policy = json!({"level": "transport-scope", "scope": "a.io", "allowed": false});
    assert_eq!(host.check("a.io/x")["policy"], policy);
    let allowed = applied(&[image(json!({"allowedRegistries": ["a.io"]}))]);
    assert_eq!(allowed.check("b.io/x")["policy"]["level"], "default");
}

#[test]
fn c1_files_and_fields_behind_the_answer() {
    let host = applied(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let docs = host.docs();
    let run = host.run(&["check", "-f", docs.to_str().unwrap(), "a.io/x"]).exits(2);
    for part in [
        "a.io/x: rejected",
        "refused by /etc/containers/policy.json, scope \"a.io\" of transport docker",
        "Image/cluster spec.registrySources.blockedRegistries[0]",
        "by /etc/containers/registries.conf, entry \"a.io\"",
        "1. a.io/x:latest (secure, blocked)",
    ] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    // Without documents the files answer, and no field is known.
    let run = host.run(&["check", "a.io/x"]).exits(2);
    assert!(!run.out.contains("Image/cluster"), "{}", run.out);
    let host = applied(&trusting(json!({"a.io..5000": CA})));
    let run = host.run(&["check", "a.io:5000/x"]).exits(0);
    assert!(run.out.contains("CAs of /etc/docker/certs.d/a.io:5000"), "{}", run.out);
}

/// What `check -f` prints for one image.
fn explained(host: &Host, reference: &str) -> String {
    let docs = host.docs();
    host.run(&["check", "-f", docs.to_str().unwrap(), reference]).out
}

#[test]
fn c1_never_contact_source_is_behind_a_block() {
    let never = json!({"source": "s.io", "mirrors": ["m.io/x"], "mirrorSourcePolicy": "NeverContactSource"});
    let host = Host::with(&[idms("m", never)]);
    let by = "entry \"s.io\" (ImageDigestMirrorSet/m spec.imageDigestMirrors[0]):";
    for reference in ["s.io/a:1".to_owned(), format!("s.io/a/b@{DIGEST}")] {
        let text = explained(&host, &reference);
        assert!(text.contains(by), "{text}");
    }
    // A narrower set that lets the source be asked is what counts.
    let set = |name: &str, source: &str, policy: &str| {
        idms(name, json!({"source": source, "mirrors": ["m.io/x"], "mirrorSourcePolicy": policy}))
    };
    let narrower = set("n", "s.io/a", "AllowContactingSource");
    let host = Host::with(&[set("m", "s.io", "NeverContactSource"), narrower]);
    let text = explained(&host, "s.io/a/b:1");
    assert!(text.contains("entry \"s.io/a\":") && !text.contains("ImageDigest"), "{text}");
}

/// A field that a drop-in of others defeats is not what answers.
#[test]
fn c1_an_entry_of_a_drop_in_is_the_hosts_own() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let drop_in = "/etc/containers/registries.conf.d/50-x.conf";
    host.write(drop_in, "[[registry]]\nlocation = \"a.io\"\n");
    let text = explained(&host, "a.io/x");
    let by = format!("asked in order by {drop_in}, entry \"a.io\" (the host's own entry):");
    assert!(text.contains(&by), "{text}");
    // policy.json still has the block.
    assert!(
        text.contains("docker (Image/cluster spec.registrySources.blockedRegistries[0])"),
        "{text}"
    );
}

#[test]
fn c1_a_refusal_of_the_base_is_the_hosts_own() {
    let host = Host::with(&[image(json!({"allowedRegistries": ["a.io", "c.io"]}))]);
    let policy = r#"{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {
        "a.io/x": [{"type": "reject"}], "b.io": [{"type": "insecureAcceptAnything"}]}}}"#;
    host.write(POLICY, policy);
    host.write(REGISTRIES, "[[registry]]\nlocation = \"a.io\"\ninsecure = true\n");
    let says = |reference: &str, part: &str| {
        let text = explained(&host, reference);
        assert!(text.contains(part), "{part}: {text}");
    };
    says(
        "a.io/x",
        "refused by /etc/containers/policy.json, scope \"a.io/x\" of transport docker (the host's own entry)",
    );
    says(
        "a.io/y",
        "scope \"a.io\" of transport docker (Image/cluster spec.registrySources.allowedRegistries[0])",
    );
    says("a.io/y", "entry \"a.io\" (the host's own entry):");
    let by_list = "(Image/cluster spec.registrySources.allowedRegistries)";
    says("b.io/y", &format!("scope \"b.io\" of transport docker {by_list}"));
    says("d.io/y", &format!("policy.json, default {by_list}"));
    // A refusal that the documents did not ask for.
    host.documents(&[image(json!({}))]);
    says("a.io/x", "(the host's own entry)");
    assert!(!explained(&host, "d.io/y").contains("own entry"));
}

#[test]
fn c1_documents_answer_for_what_is_proposed() {
    let host = applied(&[image(json!({}))]);
    host.documents(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let before = host.snapshot();
    let docs = host.docs();
    let check = ["check", "-f", docs.to_str().unwrap()];
    assert_eq!(host.run(&[&check[..], &["a.io/x"]].concat()).exits(2).err.lines().count(), 0);
    host.run(&["check", "a.io/x"]).exits(0);
    assert_eq!(host.snapshot(), before);
}

/// The search list that is proposed stands beside the drop-ins of others.
#[test]
fn c1_documents_answer_for_the_search_list_that_is_proposed() {
    let host = Host::with(&[image(json!({"containerRuntimeSearchRegistries": ["a.io"]}))]);
    let theirs = "[[registry]]\nlocation = \"b.io\"\nblocked = true\n";
    host.write("/etc/containers/registries.conf.d/00-theirs.conf", theirs);
    let proposed = |host: &Host, reference: &str| {
        let docs = host.docs();
        host.run(&["check", "-o", "json", "-f", docs.to_str().unwrap(), reference]).json()
    };
    assert!(proposed(&host, "ubi9")["candidates"].to_string().contains("a.io/ubi9"));
    assert_eq!(proposed(&host, "b.io/x")["verdict"], "blocked");
    host.apply().exits(0);
    host.documents(&[image(json!({"insecureRegistries": ["c.io"]}))]);
    assert!(!proposed(&host, "ubi9")["candidates"].to_string().contains("a.io/ubi9"));
    assert_eq!(proposed(&host, "b.io/x")["verdict"], "blocked");
}

/// The CAs too are those that would be there, beside the files that others put there.
#[test]
fn c1_documents_answer_for_the_cas_that_are_proposed() {
    let directory = "/etc/docker/certs.d/a.io:5000";
    let host = Host::with(&trusting(json!({"a.io..5000": CA})));
    let proposed = |host: &Host| {
        let docs = host.docs();
        host.run(&["check", "-o", "json", "-f", docs.to_str().unwrap(), "a.io:5000/x"]).json()
    };
    let cas = |host: &Host| proposed(host)["details"]["cas"].to_string();
    assert!(cas(&host).contains(directory), "{}", cas(&host));
    assert!(!host.check("a.io:5000/x")["details"]["cas"].to_string().contains(directory));
    host.apply().exits(0);
    host.documents(&[image(json!({}))]);
    assert!(!cas(&host).contains(directory), "{}", cas(&host));
    host.write(&format!("{directory}/own.crt"), CA);
    assert!(cas(&host).contains(directory), "{}", cas(&host));
    // A client's certificate without its key fails every pull, whatever is beside it.
    host.documents(&trusting(json!({"a.io..5000": CA})));
    host.write(&format!("{directory}/client.cert"), CA);
    assert!(proposed(&host).to_string().contains("client.key"), "{}", proposed(&host));
}

#[test]
fn c1_short_names() {
    let host = applied(&[image(json!({"containerRuntimeSearchRegistries": ["a.io", "b.io"]}))]);
    let answer = host.check("ubi9");
    assert_eq!(answer["ref"], "ubi9");
    assert_eq!(answer["sources"][0]["ref"], "docker.io/library/ubi9:latest");
    let names: Vec<&Value> =
        answer["candidates"].as_array().unwrap().iter().map(|one| &one["ref"]).collect();
    assert_eq!(names, ["a.io/ubi9:latest", "b.io/ubi9:latest"]);
    // CRI-O's default, which cannot ask anybody.
    let mode = &answer["details"]["shortName"];
    assert_eq!((&mode["mode"], &mode["refused"]), (&json!("enforcing"), &json!(true)));
    let text = host.run(&["check", "ubi9"]).out;
    let refused = "mode enforcing): refused: ambiguous: it may mean any of 2 images\n";
    assert!(text.contains(refused), "{text}");

    host.write("/etc/crio/crio.conf", "[crio.image]\nshort_name_mode = \"permissive\"\n");
    assert_eq!(host.check("ubi9")["details"]["shortName"]["refused"], false);
    host.write(
        "/etc/containers/registries.conf.d/50.conf",
        "[aliases]\n\"ubi9\" = \"c.io/ns/ubi9\"\n",
    );
    let answer = host.check("ubi9");
    assert_eq!(answer["details"]["shortName"]["from"], "alias");
    assert_eq!(answer["candidates"][0]["ref"], "c.io/ns/ubi9:latest");
    assert_eq!(host.check("full.io/x")["candidates"], json!([]));
}

#[test]
fn c1_a_short_name_without_a_meaning() {
    let host = Host::new();
    let text = host.run(&["check", "ubi9"]).exits(2).out;
    let why = "the name has no registry, there is no alias for it, and no registries are searched";
    let expected = format!(
        "ubi9: refused, whatever it can mean\n  as a short name (mode enforcing): refused: {why}\n"
    );
    assert_eq!(text, expected);
    let short_name = host.check("ubi9")["details"]["shortName"].clone();
    let expected =
        json!({"mode": "enforcing", "from": null, "file": null, "refused": true, "why": why});
    assert_eq!(short_name, expected);
}

/// The library's reading of a short name is none of an engine's, so people do not see it.
#[test]
fn c1_a_short_name_is_shown_by_its_meanings() {
    let host = applied(&[image(json!({}))]);
    let aliases = "[aliases]\n\"ubi9\" = \"c.io/ns/ubi9\"\n";
    host.write("/etc/containers/registries.conf.d/50.conf", aliases);
    let text = host.run(&["check", "ubi9"]).exits(0).out;
    assert!(
        text.contains("  as a short name (alias of /etc/containers/registries.conf.d/50.conf, ")
    );
    assert!(text.contains("    c.io/ns/ubi9:latest: allowed\n"), "{text}");
    assert!(!text.contains("docker.io"), "{text}");
    // The word in the JSON is for the library's reading; the exit code goes by the meanings.
    host.write(
        POLICY,
        r#"{"default": [{"type": "insecureAcceptAnything"}], "transports":
        {"docker": {"c.io": [{"type": "reject"}]}}}"#,
    );
    assert_eq!(host.run(&["check", "-o", "json", "ubi9"]).exits(2).json()["verdict"], "allowed");
}

#[test]
fn c1_a_scheme_is_no_part_of_a_reference() {
    let run = Host::new().run(&["check", "docker://quay.io/ns/app:v1"]).exits(2);
    let note = "note: a reference has no scheme: leave docker:// out, as in quay.io/ns/app:v1";
    assert!(run.out.contains(note), "{}", run.out);
}

#[test]
fn c1_tag_and_digest_together() {
    let host = applied(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let text = format!("b.io/x:v1@{DIGEST}");
    let answer = host.check(&text);
    assert_eq!((&answer["ref"], &answer["verdict"]), (&json!(text), &json!("invalid")));
    assert!(!answer["errors"].as_array().unwrap().is_empty());
    let candidate = &answer["candidates"][0];
    assert_eq!(candidate["ref"], format!("b.io/x@{DIGEST}"));
    assert_eq!(candidate["verdict"], "allowed");
    let answer = host.check(&format!("a.io/x:v1@{DIGEST}"));
    assert_eq!(answer["candidates"][0]["verdict"], "rejected");
    // A name without registry is looked up first.
    host.write(SEARCH, "unqualified-search-registries = [\"a.io\"]\n");
    let answer = host.check(&format!("x:v1@{DIGEST}"));
    assert_eq!(answer["verdict"], "invalid");
    let candidates = answer["candidates"].as_array().unwrap();
    let candidates: Vec<_> = candidates.iter().map(|one| (&one["ref"], &one["verdict"])).collect();
    assert_eq!(candidates, [(&json!(format!("a.io/x@{DIGEST}")), &json!("rejected"))]);
    host.run(&["check", &format!("x:v1@{DIGEST}")]).exits(2);
}

#[test]
fn c2_verdicts_in_their_order() {
    let host = Host::with(&[image(json!({"insecureRegistries": ["i.io"]}))]);
    host.write(REGISTRIES, "[[registry]]\nlocation = \"blocked.io\"\nblocked = true\n");
    let signed = r#"[{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]"#;
    let policy = format!(
        r#"{{"default": [{{"type": "reject"}}], "transports": {{"docker": {{
            "blocked.io": [{{"type": "insecureAcceptAnything"}}], "signed.io": {signed}}}}}}}"#
    );
    host.write(POLICY, policy);
    host.apply().exits(0);
    assert_eq!(host.verdict("UPPER.io/X"), "invalid");
    assert_eq!(host.verdict("other.io/x"), "rejected");
    assert_eq!(host.verdict("blocked.io/x"), "blocked");
    let answer = host.check("signed.io/x");
    assert_eq!(answer["verdict"], "allowed");
    assert_eq!(
        (&answer["policy"]["allowed"], &answer["details"]["signatureRequired"]),
        (&json!(false), &json!(true))
    );
    let text = host.run(&["check", "signed.io/x"]).exits(0).out;
    assert!(text.contains("allowed, if it is signed"), "{text}");
}

/// The engine fails before it asks a place whose certs.d directory has a certificate without its
/// key. Where another place is left, that one may serve the image.
#[test]
fn c2_a_place_that_cannot_be_asked() {
    let host = applied(&[idms("m", json!({"source": "s.io", "mirrors": ["m.io"]}))]);
    host.write("/etc/containers/certs.d/m.io/x.cert", CA);
    let run = host.run(&["check", "m.io/x"]).exits(2);
    assert!(run.out.starts_with("m.io/x: blocked\n"), "{}", run.out);
    let why = "  error: m.io/x:latest cannot be asked: /etc/containers/certs.d/m.io has x.cert";
    assert!(run.out.contains(why), "{}", run.out);
    host.run(&["check", "--push", "m.io/x"]).exits(2);
    let mirrored = format!("s.io/x@{DIGEST}");
    assert_eq!(host.verdict(&mirrored), "allowed");
    host.write("/etc/containers/certs.d/s.io/y.key", CA);
    assert_eq!(host.verdict(&mirrored), "blocked");
}

/// R11 says why: policy.json is not asked for pushes.
#[test]
fn c2_pushes() {
    let host = applied(&[image(json!({"blockedRegistries": ["a.io", "t.io/x:v1"]}))]);
    let push = |reference: &str| host.run(&["check", "--push", "-o", "json", reference]).json();
    assert_eq!(push("a.io/x:1")["verdict"], "blocked");
    assert_eq!(push("t.io/x:v1")["verdict"], "allowed");
    assert_eq!(host.verdict("t.io/x:v1"), "rejected");
    assert_eq!(push("t.io/x:v1")["policy"], Value::Null);
    let note = "a push is stopped by a blocked registry alone: policy.json is not asked";
    assert_eq!(push("t.io/x:v1")["details"]["notes"], json!([note]));
    host.run(&["check", "--push", "--import", "-f", "x", "a.io/x"]).exits(64);
}

#[test]
fn c2_an_unreadable_file_refuses_everything() {
    let host = Host::new();
    host.write(POLICY, "{");
    let answer = host.check("a.io/x");
    assert_eq!((&answer["verdict"], &answer["policy"]), (&json!("rejected"), &Value::Null));
    assert!(answer["errors"][0].as_str().unwrap().contains(POLICY), "{answer}");
}

#[test]
fn x1_references_from_standard_input() {
    let host = applied(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let run =
        host.run_with(&["check", "-o", "json", "b.io/x", "-"], "a.io/x\n\n  c.io/x  \n").exits(2);
    let refs: Vec<Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["ref"].clone())
        .collect();
    assert_eq!(refs, ["b.io/x", "a.io/x", "c.io/x"]);
    host.run_with(&["check", "-"], "\n").exits(1);
    host.run_with(&["check", "-"], "b.io/x\n").exits(0);
}
