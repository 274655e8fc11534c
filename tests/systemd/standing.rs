//! How the engine stands when something is to be done: starting, dead, stopped, hanging (rules H5, H6, H9, H10, R10).

use std::time::{Duration, Instant};

use crate::host::{Files, Host, REGISTRIES, blocking, running};
use crate::peer;

const FOREIGN: &str = "unqualified-search-registries = ['foreign.test']\n";

/// A machine that has converged, and on which the agent, the engine and what needs it are stopped.
fn stopped(files: &Files) -> Host {
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "kubelet", "image-config-agent"]);
    host.converges();
    host.ok(&["systemctl", "stop", "image-config-agent", "kubelet", "crio"]);
    host
}

fn start_engine(host: &Host) {
    host.ok(&["systemctl", "start", "--no-block", "crio", "kubelet"]);
    host.until("the start", || host.property("crio", "ActiveState") == "activating");
}

/// As at a boot after something else has rewritten the file.
#[test]
fn h9_what_a_starting_engine_may_have_read_does_not_stay_in_it() {
    let host = stopped(&Files::new());
    host.write(REGISTRIES, FOREIGN);
    host.behaves("slow=3s");
    start_engine(&host);
    let crio = host.invocation("crio");
    host.systemctl("start", "image-config-agent");
    host.until("the heal", || host.text(REGISTRIES).contains("a.test"));
    host.until("a restart", || host.is_active("crio") && host.invocation("crio") != crio);
    host.converges();
    assert!(peer::pull(&host, "a.test/x:1").unwrap_err().contains("blocked"));
    assert!(host.is_active("kubelet"));
}

/// As at a boot with new documents: that it is being started is no failing.
#[test]
fn h6_documents_that_a_starting_engine_does_not_bear_are_undone() {
    let host = stopped(&Files::new());
    host.documents(&blocking("evil.test"));
    host.behaves("slow=3s fail-if=evil.test");
    start_engine(&host);
    host.systemctl("start", "image-config-agent");
    host.until_condition("Applied", "False", "WaitingForEngine");
    host.until_condition("Degraded", "True", "RolledBack");
    assert!(host.text(REGISTRIES).contains("a.test"));
    assert!(host.is_active("crio") && host.is_active("kubelet"), "{}", host.journal());
}

/// Long before the next recheck.
#[test]
fn h5_an_engine_that_dies_and_lives_again_is_seen_at_once() {
    let host = running("");
    host.behaves("fail");
    host.ok(&["systemctl", "kill", "-s", "KILL", "crio"]);
    host.until_condition("RuntimeReady", "False", "Failing");
    assert_eq!(host.run(&["image-config-agent", "status"]).code, 2);
    host.behaves("");
    host.ok(&["systemctl", "restart", "crio"]);
    host.converges();
}

/// What only the command line of the engine names, nobody can say while it is down.
#[test]
fn r10_the_policy_of_the_command_line_stays_ours_while_the_engine_is_down() {
    const OWN: &str = "/etc/crio/own.json";
    let files = Files::new();
    peer::with_flags(&files, &format!("--signature-policy {OWN}"));
    files.write(OWN, "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n");
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.systemctl("start", "image-config-agent");
    host.converges();
    assert!(!host.text(OWN).contains("a.test"), "nobody can know of it yet");
    host.systemctl("start", "crio");
    host.until("its policy", || host.text(OWN).contains("a.test"));
    host.converges();

    host.systemctl("stop", "crio");
    host.systemctl("restart", "image-config-agent");
    host.converges();
    assert!(host.text(OWN).contains("a.test"), "{}", host.journal());
}

/// A machine whose engine hangs at its start with `evil.test` in its files, and an agent that has told it so
/// once in vain.
fn hanging() -> Host {
    let files = Files::new();
    files.settings("runtime.restart_seconds = 5");
    files.write(
        "/etc/systemd/system/crio.service.d/hang.conf",
        "[Service]\nExecStart=\nExecStart=/bin/sh -c 'if grep -q evil /etc/containers/registries.conf; \
         then exec sleep 1000; fi; exec crio-double'\n",
    );
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "kubelet", "image-config-agent"]);
    host.converges();
    host.documents(&blocking("evil.test"));
    host.until("another try", || host.journal().contains("could not be told"));
    assert_eq!(host.status()["phase"], "Telling");
    host
}

/// The old files are back, and all runs.
#[track_caller]
fn is_undone(host: &Host) {
    assert!(host.text(REGISTRIES).contains("a.test"), "{}", host.journal());
    assert!(host.is_active("crio") && host.is_active("kubelet"), "{}", host.journal());
}

#[test]
fn h10_a_stop_while_a_restart_hangs_undoes_the_change() {
    let host = hanging();
    assert_eq!(host.run(&["image-config-agent", "revert"]).code, 1);
    assert_eq!(host.condition("Held").0, "False", "a revert that is refused holds nothing");
    host.systemctl("stop", "image-config-agent");
    assert_eq!(host.property("image-config-agent", "Result"), "success", "{}", host.journal());
    is_undone(&host);
    // That was no verdict: it is tried again, and then there is one.
    host.systemctl("start", "image-config-agent");
    host.until_condition("Degraded", "True", "RolledBack");
    assert!(host.journal().matches("a change begins").count() > 2);
}

