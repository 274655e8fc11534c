//! The service's own life: watchdog, bus, sandbox, drift (rules H9, H11, H13).

use crate::host::{Files, Host, POLICY, REGISTRIES, blocking, running};

#[test]
fn h11_it_is_ready_without_documents_and_changes_nothing() {
    let host = Files::new().boot();
    host.systemctl("start", "image-config-agent");
    host.until_condition("Valid", "False", "NoDocuments");
    assert_ne!(host.run(&["test", "-e", POLICY]).code, 0);
    assert!(host.property("image-config-agent", "StatusText").contains("NoDocuments"));
    let required = host.property("crio", "RequiredBy");
    assert!(!required.contains("image-config-agent"), "{required}");
}

#[test]
fn h11_the_sandbox_is_tight() {
    let host = Files::new().boot();
    let said =
        host.run(&["systemd-analyze", "security", "--no-pager", "image-config-agent.service"]);
    let line = said.out.lines().last().unwrap_or_default().to_owned();
    let level =
        line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level < 2.0), "{line}{}", said.err);
}

#[test]
fn h11_metrics_and_probes_are_served_from_within_the_sandbox() {
    let host = running("metrics.listen = '127.0.0.1:9187'");
    let get = |path: &str| {
        let ask = format!("GET {path} HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n");
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/9187; printf '{ask}' >&3; cat <&3");
        host.ok(&["bash", "-c", &script])
    };
    assert!(get("/healthz").contains("200 OK"));
    let page = get("/metrics");
    assert!(page.contains("changes_total{kind=\"apply\",ending=\"done\"} 1"), "{page}");
    host.write(
        "/etc/image-config-agent/config.d/20-test.toml",
        "metrics.listen = 'unix:/run/image-config-agent/metrics.sock'\n",
    );
    // As on a minimal host.
    host.ok(&["rm", "-f", "/bin/kill"]);
    host.systemctl("reload", "image-config-agent");
    host.until("the socket", || {
        host.run(&["test", "-S", "/run/image-config-agent/metrics.sock"]).code == 0
    });
    assert_ne!(host.run(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9187"]).code, 0);
}

#[test]
fn h11_a_target_that_cannot_be_written_is_said_with_what_to_do() {
    let host = running("paths.certs_d = '/srv/certs.d'");
    let map = serde_json::json!({
        "apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
             "spec": {"additionalTrustedCA": {"name": "ca"}}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca", "namespace": "openshift-config"},
             "data": {"b.test": include_str!("../support/ca.crt")}},
        ],
    });
    host.documents(&map);
    // Another process can do no better, and that is tried once.
    let restarts = || host.property("image-config-agent", "NRestarts");
    host.until("another process", || restarts() == "1" && host.is_active("image-config-agent"));
    host.until_condition("Degraded", "True", "Failed");
    let said = host.run(&["image-config-agent", "status"]).out;
    assert!(said.contains("ReadWritePaths=") && said.contains("restart the service"), "{said}");
    assert!(host.text(REGISTRIES).contains("a.test"), "all or nothing");
    host.until("a word of what is waited for", || {
        host.status()["waiting"]["for"] == "another try of what failed"
    });
    host.run(&["image-config-agent", "retry"]);
    assert_eq!(restarts(), "1");
}

/// The unit opens the directories that are there at its start: the process that finds another in the
/// place of one ends, and the next one may write.
#[test]
fn h11_a_directory_that_is_made_again_is_written_by_the_next_process() {
    let host = running("");
    host.ok(&["sh", "-c", "rm -rf /etc/containers && mkdir -p /etc/containers/registries.conf.d"]);
    host.until("the files", || host.run(&["test", "-e", POLICY]).code == 0);
    host.converges();
    assert!(host.text(REGISTRIES).contains("a.test"));
    assert_eq!(host.property("image-config-agent", "NRestarts"), "1", "{}", host.journal());
}

/// The unit makes what the package makes before it begins, outside its own bounds.
#[test]
fn h11_a_directory_that_is_removed_is_made_again_and_written() {
    let host = running("");
    host.ok(&["rm", "-rf", "/etc/containers"]);
    host.until("the files", || host.run(&["test", "-e", POLICY]).code == 0);
    host.converges();
    assert!(host.text(REGISTRIES).contains("a.test"));
    host.applies(&blocking("b.test"));
}

#[test]
fn h11_an_engine_that_is_installed_later_has_its_policy_written_too() {
    let host = running("");
    assert_ne!(host.run(&["test", "-e", "/etc/crio"]).code, 0);
    let settings = "[crio.image]\nsignature_policy = '/etc/crio/policy.json'\n";
    host.write("/etc/crio/crio.conf.d/10-crio.conf", settings);
    host.systemctl("restart", "crio");
    host.until("its policy", || host.run(&["test", "-e", "/etc/crio/policy.json"]).code == 0);
    host.converges();
    assert_eq!(host.property("image-config-agent", "NRestarts"), "1", "{}", host.journal());
}

