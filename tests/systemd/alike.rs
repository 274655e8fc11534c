//! What CRI-O reads when, and what it says of it: the double and the real one are asked the same.

use crate::host::{Files, Host, POLICY, REGISTRIES};
use crate::image::DIGEST;
use crate::peer::{self, pull, pull_for};
use crate::pulls::{PLAIN, add_registries};

const APPLIED: &str = "msg=\"Applied new registry configuration";
const REFUSED: &str = "msg=\"Unable to reload configuration: system registries reload failed";
const FAILED: &str = "msg=\"Unable to reload configuration";
const BLOCKING: &str = "/etc/containers/registries.conf.d/50-blocked.conf";
const SETTINGS: &str = "/etc/crio/crio.conf.d/50-test.conf";
const ACCEPTING: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
const REJECTING: &str = r#"{"default": [{"type": "reject"}]}"#;

/// A machine with the engine, which pulls; no agent.
fn machine(flags: &str) -> Host {
    let files = Files::without_agent();
    add_registries(&files);
    files.write(POLICY, ACCEPTING);
    files.write(REGISTRIES, format!("[[registry]]\nlocation = '{PLAIN}'\ninsecure = true\n"));
    files.write("/etc/containers/registries.conf.d/README", "not read");
    files.write("/etc/crio/crio.conf.d/README", "# read");
    peer::with_flags(&files, flags);
    let host = files.boot();
    host.ok(&["systemctl", "start", "plain", "crio"]);
    host.until("a pull", || pulls(&host).is_ok());
    host
}

fn pulls(host: &Host) -> Result<(), String> {
    pull(host, &format!("{PLAIN}/app:v1"))
}

fn block(host: &Host, is_blocked: bool) {
    let file =
        format!("[[registry]]\nlocation = '{PLAIN}'\ninsecure = true\nblocked = {is_blocked}\n");
    host.write(BLOCKING, file);
}

/// Reloads, until the log says so once more.
#[track_caller]
fn reload(host: &Host, saying: &str) {
    let before = host.said(saying);
    host.systemctl("reload", "crio");
    host.until(saying, || host.said(saying) > before);
}

#[test]
fn h7_registries_are_read_at_the_start_and_at_a_reload() {
    let host = machine("");
    block(&host, true);
    pulls(&host).unwrap();
    reload(&host, APPLIED);
    assert!(pulls(&host).unwrap_err().contains("blocked"));
    // What it refuses it says, and goes on with the old: `systemctl reload` knows nothing of it.
    host.write(BLOCKING, "[[registry]");
    reload(&host, REFUSED);
    assert!(pulls(&host).unwrap_err().contains("blocked"));
    // At a start it dies of it.
    assert_ne!(host.run(&["systemctl", "restart", "crio"]).code, 0);
    assert!(!host.is_active("crio"));
    assert!(host.said("invalid registries") > 0, "{}", host.journal());
    block(&host, false);
    host.systemctl("restart", "crio");
    pulls(&host).unwrap();
}

#[test]
fn r10_the_policy_is_read_at_every_pull_and_at_no_start() {
    let host = machine("");
    host.write(POLICY, REJECTING);
    assert!(pulls(&host).unwrap_err().contains("reject"));
    host.write(POLICY, "{");
    pulls(&host).unwrap_err();
    host.systemctl("restart", "crio");
    pulls(&host).unwrap_err();
    host.write(POLICY, ACCEPTING);
    pulls(&host).unwrap();
}

/// A file for the pod's namespace replaces the policy, to either side.
#[test]
fn r10_a_policy_for_a_namespace_replaces_the_other() {
    let host = machine("");
    let image = format!("{PLAIN}/app:v1");
    host.write("/etc/crio/policies/strict.json", REJECTING);
    assert!(pull_for(&host, &image, "strict").unwrap_err().contains("reject"));
    pull_for(&host, &image, "other").unwrap();
    host.write(POLICY, REJECTING);
    host.write("/etc/crio/policies/free.json", ACCEPTING);
    pull_for(&host, &image, "free").unwrap();
    assert!(pull_for(&host, &image, "other").unwrap_err().contains("reject"));
}

