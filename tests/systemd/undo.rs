//! Verified or undone (rules H5, H6, H10).

use serde_json::json;

use crate::host::{Files, Host, REGISTRIES, blocking, image, running};

#[test]
fn h5_a_configuration_that_breaks_the_engine_is_undone() {
    let host = running("");
    host.behaves("fail-if=evil.test");
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RolledBack");
    assert!(host.text(REGISTRIES).contains("a.test"));
    assert!(!host.text(REGISTRIES).contains("evil.test"));
    assert!(host.is_active("crio"));
    // The failed restart had left it dead, and the good one did not bring it back.
    assert!(host.is_active("kubelet"), "{}", host.journal());
    assert_eq!(host.condition("Applied"), ("False".into(), "RolledBack".into()));
    let said = host.run(&["image-config-agent", "status"]);
    assert_eq!(said.code, 2);
    assert!(said.out.contains("restart of crio.service"), "{}", said.out);
    // It is not tried again, until somebody asks for it …
    let crio = host.invocation("crio");
    host.run(&["image-config-agent", "apply"]);
    assert_eq!(host.invocation("crio"), crio);
    host.behaves("");
    host.ok(&["image-config-agent", "retry"]);
    host.converges();
    assert!(host.text(REGISTRIES).contains("evil.test"));
    // … or the documents change.
    host.applies(&blocking("b.test"));
}

/// Where the change is one of words, and of what others wrote, there is no step of files to go back.
#[test]
fn h5_an_undo_goes_back_to_what_was_in_force_and_no_further() {
    let host = running("");
    host.applies(&blocking("b.test"));
    host.systemctl("stop", "image-config-agent");
    let ours = host.text(REGISTRIES);
    host.write(REGISTRIES, format!("{ours}\n[[registry]]\nlocation = 'x.test'\nblocked = true\n"));
    host.systemctl("restart", "crio");
    host.behaves("fail");
    let same = json!({"blockedRegistries": ["b.test"], "insecureRegistries": ["q.test/x:v1"]});
    host.documents(&image(&same));
    host.systemctl("start", "image-config-agent");
    host.until_condition("Degraded", "True", "RollbackFailed");
    host.behaves("");
    host.until_condition("Degraded", "True", "RolledBack");
    assert_eq!(host.text(REGISTRIES), ours);
    // It is held all the same, and a step back is still there.
    assert_eq!(host.condition("Applied"), ("False".into(), "RolledBack".into()));
    host.ok(&["image-config-agent", "rollback"]);
    assert!(host.text(REGISTRIES).contains("a.test"));
}

#[test]
fn h5_a_start_that_hangs_is_undone_at_its_deadline() {
    let host = running("runtime.restart_seconds = 3");
    host.behaves("hang-if=evil.test");
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RolledBack");
    // It hung, rather than die: the deadline ended the wait.
    let said = host.run(&["image-config-agent", "status"]).out;
    assert!(said.contains("waited 3s for the end of the restart of crio.service"), "{said}");
    assert!(host.is_active("crio") && host.is_active("kubelet"), "{}", host.journal());
    assert!(!host.text(REGISTRIES).contains("evil.test"));
}

#[test]
fn h5_when_even_the_old_files_fail_it_is_tried_until_it_works() {
    let host = running("");
    host.behaves("fail");
    host.documents(&blocking("b.test"));
    host.until_condition("Degraded", "True", "RollbackFailed");
    assert!(!host.text(REGISTRIES).contains("b.test"));
    host.behaves("");
    host.until("the engine", || host.is_active("crio") && host.is_active("kubelet"));
    host.until_condition("Degraded", "True", "RolledBack");
}

const DROP_IN: &str = "/etc/systemd/system/kubelet.service.d/10-test.conf";

/// From now on what needs the engine does not start.
fn breaks_kubelet(host: &Host, service: &str) {
    let unit = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStartPre=/bin/false\n";
    host.write(DROP_IN, format!("{unit}{service}\n"));
    host.ok(&["systemctl", "daemon-reload"]);
}

