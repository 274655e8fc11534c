//! What an administrator finds in the journal (rule H11).

use crate::host::{Host, POLICY, blocking, running};

/// The agent's entries of this priority or a graver one.
fn entries(host: &Host, priority: &str) -> String {
    let command = "journalctl --no-pager -q -o cat -u image-config-agent -p";
    let command: Vec<&str> = command.split(' ').chain([priority]).collect();
    host.ok(&command)
}

#[test]
fn h11_the_journal_knows_what_went_wrong_by_its_priority() {
    let host = running("");
    assert_eq!(entries(&host, "warning"), "", "{}", host.journal());
    // That somebody wrote to a file is a warning; that it is put right is none.
    host.write(POLICY, "{}");
    host.until("a word of it", || entries(&host, "warning").contains("it has other content"));
    host.converges();
    host.applies(&blocking("c.test"));
    assert_eq!(entries(&host, "err"), "", "{}", host.journal());
    host.write("/etc/image-config-agent/cluster.d/image.json", "{\"kind\"");
    host.until_condition("Valid", "False", "MalformedDocument");
    assert!(entries(&host, "err").contains("Valid False, Applied False"), "{}", host.journal());
    host.documents(&blocking("b.test"));
    host.converges();
    host.behaves("fail-if=evil.test");
    host.documents(&blocking("evil.test"));
    host.until_condition("Degraded", "True", "RolledBack");
    assert!(entries(&host, "err").contains("the change has ended"), "{}", host.journal());
    host.ok(&["image-config-agent", "hold"]);
    host.until("a word of it", || entries(&host, "warning").contains("Held True"));
    assert!(!entries(&host, "err").contains("Held True"));
}

#[test]
fn h11_wrong_settings_at_the_start_are_errors_of_the_journal_one_each() {
    let host = running("");
    host.systemctl("stop", "image-config-agent");
    host.write(
        "/etc/image-config-agent/config.d/20-test.toml",
        "gaurd = 'off'\n[runtime]\naction = 'stop'\n",
    );
    host.run(&["systemctl", "start", "image-config-agent"]);
    let said = entries(&host, "err");
    for wrong in ["20-test.toml:1: gaurd", "20-test.toml:3: runtime.action"] {
        assert_eq!(said.lines().filter(|line| line.contains(wrong)).count(), 1, "{said}");
    }
}
