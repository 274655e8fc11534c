//! X3: back to the set before, and back to the host's own files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::agent::{CA, Host, OTHER_CA, POLICY, REGISTRIES, agent, image, image_spec, trusting};
use crate::commands::{applied, blocking};

#[test]
fn x3_rollback_goes_one_step_back() {
    let host = applied(blocking("a.io"));
    host.documents(&[blocking("b.io")]);
    host.apply().exits(0);
    let run = host.run(&["rollback"]).exits(0);
    assert!(run.out.contains("held: ") && run.out.contains("apply --retry"), "{}", run.out);
    assert_eq!(
        (host.verdict("a.io/x"), host.verdict("b.io/x")),
        ("rejected".into(), "allowed".into())
    );
    let before = host.own_files();
    let again = host.run(&["rollback"]).exits(0);
    assert_eq!(again.out, "nothing to do: there is no step to go back\n");
    assert_eq!(host.own_files(), before);
    assert_eq!(Host::new().run(&["rollback"]).exits(0).out, again.out);
}

#[test]
fn x3_what_was_rolled_back_is_held() {
    let host = applied(blocking("a.io"));
    let [with_ca, map] = trusting(json!({"c.io": CA}));
    let mut rolled_back = with_ca;
    rolled_back["spec"]["registrySources"] = json!({"blockedRegistries": ["b.io"]});
    host.documents(&[rolled_back.clone(), map]);
    host.apply().exits(0);
    host.run(&["rollback"]).exits(0);
    host.plan().exits(2).finds("warning", "HeldByRollback", "rollback", "");
    let before = host.snapshot();
    let run = host.apply().exits(1).finds("error", "HeldByRollback", "rollback", "");
    assert!(run.finding("HeldByRollback")["fix"].as_str().unwrap().contains("--retry"));
    assert_eq!(host.snapshot(), before);
    // Other CAs do not end the hold; other documents do, and so does --retry.
    let [_, map] = trusting(json!({"c.io": OTHER_CA}));
    host.documents(&[rolled_back, map]);
    host.apply().exits(1);
    let docs = host.docs();
    host.run(&["apply", "--retry", "-f", docs.to_str().unwrap()]).exits(0);
    assert_eq!(host.verdict("b.io/x"), "rejected");
    host.run(&["rollback"]).exits(0);
    host.documents(&[blocking("d.io")]);
    host.apply().exits(0);
    assert_eq!(host.verdict("d.io/x"), "rejected");
}

#[test]
fn x3_revert_twice_has_nothing_to_do() {
    let host = applied(blocking("a.io"));
    let run = host.run(&["revert"]).exits(0);
    assert!(run.out.contains(&format!("removed {POLICY}")), "{}", run.out);
    assert_eq!(host.run(&["revert"]).exits(0).out, "nothing to do\n");
    assert_eq!(
        host.run(&["rollback"]).exits(0).out,
        "nothing to do: there is no step to go back\n"
    );
}

/// The package is being removed: a slip in the settings must not keep the host's own files from it.
#[test]
fn x3_revert_gives_the_files_back_under_wrong_settings_too() {
    let host = applied(blocking("a.io"));
    assert!(host.exists(POLICY));
    let settings = "/etc/image-config-agent/config.toml";
    host.write(settings, "gaurd = 'off'\npaths.policy = 'relative'\n");
    host.run(&["rollback"]).exits(64);
    host.run(&["revert", "--set", "gaurd=off"]).exits(64);
    assert!(host.exists(POLICY));
    let run = host.run(&["revert"]).exits(0);
    assert!(run.err.contains("config.toml:1: gaurd"), "{}", run.err);
    assert!(!host.exists(POLICY) && !host.exists(REGISTRIES));
}

#[test]
fn x3_revert_does_without_what_it_needs_not() {
    for file in ["driver.json", "engine.json", "previous.json", "held.json"] {
        let host = applied(blocking("a.io"));
        let path = format!("/var/lib/image-config-agent/{file}");
        host.write(&path, "{");
        let run = host.run(&["revert"]).exits(0);
        assert!(run.err.contains(file), "{}", run.err);
        assert!(!host.exists(POLICY) && !host.exists(REGISTRIES) && !host.exists(&path), "{file}");
        host.apply().exits(0);
    }
}

/// Where the state is damaged nothing is touched, and docs/recovery.md leads back.
#[test]
fn x3_revert_by_hand() {
    let [_, map] = trusting(json!({"a.io": CA}));
    let spec = json!({
        "registrySources": {
            "blockedRegistries": ["a.io"], "containerRuntimeSearchRegistries": ["b.io"],
        },
        "additionalTrustedCA": {"name": "ca"},
    });
    let host = Host::with(&[image_spec(spec), map]);
    host.write(REGISTRIES, "# own\n").mode(REGISTRIES, 0o600).mode("/etc/containers", 0o710);
    host.write("/etc/docker/certs.d/c.io/ca.crt", OTHER_CA);
    host.write("/etc/containers/registries.conf.d/90.conf", "# theirs\n");
    let mode = |path: &str| host.at(path).metadata().unwrap().permissions().mode() & 0o777;
    let files = |host: &Host| {
        let mut files = host.own_files();
        files.retain(|_, text| !text.starts_with('4'));
        files
    };
    let before = files(&host);
    host.apply().exits(0);
    for file in ["applied.json", "base/origins.json"] {
        host.write(&format!("/var/lib/image-config-agent/{file}"), "{");
    }
    let applied = host.own_files();
    let run = host.run(&["revert"]).exits(1);
    assert!(
        run.err.contains(" is damaged: ") && run.err.contains("docs/recovery.md"),
        "{}",
        run.err
    );
    assert_eq!(host.own_files(), applied);
    let text = fs::read_to_string("docs/recovery.md").unwrap();
    let script = text.split("```").find_map(|block| block.strip_prefix("sh\n")).unwrap();
    let mut sh = Command::new("sh");
    assert!(sh.args(["-euc", script]).env("ROOT", host.root()).status().unwrap().success());
    assert_eq!(files(&host), before);
    assert_eq!((mode("/etc/containers"), mode(REGISTRIES)), (0o710, 0o600));
}

/// Parameters that were never set leave the host's files alone.
#[test]
fn x3_an_empty_image_writes_only_what_must_be() {
    let host = Host::with(&[image_spec(json!({}))]);
    host.write(POLICY, r#"{"default": [{"type": "reject"}]}"#);
    host.write(REGISTRIES, "# own\n");
    assert!(host.apply().exits(0).changes().is_empty());
}

#[test]
fn x3_apply_says_that_it_changed_nothing_where_the_engine_cannot_be_told() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let docs = host.docs();
    let arguments = ["apply", "--set", "runtime.manager=systemd", "-f", docs.to_str().unwrap()];
    let root = host.root();
    let run = agent(
        |agent| {
            agent.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere").args(arguments);
            agent.arg("--root").arg(root)
        },
        "",
    );
    let run = run.exits(1);
    assert!(!host.exists(REGISTRIES), "{}{}", run.out, run.err);
    let said = run.out + &run.err;
    for words in ["before the engine can be told", "system bus", "runtime.manager = \"none\""] {
        assert!(said.contains(words), "{said}");
    }
}
