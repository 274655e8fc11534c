//! Apply, roll back and revert on a scratch host, seen from outside.

#![allow(clippy::unwrap_used)] // in the helpers of tests, too

mod apply_support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apply_support::{
    CA_A, CA_B, CRIO_POLICY, POLICY, REGISTRIES, SEARCH, Scratch, digests, first_set, host,
    second_set, set,
};
use image_config_agent::apply::drift::DriftKind;
use image_config_agent::apply::{
    Applied, ApplyError, Base, ChangeKind, Digests, Origin, Outcome, Recovery, Request, STATE_DIR,
    Session, Warning, drift, held, preview,
};
use image_config_agent::host::{Cause, Content, Paths};
use image_config_agent::render::FileSet;

fn apply_keeping(host: &Scratch, files: &FileSet, name: &str, keep: &[PathBuf]) -> Outcome {
    let (root, digests) = (host.root(), digests(name));
    let session = Session::open(&root, Duration::ZERO).unwrap();
    let request = Request { files, digests: &digests, keep, is_partial: false };
    let promised = preview(&root, request).unwrap();
    let outcome = session.apply(request).unwrap();
    assert_eq!(outcome, promised, "a preview says what the apply does");
    outcome
}

fn apply(host: &Scratch, files: &FileSet, name: &str) -> Outcome {
    apply_keeping(host, files, name, &[])
}

fn try_apply(host: &Scratch, files: &FileSet) -> Result<Outcome, ApplyError> {
    let root = host.root();
    let session = Session::open(&root, Duration::ZERO)?;
    session.apply(Request { files, digests: &digests("x"), keep: &[], is_partial: false })
}

fn held_digests(host: &Scratch) -> Option<Digests> {
    held(&host.root()).unwrap().map(|held| held.digests)
}

fn rollback(host: &Scratch) -> Option<Outcome> {
    Session::open(&host.root(), Duration::ZERO).unwrap().rollback().unwrap()
}

fn revert(host: &Scratch) -> Outcome {
    Session::open(&host.root(), Duration::ZERO).unwrap().revert().unwrap()
}

fn kinds(outcome: &Outcome) -> Vec<(&str, ChangeKind)> {
    outcome.changes.iter().map(|change| (change.path.to_str().unwrap(), change.kind)).collect()
}

/// Everything but the state.
fn tree(host: &Scratch) -> Vec<String> {
    host.tree("/var")
}

#[test]
fn h1_apply_writes_every_file_and_says_what_it_did() {
    let host = host();
    let outcome = apply(&host, &first_set(), "1");
    let expected = [
        (POLICY, ChangeKind::Changed),
        (REGISTRIES, ChangeKind::Changed),
        (SEARCH, ChangeKind::Created),
        (CRIO_POLICY, ChangeKind::Created),
        (CA_A, ChangeKind::Created),
        (CA_B, ChangeKind::Created),
    ];
    assert_eq!(kinds(&outcome), expected);
    // The mode is that of the host's own file, where there was one.
    let files =
        [(REGISTRIES, "ours 1", 0o640), (POLICY, "ours 1 policy", 0o644), (CA_A, "CA a", 0o644)];
    for (path, text, mode) in files {
        assert_eq!((host.text(path).as_str(), host.mode(path)), (text, mode));
        assert!(host.at(path).symlink_metadata().unwrap().is_file());
    }
    assert_eq!(host.mode("/etc/docker/certs.d/a.io:5000"), 0o755);
    assert_eq!(host.text("/usr/lib/policy.json"), "linked", "the link's target is not ours");
    assert_eq!(host.text("/etc/untouched"), "untouched");
    let state = host.tree("").join("\n");
    assert!(!state.contains("journal") && !state.contains("/."), "no leftovers: {state}");
}

#[test]
fn h2_a_second_apply_writes_nothing() {
    let host = host();
    apply(&host, &first_set(), "1");
    let stamps = |host: &Scratch| -> Vec<_> {
        let lines = host.tree(&format!("{STATE_DIR}/lock"));
        let path = |line: &String| host.at(line.split(' ').next().unwrap());
        let stamp = |path: PathBuf| {
            let meta = path.symlink_metadata().unwrap();
            (path, meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.mtime_nsec())
        };
        lines.iter().map(path).map(stamp).collect()
    };
    let before = stamps(&host);
    let outcome = apply(&host, &first_set(), "1");
    assert_eq!((outcome.changes.len(), outcome.unchanged.len()), (0, 6));
    assert_eq!(stamps(&host), before);
}

