//! Files that cannot be read as documents.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;

use serde_json::json;

use super::agent::{self, Host, image};
use super::{refused, refused_on};

/// Beside a good document, so that the bad one alone is to blame.
fn good(host: &Host) {
    host.documents(&[image(json!({"blockedRegistries": ["second.io"]}))]);
}

#[track_caller]
fn file_refused(name: &str, bytes: impl AsRef<[u8]>, finding: &str, why: &str) {
    let with_file = |host: &Host| {
        good(host);
        host.document(name, &bytes);
    };
    refused(with_file, &[[finding, name, "", "-"]]);
    let host = Host::new();
    with_file(&host);
    let said = host.on_documents("validate").finding(finding)["why"].to_string();
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_missing_path() {
    for command in ["validate", "plan", "apply"] {
        let host = Host::new();
        let before = host.snapshot();
        let run = host.run(&[command, "-o", "json", "-f", "/nowhere/at-all.yaml"]).exits(1);
        let run = run.finds("error", "UnreadableSource", "/nowhere/at-all.yaml", "");
        let finding = run.finding("UnreadableSource");
        assert!(finding["why"].as_str().unwrap().contains("No such file"), "{finding}");
        assert!(!finding["fix"].as_str().unwrap().contains("plit"), "{finding}");
        assert_eq!(host.snapshot(), before);
    }
}

#[test]
fn a_directory_without_documents() {
    for host in super::hosts() {
        fs::write(host.docs().join("README.md"), "none").unwrap();
        fs::write(host.docs().join(".hidden.yaml"), "kind: Image").unwrap();
        refused_on(&host, &["validate", "plan", "apply"], &[["NoDocuments", "docs", "", "-"]]);
    }
}

#[test]
fn what_is_no_file() {
    let expected = [["UnreadableSource", "x.yaml", "", "-"]];
    let socket = |host: &Host| {
        good(host);
        drop(UnixListener::bind(host.docs().join("x.yaml")).unwrap());
    };
    refused(socket, &expected);
    let dangling = |host: &Host| {
        good(host);
        symlink("nowhere", host.docs().join("x.yaml")).unwrap();
    };
    refused(dangling, &expected);
    let circle = |host: &Host| {
        good(host);
        symlink("x.yaml", host.docs().join("x.yaml")).unwrap();
    };
    refused(circle, &expected);
}

/// A pipe without a writer must not be waited for, and a device is not touched.
#[test]
fn a_pipe_or_a_device() {
    let expected = [["UnreadableSource", "x.yaml", "", "-"]];
    let device = |host: &Host| {
        good(host);
        symlink("/dev/null", host.docs().join("x.yaml")).unwrap();
    };
    refused(device, &expected);
    let pipe = |host: &Host| {
        good(host);
        let made = std::process::Command::new("mkfifo").arg(host.docs().join("x.yaml")).status();
        assert!(made.unwrap().success());
    };
    refused(pipe, &expected);
    let socket = |host: &Host| {
        good(host);
        drop(UnixListener::bind(host.docs().join("x.yaml")).unwrap());
    };
    for prepare in [&device as &dyn Fn(&Host), &pipe, &socket] {
        let host = Host::new();
        prepare(&host);
        let file = host.docs().join("x.yaml");
        let run = host.run(&["validate", "-o", "json", "-f", file.to_str().unwrap()]).exits(1);
        let why = run.finding("UnreadableSource")["why"].to_string();
        assert!(why.contains("a pipe, a socket or a device"), "{why}");
    }
}

/// Root reads everything, so it asks as somebody else.
#[test]
fn a_file_that_must_not_be_read() {
    let host = Host::new();
    good(&host);
    host.document("x.yaml", "kind: Image");
    let file = host.docs().join("x.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read(&file).is_ok();
    let docs = host.docs();
    let open = |path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(docs.parent().unwrap());
    open(&docs);
    // The binary may lie where only root can look: a copy is run.
    let program = docs.parent().unwrap().join("agent");
    fs::copy(env!("CARGO_BIN_EXE_image-config-agent"), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(["validate", "-o", "json", "-f"]).arg(&docs).arg("--root").arg(host.root());
    if is_root {
        command.uid(65_534);
    }
    let run = agent::Run::from(command.output().unwrap()).exits(1);
    run.finds("error", "UnreadableSource", file.to_str().unwrap(), "");
}

#[test]
fn a_file_that_is_too_large() {
    let mut bytes = b"# ".to_vec();
    bytes.resize((16 << 20) + 1, b'x');
    file_refused("large.yaml", &bytes, "DocumentTooLarge", "16 MiB");
    bytes.truncate(16 << 20);
    bytes.extend_from_slice(b"");
    file_refused("comment.yaml", &bytes, "MalformedDocument", "holds no document");
}

#[test]
fn a_file_that_is_not_text() {
    file_refused("x.yaml", b"kind: \xff\xfe", "MalformedDocument", "not UTF-8 from byte 6");
    file_refused("x.json", b"{\"kind\": \"\0\"}", "MalformedDocument", "NUL");
}

#[test]
fn a_file_without_documents() {
    for text in ["", "\n\n", "---\n", "# nothing\n", "null\n"] {
        file_refused("x.yaml", text, "MalformedDocument", "holds no document");
    }
    file_refused("x.json", "", "MalformedDocument", "holds no document");
}

#[test]
fn a_file_that_is_cut_off() {
    let document = image(json!({"blockedRegistries": ["a.io"]})).to_string();
    for end in [1, 20, document.len() / 2, document.len() - 1] {
        let host = Host::new();
        let before = host.snapshot();
        host.document("x.json", &document[..end]);
        let run = host.apply().exits(1);
        let object = host.docs().join("x.json");
        run.finds("error", "MalformedDocument", object.to_str().unwrap(), "");
        assert_eq!(host.snapshot(), before, "cut at {end}");
    }
    let yaml = "apiVersion: config.openshift.io/v1\nkind: Image\nspec: {registrySources: {";
    file_refused("x.yaml", yaml, "MalformedDocument", "line 3");
    file_refused("y.yaml", "a: \"b", "MalformedDocument", "line 1");
}

#[test]
fn aliases_in_a_circle() {
    file_refused("x.yaml", "a: &a [*a]\n", "MalformedDocument", "inside what it stands for");
    file_refused("y.yaml", "a: &a {b: *a}\n", "MalformedDocument", "inside what it stands for");
}

#[test]
fn aliases_that_grow() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(","));
    }
    file_refused("x.yaml", &text, "MalformedDocument", "beyond all that documents need");
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    file_refused("x.json", deep, "MalformedDocument", "beyond all that documents need");
}

/// Which of the two is meant nobody knows; a blocked list could be lost.
#[test]
fn a_key_that_stands_twice() {
    let yaml = "kind: Image\nspec: {registrySources: {blockedRegistries: [a.io]}}\nspec: {}\n";
    file_refused("x.yaml", yaml, "MalformedDocument", "\\\"spec\\\" stands twice");
    let json = r#"{"kind": "Image", "spec": {"registrySources": {}}, "spec": {}}"#;
    file_refused("x.json", json, "MalformedDocument", "\\\"spec\\\" stands twice");
}

#[test]
fn a_document_that_is_no_object() {
    for text in ["just words", "[1, 2]", "5", "kind: Image", "apiVersion: v1", "{}"] {
        file_refused("x.yaml", text, "MalformedDocument", "no apiVersion and kind");
    }
    let list = "apiVersion: v1\nkind: List\nitems: 5\n";
    file_refused("x.yaml", list, "MalformedDocument", "no items");
}