#[test]
fn h7_a_reload_takes_the_log_settings_first_and_no_other_policy() {
    let host = machine("");
    host.write("/etc/crio/rejecting.json", REJECTING);
    let policy = "signature_policy = '/etc/crio/rejecting.json'";
    for (log, is_hidden) in
        [("log_level = 'warn'", true), ("log_filter = 'Set config'", true), ("", false)]
    {
        host.write(SETTINGS, format!("[crio.image]\n{policy}\n[crio.runtime]\n{log}\n"));
        block(&host, true);
        let before = host.said(APPLIED);
        host.systemctl("reload", "crio");
        host.until("the reload", || pulls(&host).is_err_and(|why| why.contains("blocked")));
        assert_eq!(host.said(APPLIED) == before, is_hidden, "{log}: {}", host.journal());
        block(&host, false);
        host.systemctl("reload", "crio");
        host.until("the other reload", || pulls(&host).is_ok());
    }
    assert!(!host.ask("/config").contains("rejecting.json"), "a restart takes the policy");
    host.systemctl("restart", "crio");
    assert!(pulls(&host).unwrap_err().contains("reject"));
    assert!(host.ask("/config").contains("/etc/crio/rejecting.json"));
}

#[test]
fn h7_a_reload_that_fails_at_crio_conf_never_comes_to_the_registries() {
    let host = machine("");
    for broken in
        ["[crio", "[crio.runtime]\nlog_level = 'loud'\n", "[crio.runtime]\nlog_filter = '('\n"]
    {
        let (refused, applied) = (host.said(REFUSED), host.said(APPLIED));
        host.write(SETTINGS, broken);
        block(&host, true);
        reload(&host, FAILED);
        assert_eq!((host.said(REFUSED), host.said(APPLIED)), (refused, applied), "{broken}");
        pulls(&host).unwrap();
    }
    assert_ne!(host.run(&["systemctl", "restart", "crio"]).code, 0, "it cannot start either");
}

#[test]
fn r10_h7_the_command_line_counts_until_a_reload_reads_the_files() {
    let host = machine("--log-level warn --signature-policy /etc/containers/policy.json");
    host.write("/etc/crio/rejecting.json", REJECTING);
    host.write(SETTINGS, "[crio.image]\nsignature_policy = '/etc/crio/rejecting.json'\n");
    let config = host.ask("/config");
    assert!(config.contains("log_level = \"warn\""), "{config}");
    assert!(config.contains("signature_policy = \"/etc/containers/policy.json\""), "{config}");
    reload(&host, APPLIED);
    assert!(host.ask("/config").contains("log_level = \"info\""));
    host.systemctl("restart", "crio");
    pulls(&host).unwrap();
}

#[test]
fn c1_a_name_with_tag_and_digest_is_pulled_by_its_digest() {
    let host = machine("");
    pull(&host, &format!("{PLAIN}/app:no-such-tag@{}", *DIGEST)).unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    pull(&host, &format!("{PLAIN}/app:v1@{other}")).unwrap_err();
}

#[test]
fn r11_a_short_name_with_two_meanings_is_refused() {
    let host = machine("");
    for (search, is_pulled) in
        [(format!("'{PLAIN}'"), true), (format!("'{PLAIN}', 'b.test'"), false)]
    {
        let file = "/etc/containers/registries.conf.d/60-search.conf";
        host.write(file, format!("unqualified-search-registries = [{search}]\n"));
        reload(&host, APPLIED);
        let pulled = pull(&host, "app:v1");
        assert_eq!(pulled.is_ok(), is_pulled, "{pulled:?}");
    }
    host.write(SETTINGS, "[crio.image]\nshort_name_mode = 'disabled'\n");
    reload(&host, APPLIED);
    pull(&host, "app:v1").unwrap_err();
    host.systemctl("restart", "crio");
    pull(&host, "app:v1").unwrap();
}
