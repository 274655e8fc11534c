//! R1: the base, from the first write to `revert`.

use std::fs;

use serde_json::{Value, json};

use crate::agent::{CRIO_POLICY, Host, POLICY, REGISTRIES, SEARCH, image};

const OWN: &str = "# mine\nunqualified-search-registries = [\"mine.io\"] # kept\n\n[[registry]]\n# odd order\nblocked = true\nlocation = \"old.io\"\n";
const OWN_POLICY: &str =
    "{\"default\": [{\"type\": \"insecureAcceptAnything\"}],\n  \"transports\": {}}\n";

fn blocking(name: &str) -> Value {
    image(json!({"blockedRegistries": [name]}))
}

fn own_host(documents: &[Value]) -> Host {
    let host = Host::with(documents);
    host.write(REGISTRIES, OWN).mode(REGISTRIES, 0o640).write(POLICY, OWN_POLICY);
    host
}

#[test]
fn r1_a_parameter_that_goes_brings_the_base_back() {
    let documents = image(json!({
        "blockedRegistries": ["a.io"], "insecureRegistries": ["old.io"],
        "containerRuntimeSearchRegistries": ["search.io"],
    }));
    let host = own_host(&[documents]);
    let before = host.own_files();
    host.apply().exits(0);
    let text = host.text(REGISTRIES);
    assert!(
        text.starts_with("# mine\n") && text.contains("# kept") && text.contains("# odd order")
    );
    assert_eq!(host.check("x")["details"]["shortName"]["from"], "search");
    assert_eq!(host.check("x")["candidates"][0]["ref"], "search.io/x:latest");
    host.documents(&[image(json!({}))]);
    host.apply().exits(0);
    assert_eq!(host.check("x")["candidates"][0]["ref"], "mine.io/x:latest");
    assert!(!host.exists(SEARCH));
    host.run(&["revert"]).exits(0);
    assert_eq!(host.own_files(), before);
}

#[test]
fn r1_revert_gives_every_byte_back() {
    let all = image(json!({
        "blockedRegistries": ["a.io"], "containerRuntimeSearchRegistries": ["search.io"],
        "insecureRegistries": ["b.io"],
    }));
    let host = own_host(std::slice::from_ref(&all));
    let before = host.own_files();
    host.apply().exits(0);
    host.documents(&[blocking("c.io")]);
    host.apply().exits(0);
    host.run(&["revert"]).exits(0);
    assert_eq!(host.own_files(), before);

    let empty = Host::with(&[all]);
    empty.apply().exits(0);
    assert!(empty.exists(REGISTRIES) && empty.exists(SEARCH));
    empty.run(&["revert"]).exits(0);
    assert!(empty.own_files().keys().all(|path| path.ends_with("var")), "{:#?}", empty.own_files());
}

#[test]
fn r1_nothing_counts_as_empty_and_accepting() {
    let host = Host::with(&[image(json!({"allowedRegistries": ["a.io"]}))]);
    host.apply().exits(0);
    assert_eq!(host.policy("docker-daemon", "").unwrap(), "insecureAcceptAnything");
    assert_eq!(host.verdict("a.io/x"), "allowed");
    assert_eq!(host.verdict("b.io/x"), "rejected");
}

#[test]
fn r1_a_link_is_put_back() {
    let host = Host::with(&[blocking("a.io")]);
    host.write("/usr/lib/vendor.conf", "# vendor\n").link(REGISTRIES, "/usr/lib/vendor.conf");
    let before = host.own_files();
    host.apply().exits(0);
    assert!(host.text(REGISTRIES).starts_with("# vendor\n"));
    assert_eq!(host.text("/usr/lib/vendor.conf"), "# vendor\n");
    // Read anew: an update of the vendor's file counts at the next apply.
    host.write("/usr/lib/vendor.conf", "# newer\n");
    host.apply().exits(0);
    assert!(host.text(REGISTRIES).starts_with("# newer\n"));
    host.write("/usr/lib/vendor.conf", "# vendor\n");
    host.run(&["revert"]).exits(0);
    assert_eq!(host.own_files(), before);
}