#[test]
fn h2_other_documents_with_the_same_files_change_only_the_record() {
    let host = host();
    apply(&host, &first_set(), "1");
    let before = tree(&host);
    assert_eq!(apply(&host, &first_set(), "2").changes, []);
    assert_eq!(tree(&host), before);
    assert_eq!(Applied::load(&host.root()).unwrap().set.digests, Some(digests("2")));
    rollback(&host).unwrap();
    assert_eq!(host.text(REGISTRIES), "own", "one step back is one step of files");
    assert_eq!(held_digests(&host), Some(digests("2")));
}

#[test]
fn h1_a_second_set_replaces_the_first_whole() {
    let host = host();
    apply(&host, &first_set(), "1");
    let outcome = apply(&host, &second_set(), "2");
    let expected = [
        (POLICY, ChangeKind::Restored),
        (REGISTRIES, ChangeKind::Changed),
        (SEARCH, ChangeKind::Removed),
        (CA_A, ChangeKind::Changed),
        (CA_B, ChangeKind::Removed),
    ];
    assert_eq!(kinds(&outcome), expected);
    assert_eq!(outcome.unchanged, [Path::new(CRIO_POLICY)]);
    assert_eq!(fs::read_link(host.at(POLICY)).unwrap(), Path::new("/usr/lib/policy.json"));
}

#[test]
fn h1_nothing_changes_when_one_file_cannot_be_written() {
    let host = host();
    host.mkdir("/etc/crio/policy.json/in-the-way");
    let before = tree(&host);
    let Err(ApplyError::Host(error)) = try_apply(&host, &first_set()) else { panic!() };
    assert_eq!((error.path.to_str().unwrap(), error.cause), (CRIO_POLICY, Cause::NotAFile));
    assert_eq!(tree(&host), before);

    let host = apply_support::host();
    host.write("/etc/containers/registries.conf.d", "a file in the way");
    let before = tree(&host);
    let Err(ApplyError::Host(error)) = try_apply(&host, &first_set()) else { panic!() };
    assert_eq!(error.cause, Cause::NotADirectory);
    assert_eq!(tree(&host), before);
}

#[test]
fn x2_paths_that_are_none_are_refused() {
    let host = host();
    for path in ["etc/relative", "/etc/../x", "/", "/var/lib/image-config-agent/applied.json"] {
        let Err(ApplyError::Host(error)) = try_apply(&host, &set(&[(path, "x")])) else {
            panic!("{path}")
        };
        assert_eq!(error.cause, Cause::BadPath, "{path}");
    }
}

#[test]
fn x2_nothing_outside_the_root_is_written() {
    let outside = tempfile::TempDir::new().unwrap();
    fs::write(outside.path().join("file"), "outside").unwrap();
    let host = Scratch::new();
    host.link("/etc/containers", outside.path()).link("/etc/docker", "/opt/docker");
    host.mkdir("/opt/docker/certs.d").link("/etc/single", outside.path().join("file"));
    try_apply(&host, &set(&[(REGISTRIES, "x")])).unwrap_err();
    apply(&host, &set(&[("/etc/single", "x"), (CA_A, "CA")]), "1");
    assert_eq!(host.text("/opt/docker/certs.d/a.io:5000/ca.crt"), "CA");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "outside");
    revert(&host);
    assert_eq!(fs::read_link(host.at("/etc/single")).unwrap(), outside.path().join("file"));
}

