//! Stopped, or held, in each phase of a change (rules H10, X3): what has begun is brought to its end within the
//! stop, and what waits goes on at the next start.

use std::time::{Duration, Instant};

use crate::host::{Files, Host, REGISTRIES, blocking, running};
use crate::peer;

/// The unit is stopped while the change is in `phase`; it stops well.
#[track_caller]
fn stop_in(host: &Host, phase: &str) {
    host.until(phase, || host.status()["phase"] == phase);
    host.systemctl("stop", "image-config-agent");
    assert_eq!(host.property("image-config-agent", "Result"), "success", "{}", host.journal());
}

/// The change was made, engine included, and the next start has nothing to do.
#[track_caller]
fn is_done(host: &Host, crio: &str) {
    assert!(host.text(REGISTRIES).contains("b.test"));
    let told = host.invocation("crio");
    assert!(told != crio && host.is_active("crio") && host.is_active("kubelet"));
    host.systemctl("start", "image-config-agent");
    host.converges();
    assert_eq!(host.invocation("crio"), told);
}

/// The change was undone, engine included, and the next start knows it.
#[track_caller]
fn is_undone(host: &Host) {
    assert!(host.text(REGISTRIES).contains("a.test"));
    assert!(!host.text(REGISTRIES).contains("evil.test"));
    assert!(host.is_active("crio") && host.is_active("kubelet"), "{}", host.journal());
    let told = host.invocation("crio");
    host.systemctl("start", "image-config-agent");
    host.until_condition("Degraded", "True", "RolledBack");
    assert_eq!(host.invocation("crio"), told);
}

#[test]
fn h10_a_stop_while_the_files_change() {
    let host = running("");
    let crio = host.invocation("crio");
    let _slow = host.slow_disk();
    host.documents(&blocking("b.test"));
    stop_in(&host, "Changing");
    is_done(&host, &crio);
}

#[test]
fn h10_a_stop_while_the_old_files_come_back() {
    let host = running("");
    host.behaves("fail-if=evil.test");
    let _slow = host.slow_disk();
    host.documents(&blocking("evil.test"));
    stop_in(&host, "Undoing");
    is_undone(&host);
}

#[test]
fn h10_a_stop_while_the_engine_is_told_of_the_old_files() {
    let host = running("");
    host.behaves("fail-if=evil.test slow=3s");
    host.documents(&blocking("evil.test"));
    stop_in(&host, "Retelling");
    is_undone(&host);
}

/// More than the unit grants is asked for as soon as the stop is, not when the engine has answered.
#[test]
fn h10_a_stop_is_given_the_time_that_it_needs() {
    let files = Files::new();
    files.settings("runtime.restart_seconds = 8");
    let limit = "[Service]\nTimeoutStopSec=3\n";
    files.write("/etc/systemd/system/image-config-agent.service.d/limit.conf", limit);
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "kubelet", "image-config-agent"]);
    host.converges();
    host.behaves("hang-if=b.test");
    host.documents(&blocking("b.test"));
    stop_in(&host, "Telling");
    assert!(host.text(REGISTRIES).contains("a.test") && host.is_active("crio"));
}

/// Nobody waited for the engine's verdict, so there is none, whatever becomes of the stop.
#[test]
fn h10_what_a_stop_has_undone_is_tried_again_even_if_the_agent_is_killed_meanwhile() {
    let host = running("runtime.restart_seconds = 4");
    host.behaves("hang-if=b.test slow=3s");
    host.documents(&blocking("b.test"));
    host.until("the restart", || host.status()["phase"] == "Telling");
    host.ok(&["systemctl", "stop", "--no-block", "image-config-agent"]);
    host.until("the undo", || host.status()["phase"] == "Retelling");
    host.ok(&["systemctl", "kill", "-s", "KILL", "image-config-agent"]);
    host.until("its end", || !host.is_active("image-config-agent"));
    assert!(!host.text(REGISTRIES).contains("b.test"));
    host.behaves("");
    host.systemctl("start", "image-config-agent");
    host.converges();
    assert!(host.text(REGISTRIES).contains("b.test"));
}

/// What a reload that nothing confirms has begun, a restart ends.
#[test]
fn h10_a_stop_while_a_reload_waits_to_be_confirmed() {
    let files = Files::new();
    files.settings("runtime.action = 'reload'\nruntime.reload_seconds = 4");
    peer::with_flags(&files, "--log /var/log/crio.log");
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "kubelet", "image-config-agent"]);
    host.converges();
    let crio = host.invocation("crio");
    let reloads = || host.text("/var/log/crio.log").matches("Applied new registry").count();
    let before = reloads();
    host.documents(&blocking("b.test"));
    host.until("the reload", || reloads() > before);
    assert_eq!(host.invocation("crio"), crio, "the restart comes later");
    stop_in(&host, "Telling");
    is_done(&host, &crio);
}

#[test]
fn h10_a_stop_while_something_is_waited_for_does_not_wait() {
    let host = running("");
    host.behaves("fail");
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RollbackFailed");
    host.until("a longer wait", || host.journal().matches("could not be told").count() > 2);
    let start = Instant::now();
    stop_in(&host, "Retelling");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!host.text(REGISTRIES).contains("evil.test"));
    // The next start goes on where this one stopped.
    host.behaves("");
    host.systemctl("start", "image-config-agent");
    host.until_condition("Degraded", "True", "RolledBack");
    assert!(host.is_active("crio") && host.is_active("kubelet"));
}

#[test]
fn x3_a_hold_while_the_engine_restarts_counts_when_it_is_done() {
    let host = running("");
    let crio = host.invocation("crio");
    host.behaves("slow=3s");
    host.documents(&blocking("b.test"));
    host.until("the restart", || host.status()["phase"] == "Telling");
    host.ok(&["image-config-agent", "hold"]);
    assert_eq!(host.condition("Held"), ("True".into(), "Requested".into()));
    assert_eq!(host.condition("Applied").0, "True");
    assert_ne!(host.invocation("crio"), crio);
    host.documents(&blocking("c.test"));
    host.until_condition("Applied", "False", "Held");
    assert!(host.text(REGISTRIES).contains("b.test"));
}

#[test]
fn x3_a_hold_while_a_roll_back_waits_lets_it_end_and_nothing_else() {
    let host = running("");
    host.behaves("fail");
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RollbackFailed");
    host.ok(&["image-config-agent", "hold"]);
    host.documents(&blocking("c.test"));
    host.behaves("");
    host.until("the engine", || host.is_active("crio") && host.is_active("kubelet"));
    host.until_condition("Applied", "False", "Held");
    assert!(host.text(REGISTRIES).contains("a.test"));
    host.ok(&["image-config-agent", "release"]);
    host.converges();
    assert!(host.text(REGISTRIES).contains("c.test"));
}
