//! The double of CRI-O alone, where it can be made to do what CRI-O does only sometimes.

use std::time::Duration;

use crate::host::Files;

/// The socket is there as soon as CRI-O listens, and answers once it serves.
#[test]
fn h5_the_double_accepts_before_it_serves() {
    let host = Files::without_agent().boot();
    host.behaves("slow=3s");
    host.ok(&["systemctl", "start", "--no-block", "crio"]);
    host.until("the socket", || host.connects());
    assert_eq!(host.property("crio", "ActiveState"), "activating");
    assert!(host.ask("/info").contains("200 OK"), "asked early, answered late");
    host.until("the notice", || host.is_active("crio"));
}

/// A signal before the handler is there ends it, as it ends CRI-O.
#[test]
fn h7_the_double_dies_of_an_early_hangup() {
    let host = Files::without_agent().boot();
    host.behaves("slow=3s");
    host.ok(&["systemctl", "start", "--no-block", "crio"]);
    host.until("the socket", || host.connects());
    host.ok(&["systemctl", "kill", "-s", "HUP", "crio"]);
    host.until("its end", || host.property("crio", "NRestarts") != "0" || !host.connects());
    std::thread::sleep(Duration::from_millis(200));
    assert!(!host.is_active("crio"));
}

/// A scenario must not pass without its fault.
#[test]
fn a_word_that_the_double_does_not_know_keeps_it_down() {
    let host = Files::without_agent().boot();
    host.behaves("slwo=3s");
    assert_ne!(host.run(&["systemctl", "start", "crio"]).code, 0);
    assert!(host.journal().contains("no such behaviour: slwo=3s"), "{}", host.journal());
}
