//! The engine is told what it must be told, and nothing else (rules H3, H5 to H7).

use serde_json::json;

use crate::host::{Files, Host, POLICY, REGISTRIES, blocking, image, running};
use crate::peer;

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

/// An engine that logs elsewhere says nothing in the journal.
#[test]
fn h7_a_reload_that_nothing_confirms_becomes_a_restart() {
    let files = Files::new();
    files.settings("runtime.action = 'reload'\nruntime.reload_seconds = 2");
    peer::with_flags(&files, "--log /var/log/crio.log");
    let host = files.boot();
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    let crio = host.invocation("crio");
    host.applies(&blocking("b.test"));
    assert_ne!(host.invocation("crio"), crio, "{}", host.journal());
    let log = host.text("/var/log/crio.log");
    assert!(log.contains("Applied new registry configuration"), "it was reloaded first: {log}");
}

/// A host on which nothing confirms a reload: the engine's log is not the journal.
fn unconfirming() -> Host {
    let files = Files::new();
    files.settings("runtime.reload_seconds = 2");
    peer::with_flags(&files, "--log /var/log/crio.log");
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    host.converges();
    host
}

/// A heal never restarts the engine by itself: what it could not confirm is a change of its own.
#[test]
fn h7_an_unconfirmed_reload_of_a_heal_is_said_and_a_restart_queued() {
    let host = unconfirming();
    host.systemctl("stop", "image-config-agent");
    host.write(REGISTRIES, "# foreign\n");
    host.systemctl("restart", "crio");
    let crio = host.invocation("crio");
    host.systemctl("start", "image-config-agent");
    host.until("the heal's end", || {
        host.journal().contains("the change has ended ending=\"unconfirmed\"")
    });
    host.converges();
    assert!(host.text(REGISTRIES).contains("a.test"));
    assert_ne!(host.invocation("crio"), crio, "{}", host.journal());
    assert_eq!(host.status()["lastChange"]["kind"], "restart");
}