#[test]
fn r1_the_vendors_file_stands_in_for_a_missing_one() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    host.write(
        "/usr/share/containers/registries.conf",
        "# vendor\n[[registry]]\nlocation = \"v.io\"\ninsecure = true\n",
    );
    let signed = r#"[{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]"#;
    let policy = format!(
        r#"{{"default": [{{"type": "reject"}}], "transports": {{"docker": {{"v.io": {signed}}}}}}}"#
    );
    host.write("/usr/share/containers/policy.json", policy);
    host.apply().exits(0);
    assert_eq!(host.places("v.io/x:1"), ["v.io/x:1 insecure"]);
    assert_eq!(host.policy("docker", "v.io").unwrap(), "signedBy");
    assert_eq!(host.verdict("b.io/x"), "rejected");
    host.run(&["revert"]).exits(0);
    assert!(!host.exists(REGISTRIES) && !host.exists(POLICY));
}

#[test]
fn r1_every_render_starts_from_the_base() {
    let host = own_host(&[blocking("a.io")]);
    host.apply().exits(0);
    host.documents(&[blocking("b.io")]);
    let rendered = host.on_documents("render").exits(0).out;
    assert!(rendered.contains("b.io") && !rendered.contains("\"a.io\""), "{rendered}");
    host.apply().exits(0);
    assert_eq!(host.verdict("a.io/x"), "allowed");
    assert_eq!(host.verdict("old.io/x"), "blocked");
}

#[test]
fn r1_base_show_and_diff() {
    let host = own_host(&[blocking("a.io")]);
    assert_eq!(host.run(&["base", "show"]).exits(0).out, "");
    host.apply().exits(0);
    let shown = host.run(&["base", "show"]).exits(0).out;
    assert!(shown.contains(&format!("==> {REGISTRIES} (its own file) <==\n{OWN}")), "{shown}");
    let diff = host.run(&["base", "diff"]).exits(0).out;
    assert!(diff.contains("+  location = \"a.io\""), "{diff}");
    let json = host.run(&["base", "-o", "json", "show"]).exits(0).out;
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["origin"], "its own file");
}

#[test]
fn r1_adopt_takes_an_administrators_edit() {
    let host = own_host(&[blocking("a.io")]);
    host.apply().exits(0);
    let edit = "\n[[registry]]\nlocation = \"edit.io\"\ninsecure = true\n";
    host.write(REGISTRIES, format!("{}{edit}", host.text(REGISTRIES)));
    host.run(&["base", "adopt", REGISTRIES]).exits(0);
    let base = host.run(&["base", "show"]).out;
    assert!(base.contains("edit.io") && !base.contains("\"a.io\""), "{base}");
    host.documents(&[blocking("b.io")]);
    host.apply().exits(0);
    assert_eq!(host.places("edit.io/x:1"), ["edit.io/x:1 insecure"]);
    assert_eq!(host.verdict("b.io/x"), "rejected");
    host.run(&["revert"]).exits(0);
    assert!(host.text(REGISTRIES).contains("edit.io"));
    assert!(host.text(REGISTRIES).starts_with("# mine\n"));
}

/// What was edited stays as it was edited, an entry that the cluster changed too.
#[test]
fn r1_adopt_takes_an_edit_of_an_entry_of_the_base() {
    let own = "[[registry]]\nlocation = \"old.io\"\n\n[[registry]]\nlocation = \"other.io\"\n";
    let policy = json!({
        "default": [{"type": "insecureAcceptAnything"}],
        "transports": {"docker": {"old.io": [{"type": "insecureAcceptAnything"}]}},
    });
    let lists =
        json!({"insecureRegistries": ["old.io", "other.io"], "blockedRegistries": ["a.io"]});
    let host = Host::with(&[image(lists)]);
    host.write(REGISTRIES, own).write(POLICY, policy.to_string());
    host.apply().exits(0);
    let text = host.text(REGISTRIES);
    let edited = text.replace("location = \"old.io\"\n", "location = \"old.io\"\nblocked = true\n");
    assert_ne!(text, edited);
    host.write(REGISTRIES, edited);
    let mut policy = host.json(POLICY);
    policy["transports"]["docker"]["edit.io"] = json!([{"type": "reject"}]);
    host.write(POLICY, policy.to_string());
    host.run(&["base", "adopt", REGISTRIES]).exits(0);
    host.run(&["base", "adopt", POLICY]).exits(0);
    host.run(&["revert"]).exits(0);
    let text = host.text(REGISTRIES);
    for (entry, times) in [("old.io", 1), ("other.io", 1), ("a.io", 0), ("blocked = true", 1)] {
        assert_eq!(text.matches(entry).count(), times, "{entry}: {text}");
    }
    assert_eq!(host.verdict("old.io/x"), "blocked");
    assert_eq!(host.policy("docker", "edit.io").unwrap(), "reject");
    assert_eq!(host.policy("docker", "old.io").unwrap(), "insecureAcceptAnything");
    assert_eq!(host.policy("docker", "a.io"), None);
}