#[test]
fn h11_directories_of_others_keep_their_modes_and_owners() {
    let files = Files::new();
    let host = files.boot();
    host.ok(&["sh", "-c", "chmod 710 /etc/docker; chmod 750 /etc/docker/certs.d"]);
    host.ok(&["chown", "1000:1000", "/etc/docker/certs.d"]);
    host.ok(&["rm", "-rf", "/etc/containers"]);
    host.ok(&["systemd-tmpfiles", "--create", "image-config-agent.conf"]);
    let stat = |path: &str| host.ok(&["stat", "-c", "%a %u:%g", path]).trim().to_owned();
    assert_eq!(stat("/etc/docker"), "710 0:0");
    assert_eq!(stat("/etc/docker/certs.d"), "750 1000:1000");
    assert_eq!(stat("/etc/containers/registries.conf.d"), "755 0:0");
}

#[test]
fn x1_any_user_may_see_the_status() {
    let host = running("");
    let status = "setpriv --reuid 65534 --regid 65534 --clear-groups image-config-agent status";
    let status: Vec<&str> = status.split(' ').collect();
    assert!(host.ok(&status).contains("Applied      True"));
    host.systemctl("stop", "image-config-agent");
    let said = host.run(&status);
    assert_eq!((said.code, said.out.contains("no agent is running")), (2, true), "{}", said.err);
}

#[test]
fn h9_a_tool_that_fights_over_a_file_is_left_to_it_and_the_file_named() {
    let host = running("");
    let fights = format!("while sleep 0.2; do echo '{{}}' >{POLICY}; done");
    host.ok(&["systemd-run", "--unit", "fighter", "sh", "-c", &fights]);
    host.until_condition("Degraded", "True", "Contested");
    host.systemctl("stop", "fighter");
    assert_eq!(host.text(POLICY), "{}\n");
    assert!(host.run(&["image-config-agent", "status"]).out.contains(POLICY));
    host.ok(&["image-config-agent", "retry"]);
    host.converges();
}

#[test]
fn h9_drift_is_healed_and_the_engine_left_alone() {
    let host = running("");
    let (crio, ours) = (host.invocation("crio"), host.text(POLICY));
    host.write(POLICY, "{}");
    host.until("a heal", || host.text(POLICY) == ours);
    host.converges();
    assert_eq!(host.invocation("crio"), crio);
}

/// As where others have used up what there is for their user.
#[test]
fn h9_where_nothing_can_be_watched_all_is_looked_at_now_and_then_and_the_status_says_so() {
    let files = Files::new();
    files.write(
        "/etc/systemd/system/image-config-agent.service.d/deny.conf",
        "[Service]\nSystemCallFilter=~inotify_init1\n",
    );
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "kubelet", "image-config-agent"]);
    host.converges();
    let said = host.ok(&["image-config-agent", "status"]);
    assert!(said.contains("NotWatched") && said.contains("max_user_instances"), "{said}");
    let ours = host.text(POLICY);
    host.write(POLICY, "{}");
    host.until("a heal", || host.text(POLICY) == ours);
    host.documents(&blocking("b.test"));
    host.until("the change", || host.text(REGISTRIES).contains("b.test"));
    host.converges();
    assert_eq!(host.journal().matches("NotWatched").count(), 1, "{}", host.journal());
}

#[test]
fn h9_what_could_not_be_watched_is_watched_again_once_it_can_be() {
    let host = running("");
    let is_watched = || !host.run(&["image-config-agent", "status"]).out.contains("NotWatched");
    assert!(is_watched());
    let denial = host.inject("inotify_add_watch", "error=ENOSPC");
    let anew =
        "mv /etc/image-config-agent/cluster.d /old && cp -a /old /etc/image-config-agent/cluster.d";
    host.ok(&["sh", "-c", anew]);
    host.until("word of it", || !is_watched());
    host.documents(&blocking("b.test"));
    host.until("the change", || host.text(REGISTRIES).contains("b.test"));
    drop(denial);
    host.until("no word of it", is_watched);
    host.documents(&blocking("c.test"));
    host.until("another change", || host.text(REGISTRIES).contains("c.test"));
    host.converges();
}

