//! X1: what commands print where they fail, or have nothing to say.

use std::fs;

use serde_json::{Value, json};

use crate::agent::{Host, POLICY, REGISTRIES, image};

fn blocking(name: &str) -> Value {
    image(json!({"blockedRegistries": [name]}))
}

/// What came to nothing is not called done, and the reason is in the answer.
#[test]
fn x1_what_failed_is_not_called_done() {
    let host = Host::with(&[blocking("a.io")]);
    host.apply().exits(0);
    host.documents(&[blocking("b.io")]);
    // In the way of what the agent keeps of every file.
    let kept = "/var/lib/image-config-agent/content";
    fs::remove_dir_all(host.at(kept)).unwrap();
    host.write(kept, "");
    let files = host.own_files();
    for command in [&["apply"][..], &["rollback"], &["revert"]] {
        let docs = host.docs();
        let documents = ["-f", docs.to_str().unwrap()];
        let documents = if command == ["apply"] { &documents[..] } else { &[] };
        let run = host.run(&[command, documents].concat()).exits(1);
        assert_eq!(run.out, "", "{command:?}");
        assert!(run.err.contains(kept), "{command:?}: {}", run.err);
        let run = host.run(&[command, documents, &["-o", "json"]].concat()).exits(1);
        let (report, why) = (run.json(), run.err.trim_end());
        assert_eq!((&report["error"], &report["changes"]), (&json!(why), &json!([])));
    }
    assert_eq!(host.own_files(), files);
}

#[test]
fn x1_what_is_refused_says_why() {
    let host = Host::with(&[blocking("http://a.io")]);
    let report = host.apply().exits(1).json();
    assert!(report["error"].as_str().unwrap().contains("[InvalidEntry]"), "{report}");
    host.documents(&[blocking("a.io")]);
    assert_eq!(host.apply().exits(0).json()["error"], Value::Null);
}

/// With -o json there is an answer on standard output whatever it is.
#[test]
fn x1_json_where_no_agent_runs() {
    let host = Host::new();
    let status = host.run(&["status", "-o", "json"]).exits(2).json();
    assert!(status["error"].as_str().unwrap().contains("no agent has run"), "{status}");
    let yaml = host.run(&["status", "-o", "yaml"]).exits(2);
    assert!(yaml.out.starts_with("error: "), "{}", yaml.out);
    for source in ["endpoint", "kube"] {
        let file = format!("/var/lib/image-config-agent/sources/{source}.json");
        host.write(&file, "{");
        let reset = host.run(&["source", "reset", source, "-o", "json"]).exits(0).json();
        assert_eq!(reset["ok"], true);
        assert!(reset["message"].as_str().unwrap().contains("no agent is running"), "{reset}");
        // What is damaged is of no use to anybody.
        assert!(!host.exists(&file));
    }
}

/// The digest of documents that could not all be read would be that of others.
#[test]
fn x1_no_digest_of_what_could_not_be_read() {
    let host = Host::new();
    for text in ["", "kind: [", &blocking("http://a.io").to_string()] {
        host.document("a.yaml", text);
        for command in ["validate", "plan", "apply"] {
            let report = host.on_documents(command).exits(1).json();
            assert_eq!(report["digest"], Value::Null, "{command}: {report}");
        }
    }
    host.documents(&[blocking("a.io")]);
    assert!(host.on_documents("validate").exits(0).json()["digest"].is_string());
}

/// Wrong documents hide no file that nothing can be built upon.
#[test]
fn x1_all_that_is_in_the_way_is_said_at_once() {
    let host = Host::with(&[blocking("http://a.io")]);
    host.write(POLICY, "{").write(REGISTRIES, "[").write("/etc/crio/crio.conf", "[");
    for command in ["plan", "apply"] {
        let names = host.on_documents(command).exits(1).names();
        let count = |name: &str| names.iter().filter(|one| *one == name).count();
        let counts = ["InvalidEntry", "BaseUnreadable", "EngineSettingsUnreadable"].map(count);
        assert_eq!(counts, [1, 2, 1], "{names:?}");
    }
}