/// An apply heals what others wrote, and keeps their bytes; adopt takes those.
#[test]
fn r1_adopt_takes_what_a_heal_kept() {
    let host = own_host(&[blocking("a.io")]);
    host.apply().exits(0);
    let ours = host.text(REGISTRIES);
    host.write(
        REGISTRIES,
        format!("{ours}\n[[registry]]\nlocation = \"edit.io\"\ninsecure = true\n"),
    );
    let healed = host.apply().exits(0);
    assert_eq!(healed.changes(), [format!("changed {REGISTRIES}")]);
    assert!(healed.json()["warnings"][0].as_str().unwrap().contains("kept as"));
    assert_eq!(host.text(REGISTRIES), ours);
    host.run(&["base", "adopt", REGISTRIES]).exits(0);
    host.apply().exits(0);
    assert_eq!(host.places("edit.io/x:1"), ["edit.io/x:1 insecure"]);
}

#[test]
fn r1_adopt_says_why_it_cannot() {
    let host = own_host(&[blocking("a.io")]);
    let run = host.run(&["base", "adopt", REGISTRIES]).exits(1);
    assert!(run.err.contains("not managed at present"), "{}", run.err);
    host.apply().exits(0);
    host.write(REGISTRIES, "not TOML");
    let run = host.run(&["base", "adopt", REGISTRIES]).exits(1);
    assert!(run.err.contains("mend it first"), "{}", run.err);
}

/// What the cluster said then is not the host's own, though it no longer says so.
#[test]
fn r1_adopt_takes_none_of_what_was_ours_when_others_wrote_over_it() {
    let allowed = image(json!({"allowedRegistries": ["reg.io"], "insecureRegistries": ["reg.io"]}));
    let host = own_host(&[allowed]);
    host.apply().exits(0);
    let mut policy = host.json(POLICY);
    policy["transports"]["docker"]["edit.io"] = json!([{"type": "reject"}]);
    host.write(POLICY, policy.to_string());
    let edit = format!("{}\n[[registry]]\nlocation = \"edit.io\"\n", host.text(REGISTRIES));
    host.write(REGISTRIES, edit);
    host.documents(&[blocking("b.io")]);
    host.apply().exits(0);
    for file in [POLICY, REGISTRIES] {
        host.run(&["base", "adopt", file]).exits(0);
        let again = host.run(&["base", "adopt", file]).exits(1);
        assert!(again.err.contains("as it was applied"), "{}", again.err);
    }
    host.apply().exits(0);
    host.run(&["revert"]).exits(0);
    assert_eq!(host.verdict("any.io/x"), "allowed");
    assert_eq!(host.verdict("edit.io/x"), "rejected");
    assert_eq!(host.places("reg.io/x:1"), ["reg.io/x:1"]);
    assert!(host.text(REGISTRIES).contains("edit.io"));
}

/// An empty file would be another base than none: nothing could be pulled by it.
#[test]
fn r1_adopt_makes_no_base_of_what_nobody_has_changed() {
    let host = Host::with(&[blocking("a.io")]);
    host.apply().exits(0);
    for file in [POLICY, REGISTRIES] {
        let run = host.run(&["base", "adopt", file]).exits(1);
        assert!(run.err.contains("nothing of others"), "{}", run.err);
    }
    host.apply().exits(0);
    host.run(&["revert"]).exits(0);
    assert!(!host.exists(POLICY) && !host.exists(REGISTRIES));
}

