//! What people ask of a running agent (rules X3, H10), and signals.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::agent::{CA, Host, POLICY, REGISTRIES, trusting};
use crate::serving::{Serving, blocking, serving};

#[test]
fn x3_hold_changes_nothing_until_release() {
    let mut serving = serving();
    serving.ask("hold").exits(0);
    serving.until_condition("Held", "True", "Requested");
    let [image, map] = trusting(json!({"c.io": CA}));
    serving.host.documents(&[image, map]);
    serving.until_condition("Applied", "False", "Held");
    assert!(serving.ask("apply").exits(1).out.contains("held"));
    serving.host.write(POLICY, "{}");
    serving.until_condition("Drifted", "True", "ChangedByOthers");
    // Over restarts too.
    serving.crash_and_restart();
    serving.is_there();
    assert!(serving.ask("status").out.contains("Requested"));
    assert_eq!(serving.host.text(POLICY), "{}");
    assert!(!serving.host.exists("/etc/docker/certs.d/c.io"));
    serving.ask("release").exits(0);
    serving.converges();
    assert!(serving.host.exists("/etc/docker/certs.d/c.io/ca.crt"));
    assert_eq!(serving.host.verdict("a.io/x:1"), "allowed");
}

#[test]
fn h11_since_when_a_condition_holds_is_known_over_a_restart() {
    let mut serving = serving();
    let since = |serving: &Serving| {
        let status = serving.status();
        let all = status["conditions"].as_array().unwrap().clone();
        let time = |one: &serde_json::Value| one["lastTransitionTime"].clone();
        let applied = all.iter().find(|one| one["type"] == "Applied").unwrap();
        (time(applied), applied["status"].clone())
    };
    let before = since(&serving);
    assert_eq!(before.1, "True");
    serving.crash_and_restart();
    serving.is_there();
    serving.converges();
    assert_eq!(since(&serving), before);
}

#[test]
fn h11_what_an_earlier_agent_said_is_not_taken_for_the_word_of_this_one() {
    let mut serving = serving();
    let ours = serving.host.text(POLICY);
    for _ in 0..5 {
        assert!(serving.stop().success());
        serving.host.write(POLICY, "{}");
        serving.start_again();
        serving.converges();
        assert_eq!(serving.host.text(POLICY), ours, "all is well only once it is");
    }
}

#[test]
fn x3_the_status_says_how_the_last_change_went() {
    let serving = serving();
    let said = serving.ask("status").exits(0).out;
    let line = said.lines().find(|line| line.starts_with("last change")).unwrap();
    assert!(line.contains("apply, ") && line.contains(" ago: done, files "), "{line}");
    // A file that no list asks for has a reason all the same.
    let search = json!({"containerRuntimeSearchRegistries": ["a.io"]});
    serving.host.documents(&[crate::agent::image(search)]);
    serving.until("the other files", || {
        let said = serving.ask("status");
        said.code == 0 && said.out.contains("R10")
    });
    assert!(!serving.ask("status").out.contains("()"), "{}", serving.ask("status").out);
}

#[test]
fn x3_rollback_goes_to_the_running_agent_and_holds() {
    let mut serving = serving();
    serving.host.documents(&[blocking("b.io")]);
    serving.until_verdict("b.io/x:1", "rejected");
    serving.ask("rollback").exits(0);
    assert_eq!(serving.host.verdict("a.io/x:1"), "rejected");
    assert_eq!(serving.host.verdict("b.io/x:1"), "allowed");
    serving.until_condition("Applied", "False", "HeldByRollback");
    serving.crash_and_restart();
    serving.signal_when_ready(Signal::SIGUSR1);
    serving.until_condition("Applied", "False", "HeldByRollback");
    assert_eq!(serving.host.verdict("b.io/x:1"), "allowed");
    serving.ask("retry").exits(0);
    assert_eq!(serving.host.verdict("b.io/x:1"), "rejected");
    serving.converges();
    serving.ask("rollback").exits(0);
    serving.host.documents(&[blocking("c.io")]);
    serving.until_verdict("c.io/x:1", "rejected");
}

#[test]
fn x3_apply_makes_the_running_agent_look_at_once() {
    let host = Host::with(&[blocking("a.io")]);
    let serving = Serving::on(host, &["--set", "source.quiet_seconds=3600"]);
    serving.converges();
    serving.host.documents(&[blocking("b.io")]);
    serving.ask("apply").exits(0);
    assert_eq!(serving.host.verdict("b.io/x:1"), "rejected");
    let docs = serving.host.docs();
    let run = serving.host.run(&["apply", "-f", docs.to_str().unwrap()]).exits(1);
    assert!(run.err.contains("an agent is running"), "{}", run.err);
}

#[test]
fn x3_revert_gives_the_files_back_and_they_stay_so() {
    let mut serving = serving();
    serving.ask("revert").exits(0);
    assert!(!serving.host.exists(POLICY));
    serving.until_condition("Held", "True", "Requested");
    serving.crash_and_restart();
    serving.is_there();
    assert!(serving.ask("status").out.contains("Requested"));
    assert!(!serving.host.exists(POLICY));
}

