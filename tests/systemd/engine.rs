//! The engine is told what it must be told, and nothing else (rules H3, H5 to H7).

use serde_json::json;

use crate::host::{Files, POLICY, REGISTRIES, blocking, image, running};

#[test]
fn h5_a_change_restarts_the_engine_and_what_needs_it() {
    let host = running("");
    let (crio, kubelet) = (host.invocation("crio"), host.invocation("kubelet"));
    host.applies(&blocking("b.test"));
    assert!(host.text(REGISTRIES).contains("b.test"));
    assert_ne!(host.invocation("crio"), crio);
    assert_ne!(host.invocation("kubelet"), kubelet);
    assert!(host.is_active("kubelet"));
    let status = host.status();
    assert!(status["lastChange"]["engineMs"].as_u64().is_some(), "{status}");
    // Nothing to do, nothing done.
    let crio = host.invocation("crio");
    host.ok(&["image-config-agent", "apply"]);
    assert_eq!(host.invocation("crio"), crio);
}

#[test]
fn h7_a_reload_is_confirmed_by_the_journal() {
    let host = running("runtime.action = 'reload'");
    let crio = host.invocation("crio");
    host.applies(&blocking("b.test"));
    assert_eq!(host.invocation("crio"), crio, "{}", host.journal());
    assert!(host.journal().contains("Applied new registry configuration"));
    assert_eq!(host.condition("RuntimeReady"), ("True".into(), "AsExpected".into()));
}

#[test]
fn h7_a_reload_that_nothing_confirms_becomes_a_restart() {
    let host = running("runtime.action = 'reload'\nruntime.reload_seconds = 2");
    host.behaves("silent-reload");
    host.systemctl("restart", "crio");
    let crio = host.invocation("crio");
    host.applies(&blocking("b.test"));
    assert_ne!(host.invocation("crio"), crio, "{}", host.journal());
}

#[test]
fn h7_where_the_log_level_hides_the_marker_it_is_restarted() {
    let files = Files::new();
    files
        .settings("runtime.action = 'reload'")
        .write("/etc/crio/crio.conf", "[crio.runtime]\nlog_level = 'warn'\n");
    let host = files.boot();
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    let crio = host.invocation("crio");
    host.applies(&blocking("b.test"));
    assert_ne!(host.invocation("crio"), crio, "{}", host.journal());
}

#[test]
fn h3_auto_does_the_least_and_certificates_never_disturb() {
    let host = running("runtime.action = 'auto'");
    host.applies(&image(&json!({"insecureRegistries": ["b.test"]})));
    let crio = host.invocation("crio");
    let reloads = || host.journal().matches("Applied new registry configuration").count();
    let before = reloads();
    // policy.json alone: read at every pull.
    let policy = host.text(POLICY);
    host.applies(&image(
        &json!({"insecureRegistries": ["b.test"], "allowedRegistries": ["b.test"]}),
    ));
    assert_ne!(host.text(POLICY), policy);
    assert_eq!((host.invocation("crio"), reloads()), (crio.clone(), before), "{}", host.journal());
    // registries.conf: a reload.
    host.applies(&image(
        &json!({"insecureRegistries": ["c.test"], "allowedRegistries": ["b.test"]}),
    ));
    assert_eq!((host.invocation("crio"), reloads()), (crio, before + 1), "{}", host.journal());
}

#[test]
fn h6_an_engine_that_does_not_run_is_left_so() {
    for state in ["stop", "mask"] {
        let host = running("");
        host.ok(&["systemctl", "stop", "kubelet", "crio"]);
        if state == "mask" {
            // A unit in /etc cannot be masked there.
            host.ok(&["sh", "-c", "mv /etc/systemd/system/crio.service /usr/lib/systemd/system/ && ln -s /dev/null /etc/systemd/system/crio.service && systemctl daemon-reload"]);
        }
        host.applies(&blocking("b.test"));
        assert!(!host.is_active("crio"));
        assert_eq!(host.condition("RuntimeReady"), ("True".into(), "Inactive".into()));
        assert!(host.text(REGISTRIES).contains("b.test"));
    }
}

#[test]
fn h6_a_host_without_the_unit_gets_its_files() {
    let files = Files::new();
    let host = files.boot();
    host.ok(&["sh", "-c", "rm /etc/systemd/system/crio.service /etc/systemd/system/kubelet.service && systemctl daemon-reload"]);
    host.systemctl("start", "image-config-agent");
    host.applies(&blocking("b.test"));
    assert_eq!(host.condition("RuntimeReady"), ("True".into(), "NoEngine".into()));
    assert!(host.text(REGISTRIES).contains("b.test"));
}

#[test]
fn r10_the_policy_that_the_engine_says_it_obeys_is_written() {
    let files = Files::new();
    files.write("/etc/crio/own.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    let unit = include_str!("files/crio.service")
        .replace("crio-double", "crio-double --signature-policy /etc/crio/own.json");
    files.write("/etc/systemd/system/crio.service", unit);
    let host = files.boot();
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    host.applies(&blocking("b.test"));
    assert!(host.text("/etc/crio/own.json").contains("b.test"), "{}", host.journal());
    assert!(host.text(POLICY).contains("b.test"));
}