#[test]
fn h9_an_engine_that_may_have_read_the_foreign_file_is_reloaded() {
    let host = running("");
    host.systemctl("stop", "image-config-agent");
    host.write(REGISTRIES, "# foreign\n");
    host.systemctl("restart", "crio");
    let crio = host.invocation("crio");
    host.systemctl("start", "image-config-agent");
    host.converges();
    assert!(host.text(REGISTRIES).contains("a.test"));
    assert_eq!(host.invocation("crio"), crio);
    assert!(host.journal().contains("Applied new registry configuration"), "{}", host.journal());
}

#[test]
fn h13_without_the_bus_a_change_waits_and_then_goes_on() {
    let host = running("");
    host.ok(&["systemctl", "mask", "--runtime", "--now", "dbus.socket", "dbus.service"]);
    host.documents(&blocking("b.test"));
    host.until_condition("RuntimeReady", "Unknown", "Unreachable");
    host.until("a word of it", || {
        host.status()["waiting"]["for"].as_str().is_some_and(|what| what.contains("bus"))
    });
    assert!(host.journal().contains("RuntimeReady Unknown"), "{}", host.journal());
    assert!(!host.text(REGISTRIES).contains("b.test"));
    host.ok(&["systemctl", "unmask", "--runtime", "dbus.socket", "dbus.service"]);
    host.ok(&["systemctl", "start", "dbus.socket"]);
    host.converges();
    assert!(host.text(REGISTRIES).contains("b.test"));
}

#[test]
fn h13_a_loop_that_hangs_is_killed_by_the_watchdog() {
    let files = Files::new();
    files.write(
        "/etc/systemd/system/image-config-agent.service.d/watchdog.conf",
        "[Service]\nWatchdogSec=3\nRestartSec=1\n",
    );
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.systemctl("start", "image-config-agent");
    host.converges();
    let pid = host.property("image-config-agent", "MainPID");
    host.ok(&["kill", "-STOP", &pid]);
    host.until("another process", || {
        host.property("image-config-agent", "MainPID") != pid
            && host.is_active("image-config-agent")
    });
    assert!(host.journal().to_lowercase().contains("watchdog"), "{}", host.journal());
    host.converges();
}

#[test]
fn h11_a_file_that_is_given_to_somebody_else_is_taken_back() {
    let host = running("");
    host.ok(&["chown", "1000:1000", POLICY]);
    host.until("its owner", || host.ok(&["stat", "-c", "%u:%g", POLICY]).trim() == "0:0");
    host.converges();
}

/// Root's files need no capability, and the unit grants none.
#[test]
fn h11_a_file_of_another_user_is_given_back_once_the_unit_lets_it_be() {
    let host = Files::new().boot();
    host.write(POLICY, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    host.ok(&["chown", "1000:1000", POLICY]);
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    host.converges();
    let said = host.run(&["image-config-agent", "revert"]);
    assert_eq!(said.code, 1, "{}", said.out);
    let advice = said.out + &said.err;
    let [capabilities, calls] =
        ["CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER", "SystemCallFilter=@chown"];
    assert!(advice.contains(capabilities) && advice.contains(calls), "{advice}");
    let drop_in = "/etc/systemd/system/image-config-agent.service.d/10-owner.conf";
    host.write(drop_in, format!("[Service]\n{capabilities}\n{calls}\n"));
    host.ok(&["systemctl", "daemon-reload"]);
    host.systemctl("restart", "image-config-agent");
    host.ok(&["image-config-agent", "revert"]);
    assert_eq!(host.ok(&["stat", "-c", "%u:%g", POLICY]).trim(), "1000:1000");
}

/// A file system that can be read alone, over what the agent writes to.
fn seal(host: &Host, directory: &str) {
    host.ok(&["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", directory]);
}

#[test]
fn x3_a_hold_that_cannot_be_kept_is_said_to_last_no_longer_than_the_agent() {
    const STATE: &str = "/var/lib/image-config-agent";
    let host = running("");
    seal(&host, STATE);
    let said = host.run(&["image-config-agent", "hold"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("only until the agent ends"), "{}", said.out);
    host.ok(&["umount", STATE]);
    // It is written down as soon as that can be.
    host.until("its memory", || {
        host.run(&["cat", "/var/lib/image-config-agent/driver.json"])
            .out
            .contains("\"is_held\": true")
    });
}

#[test]
fn h13_a_status_that_could_not_be_written_is_written_as_soon_as_it_can_be() {
    const RUN: &str = "/run/image-config-agent";
    let host = running("");
    let before = host.status()["applied"].clone();
    seal(&host, RUN);
    assert_eq!(host.run(&["image-config-agent", "status"]).code, 2);
    host.documents(&blocking("b.test"));
    host.until("a word of it", || host.journal().contains("the status cannot be written"));
    host.ok(&["umount", RUN]);
    host.until("the status", || host.status()["applied"] != before);
    host.converges();
}
