//! Everything read is hostile until it is printed or written.

use std::fs;

use serde_json::{Value, json};

use crate::agent::{Host, POLICY, REGISTRIES, image};

#[test]
fn what_documents_say_cannot_steer_a_terminal() {
    let host = Host::new();
    host.document(
        "x.yaml",
        "apiVersion: config.openshift.io/v1\nkind: Image\n\
         metadata: {name: \"x\\e[31m\\nerror: forged\"}\nspec: {\"\\e]0;field\\a\": 1}\n",
    );
    let docs = host.docs();
    let run = host.run(&["validate", "-f", docs.to_str().unwrap()]).exits(1);
    assert!(run.err.contains("\\u{1b}[31m\\nerror: forged"), "{}", run.err);
    assert!(!run.err.contains('\u{1b}') && !run.err.contains("\nerror: forged"), "{:?}", run.err);
}

#[test]
fn what_is_asked_for_cannot_forge_an_answer() {
    let host = Host::with(&[image(json!({}))]);
    let run = host.run(&["check", "a\u{1b}[31m\nb: allowed"]).exits(2);
    assert!(!run.out.contains('\u{1b}') && !run.out.contains("\nb: allowed"), "{:?}", run.out);
}

#[test]
fn a_ca_that_could_steer_a_terminal_is_refused() {
    let pem = fs::read_to_string(
        "examples/trusted-ca/expected/etc/docker/certs.d/registry.example.com/ca.crt",
    );
    let pem = format!("\u{1b}]0;title\u{7}\n{}", pem.unwrap());
    let host = Host::with(&crate::agent::trusting(json!({"a.io": pem})));
    let docs = host.docs();
    let run = host.run(&["validate", "-f", docs.to_str().unwrap()]).exits(1);
    assert!(run.err.contains("[InvalidCaPem]"), "{}", run.err);
}

#[test]
fn x1_render_writes_through_no_link() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let docs = host.docs();
    let out = docs.parent().unwrap().join("out");
    let outside = docs.parent().unwrap().join("outside");
    fs::create_dir_all(out.join("etc/containers")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "as it was").unwrap();
    std::os::unix::fs::symlink(outside.join("victim"), out.join("etc/containers/policy.json"))
        .unwrap();
    std::os::unix::fs::symlink(&outside, out.join("etc/containers/registries.conf.d")).unwrap();
    host.run(&["render", "-f", docs.to_str().unwrap(), "-o", out.to_str().unwrap()]).exits(0);
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "as it was");
    assert!(!fs::symlink_metadata(out.join("etc/containers/policy.json")).unwrap().is_symlink());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn long_lists_keep_their_order_and_lose_what_stands_twice() {
    let hosts: Vec<String> = (0..20_000).map(|i| format!("r{i}.io")).collect();
    let twice: Vec<&String> = hosts.iter().chain(&hosts).collect();
    let host = Host::with(&[image(json!({"containerRuntimeSearchRegistries": twice}))]);
    let docs = host.docs();
    let out = docs.parent().unwrap().join("out");
    host.run(&["render", "-f", docs.to_str().unwrap(), "-o", out.to_str().unwrap()]).exits(0);
    let written = out.join("etc/containers/registries.conf.d/01-image-searchRegistries.conf");
    let list: Vec<String> = hosts.iter().map(|host| format!("{host:?}")).collect();
    let line = format!("unqualified-search-registries = [{}]", list.join(", "));
    assert!(fs::read_to_string(written).unwrap().lines().any(|written| written == line));
}

