//! What becomes of files that others change (rule H9).

use std::fs;
use std::time::{Duration, Instant};

use crate::agent::{Host, POLICY, REGISTRIES};
use crate::serving::{Serving, blocking, serving};

#[test]
fn h9_a_file_that_others_change_or_remove_is_put_right() {
    let serving = serving();
    let ours = serving.host.text(POLICY);
    serving.host.write(POLICY, "{}");
    serving.until("a heal", || serving.host.text(POLICY) == ours);
    fs::remove_file(serving.host.at(REGISTRIES)).unwrap();
    serving.until("a heal", || serving.host.exists(REGISTRIES));
    serving.host.mode(POLICY, 0o600);
    serving.converges();
    let status = serving.status();
    assert_eq!(status["lastChange"]["kind"], "heal", "{status}");
    // What they wrote is kept.
    let kept = serving.host.text("/var/lib/image-config-agent/foreign/etc/containers/policy.json");
    assert_eq!(kept, "{}");
}

#[test]
fn h9_what_happened_while_no_agent_ran_is_put_right_at_the_start() {
    let mut serving = serving();
    assert!(serving.stop().success());
    let ours = serving.host.text(POLICY);
    serving.host.write(POLICY, "{}");
    serving.start_again();
    serving.until("a heal", || serving.host.text(POLICY) == ours);
}

#[test]
fn h9_two_tools_that_fight_over_a_file_are_told_apart() {
    let serving = serving();
    let foreign = "{\"default\": [{\"type\": \"reject\"}]}\n";
    let start = Instant::now();
    while serving.condition("Drifted").1 != "Contested" {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", serving.status());
        serving.host.write(POLICY, foreign);
        std::thread::sleep(Duration::from_millis(100));
    }
    serving.until("peace", || serving.host.text(POLICY) == foreign);
    assert_eq!(serving.condition("Degraded"), ("True".to_owned(), "Contested".to_owned()));
    // The other files are still looked after.
    serving.host.write(REGISTRIES, "");
    serving.until("a heal", || serving.host.text(REGISTRIES).contains("a.io"));
    // A retry begins anew.
    serving.ask("retry").exits(0);
    serving.until("a heal", || serving.host.text(POLICY) != foreign);
    serving.converges();
}

#[test]
fn h9_by_setting_it_is_only_said() {
    let host = Host::with(&[blocking("a.io")]);
    let serving = Serving::on(host, &["--set", "drift=report"]);
    serving.converges();
    serving.host.write(POLICY, "{}");
    serving.until_condition("Drifted", "True", "ChangedByOthers");
    assert_eq!(serving.host.text(POLICY), "{}");
    assert_eq!(serving.ask("status").code, 2);
}

/// Nobody would know what to do with what is in a directory.
#[test]
fn h9_a_file_that_cannot_be_put_right_keeps_no_other_from_it() {
    let serving = serving();
    fs::remove_file(serving.host.at(POLICY)).unwrap();
    fs::create_dir(serving.host.at(POLICY)).unwrap();
    serving.host.write(REGISTRIES, "");
    serving.until("a heal", || serving.host.text(REGISTRIES).contains("a.io"));
    serving.until_condition("Degraded", "True", "Failed");
    assert!(serving.ask("status").exits(2).out.contains("policy.json: it is no regular file"));
    fs::remove_dir(serving.host.at(POLICY)).unwrap();
    serving.converges();
    assert!(serving.host.text(POLICY).contains("a.io"));
}

/// However busy the machine is, it is not the recheck, which is minutes away, that finds it.
#[test]
fn h9_a_heal_comes_within_a_second() {
    let serving = serving();
    let ours = serving.host.text(POLICY);
    let heal = || {
        serving.host.write(POLICY, "{}");
        let start = Instant::now();
        serving.until("a heal", || serving.host.text(POLICY) == ours);
        start.elapsed()
    };
    let fastest = (0..3).map(|_| heal()).min().unwrap();
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
}
