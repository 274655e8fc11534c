//! What becomes of documents while the agent runs (rule D5).

use std::fs;
use std::os::unix::fs::symlink;

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