#[test]
fn x1_status_says_when_no_agent_runs() {
    let mut serving = serving();
    serving.ask("status").exits(0);
    assert!(serving.stop().success());
    let run = serving.ask("status").exits(2);
    assert!(run.out.contains("no agent is running"), "{}", run.out);
    let json = serving.host.run(&["status", "-o", "json"]).exits(2).json();
    assert_eq!(json["phase"], "Idle");
    let yaml = serving.host.run(&["status", "-o", "yaml"]).exits(2);
    assert!(yaml.out.contains("phase: Idle"), "{}", yaml.out);
    serving.ask("hold").exits(1);
    assert_eq!(Host::new().run(&["status"]).code, 2);
}

#[test]
fn h10_sighup_reads_the_settings_again_and_refuses_wrong_ones() {
    let serving = serving();
    let settings = "/etc/image-config-agent/config.d/10.toml";
    serving.host.write(settings, "drift = 'maybe'\n");
    serving.signal(Signal::SIGHUP);
    serving.until_condition("Degraded", "True", "WrongSettings");
    serving.host.write(settings, "drift = 'report'\n");
    serving.signal(Signal::SIGHUP);
    serving.until_condition("Degraded", "False", "AsExpected");
    serving.host.write(POLICY, "{}");
    serving.until_condition("Drifted", "True", "ChangedByOthers");
}

/// What the service manager is told, in its order.
#[test]
fn h11_the_service_manager_hears_of_start_reload_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(crate::serving::SOON)).unwrap();
    let host = Host::with(&[blocking("a.io")]);
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let mut serving = Serving::with_environment(host, &[], &variables);
    let hears = |what: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.lines().any(|line| line == what) {
                return said;
            }
        }
    };
    hears("READY=1");
    hears("STATUS=converged");
    serving.signal(Signal::SIGHUP);
    assert!(hears("RELOADING=1").contains("MONOTONIC_USEC="));
    hears("READY=1");
    assert!(serving.stop().success());
    hears("STOPPING=1");
}

#[test]
fn h1_a_second_agent_does_not_get_the_host() {
    let serving = serving();
    let lock = serving.host.at("/var/lib/image-config-agent/lock");
    assert!(fs::read_to_string(lock).unwrap().parse::<u32>().is_ok());
    let before = serving.host.text(POLICY);
    let docs = serving.host.docs();
    let root = serving.host.root();
    let second = std::process::Command::new("timeout")
        .args(["40", env!("CARGO_BIN_EXE_image-config-agent"), "run", "-f"])
        .args([docs.as_path(), "--root".as_ref(), root.as_path()])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another image-config-agent"), "{said}");
    assert_eq!(serving.host.text(POLICY), before);
    serving.converges();
}

/// An administrator's edit, beside the agent that would put it right.
#[test]
fn r1_a_base_is_adopted_by_the_running_agent() {
    let serving = serving();
    serving.ask("hold").exits(0);
    // A key of the top comes before all tables.
    let edited = format!("short-name-mode = \"permissive\"\n{}", serving.host.text(REGISTRIES));
    serving.host.write(REGISTRIES, edited);
    let said = serving.host.run(&["base", "adopt", REGISTRIES]).exits(0).out;
    assert!(said.contains("not applied yet: held"), "{said}");
    serving.ask("release").exits(0);
    serving.host.documents(&[blocking("b.io")]);
    serving.until_verdict("b.io/x:1", "rejected");
    assert!(serving.host.text(REGISTRIES).contains("permissive"));
    let run = serving.host.run(&["base", "adopt", "/etc/x"]).exits(1);
    assert!(run.err.contains("/etc/x"), "{}", run.err);
    let adopts = |setting: &str| {
        serving.host.write(REGISTRIES, format!("{setting}\n{}", serving.host.text(REGISTRIES)));
        serving.host.run(&["base", "adopt", REGISTRIES]).exits(0).out
    };
    let said = adopts("# released");
    assert!(said.ends_with("what is applied builds upon it\n"), "{said}");
}

#[test]
fn x3_a_control_socket_that_somebody_removes_is_made_again() {
    let serving = serving();
    fs::remove_dir_all(serving.host.at("/run/image-config-agent")).unwrap();
    serving.signal(Signal::SIGUSR1);
    serving.until("the socket", || serving.ask("hold").code == 0);
    serving.until_condition("Held", "True", "Requested");
}

/// A request that ends the wait of a stop is answered all the same.
#[test]
fn x3_who_asks_while_the_agent_stops_gets_an_answer() {
    for _ in 0..5 {
        let mut serving = serving();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| serving.host.run(&["hold"]));
            serving.signal(Signal::SIGTERM);
            let said = asked.join().unwrap();
            assert!(!said.err.contains("EOF"), "{}", said.err);
        });
        assert!(serving.stop().success());
    }
}
