//! R10: commands ask a running CRI-O which policy it obeys.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::agent::{Host, image};

const SOCKET: &str = "/run/crio/crio.sock";
const BY_FILES: &str = "/etc/by-files.json";
const SAID: &str = "/etc/said.json";

/// A host whose CRI-O answers every question with `answer`.
fn asked(answer: &'static str) -> Host {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let conf = format!("[crio.image]\nsignature_policy = {BY_FILES:?}\n");
    host.write("/etc/crio/crio.conf", conf).mkdir("/run/crio");
    let listener = UnixListener::bind(host.at(SOCKET)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                question.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    host
}

const SAYS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 51\r\nConnection: close\r\n\r\n\
                    [crio.image]\nsignature_policy = \"/etc/said.json\"\n   ";

fn set() -> [String; 4] {
    let socket = format!("runtime.socket={SOCKET}");
    ["--set", "runtime.manager=systemd", "--set", &socket].map(str::to_owned)
}

#[test]
fn r10_commands_ask_the_engine() {
    let host = asked(SAYS);
    let docs = host.docs();
    let set = set();
    let run = |command: &[&str]| {
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        host.run(&[command, &["-f", docs.to_str().unwrap()], &set[..]].concat())
    };
    let plan = run(&["plan", "-o", "json"]).exits(2);
    for path in [SAID, BY_FILES] {
        assert!(plan.changes().contains(&format!("created {path}")), "{}", plan.out);
    }
    assert!(run(&["render"]).exits(0).out.contains(&format!("==> {SAID} <==")));
    let check = run(&["check", "-o", "json", "a.io/x"]).exits(2).json();
    assert_eq!(check["details"]["policyFile"], SAID);
    // For another root than `/` nobody is asked unless the settings say so.
    let plan = host.plan().exits(2);
    assert!(!plan.changes().contains(&format!("created {SAID}")), "{}", plan.out);
}

#[test]
fn r10_an_engine_that_does_not_say() {
    let host = asked("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let set = set();
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let docs = host.docs();
    let plan = host
        .run(&[&["plan", "-o", "json", "-f", docs.to_str().unwrap()], &set[..]].concat())
        .exits(2);
    assert!(plan.err.starts_with("warning: ") && plan.err.contains("stand in"), "{}", plan.err);
    assert!(plan.changes().contains(&format!("created {BY_FILES}")), "{}", plan.out);
    // What it said last, the service has kept.
    let said = json!({
        "format": 1, "invocation": "x", "settings": format!("[crio.image]\nsignature_policy = {SAID:?}\n"),
    });
    host.write("/var/lib/image-config-agent/engine.json", said.to_string());
    let plan = host.plan().exits(2);
    assert!(plan.changes().contains(&format!("created {SAID}")), "{}", plan.out);
}
