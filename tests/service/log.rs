//! What the service logs: one line a transition, as grave as it is (rule H11).

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::agent::{Host, POLICY, SEARCH, image};
use crate::serving::{Serving, blocking, serving};

#[test]
fn h11_what_goes_wrong_is_one_line_of_the_log_and_so_is_its_end() {
    let serving = serving();
    serving.host.document("000.json", r#"{"apiVersion": "config.openshift.io/v1", "ki"#);
    serving.until_condition("Applied", "False", "MalformedDocument");
    let lines = serving.logged("MalformedDocument");
    assert_eq!(lines.len(), 1, "{}", serving.log());
    assert!(lines[0].contains("ERROR") && lines[0].contains("000.json"), "{lines:?}");
    assert!(lines[0].contains("Valid False, Applied False"), "{lines:?}");
    serving.host.documents(&[blocking("b.io")]);
    serving.converges();
    let ends = serving.logged("Valid True");
    assert!(ends.len() == 1 && ends[0].contains("INFO"), "{}", serving.log());
    assert!(!serving.log().contains("Some("), "values in words: {}", serving.log());
}

/// It is one failure for as long as it lasts, however often it is tried.
#[test]
fn h11_what_goes_wrong_again_and_again_is_one_line_too() {
    let searching = image(json!({"containerRuntimeSearchRegistries": ["a.io"]}));
    let host = Host::with(&[searching]);
    // Nobody knows what to do with what is in a directory.
    host.write(&format!("{SEARCH}/x"), "");
    let serving = Serving::on(host, &[]);
    serving.until("three tries", || serving.logged("a change begins").len() >= 3);
    let turns = serving.logged("Degraded True");
    assert_eq!((turns.len(), serving.logged("Degraded False").len()), (1, 0), "{}", serving.log());
    std::fs::remove_dir_all(serving.host.at(SEARCH)).unwrap();
    serving.converges();
    assert_eq!(serving.logged("Degraded False").len(), 1, "{}", serving.log());
}

#[test]
fn h11_a_hold_in_force_and_drift_that_is_left_alone_are_warnings() {
    let host = Host::with(&[blocking("a.io")]);
    let serving = Serving::on(host, &["--set", "drift=report"]);
    serving.converges();
    serving.ask("hold").exits(0);
    serving.until("a word of it", || !serving.logged("Held True").is_empty());
    assert!(serving.logged("Held True")[0].contains("WARN"), "{}", serving.log());
    serving.host.write(POLICY, "{}");
    serving.until_condition("Drifted", "True", "ChangedByOthers");
    let drift = serving.logged("Drifted True");
    assert!(drift.len() == 1 && drift[0].contains("WARN"), "{}", serving.log());
    assert!(drift[0].contains(POLICY), "{drift:?}");
}

#[test]
fn h11_each_line_for_the_journal_carries_its_priority() {
    let host = Host::with(&[blocking("a.io")]);
    let serving = Serving::on(host, &["--log-format", "journal"]);
    serving.converges();
    serving.host.write("/etc/image-config-agent/config.toml", "gaurd = 'off'\ndrfit = 'heal'\n");
    serving.signal(Signal::SIGHUP);
    serving.until_condition("Degraded", "True", "WrongSettings");
    for wrong in ["gaurd", "drfit"] {
        let lines = serving.logged(wrong);
        assert!(lines.len() == 1 && lines[0].starts_with("<3>"), "{}", serving.log());
    }
    let begins = serving.logged("a change begins");
    assert!(begins.iter().all(|line| line.starts_with("<6>")), "{begins:?}");
    assert!(serving.log().lines().all(|line| line.starts_with('<')), "{}", serving.log());
}

/// A disk that is full, or a pipe that nobody reads.
#[test]
fn h11_a_log_that_cannot_be_written_ends_nothing() {
    for format in ["pretty", "journal", "json"] {
        let host = Host::with(&[blocking("a.io")]);
        let log = host.root().with_file_name("log");
        std::fs::create_dir(&log).unwrap();
        std::os::unix::fs::symlink("/dev/full", log.join("agent.log")).unwrap();
        let mut serving = Serving::on(host, &["--log-format", format]);
        serving.until_verdict("a.io/x:1", "rejected");
        serving.host.documents(&[blocking("b.io")]);
        serving.until_verdict("b.io/x:1", "rejected");
        serving.converges();
        assert!(serving.stop().success());
    }
}

#[test]
fn h11_each_line_of_json_is_an_object_whose_values_are_words() {
    let host = Host::with(&[blocking("a.io")]);
    let serving = Serving::on(host, &["--log-format", "json"]);
    serving.converges();
    let log = serving.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let begins = lines.iter().find(|line| line["fields"]["message"] == "a change begins");
    let fields = &begins.unwrap_or_else(|| panic!("{log}"))["fields"];
    assert_eq!(fields["kind"], "apply");
    assert_eq!(fields["takes_slot"], false);
    assert!(fields.get("tell").is_none(), "nobody is told: {fields}");
}
