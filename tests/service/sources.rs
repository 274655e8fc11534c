//! What becomes of documents while the agent runs (rule D5).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::agent::{Host, image};
use crate::serving::{Serving, blocking, serving};

#[test]
fn d5_a_document_written_in_place_or_renamed_over_is_applied() {
    let serving = serving();
    serving.host.document("000.json", blocking("b.io").to_string());
    serving.until_verdict("b.io/x:1", "rejected");
    serving.until_verdict("a.io/x:1", "allowed");
    let draft = serving.host.docs().join(".000.json.swp");
    fs::write(&draft, blocking("c.io").to_string()).unwrap();
    fs::rename(draft, serving.host.docs().join("000.json")).unwrap();
    serving.until_verdict("c.io/x:1", "rejected");
}

/// The kernel tells of what happens by the name of a file that is watched, and of no other.
#[test]
fn d5_what_nobody_tells_of_is_found_by_the_recheck() {
    let host = Host::with(&[blocking("a.io")]);
    let (document, other) = (host.docs().join("000.json"), host.at("/other.json"));
    fs::hard_link(&document, &other).unwrap();
    let serving = Serving::on(host, &["--set", "source.recheck_seconds=1"]);
    serving.converges();
    fs::write(&other, blocking("b.io").to_string()).unwrap();
    serving.until_verdict("b.io/x:1", "rejected");
}

/// Documents that keep changing are not applied half-way.
#[test]
fn d5_a_change_counts_once_the_documents_are_quiet() {
    let host = Host::with(&[blocking("a.io")]);
    let serving = Serving::on(host, &["--set", "source.quiet_seconds=2"]);
    serving.converges();
    let start = std::time::Instant::now();
    let applied_after = |registry: &str| {
        serving.until_verdict(&format!("{registry}/x:1"), "rejected");
        start.elapsed()
    };
    serving.host.documents(&[blocking("b.io")]);
    assert!(applied_after("b.io") >= Duration::from_secs(2));
}

#[test]
fn d5_the_symlink_swap_of_a_config_map_volume_is_noticed() {
    let host = Host::new();
    let version = |name: &str, registry: &str| {
        let dir = host.docs().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("image.json"), blocking(registry).to_string()).unwrap();
    };
    version("..1", "a.io");
    symlink("..1", host.docs().join("..data")).unwrap();
    symlink("..data/image.json", host.docs().join("image.json")).unwrap();
    version("..2", "b.io");
    let docs = host.docs();
    let serving = Serving::on(host, &[]);
    serving.until_verdict("a.io/x:1", "rejected");
    symlink("..2", docs.join("..data_tmp")).unwrap();
    fs::rename(docs.join("..data_tmp"), docs.join("..data")).unwrap();
    serving.until_verdict("b.io/x:1", "rejected");
}

#[test]
fn d5_a_link_above_the_source_that_is_swapped_is_noticed() {
    let (host, srv) = elsewhere("srv/current/docs");
    version(&srv.join("v1"), "a.io");
    version(&srv.join("v2"), "b.io");
    symlink("v1", srv.join("current")).unwrap();
    let serving = Serving::on(host, &[]);
    serving.until_verdict("a.io/x:1", "rejected");
    rests(&serving);
    symlink("v2", srv.join("new")).unwrap();
    fs::rename(srv.join("new"), srv.join("current")).unwrap();
    serving.until_verdict("b.io/x:1", "rejected");
}

#[test]
fn d5_a_directory_far_above_that_is_renamed_and_made_again_is_noticed() {
    let (host, srv) = elsewhere("srv/a/b/docs");
    version(&srv.join("a/b"), "a.io");
    let serving = Serving::on(host, &[]);
    serving.until_verdict("a.io/x:1", "rejected");
    rests(&serving);
    fs::rename(srv.join("a"), srv.join("old")).unwrap();
    version(&srv.join("a/b"), "b.io");
    serving.until_verdict("b.io/x:1", "rejected");
}

/// The kernel may give the new directory the number of the old one, and has dropped the watch of that.
#[test]
fn d5_a_directory_that_is_made_anew_at_once_is_watched() {
    let serving = serving();
    rests(&serving);
    let docs = serving.host.docs();
    // Before it can see that the old one is gone.
    serving.signal(Signal::SIGSTOP);
    fs::remove_dir_all(&docs).unwrap();
    fs::create_dir(&docs).unwrap();
    serving.host.document("image.json", blocking("b.io").to_string());
    serving.signal(Signal::SIGCONT);
    serving.until_verdict("b.io/x:1", "rejected");
    rests(&serving);
    serving.host.document("image.json", blocking("c.io").to_string());
    serving.until_verdict("c.io/x:1", "rejected");
}