#[test]
fn x3_a_hold_while_a_restart_hangs_undoes_the_change() {
    let host = hanging();
    host.ok(&["image-config-agent", "hold"]);
    is_undone(&host);
    host.until_condition("Applied", "False", "Held");
    // That was no verdict either.
    host.ok(&["image-config-agent", "release"]);
    host.until_condition("Degraded", "True", "RolledBack");
}

/// A stop while somebody else has stopped the engine: there is nobody to be told.
#[test]
fn h10_a_stop_after_the_engine_was_stopped_in_the_middle_ends_the_change() {
    let host = running("");
    host.behaves("slow=5s");
    host.documents(&blocking("b.test"));
    host.until("the restart", || host.status()["phase"] == "Telling");
    host.systemctl("stop", "crio");
    host.until("the answer", || host.journal().contains("could not be told"));
    host.systemctl("stop", "image-config-agent");
    assert!(host.text(REGISTRIES).contains("b.test"), "{}", host.journal());
    host.systemctl("start", "image-config-agent");
    host.converges();
}

/// Whoever stops an engine that fails wants no engine.
#[test]
fn h6_an_engine_that_is_stopped_while_it_is_told_again_stays_stopped() {
    let host = running("");
    host.behaves("fail");
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RollbackFailed");
    host.systemctl("stop", "crio");
    host.until_condition("Degraded", "True", "RolledBack");
    assert_eq!(host.condition("RuntimeReady"), ("True".into(), "Inactive".into()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(host.property("crio", "ActiveState"), "inactive", "{}", host.journal());
}

#[test]
fn h9_what_others_change_while_the_engine_restarts_is_healed_meanwhile() {
    let host = running("");
    let crio = host.invocation("crio");
    host.behaves("slow=8s");
    host.documents(&blocking("b.test"));
    host.until("the restart", || host.status()["phase"] == "Telling");
    assert_eq!(host.condition("RuntimeReady"), ("Unknown".into(), "BeingTold".into()));
    assert!(host.status()["waiting"]["for"].as_str().unwrap().contains("restart"));
    host.write(REGISTRIES, FOREIGN);
    let start = Instant::now();
    host.until("the heal", || host.text(REGISTRIES).contains("b.test"));
    assert_eq!(host.status()["phase"], "Telling", "after {:?}", start.elapsed());
    host.behaves("");
    host.converges();
    // It may have read what others wrote, so it was restarted once more.
    host.until("another restart", || host.journal().matches("ending").count() >= 2);
    host.converges();
    assert_ne!(host.invocation("crio"), crio);
    assert!(peer::pull(&host, "b.test/x:1").unwrap_err().contains("blocked"));
}

fn mask_bus(host: &Host, command: &str) {
    host.ok(&["systemctl", command, "--runtime", "dbus.socket", "dbus.service"]);
    let does = if command == "mask" { "stop" } else { "start" };
    host.run(&["systemctl", does, "dbus.socket"]);
    if command == "mask" {
        host.run(&["systemctl", "stop", "dbus.service"]);
    }
}

/// The documents are held by the rollback, and the engine obeys the files.
fn obeys_rollback(host: &Host) -> bool {
    host.condition("Applied").1 == "HeldByRollback"
        && host.condition("RuntimeReady").1 == "AsExpected"
}

#[test]
fn h1_a_rollback_without_the_bus_is_told_once_there_is_one() {
    let host = running("");
    host.applies(&blocking("b.test"));
    let crio = host.invocation("crio");
    mask_bus(&host, "mask");
    let said = host.run(&["image-config-agent", "rollback"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("nothing shows that the engine took the files"), "{}", said.out);
    assert!(host.text(REGISTRIES).contains("a.test"));
    // It is not forgotten with the process.
    host.run(&["pkill", "-KILL", "-x", "image-config-ag"]);
    mask_bus(&host, "unmask");
    host.until("the restart", || obeys_rollback(&host) && host.invocation("crio") != crio);
    assert!(peer::pull(&host, "a.test/x:1").unwrap_err().contains("blocked"));
    assert!(host.is_active("kubelet"));
}

#[test]
fn h1_a_rollback_while_the_engine_starts_is_told_once_it_has_started() {
    let host = running("");
    host.applies(&blocking("b.test"));
    host.ok(&["systemctl", "stop", "kubelet", "crio"]);
    host.behaves("slow=4s");
    start_engine(&host);
    let crio = host.invocation("crio");
    host.ok(&["image-config-agent", "rollback"]);
    assert!(host.text(REGISTRIES).contains("a.test"));
    host.until("the restart", || obeys_rollback(&host) && host.invocation("crio") != crio);
    assert!(peer::pull(&host, "a.test/x:1").unwrap_err().contains("blocked"));
}

/// Nobody who hangs keeps a file of ours as others wrote it.
#[test]
fn h9_a_heal_waits_for_nobody() {
    let host = running("");
    host.ok(&["pkill", "-STOP", "-x", "dbus-daemon"]);
    let start = Instant::now();
    host.write(REGISTRIES, FOREIGN);
    host.until("the heal", || host.text(REGISTRIES).contains("a.test"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    host.ok(&["pkill", "-CONT", "-x", "dbus-daemon"]);
    host.converges();
}