#[test]
fn r1_the_base_is_kept_for_as_long_as_the_path_is_ours() {
    let host = host();
    let (root, paths) = (host.root(), Paths::default());
    let text = |path: &str| Base::load(&root).unwrap().text(&root, &paths, Path::new(path));
    apply(&host, &first_set(), "1");
    apply(&host, &set(&[(REGISTRIES, "ours 2"), (POLICY, "x")]), "2");
    assert_eq!(text(REGISTRIES), Content::Bytes("own".into()));
    assert_eq!(text(POLICY), Content::Bytes("linked".into()));
    host.write("/usr/lib/policy.json", "after an update");
    assert_eq!(text(POLICY), Content::Bytes("after an update".into()), "read anew");
    let base = Base::load(&root).unwrap();
    let target = "/usr/lib/policy.json".into();
    assert_eq!(base.origin(Path::new(POLICY)), Some(&Origin::Link { target }));
    assert_eq!(base.paths().count(), 2, "those given back have none");
    assert_eq!(host.mode(&format!("{STATE_DIR}/base/files{REGISTRIES}")), 0o640);

    apply(&host, &FileSet::default(), "3");
    assert_eq!((host.text(REGISTRIES).as_str(), host.mode(REGISTRIES)), ("own", 0o640));
    host.write(REGISTRIES, "edited");
    apply(&host, &FileSet::default(), "4");
    assert_eq!(host.text(REGISTRIES), "edited", "a path that is not ours is left alone");
    apply(&host, &first_set(), "5");
    assert_eq!(text(REGISTRIES), Content::Bytes("edited".into()), "a new base is taken");
}

#[test]
fn r1_absent_files_have_the_vendors_text_as_base() {
    let host = Scratch::new();
    host.write("/usr/share/containers/policy.json", "vendor");
    apply(&host, &set(&[(POLICY, "ours"), (SEARCH, "ours")]), "1");
    let (root, paths) = (host.root(), Paths::default());
    let base = Base::load(&root).unwrap();
    assert_eq!(base.text(&root, &paths, Path::new(POLICY)), Content::Bytes("vendor".into()));
    assert_eq!(base.text(&root, &paths, Path::new(SEARCH)), Content::Absent);
    assert_eq!(
        kinds(&revert(&host)),
        [(POLICY, ChangeKind::Removed), (SEARCH, ChangeKind::Removed)]
    );
}

#[test]
fn r1_an_adopted_base_is_what_render_and_revert_go_by() {
    let host = host();
    let (root, paths) = (host.root(), Paths::default());
    apply(&host, &first_set(), "1");
    let session = Session::open(&root, Duration::ZERO).unwrap();
    for path in [REGISTRIES, POLICY, SEARCH] {
        session.replace_base(Path::new(path), b"adopted".to_vec()).unwrap();
        let text = Base::load(&root).unwrap().text(&root, &paths, Path::new(path));
        assert_eq!(text, Content::Bytes("adopted".into()));
    }
    assert_eq!(host.text(REGISTRIES), "ours 1", "the file itself waits for the next apply");
    let error = session.replace_base(Path::new("/etc/untouched"), vec![]).unwrap_err();
    assert!(matches!(error, ApplyError::NoBase(_)), "{error}");
    session.revert().unwrap();
    assert_eq!((host.text(REGISTRIES).as_str(), host.mode(REGISTRIES)), ("adopted", 0o640));
    assert_eq!((host.text(POLICY).as_str(), host.mode(POLICY)), ("adopted", 0o644));
}

#[test]
fn r1_what_others_wrote_over_ours_is_kept() {
    let host = host();
    apply(&host, &first_set(), "1");
    host.write(REGISTRIES, "foreign 1");
    let outcome = apply(&host, &first_set(), "1");
    let kept = PathBuf::from(format!("{STATE_DIR}/foreign{REGISTRIES}"));
    let warning = Warning::ForeignKept { path: REGISTRIES.into(), kept: kept.clone() };
    assert_eq!(outcome.warnings, [warning]);
    assert_eq!(host.text(REGISTRIES), "ours 1");
    host.write(REGISTRIES, "foreign 2");
    revert(&host);
    assert_eq!(host.text(kept.to_str().unwrap()), "foreign 2", "the newest, over a revert too");
}

#[test]
fn r9_directories_that_we_made_go_when_they_are_empty() {
    let host = host();
    apply(&host, &first_set(), "1");
    host.write("/etc/docker/certs.d/b.io/theirs.crt", "foreign");
    apply(&host, &set(&[(REGISTRIES, "x")]), "2");
    assert!(!host.exists("/etc/docker/certs.d/a.io:5000"));
    assert!(!host.exists("/etc/containers/registries.conf.d"), "made for the search list");
    assert!(host.exists("/etc/docker/certs.d/b.io/theirs.crt"));
    assert!(host.exists("/etc/docker/certs.d/c.io/ca.crt"), "directories of others stay");
    fs::remove_file(host.at("/etc/docker/certs.d/b.io/theirs.crt")).unwrap();
    apply(&host, &set(&[(REGISTRIES, "x")]), "2");
    assert!(!host.exists("/etc/docker/certs.d/b.io"), "once it is empty");
}