/// The package is being removed, or somebody wants the agent out of the way: a revert says that the
/// engine may still go by the old files, and leaves it running.
#[test]
fn h7_an_unconfirmed_reload_of_a_revert_is_said_and_the_engine_left_running() {
    let host = unconfirming();
    let crio = host.invocation("crio");
    let said = host.run(&["image-config-agent", "revert"]);
    assert!(
        said.out.contains("restart") || said.err.contains("restart"),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(host.invocation("crio"), crio, "{}", host.journal());
    assert_eq!(host.condition("RuntimeReady").1, "Unconfirmed");
    // Released, the agent goes on: the restart that is owed comes with what the documents want.
    host.ok(&["image-config-agent", "release"]);
    host.converges();
    assert_ne!(host.invocation("crio"), crio);
}

/// As the removal of a package does it. The next agent, without documents, has nothing to restart it for.
#[test]
fn h7_an_unconfirmed_reload_of_a_revert_without_a_service_is_said_and_left_to_its_caller() {
    let host = unconfirming();
    let crio = host.invocation("crio");
    host.systemctl("stop", "image-config-agent");
    let said = host.run(&["image-config-agent", "revert"]);
    assert_eq!(said.code, 0);
    assert!(said.err.contains("systemctl restart crio.service"), "{}{}", said.out, said.err);
    host.ok(&["rm", "/etc/image-config-agent/cluster.d/image.json"]);
    host.systemctl("start", "image-config-agent");
    host.until_condition("Valid", "False", "NoDocuments");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(host.invocation("crio"), crio, "{}", host.journal());
}

#[test]
fn h7_where_the_log_settings_hide_the_marker_it_is_restarted() {
    for hiding in ["log_level = 'warn'", "log_filter = 'no line says this'"] {
        let files = Files::new();
        files
            .settings("runtime.action = 'reload'")
            .write("/etc/crio/crio.conf.d/50-log.conf", format!("[crio.runtime]\n{hiding}\n"));
        let host = files.boot();
        host.systemctl("start", "crio");
        host.documents(&blocking("a.test"));
        let documents = "/etc/image-config-agent/cluster.d";
        let plan = host.run(&["image-config-agent", "plan", "-f", documents, "-o", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
        assert_eq!(plan["impact"]["runtime"], "restart", "{plan}");
        host.systemctl("start", "image-config-agent");
        host.converges();
        let crio = host.invocation("crio");
        host.applies(&blocking("b.test"));
        assert_ne!(host.invocation("crio"), crio, "{}", host.journal());
        assert_eq!(host.status()["lastChange"]["ending"]["result"], "done");
        assert!(!host.journal().contains("Unconfirmed"), "{}", host.journal());
    }
}

/// CRI-O takes its log settings from its files before it comes to the registries, so that what
/// they say when it is told counts, and not what it was started with.
#[test]
fn h7_a_log_level_on_the_command_line_hides_nothing_at_a_reload() {
    let files = Files::new();
    files.settings("runtime.action = 'reload'");
    peer::with_flags(&files, "--log-level warn");
    let host = files.boot();
    host.documents(&blocking("a.test"));
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    host.converges();
    let crio = host.invocation("crio");
    host.applies(&blocking("b.test"));
    assert_eq!(host.invocation("crio"), crio, "{}", host.journal());
    // Written while it runs, it counts at once.
    host.write("/etc/crio/crio.conf.d/50-log.conf", "[crio.runtime]\nlog_level = 'error'\n");
    host.applies(&blocking("c.test"));
    assert_ne!(host.invocation("crio"), crio, "{}", host.journal());
}

/// It would die of its own settings if it were restarted; as it is, it goes on.
#[test]
fn h7_an_engine_that_cannot_read_its_own_settings_is_left_running() {
    let host = running("runtime.action = 'reload'");
    let crio = host.invocation("crio");
    // TOML, but no log level.
    host.write("/etc/crio/crio.conf.d/50-log.conf", "[crio.runtime]\nlog_level = 'loud'\n");
    host.documents(&blocking("b.test"));
    host.until_condition("Degraded", "True", "RollbackFailed");
    assert!(!host.text(REGISTRIES).contains("b.test"));
    assert_eq!(host.invocation("crio"), crio, "{}", host.journal());
    assert!(host.is_active("crio") && host.is_active("kubelet"));
    let said = host.run(&["image-config-agent", "status"]).out;
    assert!(said.contains("crio.conf"), "{said}");
    host.write("/etc/crio/crio.conf.d/50-log.conf", "");
    host.until_condition("Degraded", "True", "RolledBack");
    host.ok(&["image-config-agent", "retry"]);
    host.converges();
    assert!(host.text(REGISTRIES).contains("b.test"));
    assert_eq!(host.invocation("crio"), crio, "{}", host.journal());
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
        &json!({"insecureRegistries": ["b.test"], "allowedRegistries": ["b.test", "pause.test"]}),
    ));
    assert_ne!(host.text(POLICY), policy);
    assert_eq!((host.invocation("crio"), reloads()), (crio.clone(), before), "{}", host.journal());
    // registries.conf: a reload.
    host.applies(&image(
        &json!({"insecureRegistries": ["c.test"], "allowedRegistries": ["b.test", "pause.test"]}),
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

/// It obeys what it has read until somebody restarts it, and no masked unit can be told anything.
#[test]
fn h6_an_engine_that_is_masked_while_it_runs_owes_a_restart_until_it_can_be_had() {
    let host = running("");
    let crio = host.invocation("crio");
    host.ok(&["sh", "-c", "mv /etc/systemd/system/crio.service /usr/lib/systemd/system/ && ln -s /dev/null /etc/systemd/system/crio.service && systemctl daemon-reload"]);
    host.documents(&blocking("b.test"));
    host.until_condition("RuntimeReady", "Unknown", "Unconfirmed");
    assert!(host.text(REGISTRIES).contains("b.test"));
    assert_eq!((host.invocation("crio"), host.is_active("crio")), (crio.clone(), true));
    host.ok(&["sh", "-c", "rm /etc/systemd/system/crio.service && systemctl daemon-reload"]);
    host.ok(&["image-config-agent", "apply"]);
    host.converges();
    assert_ne!(host.invocation("crio"), crio);
}

/// It was under way, and is told to nobody, under the name that the settings have for it at first.
#[test]
fn h6_an_engine_that_new_settings_name_is_told_what_it_has_missed() {
    let host = running("runtime.unit = 'other.service'");
    let crio = host.invocation("crio");
    host.applies(&blocking("b.test"));
    assert_eq!(host.condition("RuntimeReady"), ("True".into(), "NoEngine".into()));
    host.write("/etc/image-config-agent/config.d/20-test.toml", "");
    host.ok(&["systemctl", "reload", "image-config-agent"]);
    host.until("the restart", || host.invocation("crio") != crio);
    host.converges();
    let told = host.invocation("crio");
    host.write("/etc/image-config-agent/config.d/20-test.toml", "drift = 'report'\n");
    host.ok(&["systemctl", "reload", "image-config-agent"]);
    host.applies(&blocking("b.test"));
    assert_eq!(host.invocation("crio"), told);
}

/// Nothing is brought back to a place that went with the engine.
#[test]
fn h6_an_engine_that_is_purged_with_its_directory_keeps_nothing_from_being_applied() {
    let files = Files::new();
    files.write("/etc/crio/own.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    peer::with_flags(&files, "--signature-policy /etc/crio/own.json");
    let host = files.boot();
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    host.applies(&blocking("b.test"));
    assert!(host.text("/etc/crio/own.json").contains("b.test"), "{}", host.journal());
    host.ok(&["sh", "-c", "systemctl stop kubelet crio; rm -rf /etc/crio /etc/systemd/system/crio.service* /etc/systemd/system/kubelet.service && systemctl daemon-reload"]);
    host.applies(&blocking("c.test"));
    assert!(host.text(POLICY).contains("c.test"), "{}", host.journal());
    assert_ne!(host.run(&["test", "-e", "/etc/crio"]).code, 0);
    host.ok(&["image-config-agent", "revert"]);
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
    peer::with_flags(&files, "--signature-policy /etc/crio/own.json");
    let host = files.boot();
    host.ok(&["systemctl", "start", "crio", "image-config-agent"]);
    host.applies(&blocking("b.test"));
    assert!(host.text("/etc/crio/own.json").contains("b.test"), "{}", host.journal());
    assert!(host.text(POLICY).contains("b.test"));
}