/// As a kubelet that no cluster has let in yet.
#[test]
fn h5_a_dependent_that_was_failing_all_along_undoes_nothing() {
    let host = running("");
    breaks_kubelet(&host, "");
    host.run(&["systemctl", "restart", "kubelet"]);
    let is_tried = || host.property("kubelet", "SubState").starts_with("auto-restart");
    host.until("a failing kubelet", is_tried);
    host.applies(&blocking("b.test"));
    assert!(host.text(REGISTRIES).contains("b.test"));
    // The failed restart leaves it dead, although it could come up one day.
    host.behaves("fail-if=evil.test");
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RolledBack");
    host.until("another try of systemd's", is_tried);
    host.ok(&["rm", DROP_IN]);
    host.ok(&["systemctl", "daemon-reload"]);
    host.until("the kubelet", || host.is_active("kubelet"));
}

#[test]
fn h5_an_engine_that_obeys_the_old_files_is_not_restarted_for_what_needs_it() {
    let host = running("");
    breaks_kubelet(&host, "Restart=no");
    let starts = host.said("serving on");
    host.documents(&blocking("b.test"));
    host.until_condition("Degraded", "True", "RolledBack");
    assert!(!host.text(REGISTRIES).contains("b.test"));
    let status = host.status();
    assert_eq!(status["phase"], "Idle", "{status}");
    let why = status["lastChange"]["ending"]["why"].as_str().unwrap();
    assert!(why.contains("kubelet.service") && why.contains("with the old files, too"), "{why}");
    // For the change, and for what was before it.
    assert_eq!(host.said("serving on"), starts + 2, "{}", host.journal());
    assert!(host.is_active("crio"));
    host.ok(&["rm", DROP_IN]);
    host.ok(&["systemctl", "daemon-reload"]);
    host.systemctl("start", "kubelet");
    host.ok(&["image-config-agent", "retry"]);
    host.converges();
    assert!(host.text(REGISTRIES).contains("b.test") && host.is_active("kubelet"));
}

#[test]
fn h6_an_engine_that_was_failing_is_no_reason_to_undo() {
    let files = Files::new();
    let host = files.boot();
    host.behaves("fail");
    host.run(&["systemctl", "start", "crio"]);
    host.systemctl("start", "image-config-agent");
    host.documents(&blocking("b.test"));
    host.until_condition("Degraded", "True", "EngineFailing");
    assert!(host.text(REGISTRIES).contains("b.test"));
    assert_eq!(host.condition("RuntimeReady").0, "False");
    // Somebody mends it.
    host.behaves("");
    host.ok(&["systemctl", "restart", "crio"]);
    host.converges();
    host.ok(&["image-config-agent", "apply"]);
}

#[test]
fn h10_a_kill_while_the_engine_restarts_is_made_up_for() {
    let host = running("");
    host.behaves("slow=3s");
    host.documents(&blocking("b.test"));
    host.until("the restart", || host.status()["phase"] == "Telling");
    host.ok(&["systemctl", "kill", "-s", "KILL", "image-config-agent"]);
    host.converges();
    assert!(host.text(REGISTRIES).contains("b.test"));
    assert!(host.is_active("crio") && host.is_active("kubelet"));
}

#[test]
fn h10_a_stop_while_the_engine_restarts_leaves_nothing_half_done() {
    let host = running("");
    host.behaves("slow=3s");
    host.documents(&blocking("b.test"));
    host.until("the restart", || host.status()["phase"] == "Telling");
    host.systemctl("stop", "image-config-agent");
    assert!(host.is_active("crio"));
    assert_eq!(host.property("image-config-agent", "Result"), "success");
    host.systemctl("start", "image-config-agent");
    host.converges();
}

#[test]
fn h7_files_that_the_engine_refuses_at_a_reload_are_undone() {
    let host = running("runtime.action = 'reload'");
    let crio = host.invocation("crio");
    host.behaves("refuse=evil.test");
    host.systemctl("restart", "crio");
    let restarted = host.invocation("crio");
    assert_ne!(restarted, crio);
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RolledBack");
    assert!(!host.text(REGISTRIES).contains("evil.test"));
    assert_eq!(host.invocation("crio"), restarted, "it goes on with what it had");
    assert!(host.run(&["image-config-agent", "status"]).out.contains("refuses the files"));
}