/// A render that starts from what the agent wrote elsewhere would keep what the cluster no longer says.
#[test]
fn r1_a_base_that_leads_to_a_file_of_ours_is_that_files_base() {
    let host = Host::with(&[blocking("a.io")]);
    host.write(
        "/etc/crio/crio.conf",
        format!("[crio.image]\nsignature_policy = \"{CRIO_POLICY}\"\n"),
    );
    host.link(CRIO_POLICY, "../containers/policy.json");
    host.mkdir("/usr/share/containers");
    host.link("/usr/share/containers/policy.json", POLICY);
    host.apply().exits(0);
    host.documents(&[blocking("b.io")]);
    let changed = host.apply().exits(0).changes();
    assert_eq!(changed, [POLICY, REGISTRIES, CRIO_POLICY].map(|path| format!("changed {path}")));
    for path in [POLICY, CRIO_POLICY] {
        let docker = &host.json(path)["transports"]["docker"];
        assert_eq!(docker.as_object().unwrap().keys().collect::<Vec<_>>(), ["b.io"], "{path}");
    }
    host.run(&["rollback"]).exits(0);
    assert_eq!(
        (host.verdict("a.io/x"), host.verdict("b.io/x")),
        ("rejected".into(), "allowed".into())
    );
    host.run(&["revert"]).exits(0);
    assert!(!host.exists(POLICY));
}

/// Only the kernel knows what `..` is in a directory that is a link.
#[test]
fn r1_a_base_is_read_through_directories_that_are_links() {
    let host = Host::with(&[blocking("a.io")]);
    host.write(
        "/etc/crio/crio.conf",
        format!("[crio.image]\nsignature_policy = \"{CRIO_POLICY}\"\n"),
    );
    fs::rename(host.at("/etc/crio"), host.at("/srv-crio")).unwrap();
    host.write(POLICY, OWN_POLICY);
    host.link("/srv-crio/policy.json", "../containers/other.json");
    host.write("/containers/other.json", r#"{"default": [{"type": "reject"}]}"#);
    host.link("/etc/crio", "../srv-crio");
    host.apply().exits(0);
    assert_eq!(host.json(CRIO_POLICY)["default"][0]["type"], "reject");
}

/// Without one of them what is ours would be taken for the host's own, or left where it is.
#[test]
fn x3_where_base_or_applied_set_is_lost_nothing_is_changed_and_it_is_named() {
    for lost in ["applied.json", "base/origins.json"] {
        let host = own_host(&[blocking("a.io")]);
        host.apply().exits(0);
        fs::remove_file(host.at(&format!("/var/lib/image-config-agent/{lost}"))).unwrap();
        let before = host.own_files();
        host.documents(&[blocking("b.io")]);
        let docs = host.docs();
        for command in [&["apply", "-f", docs.to_str().unwrap()][..], &["revert"]] {
            let run = host.run(command).exits(1);
            assert!(run.err.contains(lost) && run.err.contains("missing"), "{lost}: {}", run.err);
        }
        assert_eq!(host.own_files(), before, "{lost}");
    }
}

/// Nothing tells what was the host's own, so it is said, until somebody has sorted it out.
#[test]
fn r1_where_all_state_is_lost_what_an_agent_wrote_is_said_to_count_as_the_hosts_own() {
    let of = json!({"blockedRegistries": ["a.io"], "containerRuntimeSearchRegistries": ["s.io"]});
    let host = own_host(&[image(of)]);
    assert_eq!(host.apply().exits(0).names(), Vec::<String>::new());
    fs::remove_dir_all(host.at("/var/lib/image-config-agent")).unwrap();
    host.documents(&[image(json!({}))]);
    let run = host.apply().exits(0);
    let said = run.findings().into_iter().map(|one| [one["name"].clone(), one["object"].clone()]);
    let of = |file| [json!("AgentsInBase"), json!(file)];
    assert_eq!(said.collect::<Vec<_>>(), [of(REGISTRIES), of(SEARCH)]);
    assert_eq!(host.verdict("a.io/x"), "rejected");
    host.run(&["revert"]).exits(0);
    host.write(REGISTRIES, OWN).write(POLICY, OWN_POLICY);
    fs::remove_file(host.at(SEARCH)).unwrap();
    host.documents(&[blocking("b.io")]);
    assert_eq!(host.apply().exits(0).names(), Vec::<String>::new());
    assert_eq!(host.verdict("a.io/x"), "allowed");
}