/// A host whose documents are behind a link to this path, and the directory `srv` beside it.
fn elsewhere(docs: &str) -> (Host, PathBuf) {
    let host = Host::new();
    fs::remove_dir(host.docs()).unwrap();
    symlink(docs, host.docs()).unwrap();
    let srv = host.docs().with_file_name("srv");
    fs::create_dir(&srv).unwrap();
    (host, srv)
}

/// Until what its own files have set off is over: it would see by chance what comes then.
fn rests(serving: &Serving) {
    serving.converges();
    std::thread::sleep(Duration::from_secs(3));
}

/// A directory with documents that block one registry.
fn version(dir: &Path, registry: &str) {
    fs::create_dir_all(dir.join("docs")).unwrap();
    fs::write(dir.join("docs/image.json"), blocking(registry).to_string()).unwrap();
}

/// On a host without CRI-O /etc is on the way to its settings, and every program that starts reads there.
#[test]
fn h11_reads_and_writes_of_others_in_etc_wake_nobody_up() {
    let serving = serving();
    serving.host.write("/etc/hosts", "");
    let switches = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", serving.pid())).unwrap();
        let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
        let of = |status: String| -> u64 {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        status.map(|status| of(status.unwrap())).sum()
    };
    rests(&serving);
    let before = switches();
    for _ in 0..500 {
        serving.host.text("/etc/hosts");
        fs::write(serving.host.at("/etc/hosts"), "x").unwrap();
    }
    std::thread::sleep(Duration::from_secs(1));
    let woken = switches() - before;
    // Beside them only what others make in /tmp, which is on the way to the documents here.
    assert!(woken < 250, "woken up {woken} times");
}

#[test]
fn d5_a_directory_that_goes_changes_nothing_and_counts_again_when_it_is_back() {
    let serving = serving();
    let docs = serving.host.docs();
    let before = serving.host.own_files();
    fs::remove_dir_all(&docs).unwrap();
    serving.until_condition("Valid", "False", "UnreadableSource");
    assert_eq!(serving.host.run(&["status"]).code, 2);
    let files = |host: &Host| {
        let mut files = host.own_files();
        files.retain(|path, _| !path.starts_with(host.at("/run")));
        files
    };
    let is_file = |path: &std::path::Path| !path.starts_with(serving.host.at("/run"));
    let before: Vec<_> = before.into_iter().filter(|(path, _)| is_file(path)).collect();
    assert_eq!(files(&serving.host).into_iter().collect::<Vec<_>>(), before);
    fs::create_dir(&docs).unwrap();
    serving.host.document("x.json", blocking("b.io").to_string());
    serving.until_verdict("b.io/x:1", "rejected");
    serving.converges();
    // The new directory is watched as the old one was.
    serving.host.document("x.json", blocking("c.io").to_string());
    serving.until_verdict("c.io/x:1", "rejected");
}

#[test]
fn d5_a_source_that_comes_later_is_waited_for() {
    let host = Host::new();
    fs::remove_dir(host.docs()).unwrap();
    let serving = Serving::on(host, &[]);
    serving.until_condition("Valid", "False", "UnreadableSource");
    assert!(!serving.host.exists("/etc"));
    fs::create_dir(serving.host.docs()).unwrap();
    serving.host.document("x.json", blocking("a.io").to_string());
    serving.until_verdict("a.io/x:1", "rejected");
}

#[test]
fn d5_documents_that_turn_bad_leave_the_good_ones_in_force() {
    let serving = serving();
    serving.host.document("000.json", r#"{"apiVersion": "config.openshift.io/v1", "ki"#);
    serving.until_condition("Applied", "False", "MalformedDocument");
    assert_eq!(serving.host.verdict("a.io/x:1"), "rejected");
    let run = serving.ask("status");
    assert_eq!(run.code, 2);
    assert!(run.out.contains("MalformedDocument") && run.out.contains("000.json"), "{}", run.out);
    serving.host.documents(&[image(serde_json::json!({}))]);
    serving.until_verdict("a.io/x:1", "allowed");
    serving.converges();
}