#[test]
fn r9_directories_that_others_made_stay() {
    let host = host();
    host.mkdir("/etc/docker/certs.d/b.io");
    apply(&host, &first_set(), "1");
    revert(&host);
    assert!(host.exists("/etc/docker/certs.d/b.io"));
    assert!(!host.exists("/etc/docker/certs.d/a.io:5000"));
}

#[test]
fn d4_k2_paths_below_keep_stay_as_applied() {
    let host = host();
    apply(&host, &first_set(), "1");
    let keep = [PathBuf::from("/etc/docker/certs.d")];
    apply_keeping(&host, &set(&[(REGISTRIES, "ours 2"), (CA_B, "CA b 2")]), "2", &keep);
    assert_eq!((host.text(CA_A), host.text(CA_B)), ("CA a".into(), "CA b 2".into()));
    assert!(!host.exists(SEARCH));
    rollback(&host).unwrap();
    assert_eq!((host.text(CA_A), host.text(CA_B)), ("CA a".into(), "CA b".into()));
}

#[test]
fn h9_drift_is_against_the_applied_set() {
    let host = host();
    apply(&host, &first_set(), "1");
    apply(&host, &second_set(), "2");
    assert_eq!(drift(&host.root()).unwrap(), []);
    host.write(REGISTRIES, "edited");
    fs::remove_file(host.at(CA_A)).unwrap();
    host.write_mode(CRIO_POLICY, "ours 1 policy", 0o600);
    let found = drift(&host.root()).unwrap();
    let found: Vec<_> = found.iter().map(|d| (d.path.to_str().unwrap(), d.kind.clone())).collect();
    let expected = [
        (REGISTRIES, DriftKind::Content),
        (CRIO_POLICY, DriftKind::Mode(0o600)),
        (CA_A, DriftKind::Missing),
    ];
    assert_eq!(found, expected);
    assert_eq!(apply(&host, &second_set(), "2").changes.len(), 3, "an apply heals");
    assert_eq!(drift(&host.root()).unwrap(), []);
    fs::remove_file(host.at(CA_A)).unwrap();
    host.link(CA_A, "/etc/untouched");
    assert_eq!(drift(&host.root()).unwrap()[0].kind, DriftKind::NotAFile);
    fs::remove_file(host.at(CA_A)).unwrap();
    host.mkdir(CA_A);
    assert_eq!(drift(&host.root()).unwrap()[0].kind, DriftKind::NotAFile);
}

#[test]
fn x3_rollback_goes_one_step_back_and_holds_the_digests() {
    let host = host();
    apply(&host, &first_set(), "1");
    let first = tree(&host);
    apply(&host, &second_set(), "2");
    assert_eq!(held_digests(&host), None);
    rollback(&host).unwrap();
    assert_eq!(tree(&host), first);
    assert_eq!(held_digests(&host), Some(digests("2")));
    assert_eq!(Applied::load(&host.root()).unwrap().set.digests, Some(digests("1")));
    assert_eq!(rollback(&host), None, "twice: nothing to go back to");
    assert_eq!(tree(&host), first);
    assert_eq!(held_digests(&host), Some(digests("2")), "still held");
    apply(&host, &second_set(), "3");
    assert_eq!(held_digests(&host), None, "another digest ends the hold");
}

#[test]
fn x3_rollback_of_the_first_apply_gives_the_host_back() {
    let host = host();
    let before = tree(&host);
    apply(&host, &first_set(), "1");
    rollback(&host).unwrap();
    assert_eq!(tree(&host), before);
    assert_eq!(held_digests(&host), Some(digests("1")));
}