/// A document of nothing but mistakes must not make a report of many times its size.
#[test]
fn x1_findings_without_end_are_merged() {
    let sources = json!({
        "blockedRegistries": vec![""; 5_000],
        "containerRuntimeSearchRegistries": vec!["a/b"; 600],
    });
    let host = Host::with(&[image(sources)]);
    for (command, code) in [("validate", 1), ("plan", 1), ("apply", 1)] {
        let findings = host.on_documents(command).exits(code).findings();
        for (name, more) in [("InvalidEntry", 4_500), ("InvalidSearchEntry", 100)] {
            let of_name: Vec<_> = findings.iter().filter(|f| f["name"] == name).collect();
            assert_eq!(of_name.len(), 501, "{name}");
            let said = format!("there are {more} more");
            let merged = |finding: &&&Value| finding["why"].as_str().unwrap().starts_with(&said);
            let merged: Vec<_> = of_name.iter().filter(merged).collect();
            assert_eq!(merged.len(), 1, "{name}");
            assert_eq!(
                (&merged[0]["severity"], &merged[0]["object"]),
                (&json!("error"), &json!("Image/cluster"))
            );
        }
    }
    let docs = host.docs();
    let run = host.run(&["validate", "-f", docs.to_str().unwrap()]).exits(1);
    assert!(run.err.ends_with("and 2 more; -o json lists them\n"), "{}", run.err.len());
}

#[test]
fn x1_findings_come_in_the_order_of_a_list() {
    let host = Host::with(&[image(json!({"blockedRegistries": vec!["a/"; 12]}))]);
    let findings = host.on_documents("validate").exits(1).findings();
    let fields: Vec<_> = findings.iter().map(|f| f["field"].as_str().unwrap()).collect();
    let expected: Vec<_> =
        (0..12).map(|index| format!("spec.registrySources.blockedRegistries[{index}]")).collect();
    assert_eq!(fields, expected);
    let set = |index| {
        let mirrors = vec!["x/"; 11];
        json!({"source": format!("s{index}.io"), "mirrors": mirrors})
    };
    let sets: Vec<_> = (0..11).map(set).collect();
    let mut document = crate::agent::idms("m", set(0));
    document["spec"]["imageDigestMirrors"] = json!(sets);
    host.documents(&[document]);
    let findings = host.on_documents("validate").exits(1).findings();
    let of_entries = findings.iter().filter(|f| f["name"] == "InvalidEntry");
    let fields = of_entries.map(|f| f["field"].as_str().unwrap().to_owned());
    let at = |set, mirror| format!("spec.imageDigestMirrors[{set}].mirrors[{mirror}]");
    let expected = (0..11).flat_map(|set| (0..11).map(move |mirror| at(set, mirror)));
    assert!(fields.eq(expected));
}

#[test]
fn d1_json_documents_may_follow_each_other() {
    let host = Host::new();
    let one = image(json!({"insecureRegistries": ["a.io"]}));
    let two = crate::agent::idms("m", json!({"source": "s.io", "mirrors": ["m.io"]}));
    host.document("x.json", format!("{one}\n{two}"));
    let docs = host.docs();
    let run = host.run(&["render", "-f", docs.to_str().unwrap()]).exits(0);
    assert!(run.out.contains("a.io") && run.out.contains("m.io"), "{}", run.out);
}

#[test]
fn c1_an_ambiguous_short_name_is_no() {
    let host = Host::new();
    host.write(POLICY, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    let set = |list: &str| {
        host.write(REGISTRIES, format!("unqualified-search-registries = [{list}]\n"));
    };
    set("\"a.io\", \"b.io\"");
    let run = host.run(&["check", "ubi9"]).exits(2);
    assert!(run.out.starts_with("ubi9: refused, whatever it can mean"), "{}", run.out);
    set("\"a.io\"");
    host.run(&["check", "ubi9"]).exits(0);
    set("");
    host.run(&["check", "ubi9"]).exits(2);
}

#[test]
fn r10_nobody_knows_which_policy_counts_where_crio_conf_cannot_be_read() {
    let host = Host::with(&[image(json!({}))]);
    fs::create_dir_all(host.at("/etc/crio")).unwrap();
    fs::write(host.at("/etc/crio/crio.conf"), "x = [").unwrap();
    let run = host.run(&["check", "a.io/x"]).exits(1);
    assert!(run.err.contains("[EngineSettingsUnreadable]"), "{}", run.err);
}