#[test]
fn x3_revert_restores_the_host_and_forgets_all_state() {
    let host = host();
    let before = tree(&host);
    apply(&host, &first_set(), "1");
    apply(&host, &second_set(), "2");
    let outcome = revert(&host);
    let expected = [
        (REGISTRIES, ChangeKind::Restored),
        (CRIO_POLICY, ChangeKind::Removed),
        (CA_A, ChangeKind::Removed),
    ];
    assert_eq!(kinds(&outcome), expected);
    assert_eq!(tree(&host), before);
    let left: Vec<_> =
        fs::read_dir(host.at(STATE_DIR)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
    assert_eq!(revert(&host), Outcome::default(), "twice: nothing to do");
}

#[test]
fn h12_newer_state_is_left_untouched() {
    for file in [
        "applied.json",
        "previous.json",
        "held.json",
        "base/origins.json",
        "journal-staging.json",
        "journal-commit.json",
        "journal-undo.json",
        "journal-tidy.json",
    ] {
        let host = host();
        apply(&host, &first_set(), "1");
        host.write(&format!("{STATE_DIR}/{file}"), r#"{"format": 2, "of": "another shape"}"#);
        let before = host.tree(&format!("{STATE_DIR}/lock"));
        let error = try_apply(&host, &second_set()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ApplyError::Newer { found: 2, supported: 1, .. }), "{text}");
        assert!(text.contains(file) && text.contains("format 2") && text.contains("up to 1"));
        assert_eq!(host.tree(&format!("{STATE_DIR}/lock")), before);
    }
}

#[test]
fn h12_damaged_state_is_an_error_and_nothing_changes() {
    let host = host();
    apply(&host, &first_set(), "1");
    apply(&host, &second_set(), "2");
    let before = tree(&host);
    host.write(&format!("{STATE_DIR}/applied.json"), "{");
    assert!(matches!(try_apply(&host, &first_set()), Err(ApplyError::Damaged { .. })));
    assert_eq!(tree(&host), before);

    let host = apply_support::host();
    apply(&host, &first_set(), "1");
    apply(&host, &second_set(), "2");
    for entry in fs::read_dir(host.at(format!("{STATE_DIR}/content"))).unwrap() {
        fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    let (root, before) = (host.root(), tree(&host));
    let error = Session::open(&root, Duration::ZERO).unwrap().rollback().unwrap_err();
    assert!(matches!(error, ApplyError::Damaged { .. }), "{error}");
    assert_eq!(tree(&host), before);
}

#[test]
fn x3_the_lock_has_a_deadline_and_names_its_holder() {
    let host = host();
    let root = host.root();
    let session = Session::open(&root, Duration::ZERO).unwrap();
    assert_eq!(session.recovery(), Recovery::Nothing);
    let start = std::time::Instant::now();
    let error = Session::open(&root, Duration::from_millis(100)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    drop(session);
    Session::open(&root, Duration::ZERO).unwrap();
}

#[test]
fn h1_mode_and_attributes_of_what_is_replaced_are_kept() {
    let host = host();
    host.write_mode(REGISTRIES, "own", 0o640);
    let of = |name: &str| xattr::get(host.at(REGISTRIES), name).unwrap();
    let attributes = || (of("user.note"), of(ACL));
    xattr::set(host.at(REGISTRIES), "user.note", b"kept").unwrap();
    xattr::set(host.at(REGISTRIES), ACL, &access_list()).unwrap();
    let kept = (Some(b"kept".to_vec()), Some(access_list()));
    assert_eq!(attributes(), kept, "the file system of the test knows them");
    apply(&host, &first_set(), "1");
    assert_eq!((host.mode(REGISTRIES), attributes()), (0o640, kept.clone()));
    apply(&host, &second_set(), "2");
    assert_eq!((host.mode(REGISTRIES), attributes()), (0o640, kept.clone()));
    revert(&host);
    assert_eq!((host.text(REGISTRIES).as_str(), host.mode(REGISTRIES)), ("own", 0o640));
    assert_eq!(attributes(), kept);
}

/// Where the kernel keeps a file's access list.
const ACL: &str = "system.posix_acl_access";

/// One by which user 1000 may read, too: a version, then a kind, rights and an id for each entry.
fn access_list() -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, NOBODY),
        (0x02, 4, 1000),
        (0x04, 4, NOBODY),
        (0x10, 4, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (kind, rights, id) in entries {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}
